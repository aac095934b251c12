"""Which pictures may teach."""

from pathlib import Path

import numpy as np
import pytest
import torch
from made_frames import make_frames

from mien.artifact import write_weights
from mien.errors import MienError
from mien.model.motion import LandmarkMotion
from mien.model.network import Network
from mien.presets import tiny
from mien.train.batches import expression
from mien.train.distill_filter import (
    READER,
    Look,
    agreement,
    asked_expression,
    embed,
    examine,
    load_reader,
    read_expression,
    same_person,
    save_reader,
)
from mien.train.reader import Reader


def test_agreement_sees_direction_and_amount_but_not_the_face_itself() -> None:
    asked = torch.randn(6, 20)
    weights = torch.rand(20)
    own_face = torch.randn(20)
    follows, amount = agreement(0.5 * asked + own_face, asked, weights)
    torch.testing.assert_close(follows, torch.ones(6))
    torch.testing.assert_close(amount, torch.full((6,), 0.5))
    assert (agreement(-asked, asked, weights)[0] < -0.99).all()
    still, none = agreement(own_face.expand(6, 20), asked, weights)
    assert still.abs().max() < 1e-2
    assert none.abs().max() < 1e-5


def test_what_does_not_count_is_not_seen() -> None:
    asked = torch.randn(4, 2)
    said = torch.stack([asked[:, 0], -asked[:, 1]], 1)
    torch.testing.assert_close(agreement(said, asked, torch.tensor([1.0, 0.0]))[0], torch.ones(4))


def test_one_picture_alone_agrees_with_nothing() -> None:
    follows, amount = agreement(torch.randn(1, 5), torch.randn(1, 5), torch.ones(5))
    assert follows.item() == amount.item() == 0.0


def test_what_is_asked_leaves_the_drivers_own_face_out() -> None:
    frames = make_frames(32)
    reader, motion = Reader(8), LandmarkMotion(8)
    means = frames.landmarks.mean(0, keepdim=True).expand(8, -1, -1)
    other_face = 0.02 * torch.randn(1, 478, 3)
    other_face[:, [33, 133, 263, 362]] = 0.0  # Eyes are measured in their own widths.
    other_face[:, [159, 145, 386, 374, 468, 473]] = 0.0
    parts = [
        asked_expression(reader, motion, frames.landmarks + face, means + face, frames.camera)
        for face in (torch.zeros(1), other_face)
    ]
    torch.testing.assert_close(*parts, rtol=1e-4, atol=1e-5)
    said = read_expression(reader, torch.rand(8, 3, 32, 32), frames.camera, frames.landmarks)
    assert said.shape == parts[0].shape


def test_a_picture_is_of_the_photo_that_it_is_nearest_to() -> None:
    gallery, own = 10.0 * torch.randn(3, 16), torch.tensor([0, 0, 1])
    made = gallery[[0, 1, 1]] + 0.1
    # The third looks even more like its driver than like its photo.
    driver = torch.stack([torch.randn(16), torch.randn(16), made[2] + 0.01])
    assert same_person(made, gallery, own, driver).tolist() == [True, False, False]


def test_faces_are_embedded_by_what_they_look_like() -> None:
    torch.manual_seed(0)
    encoder = Network(tiny()).encoder
    faces = torch.rand(3, 3, 1, 1) * torch.rand(1, 1, 192, 192)
    codes = embed(encoder, torch.cat([faces, faces[:1] + 0.01]))
    distances = torch.cdist(codes, codes)
    assert distances[3].argsort().tolist()[:2] == [3, 0]


def test_the_second_look_wants_a_face_the_person_and_the_photos_view() -> None:
    frames = make_frames(32, 5)
    drivers = frames.landmarks + 0.02 * torch.randn(5, 478, 3)
    camera = frames.camera[:1]
    asked = expression(drivers)

    def examiner(pictures: np.ndarray) -> Look:
        if len(pictures) == 1:
            return Look(np.zeros((1, 478, 3)), np.zeros((1, 478, 2)), np.zeros((1, 128)))
        landmarks = drivers.numpy().copy()
        landmarks[1] = np.nan
        # Not what was asked, but what it is labelled by.
        landmarks[2] = 2.0 * landmarks.mean(0, where=np.isfinite(landmarks)) - landmarks[2]
        people = np.zeros((5, 128))
        people[3] += 0.1
        places = camera.project(torch.from_numpy(landmarks)).numpy()
        places[4, :, 0] += 0.03
        return Look(landmarks, places, people)

    picture = np.zeros((32, 32, 3), np.uint8)
    found = examine(examiner, picture, np.stack([picture] * 5), asked, camera)
    assert found.passed.tolist() == [True, False, True, False, False]
    assert np.isnan(found.follows[1])
    assert found.follows[2] < 0.0
    assert found.distance[3] > 1.0
    np.testing.assert_allclose(found.astray, [0, np.nan, 0, 0, 0.03], atol=1e-6)
    np.testing.assert_array_equal(found.landmarks[0], drivers[0].numpy())


def test_a_reader_comes_back_from_beside_the_teacher(tmp_path: Path) -> None:
    reader = Reader()
    save_reader(reader, tmp_path / READER, "of a test")
    faces = torch.rand(2, 3, 192, 192)
    back = load_reader(tmp_path / "weights.safetensors")
    torch.testing.assert_close(back(faces)[0], reader(faces)[0], rtol=1e-2, atol=1e-2)
    assert not any(parameter.requires_grad for parameter in back.parameters())


def test_no_reader_or_another_file_is_refused(tmp_path: Path) -> None:
    teacher = tmp_path / "weights.safetensors"
    with pytest.raises(MienError, match="bring it along"):
        load_reader(teacher)
    state = Reader().state_dict()
    write_weights(tmp_path / READER, state, preset="base", licence="of a test")
    with pytest.raises(MienError, match="holds no reader"):
        load_reader(teacher)
    write_weights(tmp_path / READER, Reader(8).state_dict(), preset="reader", licence="of a test")
    with pytest.raises(MienError, match="holds no reader"):
        load_reader(teacher)
