"""Make `arkit.npz`: how ARKit's coefficients move MediaPipe's 478 landmarks.

    python tools/make_arkit_landmarks.py FACEKIT_FOLDER src/mien/serve/arkit.npz

Every landmark rides on the nearest skin vertex of FaceKit's neutral head (ICT-FaceKit, MIT, keep
its licence); where the closed lips touch, on the nearest one of its own lip. Irises turn with the
eyeballs.

Axis legend: K controls, V vertices, L landmarks. FaceKit's frame is in centimetres.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from mien.preprocess.pose import canonical
from mien.serve.controls import NAMES
from mien.synth.rig import ARKIT, gaze_rotation

UPPER_LIP = [
    61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 76, 184, 74, 73, 72, 11, 302, 303, 304, 408,
    62, 183, 42, 41, 38, 12, 268, 271, 272, 407, 78, 191, 80, 81, 82, 13, 312, 311, 310, 415,
]  # fmt: skip
LOWER_LIP = [
    146, 91, 181, 84, 17, 314, 405, 321, 375, 77, 90, 180, 85, 16, 315, 404, 320, 307, 96, 89, 179,
    86, 15, 316, 403, 319, 325, 95, 88, 178, 87, 14, 317, 402, 318, 324,
]  # fmt: skip
"""Which of MediaPipe's landmarks lie on which lip (corners count as upper)."""

FALLS_WITH_JAW = 0.45
"""Part of the chin's fall that a vertex near the mouth makes if it belongs to the lower lip."""

RIGHT_IRIS, LEFT_IRIS = range(468, 473), range(473, 478)


def facekit_names(control: str) -> list[str]:
    """FaceKit's names of one of ARKit's coefficients: FaceKit splits two of them by side."""
    for side in ("Left", "Right"):
        if control.endswith(side) and control not in ARKIT:
            return [f"{control.removesuffix(side)}_{side[0]}"]
    return [control] if control in ARKIT else [f"{control}_L", f"{control}_R"]


def riding_vertices(
    points: NDArray, vertices: NDArray, skin: NDArray, jaw_fall: NDArray
) -> NDArray[np.intp]:
    """(L,) the skin vertex that each landmark rides on.

    Args:
        points: (L, 3) landmarks in FaceKit's frame.
        vertices: (V, 3).
        skin: indices of the vertices that landmarks may ride on.
        jaw_fall: (V,) how far each falls when the jaw opens, as part of the most.
    """
    nearest = skin[cKDTree(vertices[skin]).query(points)[1]]
    lower = skin[jaw_fall[skin] > FALLS_WITH_JAW]
    upper = skin[jaw_fall[skin] <= FALLS_WITH_JAW]
    for lip, own in ((LOWER_LIP, lower), (UPPER_LIP, upper)):
        nearest[lip] = own[cKDTree(vertices[own]).query(points[lip])[1]]
    return nearest


def iris_shift(control: str, points: NDArray, centres: NDArray) -> NDArray:
    """(L, 3) how a full coefficient turns the irises about the eyeballs' centres (left, right)."""
    shift = np.zeros_like(points)
    coefficients = torch.zeros(1, len(ARKIT))
    for name in facekit_names(control):
        coefficients[0, list(ARKIT).index(name)] = 1.0
    for side, iris in enumerate((LEFT_IRIS, RIGHT_IRIS)):
        turn = gaze_rotation(coefficients, side)[0].numpy().astype(np.float64)
        local = points[iris] - centres[side]
        shift[iris] = local @ turn.T - local
    return shift


def main() -> None:
    """Read FaceKit, write the shapes."""
    parser = argparse.ArgumentParser(description="Make `arkit.npz`.")
    parser.add_argument("facekit", type=Path)
    parser.add_argument("output", type=Path)
    args = parser.parse_args()

    data = np.load(args.facekit / "facekit.npz")
    names = [str(name) for name in data["expression_names"]]
    deltas = data["expression_deltas"].astype(np.float64)
    frame = canonical()
    points = frame.points / frame.facekit_scale + frame.facekit_offset
    skin = np.flatnonzero(data["vertex_part"] == 0)
    fall = -deltas[names.index("jawOpen"), :, 1]
    riding = riding_vertices(points, data["vertices"], skin, fall / fall[skin].max())
    centres = np.stack([data["eye_center_left"], data["eye_center_right"]])

    shapes = []
    for control in NAMES:
        shape = np.sum([deltas[names.index(n)][riding] for n in facekit_names(control)], 0)
        shape[468:] = 0.0
        shapes.append((shape + iris_shift(control, points, centres)) * frame.facekit_scale)
    np.savez_compressed(
        args.output,
        neutral=frame.points.astype(np.float32),
        shapes=np.stack(shapes).round(5).astype(np.float16),
    )


if __name__ == "__main__":
    main()
