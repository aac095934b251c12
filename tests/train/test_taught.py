"""Batches of taught pictures."""

from dataclasses import replace

import pytest
import torch
from made_frames import PARTNER, make_frames

from mien.data.shards import Frames
from mien.errors import MienError
from mien.train.batches import Batch, PairSampler
from mien.train.taught import LessonSampler, TaughtSampler


def taught_frames() -> Frames:
    """Pictures of the takes' people, their green as strong as their number."""
    frames = make_frames(32)
    pixels = frames.pixels.clone()
    pixels[:, 1] = 20 * torch.arange(len(frames))[:, None, None]
    return replace(frames, pixels=pixels, takes=("a-taught", "b-taught"))


def test_photos_and_two_different_pictures_of_the_same_person() -> None:
    frames, taught = make_frames(48), taught_frames()
    sampler = TaughtSampler(frames, taught, PARTNER)
    photos, pictures = sampler.indices(50, torch.Generator().manual_seed(0))
    first, second = pictures.chunk(2)
    assert torch.equal(frames.take[photos], taught.take[first])
    assert torch.equal(taught.take[first], taught.take[second])
    assert (first != second).all()
    assert len(set(photos.tolist())) == len(set(pictures.tolist())) == 8


def test_a_single_picture_is_drawn_twice() -> None:
    taught = taught_frames()[slice(1)]
    sampler = TaughtSampler(make_frames(48), replace(taught, takes=("a-taught",)), PARTNER)
    _, pictures = sampler.indices(3, torch.Generator().manual_seed(0))
    assert pictures.tolist() == [0] * 6


def test_pictures_come_whole_with_what_the_teacher_was_told() -> None:
    frames, taught = make_frames(48), taught_frames()
    sampler = TaughtSampler(frames, taught, PARTNER)
    photos, pictures = sampler.indices(2, torch.Generator().manual_seed(7))
    batch = sampler.draw(2, 32, torch.Generator().manual_seed(7))
    assert batch.source.shape == (2, 3, 48, 48)
    assert batch.target.shape == (4, 3, 32, 32)
    shown = batch.target_camera.intrinsics
    assert torch.equal(shown, taught.camera.intrinsics[pictures])
    # Mirrored rows apart, labels are as they were.
    x = batch.driver_landmarks[..., 0].abs()
    torch.testing.assert_close(x, taught.landmarks[pictures][..., 0].abs())
    assert torch.equal(batch.driver_landmarks, batch.target_landmarks)
    assert batch.source_landmarks.shape == frames.landmarks[photos].shape


def test_photo_and_pictures_are_recoloured_and_mirrored_alike() -> None:
    frames = make_frames(32)
    sampler = TaughtSampler(frames, replace(frames, takes=("a-taught", "b-taught")), PARTNER)
    torch.manual_seed(0)
    batch = sampler.draw(4, 32, torch.Generator().manual_seed(1))
    # Above the mouth discs are of one colour: only the change of colours can tell rows apart.
    colours = batch.target[:, 0, 10, 16].tolist()
    assert len({round(value, 2) for value in colours[:4]}) > 1
    assert colours[:4] == pytest.approx(colours[4:], abs=1e-2)


def test_pictures_without_their_photo_are_refused() -> None:
    taught = replace(taught_frames(), takes=("a-taught", "elsewhere-taught"))
    with pytest.raises(MienError, match="elsewhere-taught"):
        TaughtSampler(make_frames(32), taught, PARTNER)


def test_a_lesson_is_a_batch_of_true_pairs_and_one_of_taught_ones() -> None:
    frames = make_frames(48)
    pairs = PairSampler(frames, 0.0, 0.0, PARTNER)
    lessons = LessonSampler(pairs, TaughtSampler(frames, taught_frames(), PARTNER), 3)
    lesson = lessons.draw(2, 32, torch.Generator().manual_seed(0))
    assert isinstance(lesson, Batch)
    assert (len(lesson.source), len(lesson.taught.source)) == (2, 3)
    assert (len(lesson.target), len(lesson.taught.target)) == (4, 6)


def test_draws_are_repeatable() -> None:
    frames = make_frames(48)
    sampler = TaughtSampler(frames, taught_frames(), PARTNER)
    batches = []
    for _ in range(2):
        torch.manual_seed(4)
        batches.append(sampler.draw(2, 32, torch.Generator().manual_seed(4)))
    assert torch.equal(batches[0].source, batches[1].source)
    assert torch.equal(batches[0].target, batches[1].target)
