"""A perceptual distance on features that Mien has learned itself, so that nothing is fetched.

As LPIPS (Zhang et al. 2018) measures with a classifier's feature maps, this measures with those of
the shipped portrait encoder: it has learned to see what tells one face from another, at scales
from strands of hair to the whole head. It is biased: it favours what Mien's networks know, and
differences that they do not see cost nothing. So it ranks Mien's own versions; against other
methods use FLIP and LPIPS.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, normalize, pixel_unshuffle

from mien.model.encoder import Encoder

DARK = 0.01
"""Brightness up to which a pixel of both pictures counts as no part of the person."""


def feature_distance(encoder: Encoder) -> Callable[[Tensor, Tensor], Tensor]:
    """A measure of pictures (B, 3, S, S) twice → (B,): 0 for equal ones, at most 2.

    Of each level of the encoder the features are scaled to unit length place by place; the
    measure is the mean squared length of their difference, averaged over places and then levels.
    Pictures are halved first: at a quarter of the cost it orders them alike.

    Args:
        encoder: whose features; S must be a multiple of 64 for five levels.
    """

    @torch.no_grad()
    def measure(image: Tensor, truth: Tensor) -> Tensor:
        image, truth = avg_pool2d(image, 2), avg_pool2d(truth, 2)
        alpha = (torch.maximum(image, truth).amax(1, keepdim=True) > DARK).float()
        pairs = zip(_levels(encoder, image, alpha), _levels(encoder, truth, alpha), strict=True)
        return torch.stack([(a - b).square().sum(1).mean((1, 2)) for a, b in pairs]).mean(0)

    return measure


def _levels(encoder: Encoder, image: Tensor, alpha: Tensor) -> list[Tensor]:
    """Unit features of each level, (B, C, S/2, S/2), (B, C', S/4, S/4), …

    The encoder's inputs that say where a pixel lies are left at the middle: equal patches have
    equal features wherever they are.
    """
    pixels = pixel_unshuffle(torch.cat([2.0 * image - 1.0, alpha], 1), 2)
    x = encoder.stem(torch.cat([pixels, torch.zeros_like(pixels[:, :4])], 1))
    levels = [x]
    for down in encoder.down:
        x = down(x)
        levels.append(x)
    return [normalize(level, dim=1) for level in levels]
