"""Knitted hats, earrings and the like: stiff things that sit on the head, in rest coordinates."""

from __future__ import annotations

import numpy as np
from scipy.spatial import KDTree

from mien.synth.props import merge, tube, vertex_normals
from mien.synth.scene import Solid

_MIDDLE = np.array([0.0, 4.0, -0.5])  # of the skull
_RINGS, _SPOKES = 22, 64
_LOBES = np.array([[7.55, -1.85, 0.95], [-7.55, -1.85, 0.95]])  # lower ends of the ears
_METALS = np.array([[0.75, 0.52, 0.20], [0.62, 0.61, 0.60], [0.70, 0.38, 0.27]])


def brim(points: np.ndarray) -> np.ndarray:
    """How far above a hat's brim points (..., 3) lie, in radians seen from the skull's middle.

    The brim runs from the hairline over the tops of the ears to the nape.
    """
    x, y, z = np.moveaxis(points - _MIDDLE, -1, 0)
    front = np.cos(np.arctan2(x, z))
    return np.arctan2(y, np.hypot(x, z)) - _rise(front)


def _rise(front: np.ndarray) -> np.ndarray:
    """Elevation of the brim where `front` is the cosine of the azimuth."""
    return np.radians(12.0 + 16.0 * front)


def sample_hat(rng: np.random.Generator, surface: np.ndarray) -> Solid:
    """A knitted hat with a turned-up edge, over the skin's vertices (n, 3)."""
    azimuth = np.linspace(-np.pi, np.pi, _SPOKES, endpoint=False)
    along = np.linspace(0, 1, _RINGS)[:, None]
    low = _rise(np.cos(azimuth))
    height = low + (np.pi / 2 - low) * along
    directions = np.stack(
        [np.cos(height) * np.sin(azimuth), np.sin(height), np.cos(height) * np.cos(azimuth)], -1
    ).reshape(-1, 3)
    ray = surface - _MIDDLE
    distance = np.linalg.norm(ray, axis=1)
    _, near = KDTree(ray / distance[:, None]).query(directions, k=12)
    skull = np.median(distance[near], axis=1)
    cuff = rng.uniform(0.2, 0.32)
    fold = rng.uniform(0.15, 0.4) * (along < cuff)
    loose = rng.uniform(0.0, 2.0) * np.sin(height) ** 4
    reach = skull.reshape(_RINGS, _SPOKES) + rng.uniform(0.5, 0.8) + fold + loose
    reach[0] -= 0.45  # the edge lies on the skin
    points = _MIDDLE + directions * reach.reshape(-1, 1)
    index = np.arange(_RINGS * _SPOKES).reshape(_RINGS, _SPOKES)
    a, b = index[:-1], np.roll(index, -1, 1)[:-1]
    c, d = index[1:], np.roll(index, -1, 1)[1:]
    triangles = np.concatenate(
        [np.stack([a, d, c], -1).reshape(-1, 3), np.stack([a, b, d], -1).reshape(-1, 3)]
    )
    colors = rng.beta(0.8, 1.8, (2, 1)) * 0.5 + 0.02  # mostly muted
    colors = colors * np.exp(rng.normal(0, 0.35, (2, 3)))
    striped = rng.random() < 0.3
    which = ((along > cuff) if striped else np.zeros_like(along, bool)) + 0 * azimuth[None]
    paint = np.c_[colors[which.astype(int).ravel()], np.full(len(points), 0.04)]
    return Solid(points, vertex_normals(points, triangles), triangles, paint, "hat", 4.0)


def sample_earrings(rng: np.random.Generator) -> Solid:
    """A pair: studs or hoops of metal."""
    color = _METALS[rng.integers(len(_METALS))] * rng.uniform(0.6, 1.1)
    hoop = rng.random() < 0.55
    radius, thick = rng.uniform(0.5, 2.2), rng.uniform(0.06, 0.14)
    turn = rng.uniform(0.2, 1.2)
    angle = np.linspace(0, 2 * np.pi, 40)
    size = rng.uniform(0.16, 0.34)
    parts = []
    for lobe in _LOBES:
        side = np.sign(lobe[0])
        if hoop:
            flat = np.stack([np.sin(angle) * np.cos(turn), np.cos(angle), np.sin(angle)], -1)
            path = (
                lobe + [0.12 * side, 0.25 - radius, 0.0] + radius * flat * [side, 1, np.sin(turn)]
            )
            parts.append(tube(path, thick, color, "earrings"))
        else:
            path = lobe + np.linspace([0.0, 0.35, 0.0], [0.5 * side, 0.35, 0.05], 6)
            parts.append(tube(path, size, color, "earrings"))
    return merge(parts, "earrings")
