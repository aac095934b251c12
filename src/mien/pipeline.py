"""The whole flow, one call per arrow.

    photo ─ preprocess ─► Portrait ─ encode ─► Avatar (canonical Gaussians: f, m)
    driving frames ─ preprocess ─► Take ─ motion ─► Motion ┐
                                   Avatar ──── animate ────┴─► Gaussians ─ render ─► frame

Nothing is hidden: every step takes values and returns values, and networks are arguments.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from mien.model.network import Network, prune
from mien.preprocess.take import Take
from mien.render import Backend, splat
from mien.structures import Avatar, Camera, Motion, Portrait, Rendered, rigid_inverse

ORBIT_YAW = 0.5
"""Radians to either side that an orbiting camera swings."""

ORBIT_SECONDS = 6.0
"""How long one swing there and back takes."""


@dataclass(frozen=True)
class Direction:
    """How a take is played on an avatar.

    Args:
        pose: whether the head follows the driver's, keeps still and frontal, or is orbited.
        retarget: "absolute" makes the driver's expression; "relative" adds the driver's change
            from its own median to the photo's expression, which keeps more of the photo.
        strength: 1 as the driver; less is calmer, more exaggerates.
    """

    pose: Literal["follow", "fixed", "orbit"] = "follow"
    retarget: Literal["absolute", "relative"] = "absolute"
    strength: float = 1.0


@torch.no_grad()
def encode(network: Network, portrait: Portrait, grid: int) -> Avatar:
    """A portrait to an avatar of at most grid² + (grid/2)² Gaussians; invisible ones are dropped.

    Args:
        network: a preset's networks; the avatar lands on their device.
        portrait: from `preprocess`.
        grid: side of the front layer (see `presets.DETAIL`), even.
    """
    portrait = portrait.to(device_of(network))
    batch = portrait.map(lambda t: t[None])
    latent = network.motion(batch.landmarks)
    avatar = network.encode(batch.image, batch.alpha, batch.camera, latent, grid)
    return prune(avatar[0], network.decoder)


@torch.no_grad()
def motion(network: Network, take: Take, audio: str | None = None) -> Motion:
    """A tracked take to motion latents; `audio` is the file whose sound belongs to it, if any."""
    landmarks = torch.from_numpy(take.landmarks).to(device_of(network))
    return Motion(
        latents=network.motion(landmarks).cpu(),
        cam_from_head=torch.from_numpy(take.cam_from_head),
        times=torch.from_numpy(take.times),
        fps=take.fps,
        preset=network.config.preset,
        audio=audio,
    )


def directed(avatar: Avatar, take: Motion, direction: Direction) -> tuple[Tensor, Camera]:
    """What each frame of a take asks of an avatar.

    Returns:
        latents (T, D) to drive with, and the cameras (T,) to look through.
    """
    own = avatar.source_latent
    latents = take.latents.to(own.device)
    if direction.retarget == "relative":
        latents = own + latents - latents.median(0).values
    latents = own + direction.strength * (latents - own)
    cameras = _follow(take) if direction.pose == "follow" else _around(take, direction.pose)
    intrinsics = avatar.intrinsics.expand(len(take), 3, 3)
    return latents, replace(cameras.to(own.device), intrinsics=intrinsics)


def _follow(take: Motion) -> Camera:
    return Camera(rigid_inverse(take.cam_from_head), torch.eye(3).expand(len(take), 3, 3))


def _around(take: Motion, pose: str) -> Camera:
    swing = ORBIT_YAW if pose == "orbit" else 0.0
    return Camera.orbit(swing * torch.sin(take.times.float() * (2 * math.pi / ORBIT_SECONDS)))


@torch.no_grad()
def render(
    network: Network,
    avatar: Avatar,
    latent: Tensor,
    camera: Camera,
    size: int,
    backend: Backend = "auto",
) -> Rendered:
    """One frame: an avatar told `latent` (D,), seen by `camera`, `size`² pixels over black."""
    gaussians, _ = network.animate(avatar, latent)
    return splat(gaussians, camera, (size, size), backend=backend)


def play(
    network: Network,
    avatar: Avatar,
    take: Motion,
    direction: Direction,
    size: int,
    background: Tensor | None = None,
) -> Iterator[Tensor]:
    """The frames of a take played on an avatar, (size, size, 3) uint8 each, one by one.

    Args:
        background: (3, size, size) or (3, 1, 1) in [0, 1]; black without.
    """
    latents, cameras = directed(avatar, take, direction)
    for index in range(len(take)):
        frame = render(network, avatar, latents[index], cameras[index], size)
        image = frame.image
        if background is not None:
            image = image + (1.0 - frame.alpha) * background.to(image.device)
        yield (image.clamp(0, 1) * 255 + 0.5).to(torch.uint8).permute(1, 2, 0).cpu()


def device_of(network: Network) -> torch.device:
    """Where a network lives."""
    return next(network.parameters()).device
