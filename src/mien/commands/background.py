"""What stands behind a head: a colour, or the photo's own background.

Axis legend: H W pixels, S side of a square crop.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mien.errors import MienError
from mien.structures import Portrait

BEHIND = 0.12
"""How far beyond the matte the photo is not trusted, in crop sides: hair and shadow reach there.
Over the same distance it fades where it ends."""


def colour(name: str) -> Tensor:
    """(3, 1, 1) in [0, 1] of a colour's name or #rrggbb.

    Raises:
        MienError: there is no such colour.
    """
    from PIL import ImageColor

    try:
        red, green, blue = ImageColor.getrgb(name)[:3]
    except ValueError as error:
        raise MienError(
            f"'{name}' is no background; give 'original', 'transparent', a colour's name such as "
            "'white', or #rrggbb."
        ) from error
    return torch.tensor([red, green, blue]).reshape(3, 1, 1) / 255


def behind(photo: NDArray[np.uint8], portrait: Portrait, size: int) -> Tensor:
    """The photo's background as the portrait's camera frames it, filled in behind the head.

    Args:
        photo: (H, W, 3) that the portrait was cut from.
        portrait: where, and what in it is the head.
        size: S of the result.

    Returns:
        (3, S, S) in [0, 1].
    """
    import cv2

    from mien.preprocess.crop import warp

    scale = portrait.image.shape[-1] / size
    image_from_crop = portrait.image_from_crop.double().numpy() * (scale, scale, 1)
    crop = warp(photo, image_from_crop, size).astype(np.float32) / 255
    inside = warp(np.full(photo.shape[:2], 255, np.uint8), image_from_crop, size)
    reach = 2 * round(BEHIND * size / 2) + 1
    # Where the photo ends, no line may show.
    inside = cv2.erode((inside == 255).astype(np.float32), np.ones((reach, reach), np.uint8))
    inside = cv2.GaussianBlur(inside, (reach, reach), 0)
    head = cv2.resize(portrait.alpha[0].numpy(), (size, size), interpolation=cv2.INTER_AREA)
    head = cv2.dilate(head, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach)))
    head = cv2.GaussianBlur(head, (reach, reach), 0)
    filled = fill(crop, (inside * (1 - head)).clip(0, 1).astype(np.float32))
    return torch.from_numpy(filled).permute(2, 0, 1)


def fill(image: NDArray[np.float32], known: NDArray[np.float32]) -> NDArray[np.float32]:
    """Fill in smoothly what is not known: push-pull (Gortler et al. 1996, section 3.4).

    Means over ever larger cells, in which what is known counts alone, stand in for what is not.

    Args:
        image: (H, W, 3).
        known: (H, W) in [0, 1], how far to trust each pixel.
    """
    import cv2

    height, width = known.shape
    if min(height, width) == 1:
        total = known.sum()
        mean = (image * known[..., None]).sum((0, 1)) / total if total > 0 else image.mean((0, 1))
        return np.broadcast_to(mean, image.shape).astype(np.float32)
    half = (-(-width // 2), -(-height // 2))
    weight = cv2.resize(known, half, interpolation=cv2.INTER_AREA)
    mean = cv2.resize(image * known[..., None], half, interpolation=cv2.INTER_AREA)
    mean = (mean / np.maximum(weight, 1e-6)[..., None]).astype(np.float32)
    # A cell with a quarter of its pixels known is known.
    coarse = fill(mean, np.minimum(4 * weight, 1.0).astype(np.float32))
    smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
    return image * known[..., None] + smooth * (1 - known[..., None])
