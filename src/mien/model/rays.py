"""*Ray* and *plane* instantiation: a triplane to the features of canonical Gaussians.

*ray* is the paper's: points along rays of one camera, half of them evenly spread, half where the
first half found matter (as in NeRF, Mildenhall et al. 2020, with EG3D's smoothed weights). *plane*
is the authors' newer one: one Gaussian for each pixel of the averaged planes. Positions are not
part of the result: Φ says where a Gaussian is.

Axis legend: N points or Gaussians, R rays, K samples on a ray in one pass, C channels, H W pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from mien.model.decoder import DENSITY_FLOOR
from mien.structures import Camera, TensorRecord

RAY_SIDE = 64
"""Rays are cast through a grid of this many pixels on a side."""

SAMPLES = 24
"""K: evenly spread samples on a ray, and again as many where the first found matter."""

NEAR, FAR = 2.25, 3.5
"""Distances from the camera between which the even samples start."""

PLANE_SIDE = 512
"""*plane* makes one Gaussian for each pixel of a grid of this side."""

BOX_SCALE = 2.0
"""Canonical positions times this are plane coordinates: the planes span a box of side 1."""

Density = Callable[[Tensor], Tensor]
"""Features (*B, C) to densities (*B): the decoder Φ of the unanimated features."""


@dataclass(frozen=True)
class RayDraws(TensorRecord):
    """The chance in ray sampling, said beforehand, so that a seed gives the same avatar anywhere.

    Args:
        coarse: (R, K) uniform in [0, 1): where in its interval each even sample lies.
        fine: (R, K) uniform in [0, 1): quantiles of the matter along the ray.
    """

    coarse: Tensor
    fine: Tensor

    @staticmethod
    def draw(generator: torch.Generator) -> RayDraws:
        """New ones, coarse first, on the generator's device."""
        shape = (RAY_SIDE * RAY_SIDE, SAMPLES)
        coarse, fine = (
            torch.rand(shape, generator=generator, device=generator.device) for _ in range(2)
        )
        return RayDraws(coarse, fine)


def instantiate_rays(
    planes: Tensor, density: Density, camera: Camera, draws: RayDraws
) -> tuple[Tensor, Tensor]:
    """The paper's instantiation: at most 196,608 Gaussians, ordered ray by ray.

    Args:
        planes: (3, 2C, H, W), features, then motion basis.
        density: Φ's density of features (*B, C).
        camera: the *frontal* one, whatever the photo's pose: the planes are canonical.
        draws: see `RayDraws`.

    Returns:
        features and basis, each (N, C), of the points that are dense enough.
    """
    origin, directions = cast_rays(camera)

    def read(depths: Tensor) -> Tensor:
        return read_triplane(planes, origin + depths[..., None] * directions[:, None])

    coarse_depths = even_depths(draws.coarse)
    coarse = read(coarse_depths)
    coarse_density = density(coarse.chunk(2, -1)[0])
    # Where to look is a choice, not something to learn through: gradients go with what is read.
    with torch.no_grad():
        weights = ray_weights(coarse_density)
        fine_depths = matter_depths(coarse_depths, weights, draws.fine)
    fine = read(fine_depths)
    fine_density = density(fine.chunk(2, -1)[0])
    return _keep_dense(
        torch.cat([coarse, fine], 1).flatten(0, 1),
        torch.cat([coarse_density, fine_density], 1).flatten(),
    )


def instantiate_plane(planes: Tensor, density: Density) -> tuple[Tensor, Tensor]:
    """The authors' newer instantiation: at most 262,144 Gaussians, in the order of the pixels.

    Args:
        planes: (3, 2C, H, W), features, then motion basis; H, W ≤ 512.
        density: Φ's density of features (*B, C).

    Returns:
        features and basis, each (N, C), of the pixels that are dense enough.
    """
    mean = planes.mean(0, keepdim=True)
    pixels = F.interpolate(
        mean, size=(PLANE_SIDE, PLANE_SIDE), mode="bilinear", align_corners=False
    )
    values = pixels[0].flatten(1).T
    return _keep_dense(values, density(values.chunk(2, -1)[0]))


