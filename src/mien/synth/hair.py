"""Hair, grown on the head of nobody in particular and then carried over to a person's.

Strands start on the scalp and are walked step by step: they follow the comb near the skull,
gravity away from it, and slide over whatever they would enter. Points are rest coordinates, cm.
Axis legend: S strands, P points of a strand. While strands grow, coordinates are rows (3, S): numpy
works through long rows several times as fast as through many triples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import KDTree

from mien.synth.field import Ground
from mien.synth.roots import Surface
from mien.synth.scene import Strands

POINTS = 14
"""Points of a strand."""

_WHORL = np.array([0.8, 12.6, -4.0])  # where scalp hair turns out from, on the upper back
_SKULL = np.array([0.0, 4.0, -0.5])


@dataclass(frozen=True)
class Cut:
    """A haircut.

    Args:
        top, side, back: lengths in cm.
        comb: "whorl" (as it grows), "part" (to both sides of a line), "back", "forward".
        part: where the parting lies, cm to the person's left of the middle.
        lift: how far the roots stand up, 0 flat to 1 upright.
        fall: pull of gravity, 0 stiff to 1 straight down.
        curl: radius of the curls in cm; pitch: cm of hair a turn takes.
        clump: how much neighbours gather towards the tip, in [0, 1].
        frizz: random wander.
        count: ribbons; width: half a ribbon's width in cm.
        gather: "" or where long hair is bound: "bun", "tail".
    """

    top: float
    side: float
    back: float
    comb: str = "whorl"
    part: float = 3.0
    lift: float = 0.35
    fall: float = 0.25
    curl: float = 0.0
    pitch: float = 3.0
    clump: float = 0.35
    frizz: float = 0.12
    count: int = 6000
    width: float = 0.07
    gather: str = ""


CUTS: dict[str, Cut] = {
    "buzz": Cut(0.7, 0.5, 0.5, lift=0.6, fall=0.0, count=11000, width=0.035, clump=0.0),
    "crew": Cut(2.4, 0.8, 0.8, lift=0.65, fall=0.02, count=10000, width=0.05, clump=0.3),
    "short": Cut(4.0, 1.6, 1.6, lift=0.4, fall=0.1, count=9000, width=0.06, clump=0.45),
    "fringe": Cut(6.0, 3.0, 3.0, comb="forward", lift=0.25, fall=0.25, count=8000),
    "side": Cut(6.5, 2.0, 1.8, comb="part", part=3.4, lift=0.45, fall=0.15, count=8000),
    "swept": Cut(7.0, 2.4, 2.5, comb="back", lift=0.7, fall=0.12, count=8000),
    "messy": Cut(6.0, 3.5, 3.5, lift=0.6, fall=0.15, curl=0.35, pitch=4.5, clump=0.6, frizz=0.3),
    "curly": Cut(7, 4, 4.5, lift=0.75, fall=0.15, curl=0.6, pitch=2.2, clump=0.55, frizz=0.35),
    "coils": Cut(3, 1.6, 1.6, lift=0.9, fall=0.0, curl=0.22, pitch=0.8, clump=0.5, frizz=0.4,
                 count=9000, width=0.06),
    "afro": Cut(8, 7, 7, lift=1.0, fall=0.0, curl=0.4, pitch=1.1, clump=0.35, frizz=0.5,
                count=9000, width=0.08),
    "bob": Cut(21, 18, 17, comb="part", part=2.5, lift=0.3, fall=0.7, count=7000, width=0.09),
    "long": Cut(40, 36, 34, comb="part", part=1.0, lift=0.3, fall=0.8, count=7000, width=0.1),
    "middle": Cut(34, 30, 28, comb="part", part=0.0, lift=0.2, fall=0.8, count=7000, width=0.1),
    "wavy": Cut(36, 32, 30, comb="part", part=2.6, lift=0.4, fall=0.65, curl=0.8, pitch=9.0,
                clump=0.6, frizz=0.2, count=7000, width=0.1),
    "curls": Cut(30, 27, 25, comb="part", part=2.0, lift=0.5, fall=0.55, curl=0.9, pitch=4.0,
                 clump=0.6, frizz=0.3, count=7000, width=0.1),
    "bangs": Cut(32, 28, 26, comb="bangs", part=0.0, lift=0.25, fall=0.8, count=7500, width=0.09),
    "bun": Cut(22, 22, 22, comb="back", lift=0.1, fall=0.05, gather="bun", count=7000),
    "tail": Cut(30, 30, 30, comb="back", lift=0.12, fall=0.1, gather="tail", count=7000),
}  # fmt: skip
"""Haircuts by name; `Cut` values are jittered for every person."""


def hairline(points: np.ndarray, recession: float = 0.0) -> np.ndarray:
    """How far above the hairline points (n, 3) lie, cm; positive on the scalp.

    Args:
        recession: 0 a full front, 1 temples and forehead well back.
    """
    x, y, z = np.abs(points[:, 0]), points[:, 1], points[:, 2]
    around = np.degrees(np.arctan2(x, z - 0.3))
    knots = [0, 20, 38, 50, 62, 72, 80, 92, 108, 122, 140, 180]
    heights = [9.9, 10.1, 9.2, 7.6, 5.0, 1.6, 2.2, 4.6, 3.8, -1.0, -4.2, -5.2]
    line = np.interp(around, knots, heights)
    front = np.clip((66 - around) / 20, 0, 1)
    temple = np.exp(-(((around - 38) / 14) ** 2))
    line = line + recession * (1.2 * front + 2.2 * temple)
    above = y - line
    ear = (x > 7.35) & (y < 4.4) & (z > -3.2) & (z < 3.0)
    return np.where(ear, -5.0, above)


def scalp_density(points: np.ndarray, recession: float, crown: float) -> np.ndarray:
    """Share of full growth at points (n, 3), in [0, 1]; `crown` thins the top."""
    above = hairline(points, recession)
    edge = np.clip((above + 0.15) / 1.0, 0, 1)
    top = np.exp(-(((points - [0.0, 13.5, -3.5]) ** 2).sum(1)) / 22.0)
    return edge**1.3 * (1 - crown * np.clip(1.5 * top, 0, 1))


def light_beside(cut: Cut, points: np.ndarray, recession: float) -> np.ndarray:
    """Share of the surroundings' light (n,) that hair lets through to skin at points (n, 3)."""
    far = np.clip(-hairline(points, recession), 0, None)
    bulk = min(1.0, (cut.side + cut.top) / 10)
    side = np.clip(np.abs(points[:, 0]) / 3 - 1, 0, 1)  # at the temples hair stands before the skin
    return 1 - (0.35 + 0.3 * bulk + 0.25 * side) * np.exp(-far / (1.0 + 1.6 * bulk))


