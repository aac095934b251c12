"""The probes find what was planted, and nothing where nothing was."""

import importlib
from pathlib import Path
from typing import Any

import pytest
import torch

from mien.data.shards import Frames
from mien.structures import Camera


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    return importlib.import_module("latent_probes")


@pytest.fixture
def labels() -> torch.Tensor:
    return torch.arange(4).repeat_interleave(20)


@pytest.fixture
def late() -> torch.Tensor:
    return torch.arange(20).repeat(4) >= 10


def test_a_planted_identity_is_read(tool: Any, labels: torch.Tensor, late: torch.Tensor) -> None:
    values = torch.randn(4, 16)[labels] + 0.3 * torch.randn(80, 16)
    assert tool.probe(values, labels, late) > 0.95


def test_where_there_is_none_it_guesses(
    tool: Any, labels: torch.Tensor, late: torch.Tensor
) -> None:
    assert tool.probe(torch.randn(80, 4), labels, late) < 0.5


def test_pure_expressions_lie_together_and_pure_persons_apart(tool: Any) -> None:
    face, person = torch.randn(1, 5, 8), torch.randn(3, 1, 8)
    assert tool.closeness(face.expand(3, 5, 8)) == (0.0, 1.0)
    ratio, nearer = tool.closeness(person.expand(3, 5, 8))
    assert ratio == float("inf")
    assert nearer == 0.0
    ratio, nearer = tool.closeness(4 * face + person)
    assert ratio < 1.0
    assert nearer > 0.8


def test_people_with_few_frames_are_left_out_and_the_rest_is_halved(tool: Any) -> None:
    counts = {"a": tool.FEWEST - 1, "b": tool.FEWEST, "c": tool.MOST + 5}
    take = torch.arange(3).repeat_interleave(torch.tensor(list(counts.values())))
    empty = torch.zeros(len(take), 0)
    people = tuple(counts)
    frames = Frames(empty, empty, Camera(empty, empty), empty, take, people, people)
    rows, labels, late = tool.halves(frames)
    assert torch.bincount(labels).tolist() == [tool.FEWEST, tool.MOST]
    assert take[rows].unique().tolist() == [1, 2]
    for person in (0, 1):
        own = late[labels == person]
        assert int(own.sum()) == len(own) // 2
        assert bool((own.int().diff() >= 0).all())
