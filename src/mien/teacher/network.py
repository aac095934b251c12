"""The teacher's network: a noisy picture, a photo, a motion and a camera to the clean picture.

    photo ─ twin ──────────────── tokens ─┐ reference attention
    noisy ─ down ─ 64² ─ 32² ─ 16² ─ up ──┴──► picture
    level, motions, cameras ─ adaLN ─┘

Pixels, not latents: 4×4 pixels fold into channels, so the finest grid is 64² for 256² pictures and
no autoencoder limits how sharp an iris or a tooth can be.

Axis legend: B batch, D latent, E condition, P place channels, S side in pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mien.model.motion import LandmarkMotion
from mien.structures import FOV_WIDE, RADIUS, Camera, focal_from_fov
from mien.teacher.blocks import Level, zeroed

CHANNELS = 4
"""Premultiplied RGB and alpha."""

HEAD_RADIUS = 0.3
"""A ball about the size of a head, in canonical units, that rays are meant to hit."""

PLACES = 21
"""Channels of `places`: a point in space, and the sines and cosines of its first three octaves."""

CAMERA = 16
"""Numbers of `camera_numbers`."""

TIME = 64
"""Numbers that the noise level is told in."""


@dataclass(frozen=True)
class FlowConfig:
    """Sizes of the teacher.

    Args:
        side: S of its pictures.
        fold: how many pixels a side go into one cell of the finest grid.
        widths: channels at each resolution, finest first; all but the finest attend.
        depths: blocks at each resolution.
        latent: D.
        condition: E.
    """

    side: int = 256
    fold: int = 4
    widths: tuple[int, ...] = (128, 256, 384)
    depths: tuple[int, ...] = (2, 2, 4)
    latent: int = 64
    condition: int = 512


def places(camera: Camera, side: int) -> Tensor:
    """(B, 21, side, side): where on the head the pixels of cameras (B,) look.

    The nearest point of each ray to a ball of a head's size: the same spot of a face gets about
    the same numbers in all views, so attention across views need not learn perspective.
    """
    world, intrinsics = camera.world_from_cam.float(), camera.intrinsics.float()
    ticks = (torch.arange(side, device=world.device) + 0.5) / side
    y, x = torch.meshgrid(ticks, ticks, indexing="ij")
    focal, centre = intrinsics[:, 0, 0, None, None], intrinsics[:, :2, 2, None, None]
    rays = torch.stack([(x - centre[:, 0]) / focal, (y - centre[:, 1]) / focal], 1)
    rays = F.normalize(torch.cat([rays, torch.ones_like(rays[:, :1])], 1), dim=1)
    # No matrix product: autocast would round it, and directions with it.
    rays = (world[:, :3, :3, None, None] * rays[:, None]).sum(2)
    origin = world[:, :3, 3, None, None]
    along = -(rays * origin).sum(1, keepdim=True)
    miss = (origin + along * rays).pow(2).sum(1, keepdim=True)
    points = origin + (along - (HEAD_RADIUS**2 - miss).clamp_min(0.0).sqrt()) * rays
    points = points / HEAD_RADIUS
    waves = [f(points * (math.pi * 2.0**k)) for k in range(3) for f in (torch.sin, torch.cos)]
    return torch.cat([points, *waves], 1)


def camera_numbers(target: Camera, source: Camera) -> Tensor:
    """(B, 16): the target camera relative to the source's, and both framings."""
    with torch.autocast(target.world_from_cam.device.type, enabled=False):
        relative = target.cam_from_world @ source.world_from_cam
    shift = relative[:, :3, 3] / RADIUS
    framing = [
        (camera.intrinsics[:, 0, 0] / focal_from_fov(FOV_WIDE)).log() for camera in (target, source)
    ]
    centre = target.intrinsics[:, :2, 2] - 0.5
    return torch.cat([relative[:, :3, :3].flatten(1), shift, torch.stack(framing, 1), centre], 1)


