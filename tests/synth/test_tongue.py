import numpy as np
import pytest

from mien.synth.tongue import tongue

LIP = np.array([0.0, -6.0, 10.0])


@pytest.mark.parametrize("out", [0.3, 1.0])
def test_a_tongue_is_a_closed_skin_that_faces_outwards(out: float) -> None:
    made = tongue(LIP, out, 0.3)
    middle = made.positions[made.triangles].mean(1)
    ring = made.positions.reshape(72, -1, 3).mean(1)
    near = ring[np.abs(middle[:, None, 2] - ring[None, :, 2]).argmin(1)]
    corners = made.positions[made.triangles]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    body = middle[:, 2] < LIP[2]
    assert (((middle - near) * normal).sum(1)[body] > 0).mean() > 0.95
    assert np.isfinite(made.normals).all()
    assert (made.paint >= 0).all()
    assert (made.paint <= 1).all()


def test_it_comes_out_over_the_lip_and_to_the_side() -> None:
    inside, outside = tongue(LIP, 0.01, 0.0).positions, tongue(LIP, 1.0, 1.0).positions
    assert inside[:, 2].max() < LIP[2]
    tip = outside[outside[:, 2].argmax()]
    assert tip[2] > LIP[2] + 1.5
    assert tip[1] < LIP[1]
    assert tip[0] > 0.5
