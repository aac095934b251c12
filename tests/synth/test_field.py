import numpy as np
import pytest
from scipy.spatial import KDTree

from mien.synth.field import Carriage, Field, Ground, grid_points


@pytest.fixture(scope="module")
def ball() -> np.ndarray:
    points = np.random.default_rng(0).normal(size=(4000, 3))
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def test_a_field_is_exact_for_what_is_linear() -> None:
    slope = np.array([[1.0, 2.0], [0.5, -1.0], [0.0, 3.0]])
    field = Field((grid_points() @ slope).astype(np.float32))
    points = np.random.default_rng(1).uniform(-20, 20, (7, 3, 3))
    np.testing.assert_allclose(field(points), points @ slope, atol=1e-4)


def test_ground_knows_height_and_normal_of_a_ball(ball: np.ndarray) -> None:
    ground = Ground(9.0 * ball, ball)
    directions = ball[:50]
    for radius in (8.5, 9.0, 10.0, 12.0):
        height, normal = ground.height(radius * directions)
        np.testing.assert_allclose(height, radius - 9.0, atol=0.12)
        assert ((normal * directions).sum(1) > 0.97).all()


def test_what_is_carried_goes_with_the_skin(ball: np.ndarray) -> None:
    rest, shift = 8.0 * ball, np.array([1.0, 2.0, 3.0])
    field = Carriage(rest).to(rest + shift)
    points = np.random.default_rng(1).normal(size=(5, 4, 3)) * 9
    np.testing.assert_allclose(field(points), np.broadcast_to(shift, points.shape), atol=1e-5)


def test_skin_that_is_carried_is_the_mean_of_what_is_near(ball: np.ndarray) -> None:
    rest, shift = 8.0 * ball, np.random.default_rng(2).normal(size=ball.shape)
    carriage = Carriage(rest)
    distance, near = KDTree(rest).query(carriage.grid.reshape(-1, 3), k=6)
    weight = 1 / (distance**2 + 0.4)
    mean = (shift[near] * (weight / weight.sum(1, keepdims=True))[..., None]).sum(1)
    values = carriage.to(rest + shift).values
    np.testing.assert_allclose(values, mean.reshape(values.shape), atol=1e-6)