def level_numbers(level: Tensor) -> Tensor:
    """(B, 64) waves of the noise levels (B,)."""
    octaves = torch.exp(torch.linspace(0.0, math.log(1000.0), TIME // 2, device=level.device))
    angles = level.float()[:, None] * octaves
    return torch.cat([angles.sin(), angles.cos()], 1)


class Pyramid(nn.Module):
    """Fine to coarse, twice: over the photo, and over the noisy picture.

    Args:
        config: sizes.
        reference: whether its attention sees the photo's tokens.
    """

    def __init__(self, config: FlowConfig, reference: bool) -> None:
        super().__init__()
        inputs = CHANNELS * config.fold**2 + PLACES
        self.fold = config.fold
        self.stem = nn.Conv2d(inputs, config.widths[0], 3, padding=1)
        self.levels = nn.ModuleList(
            Level(
                config.widths[max(0, i - 1)],
                width,
                depth,
                config.condition,
                attention=i > 0,
                reference=reference,
                places=PLACES,
            )
            for i, (width, depth) in enumerate(zip(config.widths, config.depths, strict=True))
        )

    def forward(
        self,
        picture: Tensor,
        condition: Tensor,
        where: list[Tensor],
        references: list[list[Tensor]],
    ) -> tuple[list[Tensor], list[list[Tensor]]]:
        """Features, and tokens of the attention blocks, of each level.

        Args:
            picture: (B, 4, S, S).
            condition: (B, E).
            where: `places` at each level's resolution.
            references: tokens of each level of the photo's pyramid, or an empty list a level.
        """
        x = self.stem(torch.cat([F.pixel_unshuffle(picture, self.fold), where[0]], 1))
        features, tokens = [], []
        for i, level in enumerate(self.levels):
            x = F.avg_pool2d(x, 2) if i else x
            x, left = level(x, condition, where[i], references[i])
            features.append(x)
            tokens.append(left)
        return features, tokens


@dataclass(frozen=True)
class Reference:
    """What the network keeps of photos, computed once for all noise levels.

    Args:
        tokens: of each attention block of each level, (B, N, C).
        latent: (B, D) motion latents of the photos.
        camera: (B,) their cameras.
    """

    tokens: list[list[Tensor]]
    latent: Tensor
    camera: Camera

    def repeat(self, times: int) -> Reference:
        """The whole batch, several times over: row b + k·B is photo b."""
        return Reference(
            [[part.repeat(times, 1, 1) for part in level] for level in self.tokens],
            self.latent.repeat(times, 1),
            self.camera.map(lambda part: part.repeat(times, 1, 1)),
        )


class FlowNetwork(nn.Module):
    """The denoiser, its twin for the photo, and the motion encoder they learn with.

    Args:
        config: sizes.
    """

    def __init__(self, config: FlowConfig) -> None:
        super().__init__()
        self.config = config
        self.motion = LandmarkMotion(config.latent)
        # Stands for "any motion" where guidance wants to know what a picture owes to the driver.
        self.no_motion = nn.Parameter(torch.zeros(config.latent))
        e = config.condition

        def embed(inputs: int) -> nn.Sequential:
            return nn.Sequential(nn.Linear(inputs, e), nn.SiLU(), nn.Linear(e, e), nn.SiLU())

        self.photo_condition = embed(config.latent)
        self.condition = embed(TIME + 2 * config.latent + CAMERA)
        self.twin = Pyramid(config, reference=False)
        self.down = Pyramid(config, reference=True)
        self.up = nn.ModuleList(
            Level(
                config.widths[i + 1] + config.widths[i],
                config.widths[i],
                config.depths[i],
                e,
                attention=i > 0,
                reference=True,
                places=PLACES,
            )
            for i in reversed(range(len(config.widths) - 1))
        )
        self.norm = nn.GroupNorm(8, config.widths[0])
        last = nn.Conv2d(config.widths[0], CHANNELS * config.fold**2, 3, padding=1)
        self.out = zeroed(last)

    def where(self, camera: Camera) -> list[Tensor]:
        """`places` at the resolution of each level."""
        side = self.config.side // self.config.fold
        return [places(camera, side >> i) for i in range(len(self.config.widths))]

    def read(self, photo: Tensor, camera: Camera, latent: Tensor) -> Reference:
        """What the photos hold.

        Args:
            photo: (B, 4, S, S) premultiplied RGB and alpha, in [-1, 1].
            camera: (B,) that see them.
            latent: (B, D) their own motion.
        """
        empty: list[list[Tensor]] = [[] for _ in self.config.widths]
        condition = self.photo_condition(latent)
        _, tokens = self.twin(photo, condition, self.where(camera), empty)
        return Reference(tokens, latent, camera)

    def forward(
        self, noisy: Tensor, level: Tensor, reference: Reference, latent: Tensor, camera: Camera
    ) -> Tensor:
        """The clean pictures that noisy ones come from.

        Args:
            noisy: (B, 4, S, S).
            level: (B,) noise levels in [0, 1].
            reference: of B photos.
            latent: (B, D) driving motion, or `no_motion`.
            camera: (B,) to see the head from.
        """
        numbers = [level_numbers(level), latent, reference.latent]
        numbers.append(camera_numbers(camera, reference.camera))
        condition = self.condition(torch.cat([part.float() for part in numbers], 1))
        where = self.where(camera)
        features, _ = self.down(noisy, condition, where, reference.tokens)
        x = features.pop()
        for decode in self.up:
            i = len(features) - 1
            x = torch.cat([F.interpolate(x, scale_factor=2.0), features.pop()], 1)
            x, _ = decode(x, condition, where[i], reference.tokens[i])
        return F.pixel_shuffle(self.out(F.silu(self.norm(x))), self.config.fold)
