from pathlib import Path

import numpy as np
import pytest

from mien.preprocess.pose import canonical
from mien.synth.landmarks import (
    LOWER_LIP,
    UPPER_LIP,
    alignment,
    attach_landmarks,
    nearest_on_mesh,
    to_canonical,
)
from mien.synth.rig import ARKIT, Rig, load_rig


def places(corners: np.ndarray, weights: np.ndarray, vertices: np.ndarray) -> np.ndarray:
    return (vertices[corners] * weights[..., None]).sum(1)


def test_nearest_on_mesh_is_no_farther_than_any_vertex(rig: Rig) -> None:
    points = np.random.default_rng(2).normal(size=(50, 3)) * 9
    rest, faces = rig.vertices.numpy().astype(float), rig.faces_of("skin").numpy()
    corners, weights = nearest_on_mesh(points, rest, faces)
    np.testing.assert_allclose(weights.sum(1), 1)
    found = places(corners, weights, rest)
    vertex = np.linalg.norm(points[:, None] - rest[np.unique(faces)], axis=-1).min(1)
    assert (np.linalg.norm(points - found, axis=1) <= vertex + 1e-9).all()
    assert attach_landmarks(rig)[0].shape == (478, 3)


def test_an_aligned_head_stands_like_the_canonical_one(rig: Rig) -> None:
    rest = rig.vertices.numpy().astype(float)
    corners, weights = attach_landmarks(rig)
    moved = 1.2 * rest @ np.diag([-1.0, 1.0, -1.0]) + [1.0, 2.0, -3.0]
    first, second = (alignment(corners, weights, v) for v in (rest, moved))
    again = moved @ second[:3, :3].T + second[:3, 3]
    np.testing.assert_allclose(again, rest @ first[:3, :3].T + first[:3, 3], atol=1e-6)
    rigid = canonical().rigid
    middle = places(corners, weights, again)[rigid].mean(0)
    wanted = canonical().points[rigid].mean(0)
    np.testing.assert_allclose(to_canonical(middle), wanted, atol=1e-5)


@pytest.fixture(scope="module")
def facekit(shared_data: Path) -> Rig:
    return load_rig(shared_data / "facekit")


def test_the_mouths_landmarks_open_with_the_jaw(facekit: Rig) -> None:
    corners, weights = attach_landmarks(facekit)
    rest = facekit.vertices.numpy().astype(float)
    jaw = facekit.expression[ARKIT.index("jawOpen")].reshape(-1, 3).numpy()
    drop = -(places(corners, weights, rest + jaw) - places(corners, weights, rest))[:, 1]
    middle = slice(3, 6)
    assert drop[list(LOWER_LIP)[middle]].min() > 2.5
    assert drop[list(UPPER_LIP)[middle]].max() < 0.8
    assert abs(places(corners, weights, rest)[[13, 14]][:, 1].ptp()) < 0.3
