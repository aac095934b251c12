"""What makes few people look like many: the same change on source and target.

Axis legend: B batch, H W pixels.
"""

from __future__ import annotations

from dataclasses import replace

import torch
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

    def draw(channels: int, low: float, high: float) -> Tensor:
        values = uniform((count, channels, 1, 1), low, high, pictures)
        return values.repeat(len(pictures) // count, 1, 1, 1)

    gain = draw(3, 0.88, 1.12) * draw(1, 0.75, 1.2)
    gamma, saturation = draw(1, 0.8, 1.25), draw(1, 0.6, 1.3)
    straight = pictures / alpha.clamp_min(0.02)
    grey = straight.mean(1, keepdim=True)
    straight = (grey + (straight - grey) * saturation).clamp(1e-4, 1.0)
    return (straight.pow(gamma) * gain).clamp(0.0, 1.0) * alpha


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