def grow(
    cut: Cut,
    rng: np.random.Generator,
    ground: Ground,
    surface: Surface,
    recession: float = 0.0,
    crown: float = 0.0,
) -> np.ndarray:
    """Strands (S, P, 4): rest coordinates, then how open to light each point lies.

    Args:
        ground: what hair slides over, the head's points first; surface: what it grows from, of
            the same points.
    """
    roots, normals = _roots(cut, rng, ground, surface, recession, crown)
    lengths = _lengths(cut, roots) * rng.uniform(0.82, 1.08, len(roots))
    strands = _walk(cut, rng, ground, roots, normals, lengths)
    strands = _gather_clumps(cut, rng, strands, lengths)
    if cut.comb in ("part", "back", "bangs"):
        strands = strands[~_across_face(strands) | (cut.comb == "bangs") & _is_bang(strands[:, 0])]
    height, outward = ground.height(strands)
    # Clumps and curls may have dipped into the skull again.
    sunk = np.flatnonzero(height < 0.06)
    flat = strands.reshape(-1, 3)
    flat[sunk] += (0.06 - height.ravel()[sunk])[:, None] * outward.reshape(-1, 3)[sunk]
    strands = flat.reshape(strands.shape)
    along = np.linspace(0, 1, POINTS)
    thickness = max(np.quantile(height, 0.85), 0.15)
    light = np.clip(0.28 + 0.55 * height / thickness + 0.2 * along, 0.2, 1.0)
    # Over the edge of the hair lies no other hair.
    edge = np.clip(1 - hairline(strands[:, 0], recession) / 1.2, 0, 1)
    light = np.maximum(light, 0.3 + 0.45 * edge[:, None])
    return np.concatenate([strands, light[..., None]], -1)


