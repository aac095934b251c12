"""What stands behind a head, out of focus: small pictures that travel as a label.

Stored heads are cut out; who wants them before something lays them over what `sample_backdrop`
drew. So the cover stays exact, and a head can stand before many things.
"""

from __future__ import annotations

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

from mien.synth.light import kelvin

SIDE = 16
"""Pixels a side of a backdrop: all that is left of a room behind a lens wide open."""


def sample_backdrop(rng: np.random.Generator) -> np.ndarray:
    """(SIDE, SIDE, 3) u8 sRGB: a wall that darkens to one side, and what hangs and stands there."""
    y, x = np.mgrid[0:SIDE, 0:SIDE] / (SIDE - 1.0) - 0.5
    slope = rng.normal(0, 0.5, 2)
    wall = rng.uniform(0.03, 0.6) * kelvin(rng.uniform(4500, 7500))
    room = wall * np.exp(slope[0] * x + slope[1] * y)[..., None]
    for _ in range(rng.integers(0, 7)):
        left, top = rng.uniform(-0.7, 0.5, 2)
        wide, high = rng.uniform(0.05, 0.7, 2)
        inside = (x > left) & (x < left + wide) & (y > top) & (y < top + high)
        room[inside] = rng.uniform(0.02, 1.0) * rng.uniform(0.3, 1.0, 3)
    blurred = gaussian_filter(room, (*[rng.uniform(0.3, 2.0)] * 2, 0), mode="nearest")
    return np.round(255 * np.clip(blurred, 0, 1) ** (1 / 2.2)).astype(np.uint8)


def over_backdrop(image: np.ndarray, alpha: np.ndarray, backdrop: np.ndarray) -> np.ndarray:
    """A premultiplied picture (S, S, 3) u8 and its cover (S, S) before a backdrop: (S, S, 3)."""
    far = Image.fromarray(backdrop).resize(
        (alpha.shape[1], alpha.shape[0]), Image.Resampling.BICUBIC
    )
    rest = (255 - alpha[..., None].astype(np.uint16)) * np.asarray(far) // 255
    return np.minimum(image + rest, 255).astype(np.uint8)
