"""Judge a finished video from outside: the photo, the driver and the output are files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mien.errors import MienError
from mien.evaluate.instruments import track_face
from mien.evaluate.metrics.identity import descriptor, identity_distances
from mien.evaluate.metrics.motion import amount, correlation, grouped, jitter, without_pose
from mien.evaluate.metrics.signals import face_signals
from mien.evaluate.sound import same_sound
from mien.evaluate.takes import Floats, Frames, Track, sampled
from mien.evaluate.views import yaw_slope
from mien.preprocess.photo import read_photo
from mien.preprocess.video import Video


@dataclass(frozen=True)
class Score:
    """What an animated photo is worth.

    Args:
        frames: of the output.
        driver_frames: of the driver.
        fps: of the output.
        driver_fps: of the driver.
        same_sound: both are silent, or sound alike for as long.
        face_found: share of output frames in which a face is found.
        identity: median distance to the photo (see `metrics.identity`).
        follows: correlation with the driver per figure of `metrics.signals.GROUPS`.
        amount: motion made over motion asked for, 1 is right; likewise.
        beyond_pose: `follows` of what the driver's head pose does not explain.
        jitter: trembling over the driver's.
    """

    frames: int
    driver_frames: int
    fps: float
    driver_fps: float
    same_sound: bool
    face_found: float
    identity: float
    follows: dict[str, float]
    amount: dict[str, float]
    beyond_pose: dict[str, float]
    jitter: float


def score(photo: Path, driver: Path, output: Path) -> Score:
    """Judge `output`, which shows the person of `photo` doing what `driver` does.

    Raises:
        MienError: a file cannot be read, the photo shows no face, or dlib is not installed.
    """
    taken, made = Video(driver), Video(output)
    driving = track_face(image for _, image in taken)
    frames = [image for _, image in made]
    result = track_face(frames)
    distances = identity_distances(_photo_descriptor(photo), descriptors(frames, result))
    length = min(len(driving.points), len(frames))
    source, target = driving[:length], result[:length]
    signals = face_signals(source.points), face_signals(target.points)
    beyond = [without_pose(s, source.angles) for s in signals]
    return Score(
        frames=len(frames),
        driver_frames=len(driving.points),
        fps=made.fps,
        driver_fps=taken.fps,
        same_sound=same_sound(driver, output),
        face_found=float(result.found.mean()),
        identity=float(np.nanmedian(distances)) if result.found.any() else float("nan"),
        follows=grouped(correlation(*signals)),
        amount=grouped(amount(*signals)),
        beyond_pose=grouped(correlation(*beyond)),
        jitter=jitter(source.points, target.points),
    )


def score_views(
    photo: Path, yaws: Sequence[float], views: Sequence[Frames]
) -> tuple[float, dict[float, float]]:
    """Judge pictures (H, W, 3) uint8 that show the person of `photo` from yaws in degrees.

    Returns:
        The slope of measured over asked yaw within ±35°, and the identity distance of each view.

    Raises:
        MienError: as `score`.
    """
    track = track_face(views)
    reference = _photo_descriptor(photo)
    distances = [
        float(identity_distances(reference, descriptor(view, pixels))) if found else float("nan")
        for view, pixels, found in zip(views, track.pixels, track.found, strict=True)
    ]
    slope = yaw_slope(np.asarray(yaws, float), track.angles[:, 0])
    return slope, dict(zip(yaws, distances, strict=True))


def descriptors(frames: Sequence[Frames], track: Track) -> Floats:
    """Identity of at most `SAMPLED` frames, evenly spread among those with a face, (K, 128)."""
    seen = np.flatnonzero(track.found)
    picks = seen[sampled(len(seen))] if len(seen) else seen
    if len(picks) == 0:
        return np.full((1, 128), np.nan)
    return np.stack([descriptor(frames[i], track.pixels[i]) for i in picks])


def _photo_descriptor(photo: Path) -> Floats:
    image = read_photo(photo).image
    track = track_face([image])
    if not track.found[0]:
        raise MienError(f"{photo} shows no face to compare with: name the photo that was animated.")
    return descriptor(image, track.pixels[0])
