"""A driving take written by hand: no camera, no person, only a score of movements.

MediaPipe's landmarks on a neutral head are moved procedurally, key by key, and go through the same
motion encoder as those of a real driver.

Axis legend: T frames, L = 478 landmarks. Canonical units: one is about 45 cm; x is the image's
right, y up, z towards the camera.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

from mien.model.matching import motion_weights
from mien.model.network import Network
from mien.preprocess.pose import canonical
from mien.structures import Camera, Motion

Array = NDArray[np.float64]

SECONDS, FPS = 6.0, 25.0

# Control → keys (seconds, value). Expressions go from 0 to 1, sides from −1 (left) to 1 (right).
SCORE: dict[str, list[tuple[float, float]]] = {
    "blink": [
        *((0.0, 0), (0.6, 0), (0.7, 1), (0.78, 1), (0.94, 0)),
        *((2.3, 0), (2.4, 1), (2.56, 0), (4.2, 0), (4.3, 1), (4.46, 0), (6.0, 0)),
    ],
    "gaze_x": [(0.0, 0), (0.8, 0), (0.95, -1), (1.5, -1), (1.65, 1), (2.2, 1), (2.4, 0), (6.0, 0)],
    "gaze_y": [(0.0, 0), (3.0, 0), (3.15, 0.8), (3.5, 0.8), (3.7, 0), (6.0, 0)],
    "brows": [(0.0, 0), (2.9, 0), (3.15, 1), (3.5, 1), (3.8, 0), (5.0, 0), (5.2, 0.5), (6.0, 0)],
    "jaw": [
        *((0.0, 0), (2.6, 0), (2.75, 0.5), (2.9, 0.2), (3.1, 0.9), (3.4, 0.8), (3.6, 0.1)),
        *((3.8, 0.5), (3.95, 0.2), (4.1, 0.6), (4.3, 0), (6.0, 0)),
    ],
    "smile": [(0.0, 0), (4.3, 0), (4.8, 1), (5.5, 1), (6.0, 0)],
    "pucker": [(0.0, 0), (3.6, 0), (3.85, 0.9), (4.0, 0.2), (4.15, 0.7), (4.4, 0), (6.0, 0)],
    "yaw": [(0.0, 0), (0.9, 0), (1.5, -1), (2.2, 1), (2.8, 0.1), (4.4, 0), (5.1, 0.5), (6.0, 0)],
    "pitch": [(0.0, 0), (2.8, 0), (3.2, 0.6), (3.8, -0.5), (4.4, 0), (6.0, 0)],
    "roll": [(0.0, 0), (4.4, 0), (5.1, 1), (5.5, 0.8), (6.0, 0)],
}

TURN = {"yaw": 0.42, "pitch": 0.18, "roll": 0.14}
"""Radians of a full turn, in the order of `Camera.orbit`."""

# Landmarks of the lids, outer corner to inner one; each upper point falls on its lower partner.
UPPER_LIDS = ((246, 161, 160, 159, 158, 157, 173), (466, 388, 387, 386, 385, 384, 398))
LOWER_LIDS = ((7, 163, 144, 145, 153, 154, 155), (249, 390, 373, 374, 380, 381, 382))
LID_FOLDS = ((247, 30, 29, 27, 28, 56, 190), (467, 260, 259, 257, 258, 286, 414))
IRISES = (slice(468, 473), slice(473, 478))
BROWS = (
    *(70, 63, 105, 66, 107, 55, 65, 52, 53, 46),
    *(300, 293, 334, 296, 336, 285, 295, 282, 283, 276),
)
LOWER_LIP = (
    *(146, 91, 181, 84, 17, 314, 405, 321, 375),
    *(95, 88, 178, 87, 14, 317, 402, 318, 324),
    *(77, 90, 180, 85, 16, 315, 404, 320, 307, 96, 89, 179, 86, 15, 316, 403, 319, 325),
)
UPPER_LIP = (
    *(185, 40, 39, 37, 0, 267, 269, 270, 409, 191, 80, 81, 82, 13, 312, 311, 310, 415),
    *(184, 74, 73, 72, 11, 302, 303, 304, 408, 183, 42, 41, 38, 12, 268, 271, 272, 407),
)
MOUTH_CORNERS = ((61, 76, 62, 78), (291, 306, 292, 308))
CHEEKS = (205, 425)

HINGE = np.array([0.0, -0.04, 0.10])
"""Where the jaw turns."""

JAW_TURN = 0.38
"""Radians of a wide open mouth."""


def score(times: Array) -> dict[str, Array]:
    """Every control (T,) at some times (T,), smooth between keys and never beyond them."""
    controls = {}
    for name, keys in SCORE.items():
        at, value = np.array(keys).T
        controls[name] = PchipInterpolator(at, value)(times)
    return controls


def landmarks(controls: dict[str, Array]) -> NDArray[np.float32]:
    """(T, 478, 3) canonical landmarks of a face that does what the controls (T,) say."""
    rest = canonical().points
    frames = np.repeat(rest[None], len(controls["blink"]), 0)
    value = {name: v[:, None, None] for name, v in controls.items()}
    frames += value["smile"] * _smile(rest)
    frames += value["pucker"] * _pucker(rest)
    frames += value["brows"] * _brows(rest)
    frames = _open_jaw(frames, _jaw_weights(rest), controls["jaw"] * JAW_TURN)
    gaze = np.stack([0.011 * controls["gaze_x"], 0.006 * controls["gaze_y"]], -1)[:, None]
    for upper, lower, fold, iris in zip(UPPER_LIDS, LOWER_LIDS, LID_FOLDS, IRISES, strict=True):
        frames[:, iris, :2] += gaze
        # Lids follow the gaze up and down, and meet in a blink.
        frames[:, upper, 1] += 0.7 * gaze[..., 1]
        gap = frames[:, lower] - frames[:, upper]
        frames[:, upper] += 0.92 * value["blink"] * gap
        frames[:, fold] += 0.5 * value["blink"] * gap
        frames[:, lower] -= 0.06 * value["blink"] * gap
    return frames.astype(np.float32)


def cameras(controls: dict[str, Array]) -> Camera:
    """(T,) cameras that see the head turn as the controls say."""
    turns = [torch.from_numpy(controls[name] * scale) for name, scale in TURN.items()]
    return Camera.orbit(*turns)


def take(network: Network) -> Motion:
    """The whole score as a driving take."""
    times = np.arange(round(SECONDS * FPS)) / FPS
    controls = score(times)
    faces = torch.from_numpy(landmarks(controls))
    with torch.no_grad():
        latents = network.motion(faces)
    return Motion(
        latents=latents,
        cam_from_head=cameras(controls).cam_from_world,
        times=torch.from_numpy(times),
        fps=FPS,
        preset=network.config.preset,
        landmarks=faces,
        weights=motion_weights(network),
    )


def _near(rest: Array, centre: Array, radius: float) -> Array:
    """(L, 1) weights that fall off from 1 at `centre` as a normal distribution."""
    return np.exp(-0.5 * np.square(rest - centre).sum(-1, keepdims=True) / radius**2)


def _smile(rest: Array) -> Array:
    """(L, 3) corners go out, up and back; cheeks swell."""
    shift = np.zeros_like(rest)
    for side, corner, cheek in zip((-1, 1), MOUTH_CORNERS, CHEEKS, strict=True):
        beside = (rest[:, :1] * side > -0.01) & (rest[:, 1:2] < -0.02)
        pull = np.array([side * 0.020, 0.014, -0.014])
        shift += _near(rest, rest[corner[0]], 0.03) * beside * pull
        shift += _near(rest, rest[cheek], 0.03) * beside * (side * 0.003, 0.008, 0.006)
    return shift


def _pucker(rest: Array) -> Array:
    """(L, 3) lips narrow and come forward."""
    middle = rest[[13, 14]].mean(0)
    weights = _near(rest, middle, 0.045)
    inwards = (middle - rest) * (0.45, 0.0, 0.0)
    return weights * (inwards + np.array([0.0, 0.0, 0.014]))


def _brows(rest: Array) -> Array:
    """(L, 3) brows rise, and the forehead with them, less and less."""
    lift = np.zeros((len(rest), 1))
    lift[list(BROWS)] = 1.0
    height = rest[:, 1:2]
    forehead = (height > rest[list(BROWS), 1].max()) * (1 - (height - 0.09) / 0.06).clip(0, 0.6)
    return np.maximum(lift, forehead) * (0.0, 0.018, 0.002)


def _jaw_weights(rest: Array) -> Array:
    """(L,) how far each point moves with the jaw."""
    line = rest[61, 1]
    weights = ((line - rest[:, 1]) / 0.03).clip(0, 1)
    weights = weights * weights * (3 - 2 * weights)
    # The lips part like an ellipse; their corners go some of the way.
    width = rest[MOUTH_CORNERS[1][0], 0]
    ellipse = np.sqrt((1 - np.square(rest[:, 0] / width)).clip(0, 1))
    lower, upper = list(LOWER_LIP), list(UPPER_LIP)
    weights[lower] = 0.4 + 0.6 * ellipse[lower]
    weights[upper] = 0.4 - 0.4 * ellipse[upper]
    for corner in MOUTH_CORNERS:
        weights[list(corner)] = 0.4
    return weights


def _open_jaw(frames: Array, weights: Array, angle: Array) -> Array:
    """Turn (T, L, 3) about the hinge's x axis by `angle` (T,) radians times the weights (L,)."""
    turn = angle[:, None] * weights
    y, z = np.moveaxis(frames[..., 1:] - HINGE[1:], -1, 0)
    cos, sin = np.cos(turn), np.sin(turn)
    opened = frames.copy()
    opened[..., 1] = HINGE[1] + cos * y - sin * z
    opened[..., 2] = HINGE[2] + sin * y + cos * z
    return opened
