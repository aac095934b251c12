"""An avatar's colours, fitted to its photo.

The encoder says what to draw where, for all photos at once; moles, freckles and the grain of a skin
are beyond it. A picture is linear in the colours of its Gaussians, so those that come nearest to
the photo are a least-squares problem, solved here by conjugate gradients.

Axis legend: N Gaussians, H W pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from mien.model.network import Network
from mien.render import splat
from mien.structures import Avatar, Portrait, Rendered

STEPS = 5
"""Of conjugate gradients; more gain .1 dB in the photo's own view."""

DAMPING = 1.0
"""Pixels' worth of wish to stay as it was that each Gaussian has. Less comes nearer to the photo,
and farther from the truth when the same Gaussians make another face (docs/log.md)."""


@torch.no_grad()
def fit_colors(network: Network, avatar: Avatar, portrait: Portrait) -> Avatar:
    """The avatar with colours that look, making the photo's face in the photo's view, most like it.

    Only colours change. How much of a pixel the head covers is the encoder's to say: where avatar
    and photo differ in that, colours are compared as if they covered alike. Without anchors (the
    paper's networks) there is nothing to write colours to, and the avatar is returned as it is.

    Args:
        network: that encoded the avatar.
        avatar: not batched.
        portrait: what it was encoded from, on the same device.
    """
    if avatar.anchors is None:
        return avatar
    gaussians, _ = network.animate(avatar, avatar.source_latent)
    size = (portrait.image.shape[1], portrait.image.shape[2])

    def drawn(colors: Tensor) -> Rendered:
        return splat(
            replace(gaussians, colors=colors),
            portrait.camera,
            size,
            antialiased=network.config.antialiased,
        )

    # Whatever mode the caller is in; what was made in inference mode knows no gradients.
    with torch.inference_mode(False), torch.enable_grad():
        gaussians = gaussians.map(torch.clone)
        own = gaussians.colors.requires_grad_()
        now = drawn(own)

    def transposed(picture: Tensor) -> Tensor:
        weighed = portrait.alpha * picture
        return torch.autograd.grad(now.image, own, weighed, retain_graph=True)[0]

    error = now.alpha * portrait.image - portrait.alpha * now.image.detach()
    change = least_squares(lambda c: portrait.alpha * drawn(c).image, transposed, error)
    anchors = replace(avatar.anchors, colors=(avatar.anchors.colors + change).clamp(0.0, 1.0))
    return replace(avatar, anchors=anchors)


def least_squares(
    forward: Callable[[Tensor], Tensor], transposed: Callable[[Tensor], Tensor], wanted: Tensor
) -> Tensor:
    """The x (N, 3) of least |forward(x) − wanted|² + `DAMPING` |x|², channel by channel.

    Conjugate gradients on the normal equations (CGLS, Hestenes & Stiefel 1952), `STEPS` of them
    from 0.

    Args:
        forward: linear, (N, 3) to (3, H, W), without mixing the channels.
        transposed: its transpose.
        wanted: (3, H, W).
    """
    left = wanted
    direction = slope = transposed(left)
    found = torch.zeros_like(slope)
    steepness = slope.square().sum(0)
    for _ in range(STEPS):
        seen = forward(direction)
        bend = seen.square().sum((1, 2)) + DAMPING * direction.square().sum(0)
        # Nothing is left to gain where the bend is 0.
        step = steepness / bend.clamp_min(1e-12)
        found = found + step * direction
        left = left - step[:, None, None] * seen
        slope = transposed(left) - DAMPING * found
        before, steepness = steepness, slope.square().sum(0)
        direction = slope + steepness / before.clamp_min(1e-12) * direction
    return found
