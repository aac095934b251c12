"""Pictures that show how training goes, and the held-out figures beside them.

Axis legend: B batch, P photos, T frames, S V sides in pixels.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from mien.data.shards import Frames
from mien.model import instantiate
from mien.model.network import Network
from mien.render import Backend, splat
from mien.structures import Avatar, Camera
from mien.train import losses

YAWS = (-40.0, -20.0, 0.0, 20.0, 40.0)
"""Degrees by which the views of a sheet turn from the frontal camera."""


@torch.no_grad()
def encode(network: Network, frames: Frames, rows: Tensor, grid: int) -> Avatar:
    """Avatars (B, …) of some frames."""
    pixels = frames.pixels[rows].float() / 255.0
    latent = network.motion(frames.landmarks[rows])
    return network.encode(pixels[:, :3], pixels[:, 3:], frames.camera[rows], latent, grid)


@torch.no_grad()
def view(
    network: Network, avatar: Avatar, latent: Tensor, camera: Camera, side: int, backend: Backend
) -> Tensor:
    """(B, 3, side, side) in [0, 1]: avatars told `latent` (B, D), seen by `camera` (B,)."""
    gaussians, _ = network.animate(avatar, latent)
    return splat(gaussians, camera, (side, side), backend=backend).image.clamp(0, 1)


@torch.no_grad()
def self_reenactment(
    network: Network, frames: Frames, grid: int, side: int, backend: Backend, per_take: int = 6
) -> tuple[dict[str, float], Tensor]:
    """Drive each take's first frame with later frames of the same take.

    Returns:
        mean PSNR over takes of the output and of the still source (the floor), both against the
        true frames, and a sheet of rows: source, then truth above output.
    """
    scores, rows = [], []
    for take in range(len(frames.takes)):
        members = torch.nonzero(frames.take == take)[:, 0]
        if len(members) < 4:
            continue
        picks = torch.linspace(1, len(members) - 1, per_take).round().long()
        source, driven = members[:1], members[picks.to(members.device)]
        avatar = encode(network, frames, source.expand(per_take), grid)
        latent = network.motion(frames.landmarks[driven])
        output = view(network, avatar, latent, frames.camera[driven], side, backend)
        truth = instantiate.resize(frames.pixels[driven, :3].float() / 255.0, side)
        still = instantiate.resize(frames.pixels[source, :3].float() / 255.0, side)
        scores.append(torch.stack([losses.psnr(output, truth), losses.psnr(still, truth)]))
        rows += [torch.cat([still, truth]), torch.cat([still, output])]
    output, floor = torch.stack(scores).mean(0).tolist()
    return {"heldout/psnr": output, "heldout/still": floor}, sheet(rows)


@torch.no_grad()
def portraits(
    network: Network,
    photos: Frames,
    photo_rows: Tensor,
    drivers: Frames,
    driver_rows: Tensor,
    grid: int,
    side: int,
    backend: Backend,
) -> Tensor:
    """A sheet: one row a photo: itself, its yaw sweep, then driven by each driver.

    The first row shows the drivers above their columns.
    """
    count = len(YAWS) + len(driver_rows)
    fov_camera = Camera.orbit(torch.tensor([math.radians(y) for y in YAWS]))
    driven = instantiate.resize(drivers.pixels[driver_rows, :3].float() / 255.0, side)
    blank = driven.new_zeros(1 + len(YAWS), 3, side, side)
    rows = [torch.cat([blank, driven])]
    for row in photo_rows:
        avatar = encode(network, photos, row.expand(count), grid)
        own = avatar.source_latent[: len(YAWS)]
        latent = torch.cat([own, network.motion(drivers.landmarks[driver_rows])])
        turned = fov_camera.to(str(photos.pixels.device))
        world = torch.cat([turned.world_from_cam, drivers.camera.world_from_cam[driver_rows]])
        camera = replace(turned, world_from_cam=world, intrinsics=avatar.intrinsics)
        photo = instantiate.resize(photos.pixels[row[None], :3].float() / 255.0, side)
        rows.append(torch.cat([photo, view(network, avatar, latent, camera, side, backend)]))
    return sheet(rows)


def sheet(rows: list[Tensor]) -> Tensor:
    """Rows of pictures (n, 3, V, V) as one (3, H, W) uint8 picture."""
    picture = torch.cat([torch.cat(list(row), -1) for row in rows], -2)
    return (picture.clamp(0, 1) * 255.0 + 0.5).to(torch.uint8).cpu()
