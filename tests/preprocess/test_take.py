from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from mien.errors import MienError
from mien.preprocess.pose import canonical
from mien.preprocess.take import fill_gaps, smoothed, take_from_landmarks, track
from mien.preprocess.video import Video
from mien.structures import RADIUS

from .conftest import Draw
from .test_pose import made_poses, project


def test_a_turning_head_is_followed_through_a_gap(draw: Draw) -> None:
    yaws = np.linspace(-15, 15, 7)
    views = [draw(yaw, size=320) for yaw in yaws]
    hidden = 3
    views[hidden] = np.full_like(views[0], 158)

    def frames() -> Iterator[tuple[float, np.ndarray]]:
        for index, view in enumerate(views):
            yield index / 25, view

    take = track(frames(), 25)
    assert len(take) == 7
    assert take.found.tolist() == [index != hidden for index in range(7)]
    np.testing.assert_allclose(take.times, np.arange(7) / 25)
    assert np.abs(np.degrees(take.pose.angles()[:, 0]) - yaws).max() < 4
    assert take.landmarks.shape == (7, 478, 3)
    assert take.landmarks.dtype == take.cam_from_head.dtype == np.float32
    # The head stands still but for turning; its own shape hardly changes.
    assert np.ptp(take.cam_from_head[:, :3, 3], axis=0).max() < 0.15
    np.testing.assert_allclose(take.cam_from_head[3, :3, 3], (0, 0, RADIUS), atol=1e-5)
    assert take.landmarks.std(0).max() < 0.025
    assert np.linalg.norm(take.landmarks[0] - canonical().points, axis=-1).mean() < 0.02


def test_one_picture_is_a_take(front: np.ndarray) -> None:
    take = track([(0.0, front)], 25, smooth=1.0)
    assert len(take) == 1
    np.testing.assert_allclose(take.cam_from_head[0, :3, 3], (0, 0, RADIUS), atol=1e-5)


def test_a_video_without_a_face_is_refused() -> None:
    empty = np.zeros((120, 160, 3), np.uint8)
    with pytest.raises(MienError, match=r"No face was found in the video \(3 frames\)"):
        track([(i / 25, empty) for i in range(3)], 25)


def test_gaps_are_filled_by_time() -> None:
    times = np.array([0.0, 1.0, 3.0, 4.0, 5.0, 6.0])
    found = np.array([False, True, False, True, True, False])
    filled = fill_gaps(np.array([[10.0], [40.0], [0.0]]), times, found)
    np.testing.assert_allclose(filled[:, 0], [10, 10, 30, 40, 0, 0])


def test_smoothing_quiets_noise_and_keeps_movement() -> None:
    time = np.arange(120) / 30
    blink = np.exp(-(((time - 2) / 0.12) ** 2))
    noise = np.random.default_rng(0).normal(scale=0.05, size=120)
    quiet = smoothed((blink + noise)[:, None], 30, 0.6)[:, 0]
    assert np.std(quiet - blink) < 0.65 * np.std(noise)
    assert smoothed(blink[:, None], 30, 0.6).max() > 0.93
    np.testing.assert_array_equal(smoothed(blink, 30, 0.0), blink)


def test_smoothing_a_take_leaves_rotations_rotations() -> None:
    poses = made_poses(1)
    still = project(poses, canonical().points).repeat(40, 0)
    shaky = still + np.random.default_rng(0).normal(scale=0.004 * poses.focal[0], size=still.shape)
    times, found = np.arange(40) / 30, np.ones(40, bool)
    rough, smooth = (take_from_landmarks(shaky, times, 30, found, s) for s in (0.0, 1.0))
    turn = smooth.cam_from_head[:, :3, :3]
    np.testing.assert_allclose(
        turn @ turn.transpose(0, 2, 1), np.broadcast_to(np.eye(3), turn.shape), atol=1e-5
    )
    assert np.linalg.det(turn).min() > 0.99
    for field in ("cam_from_head", "landmarks"):
        spread = [getattr(take, field).std(0).mean() for take in (smooth, rough)]
        assert spread[0] < 0.7 * spread[1]


def test_a_real_clip_is_tracked_throughout(shared_data: Path) -> None:
    clip = Video(shared_data / "clips" / "lp_d18.mp4")
    frames = [pair for index, pair in enumerate(clip) if index < 40]
    take = track(frames, clip.fps)
    assert take.found.all()
    shake = np.abs(np.diff(np.degrees(take.pose.angles()), 2, axis=0))
    assert np.median(shake) < 0.5
