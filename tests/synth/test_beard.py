import numpy as np
import pytest
from scipy.spatial import Delaunay
from scipy.spatial.transform import Rotation

from mien.synth.beard import STYLES, grow_beard, grow_brows, growth
from mien.synth.rig import Rig
from mien.synth.roots import Surface


@pytest.mark.parametrize("style", STYLES)
def test_a_beard_turns_with_the_face(style: str, rig: Rig) -> None:
    rest, faces = rig.vertices.numpy().astype(float), rig.faces_of("skin").numpy()
    rooted = grow_beard(style, np.random.default_rng(0), Surface(rest, faces), np.full(3, 0.1), 0.2)
    still = rooted.posed(rest).points
    turn = Rotation.from_euler("xyz", [10, 20, 30], degrees=True).as_matrix()
    moved = rooted.posed(rest @ turn.T + [1.0, 0.0, 2.0]).points
    np.testing.assert_allclose(moved[..., :3], still[..., :3] @ turn.T + [1.0, 0.0, 2.0], atol=1e-9)


def test_lips_and_forehead_stay_bare() -> None:
    bare = np.array([[0.0, -3.4, 11.0], [1.5, -3.4, 10.8], [0.0, 6.0, 10.0], [4.0, 3.0, 8.0]])
    chin = np.array([[0.0, -6.5, 10.6], [4.5, -5.5, 6.5]])
    assert (growth(bare, "full") == 0).all()
    assert (growth(chin, "full") > 0.5).all()
    assert growth(chin[1:], "goatee")[0] == 0


def test_brows_grow_between_their_ends_and_stay_short() -> None:
    rest = np.random.default_rng(0).uniform(-1, 1, (900, 3)) * [7.0, 3.0, 0.0] + [0.0, 5.0, 9.0]
    faces = Delaunay(rest[:, :2]).simplices
    line = np.array(
        [[-5.8, 5.2, 8], [-4.9, 6.0, 9], [-3.8, 6.3, 9], [-2.4, 6.2, 9], [-1.2, 5.9, 9]]
    )
    rooted = grow_brows(np.random.default_rng(1), Surface(rest, faces), line, np.full(3, 0.1), 0.5)
    points = rooted.posed(rest).points[..., :3]
    reach = np.abs(points[:, 0, 0])
    assert 0.6 < reach.min() < reach.max() < 6.4
    assert 0.3 < (points[:, 0, 0] > 0).mean() < 0.7
    length = np.linalg.norm(points[:, -1] - points[:, 0], axis=1)
    assert 0.1 < length.min() < length.max() < 1.0
