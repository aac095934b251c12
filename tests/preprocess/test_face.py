from pathlib import Path

import cv2
import numpy as np
import pytest

from mien.errors import MienError
from mien.preprocess.face import (
    Box,
    FaceTracker,
    check_face,
    extent,
    eye_distance,
    find_face,
    find_faces,
    turn_back,
)
from mien.preprocess.photo import read_photo
from mien.preprocess.pose import HeadPose, rotation_from_angles
from mien.structures import LANDMARKS

EYES = 2 * 512 * 0.1  # pixels between the pupils in `front`, about


def scaled(image: np.ndarray, factor: float) -> np.ndarray:
    return cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)


def placed(image: np.ndarray, x: int, y: int, height: int, width: int) -> np.ndarray:
    """`image` on a large grey picture, its corner at (x, y)."""
    large = np.full((height, width, 3), 158, np.uint8)
    large[y : y + image.shape[0], x : x + image.shape[1]] = image
    return large


def seen_in(front: np.ndarray) -> np.ndarray:
    (face,) = find_faces(front)
    return face


def test_a_face_is_found_where_it_is(front: np.ndarray) -> None:
    face = seen_in(front)
    assert face.shape == (LANDMARKS, 3)
    assert eye_distance(face) == pytest.approx(EYES, rel=0.1)
    assert face[[468, 473], 0].mean() == pytest.approx(256, abs=4)


def test_faces_come_from_left_to_right_and_can_be_chosen(front: np.ndarray) -> None:
    both = np.concatenate([placed(scaled(front, 0.7), 0, 60, 512, 358), front], 1)
    faces = find_faces(both)
    assert len(faces) == 2
    assert extent(faces[0])[0][0] < 358 < extent(faces[1])[0][0]
    assert find_face(both)[1, 0] > 358  # the largest
    assert find_face(both, 0)[1, 0] < 358
    with pytest.raises(MienError, match=r"no face 2 in the picture: 2 faces found"):
        find_face(both, 2)
    with pytest.raises(MienError, match=r"no face -1"):
        find_face(both, -1)


def test_a_face_that_fills_the_picture_is_found(front: np.ndarray) -> None:
    whole = seen_in(front)
    left, top = whole[:, :2].min(0).astype(int) + 12
    right, bottom = whole[:, :2].max(0).astype(int) - 12
    face = find_face(front[top:bottom, left:right])
    error = np.linalg.norm(face[:, :2] + (left, top) - whole[:, :2], axis=1).mean()
    assert error < 0.06 * EYES


def test_a_small_face_in_a_large_photo_is_found(front: np.ndarray) -> None:
    small = scaled(front, 0.4)
    face = find_face(placed(small, 2600, 400, 2000, 3000))
    error = np.linalg.norm((face[:, :2] - (2600, 400)) / 0.4 - seen_in(front)[:, :2], axis=1)
    assert error.mean() < 0.06 * EYES


@pytest.mark.parametrize("turns", [1, 3])
def test_a_photo_on_its_side_is_no_obstacle(front: np.ndarray, turns: int) -> None:
    (face,) = find_faces(np.ascontiguousarray(np.rot90(front[:, 60:], turns)))
    upright = turn_back(face, turns, front[:, 60:].shape[:2])
    error = np.linalg.norm(upright[:, :2] + (60, 0) - seen_in(front)[:, :2], axis=1)
    assert error.mean() < 0.06 * EYES


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_turning_back_undoes_rot90(turns: int) -> None:
    image = np.zeros((7, 11))
    image[2, 8] = 1.0
    y, x = np.argwhere(np.rot90(image, turns))[0] + 0.5
    back = turn_back(np.array([[x, y, 5.0]]), turns, image.shape)
    np.testing.assert_allclose(back, [[8.5, 2.5, 5.0]])


@pytest.mark.parametrize("shape", [(1, 1), (3, 700), (240, 320)])
def test_no_face_is_said_so(shape: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (*shape, 3)).astype(np.uint8)
    with pytest.raises(MienError, match="No face was found in the picture"):
        find_face(noise)


