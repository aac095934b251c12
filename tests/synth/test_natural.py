import numpy as np
import pytest

from mien.synth.natural import Natural, fit_take, learn, load_natural
from mien.synth.rig import ARKIT

COUNT = len(ARKIT)


@pytest.fixture(scope="module")
def moves() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(COUNT, 478, 3)) * 0.01


def test_coefficients_are_found_again(moves: np.ndarray) -> None:
    rng = np.random.default_rng(1)
    true = rng.random((40, COUNT)) * (rng.random((40, COUNT)) < 0.2)
    take = rng.normal(size=(478, 3)) + np.tensordot(true, moves, 1)
    found = fit_take(take, moves, np.ones((478, 3))).clip(0, 1)
    assert np.abs(found - true).mean() < 0.02
    assert np.corrcoef(found.ravel(), true.ravel())[0, 1] > 0.97


def test_what_is_learnt_is_drawn_again() -> None:
    rng = np.random.default_rng(2)
    spoken = Natural(
        np.sort(rng.random((9, COUNT)), 0), 0.6 + 0.4 * np.eye(COUNT), np.full(COUNT, 0.3)
    )
    takes = [spoken.sample(rng, 300, rate=10.0) for _ in range(20)]
    heard = learn(takes, 10.0)
    middle = slice(8, -8)
    wanted = np.stack(
        [np.interp(np.linspace(0, 1, 65), np.linspace(0, 1, 9), q) for q in spoken.quantiles.T], 1
    )
    np.testing.assert_allclose(heard.quantiles[middle], wanted[middle], atol=0.12)
    off = ~np.eye(COUNT, dtype=bool)
    assert abs(heard.correlation[off].mean() - 0.6) < 0.1
    assert abs(heard.memory.mean() - 0.3) < 0.12


def test_takes_move_as_people_do() -> None:
    natural = load_natural()
    takes = np.stack([natural.sample(np.random.default_rng(s), 30) for s in range(40)])
    assert takes.min() >= 0
    assert takes.max() <= 1
    again = natural.sample(np.random.default_rng(0), 30)
    np.testing.assert_array_equal(takes[0], again)
    assert np.abs(np.diff(takes, axis=1)).mean() < 0.6 * np.abs(takes[1:] - takes[:-1]).mean()

    def together(first: str, second: str) -> float:
        pair = takes[..., [ARKIT.index(first), ARKIT.index(second)]].reshape(-1, 2)
        return float(np.corrcoef(pair.T)[0, 1])

    assert together("mouthSmile_L", "mouthSmile_R") > 0.4
    assert together("eyeBlink_L", "eyeBlink_R") > 0.25
    assert together("eyeLookOut_L", "eyeLookIn_R") > 0.3
