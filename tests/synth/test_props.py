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
