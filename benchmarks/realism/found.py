"""Does MediaPipe find made faces, and does it see what their labels say?

    PYTHONPATH=src python benchmarks/realism/found.py RENDERS.npz ... [--sheet FAILED.png]

RENDERS are files of `faces.py`. Errors are in the distance between the outer corners of the eyes.
"""

import argparse
from pathlib import Path

import numpy as np
from faces import Faces
from mediapipe.python.solutions import face_mesh_connections as mesh

from mien.synth.dataset import on_grey, write_sheet


def _joined(*edges: frozenset[tuple[int, int]]) -> list[int]:
    """The landmarks that lines of the mesh join."""
    return sorted({end for group in edges for edge in group for end in edge})


FRONTAL = 30.0
"""Degrees of yaw within which a face must be found."""

EYES = (33, 263)
"""Outer corners."""

GROUPS = {
    "irises": range(468, 478),
    "lids": _joined(mesh.FACEMESH_LEFT_EYE, mesh.FACEMESH_RIGHT_EYE),
    "brows": _joined(mesh.FACEMESH_LEFT_EYEBROW, mesh.FACEMESH_RIGHT_EYEBROW),
    "lips": _joined(mesh.FACEMESH_LIPS),
    "oval": _joined(mesh.FACEMESH_FACE_OVAL),
    "all": range(478),
}
"""Landmarks by part of the face."""


def errors(points: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Distances (N, L) of points (N, L, 2) from the reference, by the eyes' distance in it."""
    a, b = EYES
    eyes = np.linalg.norm(reference[:, a] - reference[:, b], axis=-1)
    return np.linalg.norm(points - reference, axis=-1) / eyes[:, None]


def _span(points: np.ndarray, a: int, b: int) -> np.ndarray:
    return np.linalg.norm(points[:, a] - points[:, b], axis=-1)


def _iris(points: np.ndarray, iris: int, out: int, inner: int) -> np.ndarray:
    """(N, 2) place of an iris between its eye's corners, along and across, in eye widths."""
    axis = points[:, inner] - points[:, out]
    width = np.linalg.norm(axis, axis=-1, keepdims=True)
    axis = axis / width
    away = (points[:, iris] - (points[:, inner] + points[:, out]) / 2) / width
    across = np.stack([-axis[:, 1], axis[:, 0]], -1)
    return np.stack([(away * axis).sum(-1), (away * across).sum(-1)], -1)


def gestures(points: np.ndarray) -> dict[str, np.ndarray]:
    """What a face does, (N,) each, from landmarks (N, 478, 2); lengths by the eyes' distance."""
    eyes = _span(points, *EYES)
    right, left = _iris(points, 468, 33, 133), _iris(points, 473, 263, 362)
    return {
        "mouth opening": _span(points, 13, 14) / eyes,
        "mouth width": _span(points, 61, 291) / eyes,
        "lid opening": (_span(points, 159, 145) + _span(points, 386, 374)) / eyes,
        "brow height": (_span(points, 105, 159) + _span(points, 334, 386)) / eyes,
        "gaze sideways": right[:, 0] - left[:, 0],
        "gaze up": right[:, 1] - left[:, 1],  # the left eye's axis runs the other way
    }


def agreement(points: np.ndarray, reference: np.ndarray) -> list[str]:
    """Lines that say how far points (N, 478, 2) agree with a reference, part by part."""
    far = errors(points, reference)
    lines = [
        f"{name:>14}  error: median {np.median(far[:, list(which)]):.2%}"
        f", a tenth of faces beyond {np.quantile(far[:, list(which)].mean(1), 0.9):.2%}"
        for name, which in GROUPS.items()
    ]
    told, truth = gestures(points), gestures(reference)
    for name, value in truth.items():
        slope, _ = np.polyfit(value, told[name], 1)
        lines.append(f"{name:>14}  r {np.corrcoef(value, told[name])[0, 1]:.2f}, slope {slope:.2f}")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("renders", nargs="+", type=Path)
    parser.add_argument("--sheet", type=Path, help="where pictures without a found face go")
    arguments = parser.parse_args()
    faces = Faces.load(arguments.renders)
    yaw = np.abs(faces.angles[:, 0])
    for low, high in ((0, 15), (15, 30), (0, FRONTAL), (30, 45), (45, 60), (60, 90)):
        there = (yaw >= low) & (yaw < high)
        if there.any():
            share, count = faces.found[there].mean(), there.sum()
            print(f"yaw {low:2}–{high:g}°: found {share:.2%} of {count}")
    usable = faces[faces.found & (yaw < FRONTAL)]
    print(*agreement(usable.seen, usable.true), sep="\n")
    missed = faces[~faces.found & (yaw < FRONTAL)]
    if arguments.sheet and len(missed):
        write_sheet([on_grey(c[..., :3], c[..., 3]) for c in missed.crops], arguments.sheet, 8)


if __name__ == "__main__":
    main()
