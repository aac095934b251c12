"""What people wear: shoulders in cloth, and glasses. Rest coordinates, cm."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mien.synth.scene import Solid

_RINGS, _SPOKES = 64, 200
# Height, half width, half depth and middle (z) of a torso's sections, from neck to chest.
_SECTIONS = np.array(
    [
        [-9.5, 6.2, 6.4, -0.1],
        [-11.0, 8.0, 6.7, -0.9],
        [-12.0, 9.5, 7.0, -1.6],
        [-13.0, 12.1, 7.3, -2.1],
        [-14.0, 14.4, 7.6, -2.6],
        [-15.5, 17.4, 8.0, -2.7],
        [-17.5, 19.8, 8.7, -2.2],
        [-21.0, 21.2, 10.0, -1.6],
        [-27.0, 21.8, 11.2, -1.0],
        [-42.0, 21.4, 11.6, -0.6],
    ]
)


@dataclass(frozen=True)
class Outfit:
    """Clothes.

    Args:
        kind: "round" (T-shirt, jumper), "vee", "suit", "high" (roll neck).
        colors: (3, 3) linear: cloth, shirt below it, tie or trim.
        drop: how deep the neck opening lies, cm.
        build: width of the shoulders against the average.
    """

    kind: str
    colors: np.ndarray
    drop: float
    build: float


def sample_outfit(rng: np.random.Generator) -> Outfit:
    """Something to wear."""
    kind = str(rng.choice(["round", "vee", "suit", "high"], p=[0.45, 0.2, 0.25, 0.1]))
    value = rng.choice([rng.uniform(0.02, 0.1), rng.uniform(0.1, 0.4), rng.uniform(0.5, 0.8)])
    hue = rng.random(3) ** 1.5
    cloth = value * (0.35 + hue) / (0.35 + hue.mean())
    shirt = rng.uniform(0.5, 0.85) * (1 - 0.25 * rng.random(3) * rng.random())
    if kind == "suit":
        cloth = rng.uniform(0.01, 0.09) * (1 + 0.5 * rng.normal(0, 0.3, 3))
    tie = rng.uniform(0.02, 0.35, 3)
    colors = np.clip(np.stack([cloth, shirt * np.ones(3), tie]), 0.008, 0.85)
    return Outfit(kind, colors, rng.uniform(0.0, 3.5), rng.normal(1.0, 0.2))


def collar(outfit: Outfit) -> tuple[float, float, float]:
    """Height of the neck's opening, how far it drops in front, and how pointed the drop is."""
    rise = {"high": 1.8, "suit": 0.6, "round": 0.0, "vee": -0.4}[outfit.kind]
    sharp = 5.0 if outfit.kind in ("vee", "suit") else 1.5
    drop = outfit.drop + {"vee": 5.0, "suit": 0.3}.get(outfit.kind, 0.6)
    return -11.2 + rise, drop, sharp


def torso(outfit: Outfit) -> Solid:
    """Shoulders and chest in cloth; the top edge stands a little off the neck."""
    angle = np.linspace(-np.pi, np.pi, _SPOKES, endpoint=False)
    front = np.clip(np.cos(angle), 0, 1)  # angle 0 looks forward
    height, drop, sharp = collar(outfit)
    top = height - drop * front**sharp
    down = np.linspace(0, 1, _RINGS)[:, None] ** 1.5
    y = top * (1 - down) - 42.0 * down
    half, deep, middle = (np.interp(-y, -_SECTIONS[:, 0], column) for column in _SECTIONS.T[1:])
    half = np.where(half > 12.5, 12.5 + (half - 12.5) * outfit.build, half)
    power = np.clip((-y - 12) / 10, 0, 1) * 0.35
    x = np.sign(np.sin(angle)) * np.abs(np.sin(angle)) ** (1 - power) * half
    z = np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** (1 - power) * deep + middle
    grid = np.stack([x, y, z], -1)
    # A hem: the first ring turns in towards the neck.
    grid[0] = grid[1] * [0.95, 1.0, 0.95] + [0.0, -0.25, 0.0]
    points = grid.reshape(-1, 3)
    index = np.arange(_RINGS * _SPOKES).reshape(_RINGS, _SPOKES)
    a, b = index[:-1], np.roll(index, -1, 1)[:-1]
    c, d = index[1:], np.roll(index, -1, 1)[1:]
    triangles = np.concatenate(
        [np.stack([a, c, d], -1).reshape(-1, 3), np.stack([a, d, b], -1).reshape(-1, 3)]
    )
    return Solid(
        points,
        vertex_normals(points, triangles),
        triangles,
        _cloth(outfit, points, np.tile(top, _RINGS)),
        "clothes",
        9.0,
    )


