"""Local fusion: how a motion moves each Gaussian's features, without attention.

Axis legend: B batch, N Gaussians, C feature channels, D latent.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Fusion(nn.Module):
    """Paper, section 3 (local fusion): Δf from the motion basis and a pair of motion latents.

    The pair goes through one linear map to a scale and a shift that modulate the normalised basis;
    two small layers turn that into a change of the features. Note that equal latents do not give
    Δf = 0: what the photo shows is learned, not assumed.

    Args:
        latent: D, width of one motion latent.
        channels: C of the basis and of the features.
        hidden: width of the hidden layer.
        gain: factor on the output; small, so that training starts from the still avatar.
    """

    def __init__(self, latent: int, channels: int = 48, hidden: int = 96, gain: float = 0.01):
        super().__init__()
        self.gain = gain
        self.mapping = nn.Linear(2 * latent, 2 * channels, bias=False)
        self.proj = nn.Linear(channels, channels)
        self.net = nn.Sequential(
            nn.Linear(channels, hidden), nn.Softplus(), nn.Linear(hidden, channels)
        )

    def forward(self, basis: Tensor, source: Tensor, driving: Tensor) -> Tensor:
        """Δf (*B, N, C) of basis (*B, N, C) for latents source and driving, each (*B, D)."""
        pair = torch.cat([source, driving], -1)
        scale, shift = self.mapping(pair)[..., None, :].chunk(2, -1)
        modulated = F.layer_norm(basis, basis.shape[-1:]) * scale + shift
        return self.gain * self.net(self.proj(modulated))
