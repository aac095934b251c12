"""From frames in memory to a training batch: pairs of one take, cropped, masked, augmented.

Axis legend: B sources, T = 2B targets, F frames, K takes, H W pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from mien.data.shards import Frames
from mien.model import instantiate
from mien.model.motion import eye_signals
from mien.structures import Camera, TensorRecord
from mien.train import augment, losses
from mien.train.reader import face_centre


@dataclass(frozen=True)
class Batch(TensorRecord):
    """Source portraits and what they should look like when driven.

    Each source has two targets, so that encoding, the dearest part of a step, is paid once for
    both: target b is seen whole, target B + b through a window on the face at full resolution.

    Args:
        source, source_alpha: (B, 3|1, S, S) premultiplied portraits, as bad as photos come.
        source_camera: (B,) their cameras.
        source_landmarks: (B, 478, 3) canonical.
        target, target_alpha: (T, 3|1, V, V) the views to match.
        target_camera: (T,) cameras of the views, crops included.
        target_landmarks: (T, 478, 3) canonical, the driver's own.
        driver_landmarks: (T, 478, 3) the same expression as if a stranger made it.
        driver_image: (T, 3, S, S) the whole target frames, for the image motion encoder.
        known: (T, 1, V, V) 1 where the target frame holds a picture.
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

    def regions(self) -> Tensor:
        """(T, 1, V, V) weights of the views: more on eyes, brows and mouth."""
        camera = self.target_camera
        points = camera.project(self.target_landmarks)
        scale = camera.intrinsics[:, 0, 0] / camera.world_from_cam[:, :3, 3].norm(dim=-1)
        return losses.region_weights(points, scale, self.target.shape[-1])


# Landmarks of the lips, chin and brows: what expressions move, eyes apart.
EXPRESSIVE = [13, 14, 61, 291, 17, 0, 105, 334, 55, 285, 152]

WINDOW_JITTER = 0.05
"""How far a window's middle strays from the face's, in units of image size."""

SYNTHETIC = "synth-"
"""How the names of people begin who were rendered (see `synth.dataset`)."""


def expression(landmarks: Tensor) -> Tensor:
    """(F, 39) what makes frames (F, 478, 3) differ, in units in which a visible change is 1."""
    points = landmarks[:, EXPRESSIVE].flatten(1) / 0.01
    return torch.cat([points, eye_signals(landmarks) / 0.06], 1)


class Sampler(Protocol):
    """What draws batches."""

    def draw(self, count: int, view: int, generator: torch.Generator) -> Batch:
        """See `PairSampler.draw`."""
        ...


