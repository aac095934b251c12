"""Live: a driver's frames come one by one, and each is waited for."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Protocol

import numpy as np

from mien.evaluate.metrics.motion import jitter
from mien.evaluate.protocols import Outcome
from mien.evaluate.results import Measure, Row
from mien.evaluate.takes import Frames, Instruments, Scene

WARM_UP = 5
"""Frames before times count: compilers and caches."""

FRAME = 40.0
"""Floor of latency in ms: a driver's frame at 25 a second. Who takes longer falls behind."""


class Performer(Protocol):
    """What is measured: a photo that becomes a function from driving frames to pictures."""

    def __call__(self, source: Frames, size: int) -> Callable[[Frames], Frames]:
        """Prepare.

        Args:
            source: (H, W, 3) uint8, the photo as it came.
            size: S of the pictures.

        Returns:
            (H, W, 3) uint8 driving frame → (S, S, 3) uint8 picture, finished when it returns.
        """
        ...


def live(source: Scene, driver: Scene, performer: Performer, instruments: Instruments) -> Outcome:
    """A photo driven frame by frame; the floor of *jitter* is as much again as the driver's."""
    step = performer(source.images[0], driver.crops.shape[1])
    frames, times = [], []
    for image in driver.images:
        start = time.perf_counter()
        frames.append(step(image))
        times.append(1000.0 * (time.perf_counter() - start))
    output = np.stack(frames)
    warm = np.array(times[WARM_UP:]) if len(times) > WARM_UP else np.array([math.nan])
    seen = instruments.track(output), instruments.track(np.stack(driver.images))
    figures = {
        "jitter": Measure(jitter(seen[1].points, seen[0].points), 2.0, 1.0),
        "latency": Measure(float(np.median(warm)), FRAME, 0.0),
        "latency, 95%": Measure(float(np.quantile(warm, 0.95)), FRAME, 0.0),
        "unevenness": Measure(float(warm.std()), FRAME / 2, 0.0),
    }
    row = Row("live", source.name, driver.name, len(output), figures)
    return Outcome(row, source.crops[0], driver.crops, output)
