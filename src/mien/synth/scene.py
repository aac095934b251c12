"""What is handed to the renderer, and what comes back.

Lengths are centimetres in FaceKit's axes, colours linear unless said otherwise. Axis legend: R
drawn vertices of the head, S strands, P points of a strand.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mien.synth.light import Light

LABELS = (
    "background",
    "skin",
    "mouth",
    "socket",
    "gums",
    "teeth",
    "eye_left",
    "eye_right",
    "lashes",
    "hair",
    "brows",
    "beard",
    "glasses",
    "clothes",
    "hat",
    "earrings",
    "tongue",
)
"""What the part mask's numbers mean; 1 to 8 are the rig's parts in their order."""

_REACH = 24.0  # half the shadow map's side, cm
NEAR, FAR = 20.0, 400.0
"""Distances along the camera's axis between which things are drawn, cm."""


@dataclass(frozen=True)
class Skin:
    """The welded head as drawn. R vertices; positions move from frame to frame, the rest stay."""

    rest: np.ndarray  # (R, 3)
    uv: np.ndarray  # (R, 2)
    part: np.ndarray  # (R,) index into the rig's parts
    lid: np.ndarray  # (R,) 1 on the skin that a blink draws over the eye
    triangles: np.ndarray  # (F, 3)


@dataclass(frozen=True)
class Strands:
    """Ribbons, each a bundle of hairs.

    Args:
        points: (S, P, 4) root to tip in cm, then how open to light it lies there, in [0, 1].
        looks: (S, 4) linear colour and half the ribbon's width in cm.
        label: name in `LABELS`.
        across: hairs that one ribbon shows; 1 draws it whole.
        gloss: strength of the highlights.
        center: where the mass bulges away from.
    """

    points: np.ndarray
    looks: np.ndarray
    label: str
    across: float = 1.0
    gloss: float = 1.0
    center: tuple[float, float, float] = (0.0, 3.0, -0.5)


@dataclass(frozen=True)
class Solid:
    """Anything stiff: cloth, glasses.

    Args:
        positions: (n, 3) cm; normals: (n, 3); triangles: (m, 3).
        paint: (n, 4) linear colour, then shininess in [0, 1].
        weave: threads per cm, 0 for smooth matter.
    """

    positions: np.ndarray
    normals: np.ndarray
    triangles: np.ndarray
    paint: np.ndarray
    label: str
    weave: float = 0.0


@dataclass(frozen=True)
class Pose:
    """What a face does, and the light on it.

    Args:
        positions, normals: (R, 3) of the head's drawn vertices, cm.
        exposure: (R, 3) share of the surroundings' light that arrives there, per colour.
        torso: (4,) axis and angle (radians) of the torso against the head.
        uniforms: numbers of the look, by the shaders' names.
        strands: ribbons that move with the face; solids: what else does.
    """

    positions: np.ndarray
    normals: np.ndarray
    exposure: np.ndarray
    light: Light
    torso: np.ndarray
    uniforms: Mapping[str, Any]
    strands: list[Strands] = field(default_factory=list)
    solids: list[Solid] = field(default_factory=list)


@dataclass(frozen=True)
class View:
    """From where it is seen, and by what camera.

    Args:
        cam_from_head: (4, 4) OpenCV axes, cm.
        intrinsics: (3, 3) in units of image size.
        gain: exposure; blur: radius in stored pixels; noise: of dark and of bright places;
        balance: (3,) gains of the colours; seed: of the noise.
    """

    cam_from_head: np.ndarray
    intrinsics: np.ndarray
    gain: float = 1.0
    blur: float = 0.0
    noise: tuple[float, float] = (0.0, 0.0)
    balance: tuple[float, float, float] = (1.0, 1.0, 1.0)
    seed: int = 0


@dataclass(frozen=True)
class Picture:
    """What was drawn, S pixels square; the last three have no pixels where they were not wanted.

    Args:
        image: (S, S, 3) u8, sRGB, premultiplied by alpha on black.
        alpha: (S, S) u8.
        depth: (S, S) f32 cm along the camera's axis, 0 where nothing is.
        parts: (S, S) u8 index into `LABELS`.
        normals: (S, S, 3) i8 of 127ths in the head's axes.
    """

    image: np.ndarray
    alpha: np.ndarray
    depth: np.ndarray
    parts: np.ndarray
    normals: np.ndarray


def clip_from_head(cam_from_head: np.ndarray, intrinsics: np.ndarray) -> np.ndarray:
    """(4, 4) OpenGL projection of an OpenCV camera (intrinsics in units of image size)."""
    fx, fy = intrinsics[0, 0], intrinsics[1, 1]
    cx, cy, skew = intrinsics[0, 2], intrinsics[1, 2], intrinsics[0, 1]
    depth = (FAR + NEAR) / (FAR - NEAR), -2 * FAR * NEAR / (FAR - NEAR)
    projection = np.array(
        [
            [2 * fx, 2 * skew, 2 * cx - 1, 0],
            [0, -2 * fy, 1 - 2 * cy, 0],
            [0, 0, depth[0], depth[1]],
            [0, 0, 1, 0],
        ]
    )
    return projection @ cam_from_head


def shadow_from_head(toward: np.ndarray) -> np.ndarray:
    """(4, 4) orthographic view of the head from a far lamp."""
    side = np.cross([0.0, 1.0, 0.1], toward)
    side /= np.linalg.norm(side)
    up = np.cross(toward, side)
    view = np.eye(4)
    view[:3, :3] = np.stack([side, up, -toward])
    view[:3, 3] = -view[:3, :3] @ np.array([0.0, -1.0, 1.0])
    return np.diag([1 / _REACH, 1 / _REACH, 1 / (1.6 * _REACH), 1.0]) @ view
