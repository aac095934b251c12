"""Rectified flow: straight lines from noise to pictures, and how to walk them in a few steps.

A noisy picture of level s is z = (1 − s)·x + s·n, with n ~ N(0, 1); its velocity dz/ds = n − x
(Liu et al. 2023; the signs are those of diffusers' FlowMatchEulerDiscreteScheduler). The network
says the clean picture x rather than the velocity: pictures lie near a thin surface that a network
can stay on, noise fills the whole space (Li & He 2025).

Axis legend: B batch.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

LEAST = 0.05
"""Noise level under which the loss no longer grows, for it is divided by the level."""


def draw_levels(count: int, device: torch.device) -> Tensor:
    """(count,) noise levels in (0, 1) to train at: logit-normal, leaning towards noise."""
    return torch.sigmoid(0.8 + 0.8 * torch.randn(count, device=device))


def mix(clean: Tensor, noise: Tensor, level: Tensor) -> Tensor:
    """Noisy pictures of levels (B,)."""
    level = level.reshape(-1, *[1] * (clean.ndim - 1))
    return (1.0 - level) * clean + level * noise


def velocity(noisy: Tensor, clean: Tensor, level: float) -> Tensor:
    """dz/ds towards noise, at a level > 0."""
    return (noisy - clean) / level


def sample(
    denoise: Callable[[Tensor, float], Tensor], noise: Tensor, steps: int, heun: bool = True
) -> Tensor:
    """Walk from noise to a picture.

    Args:
        denoise: (noisy, level) to the clean picture it sees.
        noise: where to start.
        steps: number of steps of equal length.
        heun: correct each step but the last by the slope at its end, at twice the cost.
    """
    levels = torch.linspace(1.0, 0.0, steps + 1).tolist()
    picture = noise
    for here, there in pairwise(levels):
        slope = velocity(picture, denoise(picture, here), here)
        ahead = picture + (there - here) * slope
        if heun and there > 0.0:
            end = velocity(ahead, denoise(ahead, there), there)
            ahead = picture + (there - here) * (slope + end) / 2
        picture = ahead
    return picture
