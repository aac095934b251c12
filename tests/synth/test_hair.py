import numpy as np
import pytest

from mien.synth import hair
from mien.synth.field import Ground
from mien.synth.rig import Rig


@pytest.fixture(scope="module")
def ground(rig: Rig) -> tuple[Ground, np.ndarray]:
    points = rig.vertices.numpy().astype(float)
    normals = rig.normals(rig.vertices[None])[0].numpy().astype(float)
    return Ground(points, normals), rig.faces_of("skin").numpy()


@pytest.mark.parametrize("name", sorted(hair.CUTS))
def test_every_cut_grows_outside_the_head(name: str, ground: tuple[Ground, np.ndarray]) -> None:
    cut = hair.CUTS[name]
    strands = hair.grow(cut, np.random.default_rng(0), *ground)
    assert strands.shape[1:] == (hair.POINTS, 4)
    assert len(strands) > 100
    assert np.isfinite(strands).all()
    height, _ = ground[0].height(strands[..., :3])
    assert np.quantile(height, 0.02) > -0.2
    length = np.linalg.norm(np.diff(strands[..., :3], axis=1), axis=-1).sum(1)
    assert np.median(length) < 1.5 * max(cut.top, cut.side, cut.back) + 1.0


def test_hair_is_the_same_for_the_same_seed(ground: tuple[Ground, np.ndarray]) -> None:
    first, second = (
        hair.grow(hair.CUTS["short"], np.random.default_rng(4), *ground) for _ in range(2)
    )
    np.testing.assert_array_equal(first, second)


def test_the_face_is_bare_and_recession_bares_more() -> None:
    face = np.array([[0.0, 4.0, 10.0], [4.0, 0.0, 8.0], [0.0, -7.0, 9.5]])
    crown = np.array([[0.0, 14.0, -3.0], [6.0, 9.0, -4.0]])
    assert (hair.hairline(face) < -1).all()
    assert (hair.hairline(crown) > 1).all()
    temple = np.array([[4.8, 9.6, 5.5]])
    assert hair.hairline(temple, 1.0) < hair.hairline(temple, 0.0)
    assert hair.scalp_density(crown, 0.0, 1.0)[0] < hair.scalp_density(crown, 0.0, 0.0)[0]


def test_much_hair_keeps_more_light_from_the_skin_beside_it() -> None:
    beside, cheek = np.array([[6.5, 5.0, 5.0]]), np.array([[3.0, -2.0, 9.0]])
    assert hair.hairline(beside)[0] < 0
    buzz, long = (hair.light_beside(hair.CUTS[name], beside, 0.0)[0] for name in ("buzz", "long"))
    assert 0.2 < long < buzz < 0.95
    assert hair.light_beside(hair.CUTS["long"], cheek, 0.0)[0] > 0.9
