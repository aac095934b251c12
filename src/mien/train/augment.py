"""What makes few people look like many: the same change on source and target.

Axis legend: B batch, H W pixels.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from mien.structures import Camera

FACE_MIRROR = torch.diag(torch.tensor([-1.0, 1.0, 1.0]))


def uniform(shape: tuple[int, ...], low: float, high: float, like: Tensor) -> Tensor:
    """Uniform draws in [low, high) on `like`'s device."""
    return torch.empty(shape, device=like.device).uniform_(low, high)


def recolour(pictures: Tensor, alpha: Tensor, count: int) -> Tensor:
    """Random gain, gamma and saturation; rows i, i + count, i + 2·count, … get the same.

    Pictures (n·count, 3, H, W) are premultiplied by `alpha` (n·count, 1, H, W); a change that
    keeps black black keeps them so, up to soft edges.
    """
    return colour_change(count, pictures)(pictures, alpha)


def colour_change(count: int, like: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
    """What `recolour` does, drawn once for `count` rows and pictures of any size."""

    def draw(channels: int, low: float, high: float) -> Tensor:
        return uniform((count, channels, 1, 1), low, high, like)

    changes = draw(3, 0.88, 1.12) * draw(1, 0.75, 1.2), draw(1, 0.8, 1.25), draw(1, 0.6, 1.3)

    def change(pictures: Tensor, alpha: Tensor) -> Tensor:
        gain, gamma, saturation = (
            values.repeat(len(pictures) // count, 1, 1, 1) for values in changes
        )
        straight = pictures / alpha.clamp_min(0.02)
        grey = straight.mean(1, keepdim=True)
        straight = (grey + (straight - grey) * saturation).clamp(1e-4, 1.0)
        return (straight.pow(gamma) * gain).clamp(0.0, 1.0) * alpha

    return change


def mirror_camera(camera: Camera) -> Camera:
    """The camera of the left–right flipped picture of a mirror-symmetric world."""
    world_from_cam = camera.world_from_cam.clone()
    flip = FACE_MIRROR.to(world_from_cam.device)
    world_from_cam[..., :3, :3] = flip @ world_from_cam[..., :3, :3] @ flip
    world_from_cam[..., :3, 3] = world_from_cam[..., :3, 3] @ flip
    return replace(camera, world_from_cam=world_from_cam)


def mirror_landmarks(landmarks: Tensor, partner: Tensor) -> Tensor:
    """Canonical landmarks (B, 478, 3) of the flipped face; `partner` (478,) names the twins."""
    return landmarks[:, partner] @ FACE_MIRROR.to(landmarks.device)


def foreign_face(landmarks: Tensor, take_means: Tensor, own: Tensor) -> Tensor:
    """Landmarks as another person would have made them: the mean face is moved towards another's.

    In use the driver is somebody else. Without this, training never shows the latent a face
    whose shape is not the source's, and shape leaks into expression. Half the rows stay as they
    are, and the others move at most half-way: a mean over one take holds some expression too, and
    more of that teaches the network to ignore the driver.

    Args:
        landmarks: (B, 478, 3) canonical.
        take_means: (K + 1, 478, 3) mean landmarks of K takes with enough frames for a mean to
            mean the person; the last row stands for all other takes and is not drawn.
        own: (B,) row of `take_means` of each face; K leaves it as it is.
    """
    b, known = landmarks.shape[0], take_means.shape[0] - 1
    if known < 1:
        return landmarks
    other = torch.randint(0, known, (b,), device=landmarks.device)
    amount = uniform((b, 1, 1), -0.5, 0.5, landmarks).clamp_min(0.0)
    amount = amount * (own < known)[:, None, None]
    return landmarks + amount * (take_means[other] - take_means[own])


def degrade(pictures: Tensor, alpha: Tensor) -> tuple[Tensor, Tensor]:
    """Photos and mattes as bad as they come: soft, noisy, squeezed by JPEG, cut too narrow.

    Each fault befalls a third of the rows, to a random degree. Rendered heads and clips know few
    of them, so that without this a network can tell where a picture comes from.

    Args:
        pictures: (B, 3, S, S) in [0, 1], premultiplied, S a multiple of 8.
        alpha: (B, 1, S, S).
    """
    b = len(pictures)

    def amount(high: float) -> Tensor:
        """0 for two rows of three, else up to `high`."""
        hit = uniform((b, 1, 1, 1), 0.0, 1.0, pictures) < 1.0 / 3.0
        return hit * uniform((b, 1, 1, 1), 0.0, high, pictures)

    cut = -F.max_pool2d(-alpha, 5, stride=1, padding=2)
    kept = torch.lerp(alpha, cut, amount(1.0))
    straight = blur(pictures, amount(1.6)) / alpha.clamp_min(0.02)
    straight = jpeg(straight.clamp(0.0, 1.0), amount(0.08))
    straight = straight + amount(0.05) * torch.randn_like(straight)
    return straight.clamp(0.0, 1.0) * kept, kept


def blur(pictures: Tensor, sigma: Tensor) -> Tensor:
    """(B, C, H, W) blurred by Gaussians of `sigma` (B, 1, 1, 1) pixels, up to about 2."""
    b, c, height, width = pictures.shape
    ticks = torch.arange(-4, 5, device=pictures.device)
    kernel = torch.exp(-0.5 * (ticks / sigma[:, 0, 0].clamp_min(0.1)) ** 2)
    kernel = (kernel / kernel.sum(1, keepdim=True)).repeat_interleave(c, 0)[:, None, None]
    rows = F.pad(pictures.reshape(1, b * c, height, width), (4, 4, 4, 4), mode="replicate")
    rows = F.conv2d(rows, kernel, groups=b * c)
    return F.conv2d(rows, kernel.transpose(-1, -2), groups=b * c).reshape(pictures.shape)


def jpeg(pictures: Tensor, step: Tensor) -> Tensor:
    """(B, C, H, W) in [0, 1] with the cosine transform of each 8×8 block rounded, as JPEG does.

    Args:
        pictures: H and W multiples of 8.
        step: (B, 1, 1, 1) rounding step of the lowest frequencies, 0 to leave all as it is; that
            of the highest is eight times as large.
    """
    b, c, height, width = pictures.shape
    index = torch.arange(8, device=pictures.device)
    basis = torch.cos(math.pi / 8 * index[:, None] * (index + 0.5)) * math.sqrt(2.0 / 8)
    basis[0] *= math.sqrt(0.5)
    blocks = pictures.reshape(b, c, height // 8, 8, width // 8, 8).transpose(3, 4)
    steps = step[..., None, None] * (1.0 + 0.5 * (index[:, None] + index)).clamp_max(8.0)
    waves = basis @ blocks @ basis.T
    waves = torch.where(steps > 0.0, (waves / steps.clamp_min(1e-6)).round() * steps, waves)
    return (basis.T @ waves @ basis).transpose(3, 4).reshape(pictures.shape)
