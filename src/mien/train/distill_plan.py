"""Who is to be taught what: photos of people, and the drivers whose expressions each shall make.

Axis legend: F frames of a set, D drivers of one photo.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mien.data.shards import Frames
from mien.errors import MienError
from mien.train.batches import SYNTHETIC, PairSampler, expression
from mien.train.prepare import spread

CANDIDATES = 256
"""Frames among which a photo's drivers are looked for. All frames would give every photo the same,
strangest few."""


@dataclass(frozen=True)
class Plan:
    """Photos, and what their drivers are drawn from.

    Args:
        photos: (P,) rows of the frames to animate: people filmed never come first.
        moving: (M,) rows that may drive.
        change: (F, 39) how each frame's expression differs from its take's mean.
        means: (K, 478, 3) mean face of each take.
        person: (F,) number of each frame's person.
        seed: of every choice.
    """

    photos: Tensor
    moving: Tensor
    change: Tensor
    means: Tensor
    person: Tensor
    seed: int

    def drivers(self, index: int, count: int) -> Tensor:
        """(≤ count,) rows of drivers of photo `index`: other people, far from each other in
        expression, so that rare ones are not drowned. They depend on `index` and the seed alone.
        """
        generator = np.random.default_rng([self.seed, index])
        others = self.moving[self.person[self.moving] != self.person[self.photos[index]]]
        rows = others[torch.from_numpy(generator.permutation(len(others))[:CANDIDATES])]
        return rows[torch.from_numpy(spread(self.change[rows].numpy(), count))]


def plan(frames: Frames, photos: int | None, seed: int) -> Plan:
    """What to make of a set of frames.

    Args:
        frames: the set, on the CPU.
        photos: how many photos at most: first those of people with single ones, then the first
            frame of every take; None: those of people with single ones.
        seed: of every choice.

    Raises:
        MienError: nobody moves, or there is no photo.
    """
    take = frames.take
    counts = torch.bincount(take, minlength=len(frames.takes))
    rendered = torch.tensor([person.startswith(SYNTHETIC) for person in frames.people])
    filmed = counts >= PairSampler.MOVING
    first = torch.full_like(counts, len(take))
    first.scatter_reduce_(0, take, torch.arange(len(take)), "amin")
    singles, takes = (first[mask & ~rendered & (counts > 0)] for mask in (~filmed, filmed))
    chosen = singles if photos is None else torch.cat([singles, takes])[:photos]
    moving = torch.nonzero((filmed & ~rendered)[take])[:, 0]
    if not len(chosen) or not len(moving):
        lack = "photos to animate" if len(moving) else "takes of moving people to drive them"
        raise MienError(f"The shards hold no {lack}; prepare more with `mien prepare`.")
    means = torch.zeros(len(counts), *frames.landmarks.shape[1:])
    means.index_add_(0, take, frames.landmarks)
    means /= counts.clamp_min(1)[:, None, None]
    numbers = {person: i for i, person in enumerate(dict.fromkeys(frames.people))}
    return Plan(
        photos=chosen,
        moving=moving,
        change=expression(frames.landmarks) - expression(means)[take],
        means=means,
        person=torch.tensor([numbers[person] for person in frames.people])[take],
        seed=seed,
    )
