"""How sure a figure over cases is: bootstrap intervals (Efron 1979) and scores between bounds."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.evaluate.results import Measure

SAMPLES = 2000
"""How often cases are drawn anew."""

LEVEL = 0.95
"""Share of the draws that an interval holds."""


@dataclass(frozen=True)
class Estimate:
    """A figure over cases, and the interval that holds it in 95% of draws of as many cases."""

    value: float
    low: float
    high: float
    cases: int


def estimate(
    cases: Sequence[float] | NDArray[np.floating],
    statistic: Callable[[NDArray[np.floating]], float] = np.mean,  # type: ignore[assignment]
) -> Estimate:
    """A statistic of per-case figures (N,) or (N, K), with its bootstrap interval.

    Cases with a NaN or an infinity are left out. The draws are the same each time.

    Args:
        cases: one number or several per case.
        statistic: of (N,) or (N, K).
    """
    known = np.asarray(cases, np.float64)
    known = known[np.isfinite(known).reshape(len(known), -1).all(1)] if len(known) else known
    if len(known) == 0:
        return Estimate(math.nan, math.nan, math.nan, 0)
    draws = np.random.default_rng(0).integers(len(known), size=(SAMPLES, len(known)))
    spread = np.array([statistic(known[draw]) for draw in draws])
    spread = spread[np.isfinite(spread)]
    if len(spread) == 0:
        return Estimate(math.nan, math.nan, math.nan, len(known))
    low, high = np.quantile(spread, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(float(statistic(known)), float(low), float(high), len(known))


def normalised(measures: Sequence[Measure]) -> Estimate:
    """Where the mean figure lies between its bounds: floor 0, ceiling 1.

    The mean is taken first, so that a case whose bounds nearly meet does not outweigh the others.
    """

    def score(cases: NDArray[np.floating]) -> float:
        value, floor, ceiling = cases.mean(0)
        room = ceiling - floor
        return float((value - floor) / room) if abs(room) > 1e-9 else math.nan

    return estimate(np.array([(m.value, m.floor, m.ceiling) for m in measures]), score)
