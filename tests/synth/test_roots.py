import numpy as np

from mien.synth.roots import Surface

SQUARE = np.array([[0.0, 0, 0], [3, 0, 0], [3, 1, 0], [0, 1, 0]])
FACES = np.array([[0, 1, 2], [0, 2, 3]])


def test_roots_lie_evenly_on_what_has_a_share() -> None:
    surface = Surface(SQUARE, FACES)
    chosen, weights = surface.scatter(np.random.default_rng(0), np.ones(2), 4000)
    np.testing.assert_allclose(weights.sum(1), 1.0)
    assert (weights >= 0).all()
    points = (surface.corners[chosen] * weights[..., None]).sum(1)
    np.testing.assert_allclose(points.mean(0), [1.5, 0.5, 0.0], atol=0.05)
    np.testing.assert_allclose(points.std(0), np.array([3, 1, 0]) / 12**0.5, atol=0.03)
    bare, _ = surface.scatter(np.random.default_rng(0), np.array([0.0, 1.0]), 100)
    assert (bare == 1).all()
