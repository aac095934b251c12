import numpy as np
import pytest

from mien.synth import props


@pytest.mark.parametrize("seed", range(6))
def test_clothes_surround_the_neck_and_face_outwards(seed: int) -> None:
    outfit = props.sample_outfit(np.random.default_rng(seed))
    cloth = props.torso(outfit)
    assert cloth.positions[:, 1].max() < -8
    assert cloth.positions[:, 1].min() < -35
    low = cloth.positions[:, 1] < -20
    outward = (cloth.normals[low] * cloth.positions[low] * [1, 0, 1]).sum(1)
    assert (outward > 0).mean() > 0.98
    assert (cloth.paint >= 0).all()
    assert (cloth.paint <= 1).all()


def test_frames_sit_before_the_eyes() -> None:
    eyes = np.array([[3.1, 3.6, 8.0], [-3.1, 3.6, 8.0]])
    glasses = props.sample_glasses(np.random.default_rng(0), eyes)
    assert glasses.positions[:, 2].max() > 10.5
    assert np.abs(glasses.positions[:, 0]).max() < 8.6
    assert glasses.triangles.max() == len(glasses.positions) - 1


def test_normals_are_those_that_triangles_add_up_to() -> None:
    rng = np.random.default_rng(0)
    points, triangles = rng.normal(size=(30, 3)), rng.integers(0, 30, (50, 3))
    total = np.zeros((30, 3))
    for corners in triangles:
        a, b, c = points[corners]
        total[corners] += np.cross(b - a, c - a) if len(set(corners)) == 3 else 0.0
    plain = total / (np.linalg.norm(total, axis=1, keepdims=True) + 1e-9)
    np.testing.assert_allclose(props.vertex_normals(points, triangles), plain, atol=1e-7)
