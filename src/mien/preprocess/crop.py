"""Level, centred crops.

Pixel coordinates put the centre of the first pixel at (0.5, 0.5); OpenCV puts it at (0, 0).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def warp(image: NDArray, image_from_crop: NDArray, size: int, *, mirrored: bool = False) -> NDArray:
    """Cut a crop, antialiased where it shrinks.

    Args:
        image: (H, W) or (H, W, C), any dtype that OpenCV warps.
        image_from_crop: (2, 3) similarity, pixels of the crop to pixels of the image.
        size: width and height of the crop.
        mirrored: beyond the picture's border stands its mirror image, instead of black (zero).

    Returns:
        (size, size) or (size, size, C) in the image's dtype.
    """
    import cv2

    border = cv2.BORDER_REFLECT if mirrored else cv2.BORDER_CONSTANT
    matrix = image_from_crop.astype(np.float64)
    step = np.sqrt(abs(np.linalg.det(matrix[:, :2])))
    if step > 3.99:
        # Means of whole blocks of pixels first, still twice as fine as the crop.
        block = int(step / 2 + 0.01)
        height, width = image.shape[:2]
        image = cv2.copyMakeBorder(
            image, 0, -height % block, 0, -width % block, border, value=(0, 0, 0, 0)
        )
        shape = (image.shape[1] // block, image.shape[0] // block)
        image = cv2.resize(image, shape, interpolation=cv2.INTER_AREA)
        matrix, step = matrix / block, step / block
    # Drawn large enough, by a whole factor, not to skip pixels; then averaged down.
    finer = max(1, int(np.ceil(step - 0.1)))
    matrix[:, :2] /= finer
    matrix[:, 2] += matrix[:, :2] @ (0.5, 0.5) - 0.5
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    shape = (size * finer, size * finer)
    large = cv2.warpAffine(image, matrix, shape, flags=flags, borderMode=border)
    if finer == 1:
        return large
    return cv2.resize(large, (size, size), interpolation=cv2.INTER_AREA)
