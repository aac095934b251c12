"""Calming numbers that are measured with noise, without making them lag (Casiez et al. 2012).

The page does the same to what its webcam sees: `web/src/smooth.ts`.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

CALM = 3.0
"""Hertz: what is still moves no faster than this lets through."""

LIVELINESS = 30.0
"""Hertz for each unit a second that a number moves."""

SPEED = 1.0
"""Hertz: how the speed itself is calmed."""


class OneEuro:
    """The 1€ filter over many numbers of one scale: a low-pass that opens as they move."""

    def __init__(self) -> None:
        self._values: NDArray | None = None
        self._speeds = np.zeros(0)
        self._before = 0.0

    def next(self, values: NDArray, seconds: float) -> NDArray:
        """The numbers of this moment, calmed; seconds never decrease."""
        step, self._before = seconds - self._before, seconds
        if self._values is None:
            self._values, self._speeds = values, np.zeros_like(values)
        elif step > 0:
            change = values - self._values
            speeds = self._speeds + _share(SPEED, step) * (change / step - self._speeds)
            cutoff = CALM + LIVELINESS * np.abs(speeds)
            self._values, self._speeds = self._values + _share(cutoff, step) * change, speeds
        return self._values


def _share(cutoff: NDArray | float, step: float) -> NDArray | float:
    """How much of a change a low-pass of this frequency lets through in a step."""
    rate = 2 * math.pi * cutoff * step
    return rate / (rate + 1)
