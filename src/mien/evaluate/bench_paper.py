"""An avatar of the `paper` preset without the authors' weights: random networks, a planted head.

Random weights would decode to fog, which says nothing about how fast heads are drawn. So the
features hold what Φ shall say of each Gaussian, and Φ passes it on: softplus(x) − softplus(−x) = x.
All else is as random as it was made, of the paper's sizes, and as costly.

Axis legend: N Gaussians.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mien.evaluate.bench_sessions import Act
from mien.model.decoder import Decoder
from mien.model.paper import PaperConfig, PaperNetwork
from mien.structures import FOV_FFHQ, Avatar, Camera

NUMBER = 200_000
"""N: about as many as the paper's avatars have."""

RADIUS = 0.35
"""Of the planted head, in canonical units."""

ROWS = (0, 1, 2, 3, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20)
"""Those of Φ's outputs that are used: density, colour, position, scale, quaternion."""


@torch.no_grad()
def planted_act(device: torch.device, number: int = NUMBER) -> Act:
    """A head-sized ball of Gaussians that random networks of the paper's sizes animate."""
    network = PaperNetwork(PaperConfig()).eval().requires_grad_(False)
    _plant(network.decoder)
    channels = network.config.channels
    features = torch.randn(number, channels)
    features[:, : len(ROWS)] = _ball(number)
    camera = Camera.orbit(0.2, 0.1, fov=FOV_FFHQ)
    avatar = Avatar(
        features=features,
        basis=torch.randn(number, channels),
        source_latent=torch.randn(network.config.latent),
        intrinsics=camera.intrinsics,
        anchors=None,
        preset=network.config.preset,
    )
    name = "paper (random weights) "
    return Act(name, network.to(device), avatar.to(device), camera.to(device))


def _plant(decoder: Decoder) -> None:
    """Let Φ pass on the first features as its outputs; what else it says is made small."""
    into, _, last = decoder.net
    assert isinstance(into, nn.Linear)
    assert isinstance(last, nn.Linear)
    pairs = 2 * len(ROWS)
    into.weight[:pairs], into.bias[:pairs] = 0, 0
    last.weight[:, :pairs], last.bias[:] = 0, 0
    last.weight[:, pairs:] *= 0.01
    for feature, row in enumerate(ROWS):
        into.weight[2 * feature, feature], into.weight[2 * feature + 1, feature] = 1, -1
        last.weight[row, 2 * feature], last.weight[row, 2 * feature + 1] = 1, -1


def _ball(number: int) -> Tensor:
    """What Φ says (N, 14) of Gaussians on a sphere, each as large as its share of the area."""
    means = F.normalize(torch.randn(number, 3), dim=-1)
    means *= RADIUS + 0.01 * torch.randn(number, 1)
    step = math.sqrt(4 * math.pi * RADIUS**2 / number)
    scales = step * (0.8 + 0.8 * torch.rand(number, 3))
    opacities = 0.5 + 0.49 * torch.rand(number, 1)
    return torch.cat(
        [
            torch.logit(opacities) + 1,  # the density's shift (see `model.decoder.density`)
            torch.logit(0.01 + 0.98 * torch.rand(number, 3)),
            torch.atanh(means),
            torch.logit((scales / 0.05).clamp(1e-4, 0.98)),
            F.normalize(torch.randn(number, 4), dim=-1),
        ],
        -1,
    )
