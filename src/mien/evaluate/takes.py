"""What protocols look at: scenes in the output framing, and what instruments see in them.

Axis legend: T frames, S pixels of a square frame. Frames are RGB uint8 (T, S, S, 3) over black.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mien.evaluate.metrics.image import sharpness
from mien.structures import Camera

Frames = NDArray[np.uint8]
Floats = NDArray[np.floating]

SAMPLED = 16
"""Frames of a take, evenly spread, of which identity is judged; motion takes all."""

PICTURED = 8
"""Frames of a take, evenly spread, that are compared with the true ones: the costliest measures."""

INSIDE = 0.85
"""How much the face's outline is drawn in before sharpness is measured within it."""


@dataclass(frozen=True)
class Track:
    """Where a face is in each frame; NaN where none was found.

    Args:
        points: (T, 478, 3) landmarks in the canonical head frame, the pose removed.
        angles: (T, 3) yaw, pitch and roll of the camera about the head, in degrees.
        pixels: (T, 478, 2) landmarks in pixels of the frame.
    """

    points: Floats
    angles: Floats
    pixels: Floats

    @property
    def found(self) -> NDArray[np.bool_]:
        """(T,) whether there is a face."""
        return np.isfinite(self.points).all((1, 2))

    def __getitem__(self, frames: slice | NDArray[np.integer]) -> Track:
        return Track(self.points[frames], self.angles[frames], self.pixels[frames])


@dataclass(frozen=True)
class Scene:
    """A photo (T = 1) or a clip, as it is and as the output framing shows it.

    Args:
        name: what reports call it.
        images: T pictures as they came, (H, W, 3) uint8.
        crops: (T, S, S, 3) the output framing's view of them.
        alpha: (T, S, S) in [0, 1].
        known: (T, S, S) where the crop lies within the picture; beyond, nothing is compared.
        cameras: (T,) of the crops.
    """

    name: str
    images: Sequence[Frames]
    crops: Frames
    alpha: Tensor
    known: Tensor
    cameras: Camera

    def __len__(self) -> int:
        return len(self.crops)

    def __getitem__(self, frames: slice) -> Scene:
        return Scene(
            self.name,
            self.images[frames],
            self.crops[frames],
            self.alpha[frames],
            self.known[frames],
            self.cameras[frames],
        )


@dataclass(frozen=True)
class Instruments:
    """What looks at frames.

    Args:
        track: frames → where their face is.
        describe: one frame and its landmarks in pixels → identity descriptor (128,).
        codec: frames → frames, through the video encoder that users get.
        pictures: picture metrics by name, of float (B, 3, S, S) pairs.
    """

    track: Callable[[Frames], Track]
    describe: Callable[[Frames, Floats], Floats]
    codec: Callable[[Frames], Frames]
    pictures: dict[str, Callable[[Tensor, Tensor], Tensor]]


@dataclass(frozen=True)
class Take:
    """Frames, and what the instruments see in them.

    Args:
        frames: (T, S, S, 3).
        alpha: (T, S, S) in [0, 1].
        track: of all frames.
        descriptors: (≤ SAMPLED, 128) identity of the sampled frames, NaN without a face.
        sharpness: (≤ SAMPLED,) inside the face of the sampled frames, NaN without a face.
    """

    frames: Frames
    alpha: Tensor
    track: Track
    descriptors: Floats
    sharpness: Floats


def look(frames: Frames, alpha: Tensor, instruments: Instruments) -> Take:
    """Let every instrument see the frames."""
    track = instruments.track(frames)
    picks = sampled(len(frames))
    descriptors = np.full((len(picks), 128), np.nan)
    crisp = np.full(len(picks), np.nan)
    for row, index in enumerate(picks):
        if track.found[index]:
            frame, pixels = frames[index], track.pixels[index]
            descriptors[row] = instruments.describe(frame, pixels)
            mask = face_mask(pixels, frame.shape[:2])
            crisp[row] = sharpness(pictures(frame[None]), mask[None, None]).item()
    return Take(frames, alpha, track, descriptors, crisp)


def sampled(count: int, most: int = SAMPLED) -> NDArray[np.integer]:
    """Indices of at most so many frames, evenly spread, first and last among them."""
    return np.unique(np.linspace(0, count - 1, min(most, count)).round().astype(int))


def pictures(frames: Frames) -> Tensor:
    """Frames (T, S, S, 3) uint8 → (T, 3, S, S) in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2).float() / 255


def frames_of(images: Tensor) -> Frames:
    """(T, 3, S, S) in [0, 1] → frames (T, S, S, 3) uint8."""
    scaled = images.clamp(0, 1).mul(255).round().byte()
    return scaled.permute(0, 2, 3, 1).contiguous().cpu().numpy()


def face_mask(pixels: Floats, shape: tuple[int, ...]) -> Tensor:
    """(H, W), 1 well inside the outline of the landmarks (478, 2)."""
    from scipy.spatial import ConvexHull

    inner = pixels.mean(0) + INSIDE * (pixels - pixels.mean(0))
    edges = ConvexHull(inner).equations  # normals point outwards: inside, all are negative
    y, x = np.mgrid[: shape[0], : shape[1]] + 0.5
    inside = np.ones(shape, bool)
    for a, b, c in edges:
        inside &= a * x + b * y + c < 0
    return torch.from_numpy(inside).float()