def _roots(
    cut: Cut,
    rng: np.random.Generator,
    ground: Ground,
    surface: Surface,
    recession: float,
    crown: float,
) -> tuple[np.ndarray, np.ndarray]:
    scalp = hairline(surface.middle, recession) > -1.0
    chosen, bary = surface.scatter(rng, scalp, 2 * cut.count)
    points = np.einsum("nkc,nk->nc", surface.corners[chosen], bary)
    density = scalp_density(points + rng.normal(0, 0.12, points.shape), recession, crown)
    kept = np.flatnonzero(rng.random(len(points)) < density)[: cut.count]
    points = points[kept]
    normals = np.einsum("nkc,nk->nc", ground.normals[surface.faces[chosen[kept]]], bary[kept])
    return points, normals / np.linalg.norm(normals, axis=1, keepdims=True)


def _lengths(cut: Cut, roots: np.ndarray) -> np.ndarray:
    up = np.clip((roots[:, 1] - 6.5) / 4.0, 0, 1)
    behind = np.clip((-roots[:, 2] - 1.0) / 5.0, 0, 1)
    low = cut.side * (1 - behind) + cut.back * behind
    length = low * (1 - up) + cut.top * up
    if cut.comb == "bangs":
        length = np.where(_is_bang(roots), 7.5 + 0.25 * np.abs(roots[:, 0]), length)
    # Hair shortens towards its edge at temples, ears and nape.
    edge = np.clip(hairline(roots) / 1.6, 0.25, 1.0)
    return length * (edge if cut.side < 5 else 1.0)


def _across_face(strands: np.ndarray) -> np.ndarray:
    """(S,) whether a strand has gone astray over forehead or cheeks."""
    x, y, z = np.abs(strands[..., 0]), strands[..., 1], strands[..., 2]
    return ((z > 3.6) & (y < 9.0 - 0.047 * x**2) & (y > -7.0) & (x < 7.6)).any(1)


def _is_bang(roots: np.ndarray) -> np.ndarray:
    return (roots[:, 2] > 4.2) & (np.abs(roots[:, 0]) < 5.2)


def _comb(cut: Cut, points: np.ndarray, roots: np.ndarray) -> np.ndarray:
    """Direction (3, S), not yet along the surface, in which hair is laid; points, roots (3, S)."""
    if cut.comb == "whorl":
        return points - (_WHORL - [0.0, 0.0, 2.0])[:, None]
    if cut.comb == "forward":
        return points - (_WHORL - [0.0, -2.0, 7.0])[:, None]
    ones = np.ones(points.shape[1])
    if cut.comb == "back":
        return np.stack([0.25 * points[0], -0.4 * ones, -ones])
    side = np.tanh((roots[0] - cut.part) * 3.0)
    down = np.stack([side, -0.55 * ones, -0.35 - 0.02 * roots[2]])
    if cut.comb == "bangs":
        front = np.stack([0.06 * roots[0], -ones, 0.9 * ones])
        return np.where(_is_bang(roots.T), front, down)
    return down


def _unit(v: np.ndarray) -> np.ndarray:
    return v / (np.linalg.norm(v, axis=-1, keepdims=True) + 1e-9)


