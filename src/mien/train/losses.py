"""What training minimises: pure functions of pictures.

Axis legend: B batch, C channels, H W pixels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from mien.structures import Camera, rigid_inverse


def psnr(a: Tensor, b: Tensor) -> Tensor:
    """Decibels by which pictures (…) in [0, 1] agree, over all of them, a scalar."""
    return -10.0 * torch.log10((a - b).pow(2).mean())


# Landmarks whose mean is the middle of a region that matters, the region's radius in canonical
# units, and how much more loss counts at its middle.
REGIONS = (
    ((13, 14, 78, 308), 0.055, 6.0),
    ((33, 133, 159, 145), 0.028, 10.0),
    ((263, 362, 386, 374), 0.028, 10.0),
    ((105, 66, 107), 0.030, 4.0),
    ((334, 296, 336), 0.030, 4.0),
)


def region_weights(points: Tensor, radius_scale: Tensor, side: int) -> Tensor:
    """Weight maps that rise on the mouth, the eyes and the brows.

    Args:
        points: (B, 478, 2) projected landmarks in units of image size.
        radius_scale: (B,) image sizes per canonical unit at the head's distance.
        side: H = W of the maps.

    Returns:
        (B, 1, side, side), ≥ 1.
    """
    ticks = (torch.arange(side, device=points.device) + 0.5) / side
    weights = torch.ones(points.shape[0], 1, side, side, device=points.device)
    for indices, radius, emphasis in REGIONS:
        centre = points[:, list(indices)].mean(1)
        sigma = radius * radius_scale
        dx = (ticks[None, :] - centre[:, :1]) / sigma[:, None]
        dy = (ticks[None, :] - centre[:, 1:]) / sigma[:, None]
        falloff = torch.exp(-0.5 * (dy[:, :, None] ** 2 + dx[:, None, :] ** 2))
        weights = weights + emphasis * falloff[:, None]
    return weights


def ssim(a: Tensor, b: Tensor, sigma: float = 1.5) -> Tensor:
    """Local structural similarity (Wang et al. 2004) of (B, C, H, W) in [0, 1], mean over C.

    Returns the (B, 1, H-10, W-10) map, so that it can be weighted.
    """
    ticks = torch.arange(-5, 6, device=a.device, dtype=a.dtype)
    kernel = torch.exp(-0.5 * (ticks / sigma) ** 2)
    kernel = kernel / kernel.sum()
    channels = a.shape[1]

    stacked = torch.cat([a, b, a * a, b * b, a * b], 1)
    row = kernel.expand(5 * channels, 1, 1, 11)
    blurred = F.conv2d(stacked, row, groups=5 * channels)
    blurred = F.conv2d(blurred, row.transpose(-1, -2), groups=5 * channels)
    mean_a, mean_b, aa, bb, ab = blurred.chunk(5, 1)
    c1, c2 = 0.01**2, 0.03**2
    luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    variance = aa - mean_a**2 + bb - mean_b**2
    structure = (2 * (ab - mean_a * mean_b) + c2) / (variance + c2)
    return (luminance * structure).mean(1, keepdim=True)


def dissimilarity(a: Tensor, b: Tensor, weights: Tensor, scales: int = 3) -> Tensor:
    """Weighted mean of 1 − SSIM over an image pyramid (each scale halves), a scalar."""
    total = a.new_zeros(())
    for scale in range(scales):
        if scale:
            a, b, weights = (F.avg_pool2d(x, 2) for x in (a, b, weights))
        total = total + weighted_mean(1.0 - ssim(a, b), weights[..., 5:-5, 5:-5])
    return total / scales


def weighted_mean(error: Tensor, weights: Tensor) -> Tensor:
    """Mean of (B, C, H, W) errors under (B, 1, H, W) weights, a scalar."""
    return (error * weights).sum() / (weights.sum() * error.shape[1]).clamp_min(1e-6)


def compare(
    picture: Tensor,
    alpha: Tensor,
    target: Tensor,
    target_alpha: Tensor,
    known: Tensor,
    *,
    regions: Tensor,
) -> dict[str, Tensor]:
    """How renders differ from true views.

    Args:
        picture, target: (B, 3, V, V).
        alpha, target_alpha: (B, 1, V, V).
        known: (B, 1, V, V) 1 where the truth is known.
        regions: (B, 1, V, V) weights of `region_weights`.
    """
    weights = regions * known
    return {
        "l1": weighted_mean((picture - target).abs(), weights),
        "ssim": dissimilarity(picture, target, weights),
        "alpha": weighted_mean((alpha - target_alpha).abs(), known),
    }


INNER_LIPS = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308)
INNER_LIPS += (324, 318, 402, 317, 14, 87, 178, 88, 95)

RELIEF = tuple(sorted(set(range(468)) - set(INNER_LIPS)))
"""Landmarks whose depth is compared: all of the skin, where an open mouth makes no hole."""

RELIEF_UNIT = 0.02
"""Canonical units of depth that count 1: some four millimetres."""

AXIS_DEPTH = -0.1
"""Where the head's upright axis stands behind its centre, for telling what faces the camera."""


def relief(depth: Tensor, camera: Camera, landmarks: Tensor) -> Tensor:
    """How far the drawn face lies before or behind its landmarks, a scalar.

    Photos of strangers say nothing about depth, and few clips turn the head far: left to pictures
    alone, the network draws flat masks, which turn less than they are told to.

    Args:
        depth: (B, 1, V, V) expected distance along the cameras' z.
        camera: (B,) the views'.
        landmarks: (B, 478, 3) canonical, true in depth.
    """
    points = landmarks[:, list(RELIEF)]
    cam_from_world = rigid_inverse(camera.world_from_cam)
    truth = (points @ cam_from_world[:, 2, :3, None] + cam_from_world[:, None, 2:3, 3])[..., 0]
    where = camera.project(points) * 2.0 - 1.0
    seen = F.grid_sample(depth, where[:, None], align_corners=False)[:, 0, 0]
    # What lies on the head's far side is hidden, and so is what lies beyond the picture.
    outward = F.normalize(points - points.new_tensor([0.0, 0.0, AXIS_DEPTH]), dim=-1)
    towards = F.normalize(camera.world_from_cam[:, None, :3, 3] - points, dim=-1)
    shown = ((outward * towards).sum(-1) > 0.5) & (where.abs().amax(-1) < 1.0) & (seen > 0.0)
    error = F.smooth_l1_loss(seen / RELIEF_UNIT, truth / RELIEF_UNIT, reduction="none")
    return (error * shown).sum() / shown.sum().clamp_min(1)


def feature_distance(real: list[Tensor], fake: list[Tensor]) -> Tensor:
    """Mean relative L1 distance between two lists of features, a scalar."""
    distances = [
        (a.detach() - b).float().abs().mean() / a.detach().float().abs().mean().clamp_min(1e-6)
        for a, b in zip(real, fake, strict=True)
    ]
    return torch.stack(distances).mean()
