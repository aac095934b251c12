"""What a face does, as a few numbers per frame that compare between people.

Axis legend: T frames, K signals. Landmarks are MediaPipe's 478 points with the head pose removed
(T, 478, 3): canonical axes, x to the image's right, y up. *Left* and *right* are the person's own.
Lengths are in units of the distance between the outer eye corners, which no expression changes
much, at its median over the clip. Frames without a face are NaN, here and everywhere.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]

RIGHT_OUTER, RIGHT_INNER, LEFT_INNER, LEFT_OUTER = 33, 133, 362, 263
RIGHT_IRIS, LEFT_IRIS = 468, 473
NOSE_BASE, CHIN = 2, 152
UPPER_LIP, LOWER_LIP = (81, 13, 311), (178, 14, 402)
MOUTH_RIGHT, MOUTH_LEFT = 61, 291
RIGHT_BROW, LEFT_BROW = (70, 63, 105, 66, 107), (300, 293, 334, 296, 336)
RIGHT_UPPER_LID, RIGHT_LOWER_LID = (160, 159, 158), (144, 145, 153)
LEFT_UPPER_LID, LEFT_LOWER_LID = (387, 386, 385), (373, 374, 380)

SIGNALS = (
    "mouth opening",
    "mouth width",
    "smile",
    "jaw",
    "brow right",
    "brow left",
    "lid right",
    "lid left",
    "gaze x",
    "gaze y",
)
"""Names of the K columns of `face_signals`."""

GROUPS = {
    "mouth opening": ("mouth opening",),
    "mouth width": ("mouth width",),
    "smile": ("smile",),
    "jaw": ("jaw",),
    "brows": ("brow right", "brow left"),
    "lids": ("lid right", "lid left"),
    "gaze": ("gaze x", "gaze y"),
}
"""The figures that reports give, each a mean over its signals."""

STILL = np.array([0.01, 0.012, 0.008, 0.01, 0.006, 0.006, 0.03, 0.03, 0.02, 0.012])
"""Standard deviation of each signal under which a face holds it still: some four times what the
detector trembles on real clips."""

SHUT = 0.08
"""Lid opening over eye width below which an iris cannot be seen, so that gaze is unknown."""


def eye_span(points: Floats) -> float:
    """Distance between the outer eye corners, its median over the frames with a face."""
    spans = np.linalg.norm(points[:, LEFT_OUTER] - points[:, RIGHT_OUTER], axis=-1)
    return float(np.nanmedian(spans)) if np.isfinite(spans).any() else float("nan")


def face_signals(points: Floats) -> Floats:
    """Landmarks without pose (T, 478, 3) → signals (T, K), named by `SIGNALS`.

    Opening and widths are distances; *smile* is the height of the mouth's corners over the base of
    the nose, *jaw* the depth of the chin under it; brows stand over their eye's corners; lids and
    gaze are counted in widths of their eye, gaze from the middle between its corners, to the
    image's right and up.
    """
    points = np.asarray(points, np.float64)
    span = eye_span(points)
    lift = points[:, [MOUTH_RIGHT, MOUTH_LEFT], 1].mean(1) - points[:, NOSE_BASE, 1]
    lids, gazes = zip(*(_eye(points, *eye) for eye in _EYES), strict=True)
    columns = [
        _gap(points, UPPER_LIP, LOWER_LIP) / span,
        np.linalg.norm(points[:, MOUTH_LEFT] - points[:, MOUTH_RIGHT], axis=-1) / span,
        lift / span,
        (points[:, NOSE_BASE, 1] - points[:, CHIN, 1]) / span,
        _brow(points, RIGHT_BROW, RIGHT_OUTER, RIGHT_INNER) / span,
        _brow(points, LEFT_BROW, LEFT_OUTER, LEFT_INNER) / span,
        *lids,
        *np.mean(gazes, axis=0).T,
    ]
    return np.stack(columns, axis=1)


_EYES = (
    (RIGHT_OUTER, RIGHT_INNER, RIGHT_UPPER_LID, RIGHT_LOWER_LID, RIGHT_IRIS),
    (LEFT_INNER, LEFT_OUTER, LEFT_UPPER_LID, LEFT_LOWER_LID, LEFT_IRIS),
)


def _gap(points: Floats, upper: tuple[int, ...], lower: tuple[int, ...]) -> Floats:
    return np.linalg.norm(points[:, upper] - points[:, lower], axis=-1).mean(1)


def _brow(points: Floats, brow: tuple[int, ...], outer: int, inner: int) -> Floats:
    return points[:, brow, 1].mean(1) - points[:, [outer, inner], 1].mean(1)


def _eye(
    points: Floats, start: int, end: int, upper: tuple[int, ...], lower: tuple[int, ...], iris: int
) -> tuple[Floats, Floats]:
    """One eye's lid opening (T,) and gaze (T, 2); `start` is its corner at the image's left."""
    axis = points[:, end, :2] - points[:, start, :2]
    width = np.linalg.norm(axis, axis=-1)
    width = np.where(width > 0, width, np.nan)
    along = axis / width[:, None]
    upward = np.stack([-along[:, 1], along[:, 0]], -1)
    offset = points[:, iris, :2] - (points[:, start, :2] + points[:, end, :2]) / 2
    gaze = np.stack([(offset * along).sum(-1), (offset * upward).sum(-1)], -1) / width[:, None]
    opening = _gap(points, upper, lower) / width
    gaze[opening < SHUT] = np.nan
    return opening, gaze
