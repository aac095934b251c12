"""A tongue that comes out: FaceKit's own stays behind the teeth, for it has no tongueOut."""

from __future__ import annotations

import numpy as np
from scipy.interpolate import CubicSpline

from mien.synth.props import vertex_normals
from mien.synth.scene import Solid

_RINGS, _SPOKES = 72, 48
_FLESH = np.array([0.15, 0.034, 0.034])


def tongue(lip: np.ndarray, out: float, side: float) -> Solid:
    """The tongue of an open mouth, cm.

    Args:
        lip: (3,) upper edge of the lower lip, where the tongue lies on it.
        out: 0 behind the teeth, 1 far over the lip.
        side: how far the tip points to the person's left, in [-1, 1].
    """
    tip = np.array([1.3 * side * out, 0.37 - 1.5 * out**2, -0.9 + 2.9 * out])
    path = lip + np.stack([[0.0, -0.2, -6.0], [0.0, 0.35, -3.5], [0.0, 0.47, -1.3], tip])
    along = np.r_[0.0, np.linalg.norm(np.diff(path, axis=0), axis=1).cumsum()]
    share = np.sin(np.linspace(0, np.pi / 2, _RINGS))
    place = CubicSpline(along, path)(share * along[-1])
    forward = np.gradient(place, axis=0)
    forward /= np.linalg.norm(forward, axis=1, keepdims=True)
    across = np.cross([0.0, 1.0, 0.0], forward)
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    up = np.cross(forward, across)
    end = np.sqrt(
        np.clip(1.0 - np.clip((share - 0.80) / 0.20, 0, 1) ** 2.6, 0, None)
    )  # a round tip
    half = (1.75 - 0.45 * share) * end + 0.02
    thick = (0.75 - 0.4 * share) * end + 0.02
    angle = np.arange(_SPOKES) * 2 * np.pi / _SPOKES
    x, y = np.cos(angle), np.sin(angle)
    groove = -0.16 * np.exp(-((x / 0.22) ** 2)) * (y > 0)
    points = (
        place[:, None]
        + (half[:, None] * x)[..., None] * across[:, None]
        + (thick[:, None] * y + (half * thick)[:, None] * groove)[..., None] * up[:, None]
    ).reshape(-1, 3)
    index = np.arange(_RINGS * _SPOKES).reshape(_RINGS, _SPOKES)
    a, b = index[:-1], np.roll(index, -1, 1)[:-1]
    c, d = index[1:], np.roll(index, -1, 1)[1:]
    triangles = np.concatenate(
        [np.stack([a, b, d], -1).reshape(-1, 3), np.stack([a, d, c], -1).reshape(-1, 3)]
    )
    # Little light finds its way behind the lips.
    light = np.clip(np.exp((points[:, 2:] - lip[2]) * 0.7), 0.05, 1.0)
    speckle = np.random.default_rng(0).normal(1.0, 0.1, (len(points), 1))
    paint = np.concatenate([_FLESH * light * speckle, 0.3 * light], 1)
    return Solid(points, vertex_normals(points, triangles), triangles, paint, "tongue")