class PairSampler:
    """Draws a source and two targets of one take; takes of one frame pair with themselves.

    Args:
        frames: the set; its tensors stay where they are.
        stills: share of a batch drawn from takes with fewer than `MOVING` frames. The mean face
            of a take counts as its person's from `STEADY` frames on.
        synthetic: share drawn from rendered people, where there are any.
        partner: (478,) left–right twin of each landmark.
    """

    MOVING = 4
    STEADY = 16

    def __init__(self, frames: Frames, stills: float, synthetic: float, partner: Tensor) -> None:
        self.frames = frames
        self.partner = partner.to(frames.pixels.device)
        take = frames.take.cpu()
        self._order = torch.argsort(take, stable=True)
        self._counts = counts = torch.bincount(take, minlength=len(frames.takes))
        self._first = counts.cumsum(0) - counts
        rendered = torch.tensor([person.startswith(SYNTHETIC) for person in frames.people])
        moving = counts >= self.MOVING
        shares = (
            (~rendered & ~moving & (counts > 0), stills),
            (~rendered & moving, 1.0 - stills - synthetic),
            (rendered & (counts > 0), synthetic),
        )
        pools = [(torch.nonzero(mask)[:, 0], share) for mask, share in shares if mask.any()]
        self._pools = [pool for pool, _ in pools]
        self._shares = torch.tensor([share for _, share in pools])
        self._signals = expression(frames.landmarks).cpu()
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
        """Frame numbers of sources (count,) and targets (2 · count,).

        People of whom there is a single photo come first, rendered ones last: who is driven and
        turned without a true picture to go by is taken from the front (see `objective`), and who
        drives them from the back.
        """
        pools = torch.multinomial(self._shares, count, replacement=True, generator=generator)
        pools = pools.sort().values
        draws = torch.rand(6, count, generator=generator)
        take = torch.empty(count, dtype=torch.long)
        for number, pool in enumerate(self._pools):
            mask = pools == number
            take[mask] = pool[(draws[0, mask] * len(pool)).long()]
        offset, length = self._first[take], self._counts[take]
        source, *others = (self._order[offset + (draw * length).long()] for draw in draws[1:])
        # Of two candidates the one whose face differs more: talking heads mostly repeat themselves.
        own = self._signals[source]
        near = [(self._signals[rows] - own).norm(dim=1) for rows in others]
        whole = torch.where(near[0] > near[1], others[0], others[1])
        window = torch.where(near[2] > near[3], others[2], others[3])
        return source, torch.cat([whole, window])

    def draw(self, count: int, view: int, generator: torch.Generator) -> Batch:
        """A batch of `count` sources, each with two targets of `view`² pixels.

        Index draws come from `generator` (on the CPU), augmentation from torch's own state: seed
        both from the step to make runs repeatable.
        """
        device = self.frames.pixels.device
        rows = torch.cat(self.indices(count, generator)).to(device)
        mirrored = (torch.rand(count, generator=generator) < 0.5).to(device).repeat(3)
        read = read_rows(self.frames, rows, mirrored, self.partner)
        pictures = augment.recolour(read.pixels, read.alpha, count)
        layers = torch.cat([pictures, read.alpha, read.known], 1)
        whole, window = slice(count, 2 * count), slice(2 * count, None)
        face = face_centre(read.camera[window], read.landmarks[window])
        seen, near = _window(layers[window], read.camera[window], face, view)
        views = torch.cat([instantiate.resize(layers[whole], view), seen])
        target = read[count:]
        source, source_alpha = augment.degrade(pictures[:count], read.alpha[:count])
        return Batch(
            source=source,
            source_alpha=source_alpha,
            source_camera=read.camera[:count],
            source_landmarks=read.landmarks[:count],
            target=views[:, :3] * views[:, 4:],
            target_alpha=views[:, 3:4],
            target_camera=Camera(
                torch.cat([read.camera[whole].world_from_cam, near.world_from_cam]),
                torch.cat([read.camera[whole].intrinsics, near.intrinsics]),
            ),
            target_landmarks=target.landmarks,
            driver_landmarks=augment.foreign_face(
                target.landmarks, self.take_means, self._mean_row[target.take]
            ),
            driver_image=pictures[count:],
            known=views[:, 4:],
        )


@dataclass(frozen=True)
class Read(TensorRecord):
    """Rows of a set, (B, …) each, ready to be drawn into a batch; `known` is (B, 1, S, S)."""

    pixels: Tensor
    alpha: Tensor
    known: Tensor
    camera: Camera
    landmarks: Tensor
    take: Tensor


def read_rows(frames: Frames, rows: Tensor, mirrored: Tensor, partner: Tensor) -> Read:
    """Rows (B,) of a set, those that are `mirrored` (B,) flipped left to right with all labels.

    Args:
        partner: (478,) left–right twin of each landmark.
    """
    pixels = frames.pixels[rows].float() / 255.0
    known = inside_mask(frames.inside[rows], pixels.shape[-1])
    camera, landmarks = frames.camera[rows], frames.landmarks[rows]
    pick = mirrored[:, None, None, None]
    pixels = torch.where(pick, pixels.flip(-1), pixels)
    known = torch.where(pick, known.flip(-1), known)
    flipped = augment.mirror_camera(camera)
    return Read(
        pixels=pixels[:, :3],
        alpha=pixels[:, 3:],
        known=known,
        camera=Camera(
            torch.where(pick[..., 0], flipped.world_from_cam, camera.world_from_cam),
            camera.intrinsics,
        ),
        landmarks=torch.where(
            pick[..., 0], augment.mirror_landmarks(landmarks, partner), landmarks
        ),
        take=frames.take[rows],
    )


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


def _window(pictures: Tensor, camera: Camera, face: Tensor, view: int) -> tuple[Tensor, Camera]:
    """Windows of `view`² of the frames' own pixels, on the face; small frames stay whole.

    Args:
        pictures: (B, C, S, S) frames.
        camera: (B,) theirs.
        face: (B, 2) the middle of the face, in units of image size.
        view: side of the windows in pixels.
    """
    b, _, side, _ = pictures.shape
    if side <= view:
        return instantiate.resize(pictures, view), camera
    jitter = augment.uniform((b, 2), -WINDOW_JITTER, WINDOW_JITTER, pictures)
    corner = ((face + jitter) * side - view / 2).round().long().clamp(0, side - view)
    ticks = torch.arange(view, device=pictures.device)
    columns, rows = (corner[:, axis, None] + ticks for axis in (0, 1))
    batch = torch.arange(b, device=pictures.device)[:, None, None]
    windows = pictures[batch, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
    centre = (corner + view / 2) / side
    return windows.contiguous(), camera.zoomed(centre, side / view)
