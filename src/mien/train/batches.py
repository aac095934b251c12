"""From frames in memory to a training batch: pairs of one take, cropped, masked, augmented.

Axis legend: B batch, F frames, K takes, H W pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from mien.data.shards import Frames
from mien.structures import Camera, TensorRecord
from mien.train import augment


@dataclass(frozen=True)
class Batch(TensorRecord):
    """Source portraits and what they should look like when driven.

    Args:
        source, source_alpha: (B, 3|1, S, S) premultiplied portraits.
        source_camera: (B,) their cameras.
        source_landmarks: (B, 478, 3) canonical.
        target, target_alpha: (B, 3|1, V, V) the view to match.
        target_camera: (B,) cameras of the views, crops included.
        target_landmarks: (B, 478, 3) canonical, the driver's own.
        driver_landmarks: (B, 478, 3) the same expression as if a stranger made it.
        driver_image: (B, 3, S, S) the whole target frame, for the image motion encoder.
        known: (B, 1, V, V) 1 where the target frame holds a picture.
    """

    source: Tensor
    source_alpha: Tensor
    source_camera: Camera
    source_landmarks: Tensor
    target: Tensor
    target_alpha: Tensor
    target_camera: Camera
    target_landmarks: Tensor
    driver_landmarks: Tensor
    driver_image: Tensor
    known: Tensor


# Landmarks of the lips, lids, irises and brows: what expressions move.
EXPRESSIVE = [13, 14, 61, 291, 17, 0, 159, 145, 386, 374, 468, 473, 105, 334, 55, 285, 152]


class PairSampler:
    """Draws pairs of frames of one take; takes of one frame (stills) pair with themselves.

    Args:
        frames: the set; its tensors stay where they are.
        stills: share of a batch drawn from takes with fewer than `MOVING` frames. The mean face
            of a take counts as its person's from `STEADY` frames on.
        partner: (478,) left–right twin of each landmark.
    """

    MOVING = 4
    STEADY = 16

    def __init__(self, frames: Frames, stills: float, partner: Tensor) -> None:
        self.frames = frames
        self.partner = partner.to(frames.pixels.device)
        take = frames.take.cpu()
        self._order = torch.argsort(take, stable=True)
        self._counts = counts = torch.bincount(take, minlength=len(frames.takes))
        self._first = counts.cumsum(0) - counts
        moving = counts >= self.MOVING
        self._moving = torch.nonzero(moving)[:, 0]
        self._still = torch.nonzero(~moving & (counts > 0))[:, 0]
        self._stills = stills if len(self._still) else 0.0
        if not len(self._moving):
            self._stills = 1.0
        self._signals = frames.landmarks[:, EXPRESSIVE].flatten(1).cpu()
        self._mean_row, self.take_means = self._means(frames, take)

    def _means(self, frames: Frames, take: Tensor) -> tuple[Tensor, Tensor]:
        """Row of each take in the table of mean faces, and that table (see `foreign_face`)."""
        known = torch.nonzero(self._counts >= self.STEADY)[:, 0]
        row = torch.full((len(frames.takes),), len(known))
        row[known] = torch.arange(len(known))
        sums = torch.zeros(len(frames.takes), *frames.landmarks.shape[1:])
        sums.index_add_(0, take, frames.landmarks.cpu())
        table = torch.cat([sums[known] / self._counts[known, None, None], sums[:1] * 0])
        return row.to(frames.landmarks.device), table.to(frames.landmarks.device)

    def indices(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """(source, target) frame numbers, each (count,)."""
        still = torch.rand(count, generator=generator) < self._stills
        draws = torch.rand(4, count, generator=generator)
        take = torch.empty(count, dtype=torch.long)
        for pool, mask in ((self._still, still), (self._moving, ~still)):
            if len(pool):
                take[mask] = pool[(draws[0, mask] * len(pool)).long()]
        offset, length = self._first[take], self._counts[take]
        source, one, other = (self._order[offset + (draw * length).long()] for draw in draws[1:])
        # Of two candidates the one whose face differs more: talking heads mostly repeat themselves.
        own = self._signals[source]
        near, far = ((self._signals[rows] - own).norm(dim=1) for rows in (one, other))
        return source, torch.where(near > far, one, other)

    def draw(self, count: int, view: int, generator: torch.Generator) -> Batch:
        """A batch of `count` pairs with targets of `view`² pixels.

        Index draws come from `generator` (on the CPU), augmentation from torch's own state: seed
        both from the step to make runs repeatable.
        """
        rows = torch.stack(self.indices(count, generator)).to(self.frames.pixels.device)
        mirrored = torch.rand(count, generator=generator) < 0.5
        zoomed = bool(torch.rand((), generator=generator) < 0.5)
        source, target = (self._read(r, mirrored.to(r.device)) for r in rows)
        pictures = augment.recolour([source.pixels, target.pixels], [source.alpha, target.alpha])
        crop, camera = _window(
            torch.cat([pictures[1], target.alpha, target.known], 1), target.camera, view, zoomed
        )
        return Batch(
            source=pictures[0],
            source_alpha=source.alpha,
            source_camera=source.camera,
            source_landmarks=source.landmarks,
            target=crop[:, :3] * crop[:, 4:],
            target_alpha=crop[:, 3:4],
            target_camera=camera,
            target_landmarks=target.landmarks,
            driver_landmarks=augment.foreign_face(
                target.landmarks, self.take_means, self._mean_row[target.take]
            ),
            driver_image=pictures[1],
            known=crop[:, 4:],
        )

    def _read(self, rows: Tensor, mirrored: Tensor) -> _Read:
        frames = self.frames
        pixels = frames.pixels[rows].float() / 255.0
        known = inside_mask(frames.inside[rows], pixels.shape[-1])
        camera, landmarks = frames.camera[rows], frames.landmarks[rows]
        pick = mirrored[:, None, None, None]
        pixels = torch.where(pick, pixels.flip(-1), pixels)
        known = torch.where(pick, known.flip(-1), known)
        flipped = augment.mirror_camera(camera)
        return _Read(
            pixels=pixels[:, :3],
            alpha=pixels[:, 3:],
            known=known,
            camera=Camera(
                torch.where(pick[..., 0], flipped.world_from_cam, camera.world_from_cam),
                camera.intrinsics,
            ),
            landmarks=torch.where(
                pick[..., 0], augment.mirror_landmarks(landmarks, self.partner), landmarks
            ),
            take=frames.take[rows],
        )


@dataclass(frozen=True)
class _Read(TensorRecord):
    pixels: Tensor
    alpha: Tensor
    known: Tensor
    camera: Camera
    landmarks: Tensor
    take: Tensor


def inside_mask(corners: Tensor, side: int) -> Tensor:
    """(B, 1, side, side) of 0 and 1: pixels inside the convex, clockwise `corners` (B, 4, 2)."""
    ticks = (torch.arange(side, device=corners.device) + 0.5) / side
    y, x = torch.meshgrid(ticks, ticks, indexing="ij")
    inside = torch.ones(corners.shape[0], side, side, dtype=torch.bool, device=corners.device)
    for start in range(4):
        a, b = corners[:, start], corners[:, (start + 1) % 4]
        edge = (b - a)[:, :, None, None]
        cross = edge[:, 0] * (y - a[:, 1, None, None]) - edge[:, 1] * (x - a[:, 0, None, None])
        inside &= cross >= 0
    return inside[:, None].float()


def _window(pictures: Tensor, camera: Camera, view: int, zoomed: bool) -> tuple[Tensor, Camera]:
    """The whole frame shrunk to `view`², or a window of `view`² of its own pixels on the face."""
    b, _, side, _ = pictures.shape
    if not zoomed or side <= view:
        return F.interpolate(pictures, size=(view, view), mode="area"), camera
    middle = (side - view) // 2
    reach = max(1, round(0.1 * side))
    corner = middle + torch.randint(-reach, reach + 1, (b, 2)).clamp(-middle, side - view - middle)
    crops = [
        picture[:, int(top) : int(top) + view, int(left) : int(left) + view]
        for picture, (left, top) in zip(pictures, corner, strict=True)
    ]
    centre = (corner.to(pictures.device, torch.float32) + view / 2) / side
    return torch.stack(crops), camera.zoomed(centre, side / view)
