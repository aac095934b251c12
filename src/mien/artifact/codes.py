"""16-bit codes in a file: two planes of bytes, deflated.

128 is added to each code, so that the common, small ones have the same high byte; low bytes come
first, then high bytes, each plane in the order of the axes.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from mien.artifact.safe import SafeFile, deflated

SHIFT = 128

LARGEST_CODE = 2**15 - 1 - SHIFT
"""The greatest code that can be packed; the least is -2¹⁵."""


def pack(codes: Tensor) -> Tensor:
    """int16 codes up to `LARGEST_CODE`, of any shape, as uint8 (B,)."""
    words = codes.contiguous().numpy() + np.int16(SHIFT)
    planes = words.astype("<i2").view(np.uint8).reshape(-1, 2).T
    return deflated(planes.tobytes())


def unpack(file: SafeFile, name: str, shape: tuple[int, ...]) -> NDArray[np.int16]:
    """The inverse of `pack`, of the tensor `name` of a file.

    Raises:
        MienError: the tensor is damaged, or does not hold codes of that shape.
    """
    content = file.inflated(name, 2 * math.prod(shape))
    planes = np.frombuffer(content, np.uint8).reshape(2, -1)
    words = np.ascontiguousarray(planes.T).view("<i2").astype(np.int16).reshape(shape)
    if words.size and words.min() < SHIFT - 2**15:
        raise file.refusal(f"{name} holds codes that are out of range")
    return words - np.int16(SHIFT)
