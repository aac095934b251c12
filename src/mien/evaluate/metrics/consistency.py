"""Whether renders from two places show one and the same thing.

A stand-in for MEt3R (Asim et al. 2025), which needs pretrained networks: one render is warped into
the other by the renders' own depth, and compared where both see the same surface.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from mien.structures import Camera, Rendered

SOLID = 0.95
"""Alpha from which a pixel's depth is that of one surface."""

OCCLUDED = 0.03
"""Difference in depth, in canonical units (about 1 cm), from which a point counts as hidden."""


def multi_view_consistency(
    first: Rendered, first_camera: Camera, second: Rendered, second_camera: Camera
) -> tuple[Tensor, Tensor]:
    """Mean absolute difference of the second render to the first warped into its view.

    Args:
        first: the render that is warped, (B, 3, H, W) and so on.
        first_camera: (B,) cameras.
        second: the render that it is compared with.
        second_camera: (B,) cameras.

    Returns:
        The difference (B,), NaN where nothing is seen by both, and the share (B,) of the second
        render's solid pixels that the first sees too.
    """
    where, distance = _reproject(second.depth, second_camera, first_camera)
    grid = 2 * where - 1
    layers = torch.cat([first.image, first.alpha, first.depth], 1)
    seen = grid_sample(layers, grid, padding_mode="zeros", align_corners=False)
    image, alpha, depth = seen.split([3, 1, 1], 1)
    solid = second.alpha > SOLID
    both = solid & (alpha > SOLID) & ((depth - distance).abs() < OCCLUDED)
    difference = ((image - second.image).abs().mean(1, keepdim=True) * both).flatten(1).sum(1)
    count = both.flatten(1).sum(1)
    share = count / solid.flatten(1).sum(1).clamp(min=1)
    return torch.where(count > 0, difference / count.clamp(min=1), torch.nan), share


def _reproject(depth: Tensor, camera: Camera, target: Camera) -> tuple[Tensor, Tensor]:
    """Where the target camera sees each pixel: (B, H, W, 2) in image sizes, depth (B, 1, H, W)."""
    height, width = depth.shape[-2:]
    v = (torch.arange(height, device=depth.device) + 0.5) / height
    u = (torch.arange(width, device=depth.device) + 0.5) / width
    grid = torch.stack([*torch.meshgrid(u, v, indexing="xy"), torch.ones_like(depth[0, 0])], -1)
    rays = grid @ torch.linalg.inv(camera.intrinsics).transpose(-1, -2)[:, None]
    local = rays * depth[:, 0, ..., None]
    world = torch.cat([local, torch.ones_like(local[..., :1])], -1)
    there = target.cam_from_world @ camera.world_from_cam
    points = (world @ there.transpose(-1, -2)[:, None])[..., :3]
    image = points @ target.intrinsics.transpose(-1, -2)[:, None]
    # Points behind the target camera go out of view instead of being mirrored into it.
    z = image[..., 2:]
    where = torch.where(z > 1e-6, image[..., :2] / z.clamp(min=1e-6), -10.0)
    return where, points[..., 2][:, None]