def test_a_face_too_small_is_refused(front: np.ndarray) -> None:
    with pytest.raises(MienError, match=r"too small: 1\d pixels between the eyes, at least 24"):
        find_face(scaled(front, 0.17))


@pytest.mark.parametrize(("yaw", "pitch"), [(70, 0), (-66, 10), (10, 50)])
def test_a_face_turned_too_far_is_refused(yaw: float, pitch: float) -> None:
    angles = (np.radians([float(value)]) for value in (yaw, pitch, 0))
    pose = HeadPose(rotation_from_angles(*angles), np.ones(1), np.zeros((1, 2)), np.zeros(1))
    face = np.random.default_rng(0).random((LANDMARKS, 3)) * 400
    face[468, 0], face[473, 0] = 0, 400
    with pytest.raises(MienError, match=f"turned {abs(yaw)}° to the side and {abs(pitch)}°"):
        check_face(face, pose, "the picture")


def test_boxes_cut_and_place() -> None:
    image = np.random.default_rng(0).integers(1, 256, (40, 60, 3)).astype(np.uint8)
    box = Box.around(np.array([50.0, 5.0]), 30)
    window = box.cut(image)
    np.testing.assert_array_equal(window[10:, :25], image[:20, 35:])
    assert not window[:10].any()
    assert not window[:, 25:].any()
    np.testing.assert_allclose(box.place(np.array([[15.0, 15.0, 2.0]])), [[50, 5, 2]])


def test_the_tracker_follows_one_face_across_the_picture(front: np.ndarray) -> None:
    small = scaled(front, 0.5)
    still = scaled(front, 0.45)
    with FaceTracker(face=0) as tracker:
        for x in range(0, 500, 50):
            frame = placed(small, x, 20 + x // 3, 512, 1100)
            frame[-230:, -230:] = still  # someone else, who must not take over
            face = tracker.track(frame)
            assert face is not None
            shown = (face[:, :2] - (x, 20 + x // 3)) / 0.5
            error = np.linalg.norm(shown - seen_in(front)[:, :2], axis=1).mean()
            assert error < 0.08 * EYES


def test_the_tracker_says_when_the_face_is_gone_and_finds_it_again(front: np.ndarray) -> None:
    empty = np.full_like(front, 158)
    with FaceTracker() as tracker:
        found = [tracker.track(frame) is not None for frame in (empty, front, front, empty, front)]
    assert found == [False, True, True, False, True]


def test_the_tracker_refuses_a_face_that_is_not_there(front: np.ndarray) -> None:
    with FaceTracker(face=3) as tracker, pytest.raises(MienError, match=r"no face 3 in the video"):
        tracker.track(front)


def accident(seed: int) -> np.ndarray:
    """Clouds of noise, of a size of their own."""
    draw = np.random.default_rng(seed)
    height, width = draw.integers(300, 700, 2)
    clouds = cv2.GaussianBlur(draw.normal(size=(height, width)), (0, 0), draw.uniform(4, 20))
    grey = (clouds - clouds.min()) / np.ptp(clouds) * 255
    return np.repeat(grey.astype(np.uint8)[..., None], 3, 2)


def test_accidents_of_noise_are_no_faces(monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = [accident(seed) for seed in (1, 6, 8)]
    assert not any(find_faces(picture) for picture in pictures)
    # One look alone would be fooled.
    monkeypatch.setattr("mien.preprocess.face.look_again", lambda mesh, image, face: face)
    assert any(find_faces(picture) for picture in pictures)


def test_no_real_face_is_taken_for_an_accident(shared_data: Path) -> None:
    folders = ("sources", "wild_colour", "congress", "studio")
    photos = [
        path
        for folder in folders
        for path in sorted(shared_data.glob(f"portraits/{folder}/*.jpg"))[::60]
    ]
    assert len(photos) > 15
    assert all(find_faces(read_photo(path).image) for path in photos)
