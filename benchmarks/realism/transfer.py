"""How well does a network that only saw made heads understand photographs?

    PYTHONPATH=src python benchmarks/realism/transfer.py WEIGHTS.safetensors FACES.npz ...

WEIGHTS are those of `landmarker.py`, the others files of `faces.py`. What counts as right is what
MediaPipe sees. Errors are in the distance between the outer corners of the eyes. Beside them stands
what the mean face would score, laid on every face by shift and size: the floor.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from faces import Faces
from found import agreement, errors
from landmarker import Landmarker, find, load
from torch import Tensor

FRONTAL = 45.0
"""Degrees of yaw; MediaPipe itself guesses beyond."""


def pictures(faces: Faces) -> Tensor:
    """(N, 3, S, S) in [0, 1], over grey where there is nothing."""
    x = torch.from_numpy(faces.crops).permute(0, 3, 1, 2).float() / 255
    return (x[:, :3] + (1 - x[:, 3:]) * 0.4).clamp(0, 1)


def told(network: Landmarker, faces: Faces) -> np.ndarray:
    """(N, 478, 2) pixels of the crops."""
    return torch.cat([find(network, part) for part in pictures(faces).split(64)]).numpy()


def mean_face(points: np.ndarray) -> np.ndarray:
    """The mean of faces (N, 478, 2), laid on each by its own middle and size."""
    middle = points.mean(1, keepdims=True)
    size = np.linalg.norm(points - middle, axis=-1).mean(1)[:, None, None]
    return ((points - middle) / size).mean(0) * size + middle


def main() -> None:
    if len(sys.argv) < 3:
        raise SystemExit(__doc__)
    network = load(Path(sys.argv[1]))
    faces = Faces.load(sys.argv[2:])
    faces = faces[faces.found & (np.abs(faces.angles[:, 0]) < FRONTAL)]
    for source in np.unique(faces.source):
        part = faces[faces.source == source]
        floor = errors(mean_face(part.seen), part.seen)
        found = told(network, part)
        print(f"{source}: {len(part)} pictures; the mean face: {np.median(floor):.2%}")
        print(*agreement(found, part.seen), sep="\n")


if __name__ == "__main__":
    main()
