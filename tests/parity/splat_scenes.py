"""Scenes on which rasterisers are compared."""

import torch
from torch.nn.functional import normalize

from mien.structures import Gaussians


def cloud(count: int, seed: int = 0, spread: float = 0.4) -> Gaussians:
    """Splats of all sizes, shapes and opacities, some outside of the picture, (N)."""
    rng = torch.Generator().manual_seed(seed)
    return Gaussians(
        spread * torch.randn(count, 3, generator=rng),
        normalize(torch.randn(count, 4, generator=rng), dim=-1),
        0.001 * 100 ** torch.rand(count, 3, generator=rng),
        torch.rand(count, generator=rng),
        torch.rand(count, 3, generator=rng),
    )


def head(count: int, seed: int = 0) -> Gaussians:
    """Small and mostly opaque splats on an ellipsoid, and a quarter behind it, (N)."""
    rng = torch.Generator().manual_seed(seed)
    directions = normalize(torch.randn(count, 3, generator=rng), dim=-1)
    back = torch.rand(count, generator=rng) < 0.25
    radius = torch.where(back, 1 + 0.1 * torch.randn(count, generator=rng), 1.0)
    means = directions * torch.tensor([0.16, 0.2, 0.18]) * radius[:, None]
    means[:, 2] = torch.where(back, -means[:, 2].abs(), means[:, 2].abs())
    opaque = torch.rand(count, generator=rng) < 0.85
    opacities = torch.rand(count, generator=rng)
    return Gaussians(
        means,
        normalize(torch.randn(count, 4, generator=rng), dim=-1),
        0.0025 + 0.0035 * torch.rand(count, 3, generator=rng),
        torch.where(opaque, 0.9 + 0.1 * opacities, opacities),
        (0.5 + 2 * means).clamp(0, 1),
    )