def _cloth(outfit: Outfit, points: np.ndarray, top: np.ndarray) -> np.ndarray:
    paint = np.tile(np.append(outfit.colors[0], 0.08), (len(points), 1))
    if outfit.kind == "suit":
        x, y, z = points.T
        opening = (z > 0) & (np.abs(x) < 0.4 + 0.24 * np.clip(y + 30, 0, None))
        collar = y > top - 1.5 + 0.6 * np.clip(-z / 6, 0, 1)
        knot = np.clip((top - y) / 2.0, 0, 1)
        tie = (z > 0) & (np.abs(x) < 1.6 - 0.6 * knot + 0.03 * (top - y)) & (y < top - 0.4)
        paint[opening | collar, :3] = outfit.colors[1]
        paint[tie & opening, :3] = outfit.colors[2]
    return paint


def vertex_normals(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """(n, 3) unit normals weighted by area."""
    a, b, c = (points[triangles[:, i]] for i in range(3))
    face = np.cross(b - a, c - a)
    corner, pull = triangles.T.ravel(), np.tile(face, (3, 1))
    total = np.stack([np.bincount(corner, p, len(points)) for p in pull.T], -1)
    return total / (np.linalg.norm(total, axis=1, keepdims=True) + 1e-9)


def sample_glasses(rng: np.random.Generator, eyes: np.ndarray) -> Solid:
    """A pair of spectacle frames without lenses before eyes (2, 3), left then right."""
    if rng.random() < 0.65:  # plastic, mostly black or brown
        color = rng.choice([0.006, 0.02, 0.05]) * np.exp(rng.normal([0.2, 0.0, -0.2], 0.3))
        thick, gloss = rng.uniform(0.1, 0.22), 0.25
    else:
        color, thick, gloss = rng.choice([0.01, 0.08]) * np.ones(3), rng.uniform(0.05, 0.09), 0.45
    half = np.array([rng.uniform(2.2, 2.7), rng.uniform(1.5, 2.1)])
    square = rng.uniform(2.0, 4.5)  # 2 an ellipse, more a box
    drop, front = rng.uniform(0.1, 0.5), rng.uniform(3.6, 4.0)
    angle = np.linspace(0, 2 * np.pi, 48)
    outline = np.stack([np.cos(angle), np.sin(angle)], -1)
    outline = np.sign(outline) * np.abs(outline) ** (2 / square) * half
    middle = eyes.mean(0) + np.array([0.0, -drop, front])
    paths = []
    for eye in eyes:
        x = eye[0] * 1.04 + outline[:, 0]
        y = middle[1] + outline[:, 1] - 0.1 * np.abs(x - eye[0])
        paths.append(np.stack([x, y, middle[2] - 0.020 * x**2], -1))
    inner = np.abs(eyes[0, 0]) * 1.04 - half[0]
    t = np.linspace(-1, 1, 12)
    bridge = [inner * t, middle[1] + 0.3 + 0.25 * (1 - t**2), middle[2] + 0.25 * (1 - t**2)]
    paths.append(np.stack(np.broadcast_arrays(*bridge), -1))
    outer = np.abs(eyes[0, 0]) * 1.04 + half[0]
    for side in (-1, 1):
        s = np.linspace(0, 1, 20)
        x = side * (outer + (8.0 - outer) * np.clip(s * 3, 0, 1))
        z = (middle[2] - 0.02 * outer**2) * (1 - s) + 0.2 * s
        y = middle[1] + 0.55 + 0.2 * s - 1.2 * np.clip(s - 0.9, 0, 1) * 8
        paths.append(np.stack([x, y, z], -1))
    return merge([tube(path, thick, color, "glasses", gloss) for path in paths], "glasses")


def tube(
    path: np.ndarray,
    radius: float,
    color: np.ndarray,
    label: str,
    gloss: float = 0.9,
    sides: int = 6,
) -> Solid:
    """A bent rod along path (n, 3), colour (3,) linear; gloss is 1 for metal, less for plastic."""
    tangent = np.gradient(path, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True) + 1e-9
    first = np.cross(tangent, [0.05, 0.1, 1.0])
    first /= np.linalg.norm(first, axis=1, keepdims=True) + 1e-9
    second = np.cross(tangent, first)
    angle = np.arange(sides) * 2 * np.pi / sides
    normal = np.cos(angle)[:, None] * first[:, None] + np.sin(angle)[:, None] * second[:, None]
    points = (path[:, None] + radius * normal).reshape(-1, 3)
    index = np.arange(len(path) * sides).reshape(len(path), sides)
    a, b = index[:-1], np.roll(index, -1, 1)[:-1]
    c, d = index[1:], np.roll(index, -1, 1)[1:]
    triangles = np.concatenate(
        [np.stack([a, c, d], -1).reshape(-1, 3), np.stack([a, d, b], -1).reshape(-1, 3)]
    )
    paint = np.tile(np.append(color, gloss), (len(points), 1))
    return Solid(points, normal.reshape(-1, 3), triangles, paint, label)


def merge(solids: list[Solid], label: str) -> Solid:
    """Several things as one."""
    starts = np.cumsum([0, *[len(s.positions) for s in solids[:-1]]])
    return Solid(
        np.concatenate([s.positions for s in solids]),
        np.concatenate([s.normals for s in solids]),
        np.concatenate([s.triangles + n for s, n in zip(solids, starts, strict=True)]),
        np.concatenate([s.paint for s in solids]),
        label,
    )