def _keep_dense(values: Tensor, density: Tensor) -> tuple[Tensor, Tensor]:
    """Features and basis, each (N', C), where `density` (N,) of `values` (N, 2C) suffices."""
    features, basis = values[density >= DENSITY_FLOOR].chunk(2, -1)
    return features, basis


def read_triplane(planes: Tensor, points: Tensor) -> Tensor:
    """Mean of what the three planes say at canonical points; zero outside them.

    A plane's columns and rows span (x, y), (x, z) and (z, y); rows grow with their coordinate.

    Args:
        planes: (3, C, H, W).
        points: (*B, 3).

    Returns:
        (*B, C).
    """
    x, y, z = (BOX_SCALE * points).reshape(-1, 3).unbind(-1)
    spots = torch.stack([torch.stack(pair, -1) for pair in ((x, y), (x, z), (z, y))])
    values = F.grid_sample(planes, spots[:, None], mode="bilinear", align_corners=False)
    return values[:, :, 0].mean(0).T.reshape(*points.shape[:-1], -1)


def cast_rays(camera: Camera) -> tuple[Tensor, Tensor]:
    """Origin (3,) and unit directions (R, 3) through 64×64 pixels of one camera, row by row."""
    matrix = camera.intrinsics
    ticks = (torch.arange(RAY_SIDE, device=matrix.device) + 0.5) / RAY_SIDE
    v, u = torch.meshgrid(ticks, ticks, indexing="ij")
    x = (u - matrix[0, 2]) / matrix[0, 0]
    y = (v - matrix[1, 2]) / matrix[1, 1]
    local = torch.stack([x, y, torch.ones_like(x)], -1).reshape(-1, 3)
    world_from_cam = camera.world_from_cam
    return world_from_cam[:3, 3], F.normalize(local @ world_from_cam[:3, :3].T, dim=-1)


def even_depths(draws: Tensor) -> Tensor:
    """(R, K) increasing distances along rays: one at random in each of K equal intervals."""
    step = (FAR - NEAR) / (SAMPLES - 1)
    return NEAR + step * (torch.arange(SAMPLES, device=draws.device) + draws)


def ray_weights(density: Tensor) -> Tensor:
    """(R, K) share of each sample in what a ray sees, from densities (R, K), front to back.

    Opacity is 1 − exp(−density), whatever the distance between samples.
    """
    opacity = 1.0 - torch.exp(-density)
    passed = torch.cumprod(1.0 - opacity + 1e-10, -1)
    return opacity * F.pad(passed[:, :-1], (1, 0), value=1.0)


def matter_depths(depths: Tensor, weights: Tensor, draws: Tensor) -> Tensor:
    """(R, K) distances along rays, unsorted, dense where the weights are large.

    Inverts the cumulative distribution of the smoothed weights, which is linear between the
    middles of neighbouring samples; the first and the last sample have no such interval.

    Args:
        depths: (R, K) of the even samples.
        weights: (R, K), of `ray_weights`.
        draws: (R, K) quantiles in [0, 1).
    """
    padded = F.pad(weights, (1, 1))
    peaks = torch.maximum(padded[:, :-1], padded[:, 1:])
    smooth = (peaks[:, :-1] + peaks[:, 1:]) / 2 + 0.01
    bins = (depths[:, :-1] + depths[:, 1:]) / 2
    share = smooth[:, 1:-1] + 1e-5
    share = share / share.sum(-1, keepdim=True)
    cdf = F.pad(share.cumsum(-1), (1, 0))
    above = torch.searchsorted(cdf, draws.contiguous(), right=True)
    low, high = (above - 1).clamp_min(0), above.clamp_max(SAMPLES - 2)
    cdf_low, cdf_high = cdf.gather(1, low), cdf.gather(1, high)
    bin_low, bin_high = bins.gather(1, low), bins.gather(1, high)
    gap = cdf_high - cdf_low
    gap = torch.where(gap < 1e-5, 1.0, gap)
    return bin_low + (draws - cdf_low) / gap * (bin_high - bin_low)
