"""How well one face's motion follows another's.

Axis legend: T frames, K signals. Landmarks (T, 478, 3) have the head pose removed; frames without
a face are NaN and left out. A measure of which nothing is left is NaN.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mien.evaluate.metrics.signals import GROUPS, SIGNALS, STILL, eye_span, face_signals

Floats = NDArray[np.floating]

# fmt: off
REGIONS = {
    "mouth": (
        0, 13, 14, 17, 37, 39, 40, 61, 78, 80, 81, 82, 84, 87, 88, 91, 95, 146, 178, 181,
        185, 191, 267, 269, 270, 291, 308, 310, 311, 312, 314, 317, 318, 321, 324, 375, 402, 405,
        409, 415,
    ),
    "eyes": (
        33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246,
        263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466,
    ),
    "brows": (
        46, 52, 53, 55, 63, 65, 66, 70, 105, 107, 276, 282, 283, 285, 293, 295, 296, 300, 334, 336,
    ),
    "gaze": tuple(range(468, 478)),
}
# fmt: on
"""MediaPipe's points that show the expression of each part of the face."""


def correlation(driver: Floats, output: Floats, still: Floats = STILL) -> Floats:
    """Pearson's correlation over frames of each signal, (T, K) twice → (K,).

    A signal that the driver holds still says nothing: NaN. One that the output holds constant, or
    moves no more than the detector trembles, while the driver moves, does not follow: 0.

    Args:
        driver: signals asked for.
        output: signals made.
        still: (K,) standard deviations under which the driver holds still; the detector trembles
            a quarter of that.
    """
    columns = zip(driver.T, output.T, still, strict=True)
    return np.array([_pearson(*column) for column in columns])


def amount(driver: Floats, output: Floats, still: Floats = STILL) -> Floats:
    """How much the output moves when the driver moves by one, (T, K) twice → (K,); 1 is right.

    The slope of the least-squares line: correlation does not see a motion that is merely damped.

    Args:
        driver, output, still: as in `correlation`.
    """
    columns = zip(driver.T, output.T, still, strict=True)
    return np.array([_slope(*column) for column in columns])


def _slope(driver: Floats, output: Floats, still: float) -> float:
    both = np.isfinite(driver) & np.isfinite(output)
    if both.sum() < 3 or driver[both].std() < still:
        return float("nan")
    return float(np.polyfit(driver[both], output[both], 1)[0])


def _pearson(driver: Floats, output: Floats, still: float) -> float:
    both = np.isfinite(driver) & np.isfinite(output)
    if both.sum() < 3 or driver[both].std() < still:
        return float("nan")
    if output[both].std() < still / 4:
        return 0.0
    return float(np.corrcoef(driver[both], output[both])[0, 1])


def grouped(correlations: Floats) -> dict[str, float]:
    """Per-signal values (K,) → one per figure of `GROUPS`, the mean of those that are known."""
    known = dict(zip(SIGNALS, correlations, strict=True))
    return {name: _mean([known[s] for s in signals]) for name, signals in GROUPS.items()}


def _mean(values: list[float]) -> float:
    known = [v for v in values if np.isfinite(v)]
    return float(np.mean(known)) if known else float("nan")


def without_pose(signals: Floats, angles: Floats) -> Floats:
    """What of the signals (T, K) the head pose does not explain, by least squares.

    Removing the pose from landmarks leaves some of it behind, alike in driver and output when the
    output turns with the driver, so that a stiff head seems to follow. Against the residuals of
    both it gains nothing.

    Args:
        signals: (T, K).
        angles: (T, 3) the driver's yaw, pitch and roll in degrees.
    """
    scaled = angles / 30.0
    terms = np.concatenate([np.ones((len(angles), 1)), scaled, scaled[:, :2] ** 2], axis=1)
    residual = np.full_like(signals, np.nan)
    for k, column in enumerate(signals.T):
        known = np.isfinite(column) & np.isfinite(terms).all(1)
        if known.sum() > terms.shape[1]:
            weights = np.linalg.lstsq(terms[known], column[known], rcond=None)[0]
            residual[known, k] = column[known] - terms[known] @ weights
    return residual


def keypoint_distances(truth: Floats, output: Floats, *, same_person: bool) -> dict[str, float]:
    """Mean distances of landmarks without pose, in percent of the truth's eye span.

    Args:
        truth: (T, 478, 3) the driver, or the true frames.
        output: (T, 478, 3), frame for frame.
        same_person: if not, each is counted from its own mean shape over the frames that both
            have, in its own eye span, so that only motion is compared.

    Returns:
        *AKD* over all points and the *expression error* of each of `REGIONS`.
    """
    both = np.isfinite(truth).all((1, 2)) & np.isfinite(output).all((1, 2))
    if not both.any():
        return {name: float("nan") for name in ("AKD", *REGIONS)}
    a, b = truth[both] / eye_span(truth), output[both]
    b = b / eye_span(truth if same_person else output)
    if not same_person:
        a, b = a - a.mean(0), b - b.mean(0)
    distance = 100.0 * np.linalg.norm(a - b, axis=-1).mean(0)
    regions = {name: float(distance[list(points)].mean()) for name, points in REGIONS.items()}
    return {"AKD": float(distance.mean()), **regions}


def pose_error(truth: Floats, output: Floats) -> dict[str, float]:
    """Mean absolute error of yaw, pitch and roll (T, 3), and of the three together, in degrees."""
    difference = np.abs((output - truth + 180.0) % 360.0 - 180.0)
    known = difference[np.isfinite(difference).all(1)]
    each = known.mean(0) if len(known) else np.full(3, np.nan)
    return {
        "yaw": float(each[0]),
        "pitch": float(each[1]),
        "roll": float(each[2]),
        "pose": float(each.mean()),
    }


def jitter(driver: Floats, output: Floats) -> float:
    """Trembling of the output's landmarks over the driver's; 1 when as calm.

    The root mean square of second differences over time, each face in its own eye span.
    """
    calm = _trembling(driver)
    return _trembling(output) / calm if calm > 0 else float("nan")


def _trembling(points: Floats) -> float:
    second = np.diff(points, n=2, axis=0) / eye_span(points)
    known = second[np.isfinite(second).all((1, 2))]
    return float(np.sqrt((known**2).mean())) if len(known) else float("nan")


def follows(driver: Floats, output: Floats) -> dict[str, float]:
    """Landmarks without pose (T, 478, 3) of driver and output → correlation per figure."""
    return grouped(correlation(face_signals(driver), face_signals(output)))
