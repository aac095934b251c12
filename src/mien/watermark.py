"""An invisible mark that tools can find: this picture was made by Mien.

A fixed pattern of 64×64 cells, lighter or darker by less than a level of 255, is laid over every
picture, so it survives what changes pixels but not places: coding, smaller sizes, other colours.
The detector averages a video's frames to one number a cell, takes away what is smooth, weighs each
cell by how quiet its surroundings are, and correlates (Cox et al. 1997 call it spread spectrum).

The mark costs 49.6 dB. Measured (`docs/log.md`): of 512² it is found after a second H.264 at CRF 33
and at half the size, of 256² after CRF 23, of 128² only as first written; 790 unmarked videos and
photos scored 0.1 ± 0.9 and 3.4 at most. It is a label, not a seal: who crops, turns or mirrors a
picture loses it, and who reads this file can remove or forge it. That it is missing proves nothing.

Axis legend: H W pixels, G = 64 cells on a side.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

CELLS = 64
"""G. Cells of 8 pixels at 512² pass through a video coder's blocks."""

STRENGTH = 0.75 / 255
"""Root mean square of what is added."""

CERTAIN = 6.0
"""Scores above this are the mark: by chance alone one picture in a billion would have it."""

FRAMES = 100
"""As many frames of a video are looked at."""

NOISE = 0.05
"""Levels of 255 below which a cell's surroundings are not trusted to be quieter than the rest."""


@functools.cache
def cells() -> NDArray[np.float32]:
    """(G, G) of ±1, the same for ever and everywhere."""
    digests = (hashlib.sha256(f"mien {row}".encode()).digest() for row in range(CELLS**2 // 256))
    bits = np.unpackbits(np.frombuffer(b"".join(digests), np.uint8))
    return 2.0 * bits.reshape(CELLS, CELLS).astype(np.float32) - 1.0


@functools.lru_cache(maxsize=4)
def pattern(height: int, width: int, device: torch.device) -> Tensor:
    """(H, W) what is added to a picture of this size."""
    grid = torch.from_numpy(cells()).to(device)[None, None]
    smooth = F.interpolate(grid, size=(height, width), mode="bicubic", align_corners=False)[0, 0]
    return STRENGTH * smooth / smooth.square().mean().sqrt()


def marked(image: Tensor) -> Tensor:
    """A picture (3, H, W) in [0, 1] with the mark; not clamped."""
    return image + pattern(image.shape[-2], image.shape[-1], image.device)


def score(frames: Iterable[NDArray[np.uint8]]) -> float:
    """How surely there is a mark in a picture, or the frames of a video: see `CERTAIN`.

    Without one it is near 0, with a standard deviation of about 1, whatever the pictures show.

    Args:
        frames: (H, W, 3) RGB; the first `FRAMES` of them count.
    """
    import cv2

    total, count = np.zeros((CELLS, CELLS), np.float32), 0
    for frame in frames:
        grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32)
        total += cv2.resize(grey, (CELLS, CELLS), interpolation=cv2.INTER_AREA)
        count += 1
        if count == FRAMES:
            break
    seen, hidden = _sharp(total / max(count, 1)), _sharp(cells())
    quiet = cv2.GaussianBlur(seen * seen, (0, 0), 1.5) + NOISE**2
    weighed = seen / quiet
    return float((weighed * hidden).sum() / (np.linalg.norm(weighed) * hidden.std() + 1e-9))


def _sharp(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """(G, G) less what is smooth in it."""
    import cv2

    return image - cv2.GaussianBlur(image, (0, 0), 1.0)
