"""Closing the gaps of a surface that the photo saw askew.

*pixel* puts one Gaussian on each pixel of a grid, as large as a step of it. Where the surface
recedes from the photo's camera, on cheeks, temples, the sides of hair, neighbours on the grid lie
several of their own sizes apart, and from the side one looks between them. The planes can be read
anywhere, so more Gaussians are read there, between those neighbours.

Axis legend: N Gaussians, P pairs of neighbours, M Gaussians added, C feature channels.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from mien.model.network import Network
from mien.structures import Avatar, Gaussians, rotations

GAP = 3.5
"""Standard deviations between two Gaussians beyond which one sees between them."""

APART = 0.08
"""Canonical units beyond which neighbours are no surface but one thing behind another."""

OPAQUE = 0.6
"""Fainter Gaussians are fringes, not a surface."""

MOST = 6
"""At most so many are put between two."""

ROOM = 1 / 7
"""At most so many are added, as a share of the surface's; the widest gaps are closed first."""


@torch.no_grad()
def close_gaps(network: Network, avatar: Avatar, grid: int) -> Avatar:
    """An avatar with more Gaussians where its surface, at rest, is thin when seen askew.

    They are read as their neighbours were, in between, so they move as these do, and from the
    photo's view they lie behind and before what is there: it hardly changes.

    Args:
        network: whose avatar it is.
        avatar: unbatched, as it was encoded, none of its Gaussians dropped; one without anchors
            has no grid and is returned as it is.
        grid: side of its front layer.
    """
    if avatar.anchors is None:
        return avatar
    gaussians, _ = network.animate(avatar, avatar.source_latent)
    first, second = _neighbours(grid, gaussians.means.device)
    apart, gap = _gaps(gaussians, first, second)
    solid = gaussians.opacities > OPAQUE
    surface = solid[first] & solid[second] & (apart < APART)
    count = torch.where(surface, torch.ceil(gap / GAP) - 1, 0).clamp(0, MOST).long()
    widest = torch.where(surface, gap, 0).argsort(descending=True)
    room = ROOM * solid[: grid * grid].sum()
    count[widest[count[widest].cumsum(0) > room]] = 0
    pair = torch.repeat_interleave(count)
    rank = torch.arange(len(pair), device=pair.device) - (count.cumsum(0) - count)[pair]
    share = (rank + 1) / (count[pair] + 1)

    def filled(values: Tensor) -> Tensor:
        """(N, ...) to (N + M, ...)."""
        weight = share.reshape(-1, *[1] * (values.dim() - 1))
        return torch.cat([values, torch.lerp(values[first[pair]], values[second[pair]], weight)])

    anchors = avatar.anchors
    return replace(
        avatar,
        features=filled(avatar.features),
        basis=filled(avatar.basis),
        anchors=replace(
            anchors,
            means=filled(anchors.means),
            colors=filled(anchors.colors),
            scales=filled(anchors.scales),
            density=filled(anchors.density),
        ),
    )


def _neighbours(grid: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Pairs of neighbours on the front layer's grid, (P,) twice: to the right, then below."""
    index = torch.arange(grid * grid, device=device).reshape(grid, grid)
    first = torch.cat([index[:, :-1].flatten(), index[:-1].flatten()])
    second = torch.cat([index[:, 1:].flatten(), index[1:].flatten()])
    return first, second


def _gaps(gaussians: Gaussians, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """How far pairs are apart, (P,): in canonical units, and in their standard deviations."""
    way = gaussians.means[second] - gaussians.means[first]
    apart = way.norm(dim=-1)
    axes = rotations(gaussians.quats)

    def deviation(index: Tensor) -> Tensor:
        """Of Gaussians along the way, times its length."""
        local = (axes[index].transpose(-1, -2) @ way[..., None])[..., 0]
        return (local * gaussians.scales[index]).norm(dim=-1)

    return apart, 2 * apart**2 / (deviation(first) + deviation(second)).clamp_min(1e-12)
