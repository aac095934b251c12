"""`benchmarks/matte.py` judges mattes by heads whose cover is known."""

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mien.data.shards import Sample

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("matte")


def head(person: str, yaw: float = 0.0) -> Sample:
    """A grey disk that is seen from `yaw`."""
    y, x = np.mgrid[0:64, 0:64] - 31.5
    alpha = (255 * np.clip(20 - np.hypot(x, y), 0, 1)).astype(np.uint8)
    camera = np.diag([1.0, -1.0, -1.0, 1.0]).astype(np.float32)
    camera[0, 2], camera[2, 3] = -np.sin(yaw), 2.7
    return Sample(
        key=person,
        person=person,
        take=person,
        image=np.repeat(alpha[..., None] // 2, 3, 2),
        alpha=alpha,
        landmarks=np.zeros((478, 3), np.float32),
        world_from_cam=camera,
        intrinsics=np.array([[4, 0, 0.5], [0, 4, 0.5], [0, 0, 1]], np.float32),
        inside=np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32),
    )


def test_people_are_seen_once_and_not_in_profile(tool: Any) -> None:
    samples = [head("a"), head("a"), head("b", yaw=1.2), head("c"), head("d")]
    assert [s.person for s in tool.heads(samples, 2)] == ["a", "c"]


def test_a_perfect_matte_makes_no_error_and_none_at_all_makes_much(tool: Any) -> None:
    samples = [head("a"), head("b")]
    _, true, landmarks = tool.staged(
        samples[0], np.zeros((16, 16, 3), np.uint8), np.random.default_rng(0)
    )
    np.testing.assert_allclose(landmarks, 256, atol=1)
    perfect = tool.measure(samples, lambda picture, _: true)
    nothing = tool.measure(samples, lambda picture, _: np.zeros_like(true))
    for kind in ("rooms", "clouds"):
        assert perfect[kind].shape == (2, 3)
        assert perfect[kind][:, :2].max() == 0
        assert nothing[kind][:, 0].min() == pytest.approx(100 * true.mean())


def test_backgrounds_are_pictures(tool: Any) -> None:
    picture = tool.clouds(np.random.default_rng(1))
    assert picture.shape == (512, 512, 3)
    assert picture.std() > 10
