import numpy as np
import pytest

from mien.synth import hair
from mien.synth.field import Ground
from mien.synth.rig import Rig
from mien.synth.roots import Surface

Scalp = tuple[Ground, Surface]


@pytest.fixture(scope="module")
def ground(rig: Rig) -> Scalp:
    points = rig.vertices.numpy().astype(float)
    normals = rig.normals(rig.vertices[None])[0].numpy().astype(float)
    return Ground(points, normals), Surface(points, rig.faces_of("skin").numpy())


@pytest.mark.parametrize("name", sorted(hair.CUTS))
def test_every_cut_grows_outside_the_head(name: str, ground: Scalp) -> None:
    cut = hair.CUTS[name]
    strands = hair.grow(cut, np.random.default_rng(0), *ground)
    assert strands.shape[1:] == (hair.POINTS, 4)
    assert len(strands) > 100
    assert np.isfinite(strands).all()
    height, _ = ground[0].height(strands[..., :3])
    assert np.quantile(height, 0.02) > -0.2
    length = np.linalg.norm(np.diff(strands[..., :3], axis=1), axis=-1).sum(1)
    assert np.median(length) < 1.5 * max(cut.top, cut.side, cut.back) + 1.0


def test_hair_is_the_same_for_the_same_seed(ground: Scalp) -> None:
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


def walk_plainly(
    cut: hair.Cut,
    rng: np.random.Generator,
    ground: Ground,
    roots: np.ndarray,
    normals: np.ndarray,
    lengths: np.ndarray,
) -> np.ndarray:
    """As `hair._walk`, point by point: nothing known of one place is used at the next."""

    def unit(v: np.ndarray) -> np.ndarray:
        return v / (np.linalg.norm(v, axis=1, keepdims=True) + 1e-9)

    def off(v: np.ndarray, normal: np.ndarray, share: float = 1.0) -> np.ndarray:
        return v - share * (v * normal).sum(1, keepdims=True) * normal

    step = (lengths / (hair.POINTS - 1))[:, None]
    tangent = unit(off(unit(hair._comb(cut, roots.T, roots.T).T), normals))
    direction = unit(tangent * (1 - 0.75 * cut.lift) + normals * (0.15 + cut.lift))
    direction = unit(direction + rng.normal(0, 0.5 * cut.frizz + 0.04, direction.shape))
    layer = rng.uniform(0.05, 0.28 + 0.9 * cut.lift * min(cut.top / 12, 1.0), len(roots))
    points = [roots]
    for k in range(1, hair.POINTS):
        along, here = k / (hair.POINTS - 1), points[-1]
        height, normal = ground.height(here)
        pull = hair._pull(
            cut, here.T, roots.T, direction.T, step[:, 0], height, normal.T, along
        ).T  # fmt: skip
        direction = unit(direction + pull + rng.normal(0, cut.frizz * 0.25, here.shape))
        here = here + direction * step
        height, normal = ground.height(here)
        sunk = np.clip(layer * min(1.0, 0.3 + 2 * along) - height, 0, None)[:, None]
        inward = np.clip((direction * normal).sum(1, keepdims=True), None, 0.0)
        direction = unit(direction - inward * normal * (sunk > 0))
        points.append(here + sunk * normal)
    return np.stack(points, 1)


@pytest.mark.parametrize("name", ["crew", "fringe", "swept", "bangs", "long", "bun", "tail"])
def test_walking_all_strands_as_rows_leads_where_walking_plainly_does(
    name: str, ground: Scalp
) -> None:
    cut, rng = hair.CUTS[name], np.random.default_rng(5)
    chosen = rng.integers(0, len(ground[0].points), 200)
    start = ground[0].points[chosen], ground[0].normals[chosen], rng.uniform(1, 9, 200)
    quick, plain = (
        walk(cut, np.random.default_rng(6), ground[0], *start)
        for walk in (hair._walk, walk_plainly)
    )
    np.testing.assert_allclose(quick, plain, atol=1e-6)