def _dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Of rows (3, S): (S,)."""
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def _unit_rows(v: np.ndarray) -> np.ndarray:
    """Rows (3, S) of unit length."""
    return v / (np.sqrt(_dot(v, v)) + 1e-9)


def _walk(
    cut: Cut,
    rng: np.random.Generator,
    ground: Ground,
    roots: np.ndarray,
    normals: np.ndarray,
    lengths: np.ndarray,
) -> np.ndarray:
    """Strands (S, P, 3) of these lengths (S,) from roots (S, 3) with the skull's normals (S, 3)."""

    def noise(size: float) -> np.ndarray:
        return rng.normal(0, size, roots.shape).T

    layer = 0.28 + 0.9 * cut.lift * min(cut.top / 12, 1.0)
    here, up, step = roots.T.copy(), normals.T.copy(), lengths / (POINTS - 1)
    start, comb = here, _unit_rows(_comb(cut, here, here))
    tangent = _unit_rows(comb - _dot(comb, up) * up)
    direction = _unit_rows(tangent * (1 - 0.75 * cut.lift) + up * (0.15 + cut.lift))
    direction = _unit_rows(direction + noise(0.5 * cut.frizz + 0.04))
    layers = rng.uniform(0.05, layer, len(roots))
    points = np.empty((POINTS, 3, len(roots)))
    points[0] = here
    height, normal = ground.height_rows(here)
    for k in range(1, POINTS):
        along = k / (POINTS - 1)
        pull = _pull(cut, here, start, direction, step, height, normal, along)
        direction = _unit_rows(direction + pull + noise(cut.frizz * 0.25))
        here = here + direction * step
        height, normal = ground.height_rows(here)
        sunk = np.clip(layers * min(1.0, 0.3 + 2 * along) - height, 0, None)
        here = here + sunk * normal
        inward = np.clip(_dot(direction, normal), None, 0.0)
        direction = _unit_rows(direction - inward * normal * (sunk > 0))
        points[k] = here
        # Only who was lifted out stands over another place now.
        lifted = np.flatnonzero(sunk)
        height[lifted], normal[:, lifted] = ground.height_rows(here[:, lifted])
    strands = np.ascontiguousarray(points.transpose(2, 0, 1))
    if cut.curl > 0:
        strands = strands + _curls(cut, rng, strands, lengths)
    return strands


def _pull(
    cut: Cut,
    here: np.ndarray,
    roots: np.ndarray,
    direction: np.ndarray,
    step: np.ndarray,
    height: np.ndarray,
    normal: np.ndarray,
    along: float,
) -> np.ndarray:
    """What turns strands (3, S) on their next step: comb, gravity, whatever binds them."""
    goal = {"bun": np.array([0.0, 9.5, -10.2]), "tail": np.array([0.0, 6.5, -10.6])}.get(cut.gather)
    if goal is not None:
        pull = _bind(cut, here, goal[:, None], along)
        pull[1] -= 0.05
        return pull
    comb = _unit_rows(_comb(cut, here, roots))
    comb = _unit_rows(comb - 0.9 * _dot(comb, normal) * normal)
    near = np.exp(-np.clip(height, 0, None) / 2.0) * (1 - cut.lift * 0.7)
    parted = cut.comb in ("part", "bangs")
    if parted:
        near = near * np.clip((here[1] - 3.0) / 6.0, 0, 1)
    pull = 0.6 * near * comb
    pull[1] -= cut.fall * (0.25 + 0.75 * along)
    if parted:
        pull += _off_the_face(cut, here, roots)
        # Hanging hair has lost its sideways way.
        hanging = 0.5 * np.clip((7.0 - here[1]) / 5.0, 0, 1)
        pull[0] -= hanging * direction[0]
        pull[2] -= hanging * direction[2]
    # What bends hair, bends it so much a centimetre.
    return np.minimum(step, 1.6) * pull * 1.6


def _off_the_face(cut: Cut, here: np.ndarray, roots: np.ndarray) -> np.ndarray:
    """Push (3, S) that lays hair beside the face instead of over it."""
    over = np.clip((here[2] - 3.5) / 2.0, 0, 1) * np.clip((9.5 - here[1]) / 1.5, 0, 1)
    if cut.comb == "bangs":
        over = over * ~_is_bang(roots.T)
    side = np.sign(here[0] + 1e-3 * roots[0])
    return over * np.stack([0.45 * side, np.zeros_like(side), np.full_like(side, -0.7)])


