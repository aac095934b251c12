import numpy as np
import pytest

from mien.synth.headwear import brim, sample_earrings, sample_hat
from mien.synth.person import under_hat
from mien.synth.scene import LABELS, Strands


@pytest.fixture(scope="module")
def skull() -> np.ndarray:
    points = np.random.default_rng(0).normal(size=(6000, 3))
    return 9.0 * points / np.linalg.norm(points, axis=1, keepdims=True) + [0.0, 4.0, -0.5]


def test_a_hat_covers_the_skull_above_its_brim(skull: np.ndarray) -> None:
    hat = sample_hat(np.random.default_rng(1), skull)
    middle = np.array([0.0, 4.0, -0.5])
    ray = hat.positions - middle
    distance = np.linalg.norm(ray, axis=1)
    edge = brim(hat.positions) < 0.05
    assert (distance[~edge] > 9.3).all()
    assert distance.max() < 13
    assert (brim(hat.positions) > -1e-6).all()
    # Normals point away from the head, or the cloth would be lit from inside.
    assert ((hat.normals * ray).sum(1)[~edge] > 0).mean() > 0.97
    assert hat.label in LABELS


def test_the_brim_is_higher_in_front_than_behind() -> None:
    front, back = np.array([0.0, 7.0, 8.0]), np.array([0.0, 7.0, -9.0])
    assert brim(front) < brim(back)
    assert brim(np.array([0.0, 13.0, 0.0])) > 0 > brim(np.array([0.0, -4.0, 9.0]))


def test_hair_under_a_hat_is_not_seen() -> None:
    points = np.zeros((3, 2, 4))
    points[:, :, 1] = [[12.0, 0.0], [-4.0, -8.0], [-4.0, 13.0]]
    points[:, :, 2] = -9.0
    shown = under_hat(Strands(points, np.arange(12.0).reshape(3, 4), "hair"))
    np.testing.assert_array_equal(shown.points, points[1:2])
    np.testing.assert_array_equal(shown.looks, [[4.0, 5.0, 6.0, 7.0]])


@pytest.mark.parametrize("seed", range(6))
def test_earrings_hang_at_both_ears(seed: int) -> None:
    pair = sample_earrings(np.random.default_rng(seed))
    x, y, _ = pair.positions.T
    assert (x > 7).any()
    assert (x < -7).any()
    assert np.abs(x).min() > 5.5
    assert y.max() < -1.0
    np.testing.assert_allclose(np.linalg.norm(pair.normals, axis=1), 1, atol=1e-5)
