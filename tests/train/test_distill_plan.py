"""Photos and their drivers."""

from dataclasses import replace

import pytest
import torch
from made_frames import make_frames

from mien.data.shards import Frames
from mien.errors import MienError
from mien.train.distill_plan import plan


def frames_of(names: list[str], people: dict[str, str] | None = None) -> Frames:
    """Frames of takes of these names, in this order, with faces far from each other."""
    frames = make_frames(8, len(names))
    takes = sorted(set(names))
    return replace(
        frames,
        landmarks=frames.landmarks + 0.05 * torch.randn(len(names), 478, 3),
        take=torch.tensor([takes.index(name) for name in names]),
        takes=tuple(takes),
        people=tuple((people or {}).get(take, take) for take in takes),
    )


MIXED = ["x", "p", "x", "q", "x", "y", "x", "y", "y", "y"]


def test_photos_of_people_never_filmed_come_first() -> None:
    frames = frames_of(MIXED)
    assert plan(frames, None, 0).photos.tolist() == [1, 3]
    assert plan(frames, 1, 0).photos.tolist() == [1]
    assert plan(frames, 9, 0).photos.tolist() == [1, 3, 0, 5]


def test_drivers_are_other_people_who_were_filmed() -> None:
    made = plan(frames_of(MIXED, {"p": "same", "x": "same"}), None, 0)
    assert set(made.drivers(0, 8).tolist()) <= {5, 7, 8, 9}
    assert len(made.drivers(1, 8)) > 4
    assert made.drivers(1, 3).tolist() == made.drivers(1, 3).tolist()


def test_drivers_lie_far_apart() -> None:
    frames = frames_of(["p"] + ["x"] * 40)
    # All alike, but for two.
    frames.landmarks[1:] = frames.landmarks[1]
    frames.landmarks[7, 14] -= 0.2
    frames.landmarks[30, 105] += 0.2
    chosen = plan(frames, None, 0).drivers(0, 3).tolist()
    assert {7, 30} < set(chosen)


def test_rendered_people_neither_drive_nor_are_driven() -> None:
    frames = frames_of(MIXED, {"p": "synth-1", "x": "synth-2"})
    made = plan(frames, 9, 0)
    assert made.photos.tolist() == [3, 5]
    assert sorted(made.moving.tolist()) == [5, 7, 8, 9]


@pytest.mark.parametrize(("names", "lack"), [(["x"] * 4, "photos"), (["p", "q"], "takes")])
def test_too_little_is_said(names: list[str], lack: str) -> None:
    with pytest.raises(MienError, match=f"hold no {lack}"):
        plan(frames_of(names), None, 0)