def _bind(cut: Cut, here: np.ndarray, goal: np.ndarray, along: float) -> np.ndarray:
    """Pull (3, S) of hair that is tied behind the head, and what it does after the tie."""
    if along < 0.6:
        return 1.6 * _unit_rows(goal - here)
    if cut.gather == "tail":
        return np.array([[0.0], [-1.5], [-0.2]]) + 0.0 * here
    # Round and round the bun.
    spoke = here - goal + np.array([[0.0], [0.0], [1.2]])
    return np.stack([-spoke[1], spoke[0], -0.3 * spoke[2]]) - 0.6 * spoke


def _curls(
    cut: Cut, rng: np.random.Generator, strands: np.ndarray, lengths: np.ndarray
) -> np.ndarray:
    along = np.linspace(0, 1, POINTS)
    # Neighbours turn together: the phase varies slowly over the scalp, with some noise.
    root = strands[:, 0]
    phase = 2.1 * root[:, 0] + 1.7 * root[:, 1] + 1.9 * root[:, 2] + rng.normal(0, 0.7, len(root))
    turns = np.minimum(lengths / cut.pitch, 3.2) * 2 * np.pi
    angle = phase[:, None] + turns[:, None] * along
    tangent = _unit(np.gradient(strands, axis=1))
    across = _unit(np.cross(tangent, [0.3, 0.2, 1.0]))
    third = np.cross(tangent, across)
    size = cut.curl * np.clip(along * 2.5, 0, 1)
    return size[:, None] * (np.cos(angle)[..., None] * across + np.sin(angle)[..., None] * third)


def _gather_clumps(
    cut: Cut, rng: np.random.Generator, strands: np.ndarray, lengths: np.ndarray
) -> np.ndarray:
    if cut.clump <= 0:
        return strands
    leaders = rng.choice(len(strands), max(len(strands) // 14, 1), replace=False)
    _, near = KDTree(strands[leaders, 0]).query(strands[:, 0])
    leader = strands[leaders[near]]
    along = np.linspace(0, 1, POINTS)[None, :, None]
    amount = cut.clump * along**1.2 * rng.uniform(0.5, 1.0, (len(strands), 1, 1))
    leader -= strands
    leader *= amount
    leader += strands
    return leader


def ribbons(
    points: np.ndarray,
    cut: Cut,
    color: np.ndarray,
    grey: float,
    rng: np.random.Generator,
) -> Strands:
    """Grown strands (S, P, 4), still in rest coordinates, as something to draw.

    Args:
        color: (3,) linear; grey: share of strands without pigment.
    """
    count = len(points)
    shade = np.exp(rng.normal(0, 0.16, (count, 1)))
    looks = np.tile(np.append(color, cut.width), (count, 1))
    looks[:, :3] *= shade
    pale = np.clip(grey + rng.normal(0, 0.3 * np.sqrt(grey * (1 - grey)) + 1e-6, (count, 1)), 0, 1)
    looks[:, :3] = (1 - pale) * looks[:, :3] + pale * np.array([0.40, 0.39, 0.37]) * shade
    # Hair is finer where it begins.
    looks[:, 3] *= rng.uniform(0.7, 1.3, count) * np.clip(hairline(points[:, 0, :3]) / 2.0, 0.3, 1)
    across = 1.0 if cut.width < 0.045 else (3.0 if cut.width < 0.075 else 5.0)
    return Strands(points, looks, "hair", across=across)


def pigment(rng: np.random.Generator) -> tuple[np.ndarray, float]:
    """A natural hair colour, linear RGB, and the share of grey."""
    melanin = rng.beta(1.6, 1.0)  # 1 black
    red = rng.beta(1.2, 5.0)
    absorb = melanin * np.array([2.6, 3.4, 4.4]) + red * np.array([0.3, 1.2, 1.9]) * (1.2 - melanin)
    color = np.array([0.58, 0.45, 0.30]) * np.exp(-absorb) + 0.004
    grey = 0.0 if rng.random() < 0.75 else rng.beta(1.2, 1.2)
    return color, grey
