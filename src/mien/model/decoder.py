"""Φ: per-Gaussian features to what a rasteriser draws.

Axis legend: B batch, N Gaussians, C feature channels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mien.structures import Anchors, Gaussians

RAW = 22
"""Numbers the decoder says per Gaussian; the paper leaves eight of them unused."""

OFFSET_STEP = 0.2
"""Canonical units by which an anchored Gaussian moves when the decoder says 1."""

DENSITY_FLOOR = 1.0 / 255.0
"""Gaussians fainter than this when unanimated are dropped from an avatar (paper, section 3)."""

IDENTITY_QUAT = (1.0, 0.0, 0.0, 0.0)


class Decoder(nn.Module):
    """The Gaussian decoder Φ (paper, section 3): a two-layer MLP shared by all Gaussians.

    Args:
        channels: width of the features f.
        hidden: width of the hidden layer.
    """

    def __init__(self, channels: int = 48, hidden: int = 96) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(channels, hidden), nn.Softplus(), nn.Linear(hidden, RAW))

    def forward(self, features: Tensor) -> Tensor:
        """(*B, N, C) features to (*B, N, 22) raw numbers, for `attributes`."""
        return self.net(features)


def density(raw: Tensor, anchors: Anchors | None) -> Tensor:
    """(*B, N) densities ≥ 0 of raw decoder output (*B, N, 22)."""
    shift = 0.0 if anchors is None else anchors.density
    return F.softplus(raw[..., 0].float() - 1.0 + shift)


def attributes(raw: Tensor, anchors: Anchors | None) -> Gaussians:
    """What Φ's raw numbers (*B, N, 22) mean.

    Without anchors (*ray*, *plane*) they are the whole truth, as in the paper: position tanh,
    scale 0.05·sigmoid, colour a sigmoid widened by 0.001. With anchors (*pixel*) they say how each
    Gaussian differs from its anchor, in the space where that adds: an offset along the photo
    camera's axes, a factor on the grid step, a change of colour.
    """
    raw = raw.float()
    opacities = 1.0 - torch.exp(-density(raw, anchors))
    color, position, scale, quat = raw[..., 1:4], raw[..., 11:14], raw[..., 14:17], raw[..., 17:21]
    if anchors is None:
        return Gaussians(
            means=torch.tanh(position),
            quats=F.normalize(quat, dim=-1),
            scales=0.05 * torch.sigmoid(scale),
            opacities=opacities,
            colors=1.002 * torch.sigmoid(color) - 0.001,
        )
    return Gaussians(
        means=anchors.means + (OFFSET_STEP * position) @ anchors.axes.transpose(-1, -2),
        quats=F.normalize(quat + quat.new_tensor(IDENTITY_QUAT), dim=-1),
        scales=anchors.scales[..., None] * torch.exp(scale.clamp(-3.0, 2.0)),
        opacities=opacities,
        colors=(anchors.colors + torch.tanh(color)).clamp(0.0, 1.0),
    )
