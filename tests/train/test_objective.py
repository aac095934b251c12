"""What the student is asked for."""

from dataclasses import replace

import pytest
import torch
from made_frames import make_frames

from mien.model.network import Network
from mien.presets import tiny
from mien.structures import LANDMARKS
from mien.train.batches import Batch, PairSampler
from mien.train.objective import READ_OFF_RENDERS, WEIGHTS, Animate
from mien.train.reader import Reader

SIDE, COUNT = 48, 4


@pytest.fixture
def module() -> Animate:
    torch.manual_seed(1)
    return Animate(Network(tiny()), Reader(8), "reference", False)


@pytest.fixture
def batch() -> Batch:
    torch.manual_seed(0)
    sampler = PairSampler(make_frames(SIDE), 0.0, 0.0, torch.arange(LANDMARKS))
    return sampler.draw(COUNT, SIDE, torch.Generator().manual_seed(0))


def terms_of(module: Animate, batch: Batch) -> dict[str, torch.Tensor]:
    return module(batch, 8, torch.float32)[0]


@torch.no_grad()
def turned(module: Animate, batch: Batch) -> torch.Tensor:
    torch.manual_seed(5)
    return module(batch, 8, torch.float32, True)[1].turned


def test_every_term_has_a_weight(module: Animate, batch: Batch) -> None:
    terms = terms_of(module, batch)
    assert terms.keys() <= WEIGHTS.keys()
    assert set(READ_OFF_RENDERS) <= terms.keys()


def test_turned_views_are_the_first_avatars_making_the_last_ones_faces(
    module: Animate, batch: Batch
) -> None:
    seen = turned(module, batch)
    assert seen.shape == (2, 3, SIDE, SIDE)
    assert seen.max() > 0.1

    def moves(name: str, row: int) -> bool:
        value = getattr(batch, name).clone()
        value[row] *= 1.5
        return not torch.equal(turned(module, replace(batch, **{name: value})), seen)

    assert moves("source", 0)
    assert not moves("source", 1)
    assert moves("target_landmarks", COUNT - 1)
    assert not moves("target_landmarks", 0)


def test_no_turned_views_unless_they_are_judged(module: Animate, batch: Batch) -> None:
    assert len(module(batch, 8, torch.float32)[1].turned) == 0


def test_turned_views_are_not_from_where_the_photo_was_taken(module: Animate, batch: Batch) -> None:
    first = turned(module, batch)
    torch.manual_seed(6)
    second = module(batch, 8, torch.float32, True)[1].turned
    assert not torch.equal(first, second)


def test_turned_views_are_drawn_as_targets_are_whole_and_near(module: Animate) -> None:
    torch.manual_seed(0)
    sampler = PairSampler(make_frames(3 * SIDE), 0.0, 0.0, torch.arange(LANDMARKS))
    whole, window = turned(module, sampler.draw(COUNT, SIDE, torch.Generator().manual_seed(0)))
    border = torch.ones(SIDE, SIDE, dtype=torch.bool)
    border[2:-2, 2:-2] = False
    assert window[:, border].mean() > 2.0 * whole[:, border].mean()


def test_change_knows_no_constant_offsets(
    module: Animate, batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A face always read the same amount off, and one that moves half as far."""
    reader = module.reader

    def off(faces: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        del faces
        return truth + 1.0, features

    def damped(faces: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        del faces
        return 0.5 * truth, features

    with torch.no_grad():
        truth, features = reader.forward(torch.rand(2 * COUNT, 3, 192, 192))
    monkeypatch.setattr(reader, "forward", lambda faces: (truth, features))
    monkeypatch.setattr(module, "_strangers", lambda *_: {})
    monkeypatch.setattr(reader, "judge", off)
    terms = terms_of(module, batch)
    assert terms["reading"] > 0.1
    assert terms["change"] < 1e-10
    monkeypatch.setattr(reader, "judge", damped)
    first, second = truth.chunk(2)
    expected = reader.error(0.5 * (second - first), second - first)
    torch.testing.assert_close(terms_of(module, batch)["change"], expected)
    assert expected > 0.0
