"""Beards and brows: hair that is rooted in the moving face and goes where its skin goes.

Axis legend: S strands, P points of a strand, V vertices of the rig.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mien.synth.roots import Surface
from mien.synth.scene import Strands

POINTS = 5
"""Points of a strand: it is short."""

STYLES = ("stubble", "full", "goatee", "moustache")


@dataclass(frozen=True)
class Rooted:
    """Strands that know which triangle of the face they grow from.

    Args:
        corners: (S, 3) vertices; weights: (S, 3) of the root among them.
        offsets: (S, P, 3) from the root, in the triangle's own axes, cm.
        open: (S, P) how open to light; looks: (S, 4), label, across: as in `Strands`.
    """

    corners: np.ndarray
    weights: np.ndarray
    offsets: np.ndarray
    open: np.ndarray
    looks: np.ndarray
    label: str
    across: float

    def posed(self, vertices: np.ndarray) -> Strands:
        """The strands on a face (V, 3) that has moved."""
        triangle = vertices[self.corners]
        root = (triangle * self.weights[..., None]).sum(1)
        points = root[:, None] + np.einsum("spk,skc->spc", self.offsets, frames(triangle))
        return Strands(
            points=np.concatenate([points, self.open[..., None]], -1),
            looks=self.looks,
            label=self.label,
            across=self.across,
            gloss=0.25,
            center=(0.0, -2.0, 2.0),
        )


def frames(triangle: np.ndarray) -> np.ndarray:
    """Axes (S, 3, 3), as rows, of triangles (S, 3, 3): along an edge, across it, outwards."""
    edge = triangle[:, 1] - triangle[:, 0]
    normal = np.cross(edge, triangle[:, 2] - triangle[:, 0])
    edge = edge / (np.linalg.norm(edge, axis=1, keepdims=True) + 1e-9)
    normal = normal / (np.linalg.norm(normal, axis=1, keepdims=True) + 1e-9)
    return np.stack([edge, np.cross(normal, edge), normal], 1)


def growth(points: np.ndarray, style: str) -> np.ndarray:
    """Share of full growth (n,) at rest coordinates (n, 3) of the face."""
    x, y, z = np.abs(points[:, 0]), points[:, 1], points[:, 2]

    def ramp(value: np.ndarray, start: float, end: float) -> np.ndarray:
        return np.clip((value - start) / (end - start), 0, 1)

    # The cheek's upper edge runs from the ear down to the corner of the mouth.
    line = np.interp(x, [0, 2.6, 3.4, 5.0, 6.4, 7.2], [-4.6, -4.4, -3.0, -2.6, -0.6, 2.4])
    jaw = ramp(line - y, -0.1, 0.9) * ramp(y + 0.45 * z, -6.8, -5.0) * ramp(z, 0.8, 2.2)
    lip = ((x / 2.95) ** 2 + ((y + 3.4) / 1.12) ** 2 > 1.0) * 1.0
    above = ramp(-1.25 - y, 0, 0.4) * ramp(y, -3.1, -2.5) * ramp(3.3 - x, 0.0, 0.7) * (z > 8)
    beside = ramp(3.9 - x, 0.0, 0.6) * ramp(x, 2.6, 3.0) * ramp(-2.2 - y, 0, 0.6) * (z > 7)
    if style == "moustache":
        return above * lip
    chin = jaw * (ramp(3.6 - x, 0.0, 0.8) if style == "goatee" else 1.0)
    return np.maximum(np.maximum(chin, above), beside * (y > -7)) * lip


def grow_beard(
    style: str,
    rng: np.random.Generator,
    face: Surface,
    color: np.ndarray,
    grey: float,
) -> Rooted:
    """A beard on the face of nobody.

    Args:
        color: (3,) linear; grey: share of hair without pigment.
    """
    count = {"stubble": 7000, "moustache": 900}.get(style, 4000)
    where = growth(face.middle, style) * (face.middle[:, 2] > 0)
    corners, weights, root, axes = _roots(rng, face, where, count)
    length = {"stubble": rng.uniform(0.05, 0.16), "full": rng.uniform(0.6, 3.0)}.get(
        style, rng.uniform(0.4, 1.4)
    )
    short = 0.35 + 0.65 * np.clip((-root[:, 1] - 3.0) / 3.5, 0, 1)
    length = length * short * rng.uniform(0.6, 1.15, count)
    fall = np.array([0.0, -1.0, 0.15]) + 0.12 * root * [1.0, 0.0, 0.0]
    start = 0.75 * axes[:, 2] + 0.7 * fall + rng.normal(0, 0.25, (count, 3))
    end = 0.25 * axes[:, 2] + fall + rng.normal(0, 0.3, (count, 3))
    along = np.linspace(0, 1, POINTS)[None, :, None]
    step = (start[:, None] * (1 - along) + end[:, None] * along) / (POINTS - 1)
    path = np.cumsum(step * (along > 0), 1) * length[:, None, None]
    shade = np.exp(rng.normal(0, 0.2, (count, 1)))
    pale = (rng.random((count, 1)) < grey) * 0.8
    tint = (color * (1 - pale) + 0.35 * pale) * shade
    width = 0.011 if style == "stubble" else 0.045
    looks = np.concatenate([tint, np.full((count, 1), width)], 1)
    light = np.broadcast_to(0.5 + 0.4 * along[..., 0], path.shape[:2])
    offsets = np.einsum("spc,skc->spk", path, axes)
    return Rooted(corners, weights, offsets, light, looks, "beard", 2.0)


def grow_brows(
    rng: np.random.Generator,
    face: Surface,
    line: np.ndarray,
    color: np.ndarray,
    density: float,
) -> Rooted:
    """Brow hair, over what the skin's map shows of brows.

    Args:
        line: (5, ≥ 2) upper edge of one brow, from its outer to its inner end.
        density: share of full growth, in (0, 1].
    """
    middle = face.middle
    across = np.abs(middle[:, 0])
    ends = np.sort(np.abs(line[:, 0]))
    span = max(ends[-1] - ends[0], 0.1)
    center = np.interp(across, ends, line[::-1, 1] - [0.35, 0.3, 0.25, 0.2, 0.1])
    half = np.interp(across, ends, [0.40, 0.4, 0.36, 0.30, 0.18])
    inside = (across > ends[0] - 0.1) & (across < ends[-1] + 0.1) & (middle[:, 2] > 5)
    where = np.clip(1.3 - np.abs(middle[:, 1] - center) / half, 0, 1) * inside
    where = where * np.clip((across - ends[0] + 0.15) / 1.3, 0, 1)  # sparse above the nose
    count = int(1400 * density)
    corners, weights, root, axes = _roots(rng, face, where, count)
    outer = np.clip((np.abs(root[:, :1]) - ends[0]) / span, 0, 1)
    side = np.sign(root[:, :1])
    comb = np.concatenate([side * (0.35 + outer), 0.9 - 1.25 * outer, -0.3 * outer], 1)
    comb = comb + rng.normal(0, 0.16, comb.shape)
    normal = axes[:, 2]
    comb = comb - (comb * normal).sum(1, keepdims=True) * normal
    comb = comb / np.linalg.norm(comb, axis=1, keepdims=True) + 0.18 * normal
    along = np.linspace(0, 1, POINTS)[None, :, None]
    length = rng.uniform(0.3, 0.65, (count, 1, 1)) * (1 - 0.3 * outer[:, None])
    path = comb[:, None] * along * length - 0.1 * normal[:, None] * along**2 * length
    tint = color * np.exp(rng.normal(0, 0.2, (count, 1)))
    looks = np.concatenate([tint, np.full((count, 1), 0.015)], 1)
    light = np.full(path.shape[:2], 0.75)
    offsets = np.einsum("spc,skc->spk", path, axes)
    return Rooted(corners, weights, offsets, light, looks, "brows", 1.0)


def _roots(
    rng: np.random.Generator, face: Surface, where: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Random places on the face, as dense as `where` (F,) says.

    Returns (S, 3) vertices, (S, 3) weights, (S, 3) points and (S, 3, 3) axes.
    """
    chosen, weights = face.scatter(rng, where, count)
    triangle = face.corners[chosen]
    root = np.einsum("skc,sk->sc", triangle, weights)
    return face.faces[chosen], weights, root, frames(triangle)
