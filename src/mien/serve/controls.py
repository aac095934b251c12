"""What a slider does: named controls that move canonical landmarks, from which the latent follows.

    landmarks = neutral + Σ value · shape,   latent = source + motion(landmarks) - motion(neutral)

With all sliders at zero the avatar therefore shows the photo's own expression. The shapes are
data, made once from FaceKit's (ICT-FaceKit, MIT) by `tools/make_arkit_landmarks.py`; the page gets
them with the networks, so Python and TypeScript cannot disagree.

Axis legend: K controls, L = 478 landmarks.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mien.structures import LANDMARKS

GROUPS: dict[str, list[str]] = {
    "Eyes": [
        "eyeBlinkLeft",
        "eyeBlinkRight",
        "eyeSquintLeft",
        "eyeSquintRight",
        "eyeWideLeft",
        "eyeWideRight",
    ],
    "Gaze": [
        "eyeLookUpLeft",
        "eyeLookUpRight",
        "eyeLookDownLeft",
        "eyeLookDownRight",
        "eyeLookInLeft",
        "eyeLookInRight",
        "eyeLookOutLeft",
        "eyeLookOutRight",
    ],
    "Brows": [
        "browInnerUp",
        "browOuterUpLeft",
        "browOuterUpRight",
        "browDownLeft",
        "browDownRight",
    ],
    "Jaw": ["jawOpen", "jawForward", "jawLeft", "jawRight"],
    "Lips": [
        "mouthClose",
        "mouthFunnel",
        "mouthPucker",
        "mouthLeft",
        "mouthRight",
        "mouthRollLower",
        "mouthRollUpper",
        "mouthShrugLower",
        "mouthShrugUpper",
        "mouthPressLeft",
        "mouthPressRight",
        "mouthLowerDownLeft",
        "mouthLowerDownRight",
        "mouthUpperUpLeft",
        "mouthUpperUpRight",
    ],
    "Corners of the mouth": [
        "mouthSmileLeft",
        "mouthSmileRight",
        "mouthFrownLeft",
        "mouthFrownRight",
        "mouthDimpleLeft",
        "mouthDimpleRight",
        "mouthStretchLeft",
        "mouthStretchRight",
    ],
    "Cheeks and nose": [
        "cheekPuff",
        "cheekSquintLeft",
        "cheekSquintRight",
        "noseSneerLeft",
        "noseSneerRight",
    ],
}
"""ARKit's coefficients, without `tongueOut`, which landmarks do not see; left is the person's."""

NAMES: tuple[str, ...] = tuple(name for group in GROUPS.values() for name in group)
"""The K = 51 controls in the order of their shapes; each goes from 0 to 1."""


class Controls(NamedTuple):
    """Landmarks that can be told what to express.

    Args:
        neutral: (478, 3) canonical landmarks of a neutral face.
        shapes: (K, 478, 3) what a control of 1 adds, in the order of `NAMES`.
    """

    neutral: Tensor
    shapes: Tensor

    def landmarks(self, values: dict[str, float]) -> Tensor:
        """(478, 3) landmarks of a face with these coefficients; those left out are 0.

        Raises:
            KeyError: no control has that name.
        """
        weights = torch.zeros(len(NAMES))
        for name, value in values.items():
            weights[_INDEX[name]] = value
        return self.neutral + torch.einsum("k,klc->lc", weights, self.shapes)


_INDEX = {name: index for index, name in enumerate(NAMES)}


def load_controls() -> Controls:
    """The controls that come with Mien."""
    with np.load(Path(__file__).with_name("arkit.npz")) as data:
        neutral = torch.from_numpy(data["neutral"]).float()
        shapes = torch.from_numpy(data["shapes"]).float()
    assert neutral.shape == (LANDMARKS, 3)
    assert shapes.shape == (len(NAMES), LANDMARKS, 3)
    return Controls(neutral, shapes)
