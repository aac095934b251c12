"""The *distil* stage: true pairs as in `animate`, and photos that a teacher made move.

A teacher's picture shows one view. So that it teaches in three dimensions (paper, section 3), the
student as it was before this stage, frozen, lifts the picture to an avatar and shows it from
somewhere else; the learning student, which sees the photo and is told the motion, should look
like that from there too.

Axis legend: B photos, T = 2B pictures, H W pixels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from mien.data.shards import Frames
from mien.model.network import Network
from mien.render import Backend, splat
from mien.structures import Avatar, Gaussians
from mien.train import losses
from mien.train.adversary import Views
from mien.train.animate import READ_OFF_RENDERS, WEIGHTS, Animate, AnimateConfig, Stage
from mien.train.batches import Batch
from mien.train.reader import Reader, face_crop, turned
from mien.train.taught import Lesson, LessonSampler, TaughtSampler

LIFT = (math.radians(40.0), math.radians(15.0))
"""Radians of yaw and pitch within which lifted pictures are seen."""

TAUGHT_WEIGHTS = {"taught": 0.5, "taught_reading": 0.15, "lifted": 0.5}
"""Half of what true frames weigh: the teacher errs, and true frames show no strangers moving."""

PIXELS = ("l1", "ssim", "alpha")
"""Terms of `losses.compare` that make up a pixel term, in the weights of `animate`."""


class Distill(Animate):
    """A lesson to its losses: those of `Animate` on the true frames, and those of the taught.

    Args:
        network, reader, backend, compile: see `Animate`.
        frozen: the student that lifts the teacher's pictures; None: they teach their own view only.
    """

    def __init__(
        self,
        network: Network,
        reader: Reader,
        backend: Backend,
        compile: bool,
        frozen: Network | None,
    ) -> None:
        super().__init__(network, reader, backend, compile)
        self.frozen = frozen.eval().requires_grad_(False) if frozen else None
        if frozen and compile:
            frozen.encoder.compile(dynamic=False)

    def forward(
        self, batch: Batch, grid: int, precision: torch.dtype, judged: bool = False
    ) -> tuple[dict[str, Tensor], Views]:
        """Loss terms (unweighted scalars), and what was drawn of the true pairs."""
        assert isinstance(batch, Lesson)
        terms, views = super().forward(batch, grid, precision, judged)
        return terms | self._taught(batch.taught, grid, precision), views

    def _taught(self, batch: Batch, grid: int, precision: torch.dtype) -> dict[str, Tensor]:
        """What the taught pictures say, seen from where the teacher saw them and elsewhere."""
        network, device = self.network, batch.source.device
        with torch.autocast(device.type, precision, enabled=precision != torch.float32):
            own, told = (
                network.motion(x) for x in (batch.source_landmarks, batch.driver_landmarks)
            )
            avatar = network.encode(
                batch.source, batch.source_alpha, batch.source_camera, own, grid
            )
            gaussians, _ = network.animate(avatar.map(lambda part: torch.cat([part, part])), told)
        side = batch.target.shape[-1]
        rendered = splat(gaussians, batch.target_camera, (side, side), backend=self.backend)
        picture = rendered.image * batch.known
        terms = {
            "taught": self._pixels(
                picture,
                rendered.alpha,
                batch.target,
                batch.target_alpha,
                batch.known,
                regions=batch.regions(),
            ),
            "taught_reading": self._taught_reading(batch, picture, precision),
        }
        if self.frozen is not None:
            terms["lifted"] = self._lifted(self.frozen, batch, avatar, told, grid, precision)
        return terms

    def _taught_reading(self, batch: Batch, picture: Tensor, precision: torch.dtype) -> Tensor:
        """How expressions read off renders differ from those read off the taught pictures.

        Neither teaches the reader: their landmarks are of somebody else's face.
        """
        camera, landmarks = batch.target_camera, batch.target_landmarks
        with torch.autocast(picture.device.type, precision, enabled=precision != torch.float32):
            truth, _ = self.reader.judge(face_crop(batch.target, camera, landmarks))
            said, _ = self.reader.judge(face_crop(picture, camera, landmarks))
        return self.reader.error(said, truth.detach())

    def _lifted(
        self,
        frozen: Network,
        batch: Batch,
        avatar: Avatar,
        told: Tensor,
        grid: int,
        precision: torch.dtype,
    ) -> Tensor:
        """How the first picture of each photo, lifted and turned, differs from the driven photo."""
        first = slice(len(batch.source))
        camera = turned(batch.source_camera, LIFT)
        landmarks = batch.target_landmarks[first]
        side, device = batch.target.shape[-1], batch.target.device
        with torch.autocast(device.type, precision, enabled=precision != torch.float32):
            truth = lift(frozen, batch[first], grid)
            gaussians, _ = self.network.animate(avatar, told[first])
        truth, picture = (
            splat(shape, camera, (side, side), backend=self.backend) for shape in (truth, gaussians)
        )
        scale = camera.intrinsics[:, 0, 0] / camera.world_from_cam[:, :3, 3].norm(dim=-1)
        return self._pixels(
            picture.image,
            picture.alpha,
            truth.image,
            truth.alpha,
            torch.ones_like(truth.alpha),
            regions=losses.region_weights(camera.project(landmarks), scale, side),
        )

    def _pixels(self, *pictures: Tensor, regions: Tensor) -> Tensor:
        """One term of all that `losses.compare` says."""
        terms = self._compare(*pictures, regions=regions)
        return torch.stack([WEIGHTS[name] * terms[name] for name in PIXELS]).sum()


@torch.no_grad()
def lift(frozen: Network, batch: Batch, grid: int) -> Gaussians:
    """The pictures of a batch with as many targets as sources, as Gaussians (B, …) of their own."""
    latent = frozen.motion(batch.target_landmarks)
    avatar = frozen.encode(batch.target, batch.target_alpha, batch.target_camera, latent, grid)
    return frozen.animate(avatar, latent)[0]


@dataclass(frozen=True)
class DistillStage(Stage):
    """True pairs and taught pictures together.

    Args:
        weights, waiting: see `Stage`.
        taught: the teacher's pictures, on the device to train on.
        batch: photos of taught pictures a process and step, each with two pictures.
        frozen: the student that lifts them; None: they teach their own view only.
    """

    weights: Mapping[str, float] = field(default_factory=lambda: WEIGHTS | TAUGHT_WEIGHTS)
    waiting: tuple[str, ...] = (*READ_OFF_RENDERS, "taught_reading")
    taught: Frames = field(kw_only=True)
    batch: int = field(kw_only=True)
    frozen: Network | None = field(kw_only=True)

    def sampler(self, frames: Frames, partner: Tensor, config: AnimateConfig) -> LessonSampler:
        """What draws lessons."""
        return LessonSampler(
            super().sampler(frames, partner, config),
            TaughtSampler(frames, self.taught, partner),
            self.batch,
        )

    def module(self, network: Network, reader: Reader, config: AnimateConfig) -> Distill:
        """What turns lessons to losses."""
        return Distill(network, reader, config.backend, config.compile, self.frozen)
