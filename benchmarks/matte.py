"""How well people are cut out: made heads, whose cover is known exactly, before what is not them.

`PYTHONPATH=src python benchmarks/matte.py SHARD.tar [SHARD.tar ...] [--heads 40]`

Heads of `mien synth`, one picture a person, stand before blurred rooms, and before clouds of colour
that are sharper than anything behind a portrait. Prints how far the matte is from the true cover,
in percent: of the whole picture, and within 12 pixels of soft edges; and milliseconds a picture.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np
import torch

from mien.data.shards import Sample, read_shards
from mien.preprocess.matte import Matter
from mien.structures import Camera
from mien.synth.backdrop import over_backdrop, sample_backdrop

SIZE = 512
NOISE = 2.0
"""Standard deviation of a camera's noise, in levels."""

PROFILE = 0.5
"""Sine of the yaw beyond which heads are left out: no portraits."""


def clouds(rng: np.random.Generator) -> np.ndarray:
    """(SIZE, SIZE, 3) u8: coloured noise whose power falls as natural pictures' does."""
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(SIZE), np.fft.rfftfreq(SIZE), indexing="ij"))
    waves = rng.normal(size=(3, *frequency.shape)) * np.exp(2j * np.pi * rng.random())
    waves = waves * np.exp(2j * np.pi * rng.random((1, *frequency.shape)))
    picture = np.fft.irfft2(waves / np.maximum(frequency, 1 / SIZE) ** 1.2)
    picture = picture / picture.std() * rng.uniform(0.1, 0.25) + rng.uniform(0.2, 0.8, (3, 1, 1))
    return (255 * picture.clip(0, 1)).astype(np.uint8).transpose(1, 2, 0)


def heads(samples: Iterable[Sample], count: int) -> Iterator[Sample]:
    """One picture a person, `count` of them, none in profile."""
    seen: set[str] = set()
    for sample in samples:
        aside = np.abs(sample.world_from_cam[0, 2])
        if len(seen) < count and sample.person not in seen and aside < PROFILE:
            seen.add(sample.person)
            yield sample


def staged(sample: Sample, behind: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """A head before a picture of any size: what a camera sees, the true cover, the landmarks."""
    image, alpha = (
        cv2.resize(x, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC)
        for x in (sample.image, sample.alpha)
    )
    seen = over_backdrop(np.minimum(image, alpha[..., None]), alpha, behind)
    noisy = np.clip(seen + rng.normal(0, NOISE, seen.shape), 0, 255).astype(np.uint8)
    camera = Camera(*(torch.from_numpy(x) for x in (sample.world_from_cam, sample.intrinsics)))
    landmarks = camera.project(torch.from_numpy(sample.landmarks).float()).numpy() * SIZE
    return noisy, alpha / 255.0, landmarks


def errors(found: np.ndarray, true: np.ndarray) -> tuple[float, float]:
    """Mean difference of two mattes in percent: everywhere, and about soft edges."""
    soft = ((true > 0.02) & (true < 0.98)).astype(np.uint8)
    edges = cv2.dilate(soft, np.ones((25, 25), np.uint8)) > 0
    off = 100 * np.abs(found - true)
    return float(off.mean()), float(off[edges].mean())


def measure(
    samples: Iterable[Sample], matter: Callable[[np.ndarray, np.ndarray], np.ndarray]
) -> dict[str, np.ndarray]:
    """Per kind of background: (heads, 3) both errors and milliseconds."""
    rng = np.random.default_rng(0)
    rows: dict[str, list[tuple[float, ...]]] = {"rooms": [], "clouds": []}
    for sample in samples:
        for kind, behind in (("rooms", sample_backdrop(rng)), ("clouds", clouds(rng))):
            picture, true, landmarks = staged(sample, behind, rng)
            start = time.perf_counter()
            found = matter(picture, landmarks)
            rows[kind].append((*errors(found, true), 1e3 * (time.perf_counter() - start)))
    return {kind: np.array(values) for kind, values in rows.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="How well people are cut out.")
    parser.add_argument("shards", type=Path, nargs="+")
    parser.add_argument("--heads", type=int, default=40)
    options = parser.parse_args()
    with Matter() as matter:
        found = measure(heads(read_shards(options.shards), options.heads), matter)
    for kind, rows in found.items():
        means, medians = rows.mean(0), np.median(rows, 0)
        print(
            f"{len(rows)} heads before {kind}: error {means[0]:.2f} % (median {medians[0]:.2f}), "
            f"at edges {means[1]:.1f} % ({medians[1]:.1f}); {medians[2]:.0f} ms"
        )


if __name__ == "__main__":
    main()
