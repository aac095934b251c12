"""How faces move in real life: joint statistics of the coefficients, and takes drawn from them.

Coefficients are fitted to landmarks of filmed people; what is kept of them is, for each, how often
it has which value, how each goes with each other, and how long it stays (`natural.npz`, made by
`python -m mien.synth.natural LANDMARKS_FOLDER FACEKIT_FOLDER`). No frame or person can be told
from that. Axis legend: T frames, E coefficients (`rig.ARKIT`), Q quantiles.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
from scipy.special import ndtr, ndtri

from mien.synth.rig import ARKIT

QUANTILES = 65

_STEPS = 300


@dataclass(frozen=True)
class Natural:
    """A Gaussian copula that moves.

    Args:
        quantiles: (Q, E) values of each coefficient, from 0 to 1, at even probabilities.
        correlation: (E, E) of the coefficients' normal scores.
        memory: (E,) correlation of a normal score with itself a second later.
    """

    quantiles: np.ndarray
    correlation: np.ndarray
    memory: np.ndarray

    def sample(self, rng: np.random.Generator, count: int, rate: float = 25.0) -> np.ndarray:
        """A take: (count, E) coefficients in [0, 1], `rate` frames a second.

        Normal scores follow an autoregression of first order that keeps their correlations.
        """
        keep = self.memory ** (1.0 / rate)
        stay = _root(self.correlation)
        moved = _root(self.correlation * (1 - keep[:, None] * keep))
        scores = np.empty((count, len(ARKIT)))
        scores[0] = stay @ rng.normal(size=len(ARKIT))
        for t in range(1, count):
            scores[t] = keep * scores[t - 1] + moved @ rng.normal(size=len(ARKIT))
        even = np.linspace(0, 1, len(self.quantiles))
        share = ndtr(scores)
        return np.stack(
            [np.interp(share[:, e], even, self.quantiles[:, e]) for e in range(len(ARKIT))], 1
        )


def _root(matrix: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(matrix)
    return vectors * np.sqrt(np.clip(values, 0, None))


@functools.cache
def load_natural() -> Natural:
    """The statistics that come with Mien."""
    with (
        (resources.files("mien.synth") / "natural.npz").open("rb") as file,
        np.load(file) as archive,
    ):
        return Natural(*(archive[k].astype(np.float64) for k in _FIELDS))


_FIELDS = ("quantiles", "correlation", "memory")


def fit_take(
    landmarks: np.ndarray, moves: np.ndarray, weight: np.ndarray, rounds: int = 4
) -> np.ndarray:
    """Coefficients (T, E) that explain a take's canonical landmarks (T, 478, 3).

    To be clipped to [0, 1]: below zero they say how firmly they are at rest. Least squares with a
    small price on every coefficient, by accelerated projected gradients (Beck & Teboulle 2009), in
    turns with the face at rest.

    Args:
        moves: (E, 478, 3) what a full coefficient does to the landmarks.
        weight: (478, 3) trust in each number.
    """
    basis = (moves * weight).reshape(len(moves), -1)
    seen = (landmarks * weight).reshape(len(landmarks), -1)
    gram = basis @ basis.T
    step = 1.0 / np.linalg.eigvalsh(gram)[-1]
    price = 0.02 * np.median(np.diag(gram))
    found = drive = np.zeros((len(seen), len(basis)))
    for _ in range(rounds):
        rest = np.median(seen - found @ basis, axis=0)
        pull = (seen - rest) @ basis.T - price
        ahead, before, speed = found, found, 1.0
        for _ in range(_STEPS):
            drive = ahead - step * (ahead @ gram - pull)
            found = drive.clip(0, 1)
            faster = (1 + np.sqrt(1 + 4 * speed * speed)) / 2
            ahead = found + (speed - 1) / faster * (found - before)
            before, speed = found, faster
    return drive


def learn(takes: Sequence[np.ndarray], rate: float) -> Natural:
    """Statistics of takes (T, E) from `fit_take`, `rate` frames a second."""
    pooled = np.concatenate(takes)
    quantiles = np.quantile(pooled, np.linspace(0, 1, QUANTILES), axis=0).clip(0, 1)
    rank = pooled.argsort(0).argsort(0)
    scores = ndtri((rank + 0.5) / len(pooled))
    split = np.split(scores, np.cumsum([len(t) for t in takes])[:-1])
    lag = max(1, round(rate / 5))
    pairs = [(s[:-lag], s[lag:]) for s in split if len(s) > lag]
    first, second = (np.concatenate(side) for side in zip(*pairs, strict=True))
    alike = np.clip((first * second).mean(0), 0.05, 0.99)
    return Natural(quantiles, np.corrcoef(scores.T), alike ** (rate / lag))


def rig_moves(facekit: Path) -> np.ndarray:
    """(E, 478, 3) what full coefficients do to the canonical landmarks, in MediaPipe's dialect."""
    import torch

    from mien.synth.dialect import load_dialect
    from mien.synth.landmarks import attach_landmarks, to_canonical
    from mien.synth.rig import load_rig

    rig = load_rig(facekit)
    corners, weights = attach_landmarks(rig)
    faces = torch.cat([torch.zeros(1, len(ARKIT)), torch.eye(len(ARKIT))])
    posed = rig.pose(rig.vertices[None].expand(len(faces), -1, -1), faces).numpy()
    points = to_canonical((posed[:, corners] * weights[..., None]).sum(2))
    return points[1:] - points[0] + load_dialect().gain


def trust() -> np.ndarray:
    """(478, 3) weights: irises and lids are few points, and depth is a guess."""
    weight = np.ones((478, 3))
    weight[468:] = 5.0
    weight[[159, 145, 386, 374, 160, 158, 144, 153, 385, 387, 380, 373]] = 3.0
    return weight * [1.0, 1.0, 0.3]


def main() -> None:
    """Learn from `*.npz` files with MediaPipe's landmarks `lm` (T, 478, 3) of takes.

    A file may say that it is `held` out, and has 12.5 frames a second.
    """
    from mien.preprocess.pose import canonical_landmarks, fit_pose

    moves, takes, before, after = rig_moves(Path(sys.argv[2])), [], 0.0, 0.0
    for path in sorted(Path(sys.argv[1]).glob("*.npz")):
        with np.load(path) as data:
            landmarks = data["lm"]
            if len(landmarks) < 25 or bool(data["held"]):
                continue
        pose = fit_pose(landmarks)
        good = (pose.residual < 0.02) & (np.abs(pose.angles()[:, 0]) < 0.6)
        if good.mean() < 0.9:
            continue
        shape = canonical_landmarks(landmarks, pose)
        drive = fit_take(shape, moves, trust())
        found = drive.clip(0, 1)
        moving = (shape - np.median(shape, 0)) * trust()
        left = (shape - np.tensordot(found, moves, 1)) * trust()
        before += float(np.square(moving).mean())
        after += float(np.square(left - np.median(left, 0)).mean())
        takes.append(drive)
    print(f"{len(takes)} takes, {sum(map(len, takes))} frames; unexplained {after / before:.0%}")
    natural = learn(takes, 12.5)
    np.savez_compressed(
        Path(__file__).with_name("natural.npz"),
        **{k: getattr(natural, k).astype(np.float16) for k in _FIELDS},
    )


if __name__ == "__main__":
    main()
