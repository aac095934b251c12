"""Planes of features to canonical Gaussians: three ways behind one result.

*ray* (the paper) and *plane* (the authors' newer one) live in `rays.py` with the triplane they
read. *pixel* is Mien's own: one Gaussian a pixel of the posed portrait, on the pixel's ray, and
coarser ones behind for what the photo hides.

Axis legend: B batch, N Gaussians, C channels, G grid side.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from mien.structures import RADIUS, Anchors, Camera

FRONT_DEPTH = RADIUS - 0.07
"""Where visible Gaussians start: the face lies in front of the head's centre."""

BACK_DEPTH = RADIUS + 0.14
"""Where hidden ones start."""

FRONT_DENSITY, BACK_DENSITY = 3.0, 0.0
"""Starting densities before the softplus: nearly opaque in front, faint behind."""

CELLS = 64
"""For `shows_somebody` a portrait is cut into 64 × 64 cells."""

SOMEBODY = 0.1
"""How far some pixel of a cell must be covered for the cell to show somebody."""

SCALE_OF_STEP = 0.6
"""Standard deviation of a Gaussian in units of its grid step: neighbours just overlap."""


def pixel(
    front: Tensor, back: Tensor, image: Tensor, alpha: Tensor, camera: Camera, grid: int
) -> tuple[Tensor, Tensor, Anchors]:
    """One Gaussian per pixel of a `grid`² reading of the portrait, and (grid/2)² behind.

    The same planes can be read at any density: a coarser grid averages features and colours and
    its Gaussians grow with the step.

    Args:
        front: (B, 2C, H, W) plane; features, then basis.
        back: (B, 2C, h, w) plane.
        image: (B, 3, S, S) in [0, 1], premultiplied.
        alpha: (B, 1, S, S).
        camera: (B,) cameras of the portraits.
        grid: G, even.

    Returns:
        features and basis, each (B, N, C), and their anchors; N = G² + (G/2)², front first.
    """
    layers = [
        _layer(front, image, alpha, camera, grid, FRONT_DEPTH, FRONT_DENSITY),
        _layer(back, image, alpha, camera, grid // 2, BACK_DEPTH, BACK_DENSITY),
    ]
    features, basis = torch.cat([plane for plane, _ in layers], 1).chunk(2, -1)
    anchors = [a for _, a in layers]
    return (
        features,
        basis,
        Anchors(
            means=torch.cat([a.means for a in anchors], 1),
            colors=torch.cat([a.colors for a in anchors], 1),
            scales=torch.cat([a.scales for a in anchors], 1),
            density=torch.cat([a.density for a in anchors], 1),
            axes=camera.world_from_cam[..., :3, :3],
        ),
    )


def _layer(
    plane: Tensor,
    image: Tensor,
    alpha: Tensor,
    camera: Camera,
    grid: int,
    depth: float,
    density: float,
) -> tuple[Tensor, Anchors]:
    """One grid of Gaussians: (B, G², 2C) plane features and anchors at `depth` on the rays."""
    batch, device = image.shape[0], image.device
    sampled = resize(plane, grid).flatten(2).transpose(1, 2)
    covered = resize(alpha, grid)
    colors = (resize(image, grid) / covered.clamp_min(0.05)).clamp(0.0, 1.0)
    ticks = (torch.arange(grid, device=device) + 0.5) / grid
    v, u = torch.meshgrid(ticks, ticks, indexing="ij")
    pixels = torch.stack([u, v, torch.ones_like(u)], -1).reshape(1, -1, 3)
    rays = pixels @ torch.linalg.inv(camera.intrinsics).transpose(-1, -2)
    axes, origin = camera.world_from_cam[..., :3, :3], camera.world_from_cam[..., None, :3, 3]
    step = depth / (camera.intrinsics[..., 0, 0] * grid)
    count = grid * grid
    return sampled, Anchors(
        means=origin + (rays * depth) @ axes.transpose(-1, -2),
        colors=colors.flatten(2).transpose(1, 2),
        scales=(SCALE_OF_STEP * step)[:, None].expand(batch, count),
        density=torch.full((batch, count), density, device=device),
        axes=axes,
    )


def resize(image: Tensor, side: int) -> Tensor:
    """(B, C, H, W) to (B, C, side, side): area average when shrinking, bilinear when enlarging."""
    if image.shape[-1] == side:
        return image
    if image.shape[-1] > side:
        return F.interpolate(image, size=(side, side), mode="area")
    return F.interpolate(image, size=(side, side), mode="bilinear", align_corners=False)


def shows_somebody(alpha: Tensor) -> Tensor:
    """(B, 1, 64, 64) of 0 and 1: cells of portraits that show somebody, where alpha (B, 1, S, S)
    says who is covered. What is drawn elsewhere is made up.
    """
    return (F.adaptive_max_pool2d(alpha, CELLS) > SOMEBODY).to(alpha.dtype)
