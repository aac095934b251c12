"""A driving take: one face followed through frames → landmarks and head motion, frame by frame.

What the face expresses as latents is the motion encoder's business; it reads `Take.landmarks`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mien.errors import MienError
from mien.preprocess.face import FaceTracker
from mien.preprocess.pose import HeadPose, canonical_landmarks, fit_pose, head_motion

SMOOTHING_SPAN = 0.3
"""Seconds that full smoothing looks across; a blink lasts some 0.15 s."""


@dataclass(frozen=True)
class Take:
    """What a take's face does. T frames.

    Args:
        landmarks: (T, 478, 3) the face's points in the canonical head frame, pose removed.
        cam_from_head: (T, 4, 4) as in `Motion`.
        times: (T,) seconds since the first frame.
        fps: nominal frames a second.
        found: (T,) whether the face was seen there, or the frame's values are interpolated.
        pixels: (T, 478, 3) landmarks in the frames' pixels, gaps filled, not smoothed.
        pose: (T,) the head's pose in each frame.
    """

    landmarks: NDArray[np.float32]
    cam_from_head: NDArray[np.float32]
    times: NDArray[np.float64]
    fps: float
    found: NDArray[np.bool_]
    pixels: NDArray[np.float64]
    pose: HeadPose

    def __len__(self) -> int:
        return len(self.times)


def track(
    frames: Iterable[tuple[float, NDArray[np.uint8]]],
    fps: float,
    *,
    face: int | None = None,
    smooth: float = 0.0,
    name: str = "the video",
    watch: Callable[[NDArray[np.uint8], NDArray | None], None] | None = None,
) -> Take:
    """Follow a face through (time, frame) pairs, such as a `Video` gives; wrap to show progress.

    Frames without a face take their values from their neighbours.

    Args:
        frames: times in seconds, increasing, and (H, W, 3) uint8 RGB. One photo is a take too.
        fps: nominal frames a second.
        face: which face of the first frame that has any, 0 is the leftmost; None the largest.
        smooth: 0 (off) to 1 (a quarter of a second), see `smoothed`.
        name: what messages call it.
        watch: shown each frame and the landmarks (478, 3) seen in it, or None.

    Raises:
        MienError: no frame has a face, or there is no such face.
    """
    times, seen = [], []
    with FaceTracker(face) as tracker:
        for time, frame in frames:
            times.append(time)
            seen.append(tracker.track(frame))
            if watch is not None:
                watch(frame, seen[-1])
    if all(landmarks is None for landmarks in seen):
        raise MienError(
            f"No face was found in {name} ({len(seen)} frames). Use one in which the face is well "
            "lit, looks towards the camera and is not covered."
        )
    at = np.array(times)
    found = np.array([landmarks is not None for landmarks in seen])
    pixels = fill_gaps(np.stack([s for s in seen if s is not None]), at, found)
    return take_from_landmarks(pixels, at, fps, found, smooth)


def take_from_landmarks(
    pixels: NDArray, times: NDArray, fps: float, found: NDArray[np.bool_], smooth: float = 0.0
) -> Take:
    """A take from landmarks in pixels (T, 478, 3) that something else has tracked."""
    pose = fit_pose(pixels)
    landmarks = canonical_landmarks(pixels, pose)
    if smooth > 0:
        landmarks = smoothed(landmarks, fps, smooth).astype(np.float32)
        pose = smoothed_pose(pose, fps, smooth)
    return Take(
        landmarks=landmarks,
        cam_from_head=head_motion(pose),
        times=times,
        fps=fps,
        found=found,
        pixels=pixels,
        pose=pose,
    )


def fill_gaps(values: NDArray, times: NDArray, found: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Values of the found frames (F, ...) at all times (T,): linear between, constant outside."""
    known = np.flatnonzero(found)
    right = np.clip(np.searchsorted(known, np.arange(len(times))), 0, len(known) - 1)
    left = np.clip(np.searchsorted(known, np.arange(len(times)), "right") - 1, 0, None)
    start, end = times[known[left]], times[known[right]]
    gap = np.where(end > start, end - start, 1.0)
    share = np.clip((times - start) / gap, 0.0, 1.0).reshape(-1, *[1] * (values.ndim - 1))
    return values[left] * (1 - share) + values[right] * share


def smoothed(values: NDArray, fps: float, amount: float) -> NDArray:
    """Savitzky and Golay's filter along the first axis: fits parabolas, so peaks stay and nothing
    lags.

    Args:
        values: (T, ...), evenly spaced in time or nearly so.
        fps: frames a second.
        amount: 0 to 1, the window as a share of `SMOOTHING_SPAN`.
    """
    from scipy.signal import savgol_filter

    window = 2 * round(amount * SMOOTHING_SPAN * fps / 2) + 1
    if window < 5 or window > len(values):
        return values
    return np.asarray(savgol_filter(values, window, 2, axis=0))


def smoothed_pose(pose: HeadPose, fps: float, amount: float) -> HeadPose:
    """A pose with its rotation (projected back on rotations), scale and place smoothed."""
    left, _, right = np.linalg.svd(smoothed(pose.rotation, fps, amount))
    return replace(
        pose,
        rotation=left @ right,
        focal=np.exp(smoothed(np.log(pose.focal), fps, amount)),
        centre=smoothed(pose.centre, fps, amount),
    )
