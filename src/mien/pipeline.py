"""The whole flow, one call per arrow.

    photo ─ preprocess ─► Portrait ─ encode, fit colours ─► Avatar (canonical Gaussians: f, m)
    driving frames ─ preprocess ─► Take ─ motion ─► Motion ┐
                                   Avatar ──── animate ────┴─► Gaussians ─ render ─► frame

Nothing is hidden: every step takes values and returns values, and networks are arguments.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mien.fitting import fit_colors
from mien.model.gaps import close_gaps
from mien.model.matching import avatar_weights, motion_weights
from mien.model.network import Network, prune
from mien.render import Backend, splat
from mien.structures import Avatar, Camera, Motion, Portrait, Rendered, rigid_inverse
from mien.watching import portrait_latent, watch
from mien.watermark import marked

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
        strength: how much of the change from the driver's median is made: 1 as the driver; less is
            calmer, more exaggerates.
    """

    pose: Literal["follow", "fixed", "orbit"] = "follow"
    retarget: Literal["absolute", "relative"] = "absolute"
    strength: float = 1.0


@torch.no_grad()
def encode(
    network: Network, portrait: Portrait, grid: int, *, weights: str | None = None
) -> Avatar:
    """A portrait to an avatar of about grid² + (grid/2)² Gaussians at most.

    More are added where the face's sides would show gaps (see `model.gaps`). Invisible ones, and
    those made up where the photo shows nobody, are dropped; the colours of the others are fitted
    to the photo (see `fitting`).

    Args:
        network: a preset's networks; the avatar lands on their device.
        portrait: from `preprocess`.
        grid: side of the front layer (see `presets.DETAIL`), even.
        weights: the network's `avatar_weights` if they are known; finding them takes a while.
    """
    portrait = portrait.to(device_of(network))
    batch = portrait.map(lambda t: t[None])
    latent = portrait_latent(network, portrait)[None]
    avatar = network.encode(batch.image, batch.alpha, batch.camera, latent, grid)
    whole = close_gaps(network, avatar[0], grid)
    seen = prune(whole, portrait.alpha, portrait.camera, network.decoder)
    fitted = fit_colors(network, seen, portrait)
    return replace(fitted, weights=weights or avatar_weights(network))


@torch.no_grad()
def motion(
    network: Network,
    frames: Iterable[tuple[float, NDArray[np.uint8]]],
    fps: float,
    *,
    face: int | None = None,
    name: str = "the video",
    audio: str | None = None,
) -> Motion:
    """A driver's frames to a take that avatars of the network's preset can perform.

    Args:
        network: whose motion latents to make.
        frames, fps, face, name: as for `preprocess.take.track`.
        audio: the file whose sound belongs to the take, if any.

    Raises:
        MienError: no frame has a face, or there is no such face.
    """
    take, latents = watch(network, frames, fps, face=face, name=name)
    return Motion(
        latents=latents,
        cam_from_head=torch.from_numpy(take.cam_from_head),
        times=torch.from_numpy(take.times),
        fps=take.fps,
        preset=network.config.preset,
        audio=audio,
        landmarks=torch.from_numpy(take.landmarks),
        weights=motion_weights(network),
    )


class Performer(Protocol):
    """What a take asks of an avatar, of whatever kind, to be told: see `structures.Avatar`."""

    @property
    def source_latent(self) -> Tensor:
        """(D,)."""
        ...

    @property
    def intrinsics(self) -> Tensor:
        """(3, 3)."""
        ...


def directed(avatar: Performer, take: Motion, direction: Direction) -> tuple[Tensor, Camera]:
    """What each frame of a take asks of an avatar.

    Returns:
        latents (T, D) to drive with, and the cameras (T,) to look through.
    """
    own = avatar.source_latent
    # Of frames that share memory, as those of a held face do, torch's median is garbage.
    latents = take.latents.to(own.device).contiguous()
    # A single picture shows no face at rest; what it changes is the photo's.
    rest = latents.median(0).values if len(take) > 1 else own
    base = own if direction.retarget == "relative" else rest
    # Exaggerated from the photo's face instead, the driver's features would grow with the motion.
    latents = base + direction.strength * (latents - rest)
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
    antialiased = network.config.antialiased
    return splat(gaussians, camera, (size, size), antialiased=antialiased, backend=backend)


def play(
    network: Network,
    avatar: Avatar,
    take: Motion,
    direction: Direction,
    size: int,
    background: Tensor | None = None,
    *,
    see_through: bool = False,
) -> Iterator[Tensor]:
    """The frames of a take played on an avatar, (size, size, 3) uint8 each, one by one, marked as
    synthetic (see `watermark`).

    Args:
        background: (3, size, size) or (3, 1, 1) in [0, 1]; black without.
        see_through: without a background, (size, size, 4): colours not premultiplied, and alpha.
    """
    latents, cameras = directed(avatar, take, direction)
    for index in range(len(take)):
        frame = render(network, avatar, latents[index], cameras[index], size)
        yield finished(frame, background, see_through=see_through)


def finished(
    frame: Rendered, background: Tensor | None = None, *, see_through: bool = False
) -> Tensor:
    """A frame as it is shown, (H, W, 3 or 4) uint8 on the CPU; see `play`."""
    image = frame.image
    if see_through:
        image = torch.cat([image / frame.alpha.clamp_min(1 / 255), frame.alpha])
    elif background is not None:
        image = image + (1.0 - frame.alpha) * background.to(image.device)
    image = torch.cat([marked(image[:3]), image[3:]])
    return (image.clamp(0, 1) * 255 + 0.5).to(torch.uint8).permute(1, 2, 0).cpu()


def device_of(network: Network) -> torch.device:
    """Where a network lives."""
    return next(network.parameters()).device
