"""Whether two files sound the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

RATE = 16_000
"""Samples a second at which sound is compared."""

LAG = 0.1
"""Seconds by which encoders may shift sound, or pad its end."""

ALIKE = 0.9
"""Correlation from which two sounds are the same, encoded anew."""


def same_sound(first: Path, second: Path) -> bool:
    """Whether two files are both silent, or sound alike for as long, up to encoding.

    Args:
        first: a sound or video file.
        second: another.
    """
    a, b = read_sound(first), read_sound(second)
    if a is None or b is None:
        return a is b
    return abs(len(a) - len(b)) <= LAG * RATE and aligned_correlation(a, b) > ALIKE


def read_sound(path: Path) -> NDArray[np.float64] | None:
    """A file's first sound track, mono at `RATE`, in [-1, 1]; None if it has none."""
    import av

    with av.open(str(path)) as container:
        if not container.streams.audio:
            return None
        resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
        frames = (*container.decode(audio=0), None)  # None drains the resampler
        parts = [part.to_ndarray()[0] for frame in frames for part in resampler.resample(frame)]
    return np.concatenate([np.zeros(0, np.int16), *parts]).astype(np.float64) / 32768


def aligned_correlation(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Greatest correlation of two sounds over shifts of up to `LAG`; 1 if both are nothing."""
    size = max(len(a), len(b))
    a, b = (np.pad(x - x.mean(), (0, size - len(x))) if len(x) else np.zeros(size) for x in (a, b))
    power = np.sqrt((a @ a) * (b @ b))
    if power < 1e-9:
        return float(a @ a < 1e-9 and b @ b < 1e-9)
    spectrum = np.fft.rfft(a, 2 * size) * np.conj(np.fft.rfft(b, 2 * size))
    products = np.fft.irfft(spectrum, 2 * size)
    lag = int(LAG * RATE)
    return float(max(products[: lag + 1].max(), products[-lag:].max()) / power)
