"""The experiments: what is animated by what, and what is measured of it.

Each is a flow of data: scenes → the model's frames, the still source and the true frames → a take
of each → figures with their bounds. The true frames pass through the same crop and the same video
codec as the model's.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from mien.evaluate.catalogue import CATALOGUE
from mien.evaluate.metrics.consistency import multi_view_consistency
from mien.evaluate.metrics.identity import identity_distances
from mien.evaluate.metrics.image import mask_iou
from mien.evaluate.metrics.motion import (
    amount,
    correlation,
    grouped,
    jitter,
    keypoint_distances,
    pose_error,
    without_pose,
)
from mien.evaluate.metrics.signals import face_signals
from mien.evaluate.results import Measure, Row
from mien.evaluate.takes import (
    Frames,
    Instruments,
    Scene,
    Take,
    Track,
    frames_of,
    look,
    pictures,
    sampled,
)
from mien.structures import Camera, Rendered

VIEWS = (-40, -35, -30, -25, -20, -12, -6, 0, 6, 12, 20, 25, 30, 35, 40)
"""Yaws in degrees that the novel-view protocol asks for."""

SLOPE_WITHIN = 35
"""Degrees of yaw within which the slope is fitted."""

APART = 20
"""Degrees between the views whose consistency is measured."""


class Reenactor(Protocol):
    """What is measured: anything that animates a photo."""

    def __call__(
        self, source: Frames, drivers: Sequence[Frames], cameras: Camera, size: int
    ) -> Iterable[Rendered]:
        """Animate.

        Args:
            source: (H, W, 3) uint8, the photo as it came.
            drivers: T pictures (H, W, 3) uint8 whose expressions are wanted.
            cameras: (T,) from which the head is to be seen.
            size: S of the frames.

        Returns:
            T frames, (3, S, S) each.
        """
        ...


@dataclass(frozen=True)
class Outcome:
    """A row, and what it looks like.

    Args:
        row: the figures.
        source: (S, S, 3) the photo in the output framing.
        truth: (T, S, S, 3) the driver in the output framing; the yaw sweep has none (T = 0).
        output: (T, S, S, 3) what the model made of it.
    """

    row: Row
    source: Frames
    truth: Frames
    output: Frames


def self_reenactment(scene: Scene, reenactor: Reenactor, instruments: Instruments) -> Outcome:
    """A clip's first frame, driven by the others, against them."""
    return _reenactment("self", scene[:1], scene[1:], reenactor, instruments)


def cross_reenactment(
    source: Scene, driver: Scene, reenactor: Reenactor, instruments: Instruments
) -> Outcome:
    """A photo driven by another person's clip, in that person's poses."""
    return _reenactment("cross", source, driver, reenactor, instruments)


def _reenactment(
    protocol: str, source: Scene, driver: Scene, reenactor: Reenactor, instruments: Instruments
) -> Outcome:
    size, same_person = driver.crops.shape[1], protocol == "self"
    rendered = reenactor(source.images[0], driver.images, driver.cameras, size)
    held = np.zeros(len(driver), int)
    candidates = (
        _collect(rendered),
        (source.crops[held], source.alpha[held]),
        (driver.crops, driver.alpha),
    )
    photo = look(source.crops, source.alpha, instruments)
    motion = instruments.track(driver.crops)
    takes, values = [], []
    for frames, alpha in candidates:
        if same_person:
            frames, alpha = frames * driver.known[..., None].numpy(), alpha * driver.known
        take = look(instruments.codec(frames), alpha, instruments)
        likeness = _likeness(take, driver, instruments) if same_person else {}
        reached = likeness | figures(take, photo, motion, same_person=same_person)
        values.append({name: reached[name] for name in CATALOGUE if name in reached})
        takes.append(take)
    model, still, true = values
    measures = {
        name: Measure(model[name], *_bounds(name, still[name], true[name], same_person))
        for name in model
    }
    row = Row(protocol, source.name, driver.name, len(driver), measures)
    return Outcome(row, source.crops[0], driver.crops, takes[0].frames)


def _bounds(name: str, still: float, true: float, same_person: bool) -> tuple[float, float]:
    """Floor and ceiling of a metric, from what the still source and the true frames reach.

    The look of a person changes with the expression, so the still source is no measure of it when
    there are true frames, but all there is when the driver is somebody else.
    """
    if name not in ("identity", "sharpness"):
        return still, true
    if same_person:
        return math.nan, true
    return (true if name == "identity" else math.nan), still


def _collect(rendered: Iterable[Rendered]) -> tuple[Frames, Tensor]:
    frames, alpha = zip(*((frames_of(r.image[None])[0], r.alpha[0]) for r in rendered), strict=True)
    return np.stack(frames), torch.stack(alpha).cpu()


def figures(take: Take, photo: Take, motion: Track, *, same_person: bool) -> dict[str, float]:
    """Every figure of a reenactment that needs no true frames.

    Args:
        take: what is judged.
        photo: the source, one frame.
        motion: the driver's, frame for frame.
        same_person: whether the driver is the source.
    """
    output = take.track
    signals = face_signals(motion.points), face_signals(output.points)
    beyond = [without_pose(s, motion.angles) for s in signals]
    errors = keypoint_distances(motion.points, output.points, same_person=same_person)
    result = {
        "face found": 100.0 * float(output.found.mean()),
        "identity": _median(identity_distances(photo.descriptors[0], take.descriptors)),
        "sharpness": _median(take.sharpness) / _median(photo.sharpness),
        "jitter": jitter(motion.points, output.points),
        "pose": pose_error(motion.angles, output.angles)["pose"],
        "AKD": errors.pop("AKD"),
        "expression": float(np.mean(list(errors.values()))),
    }
    result |= {f"error: {region}": error for region, error in errors.items()}
    result |= {f"follows: {k}": v for k, v in grouped(correlation(*signals)).items()}
    result |= {f"amount: {k}": v for k, v in grouped(amount(*signals)).items()}
    result |= {f"beyond pose: {k}": v for k, v in grouped(correlation(*beyond)).items()}
    return result


def _likeness(take: Take, truth: Scene, instruments: Instruments) -> dict[str, float]:
    """The figures that compare with true frames."""
    picks = sampled(len(take.frames))
    image, true = pictures(take.frames[picks]), pictures(truth.crops[picks])
    result = {
        name: float(measure(image, true).mean()) for name, measure in instruments.pictures.items()
    }
    overlap = mask_iou(take.alpha[picks, None], truth.alpha[picks, None])
    return {**result, "mask IoU": float(overlap.mean())}


def _median(values: np.ndarray) -> float:
    return float(np.nanmedian(values)) if np.isfinite(values).any() else math.nan


def novel_views(source: Scene, reenactor: Reenactor, instruments: Instruments) -> Outcome:
    """A photo, its own expression kept, seen from a sweep of yaws."""
    asked = np.array(VIEWS)
    orbit = Camera.orbit(torch.tensor(VIEWS).deg2rad())
    cameras = Camera(orbit.world_from_cam, source.cameras.intrinsics.expand(len(asked), 3, 3))
    drivers = [source.images[0]] * len(asked)
    rendered = list(reenactor(source.images[0], drivers, cameras, source.crops.shape[1]))
    views = look(*_collect(rendered), instruments)
    photo = look(source.crops, source.alpha, instruments)
    distances = identity_distances(photo.descriptors[0], views.descriptors)
    measures = {
        "face found": Measure(100.0 * float(views.track.found.mean()), math.nan, 100.0),
        "yaw slope": Measure(yaw_slope(asked, views.track.angles[:, 0]), 0.0, 1.0),
        "consistency": Measure(_consistency(rendered, cameras), math.nan, 0.0),
    }
    for angle in (12, 25, 40):
        both = float(distances[np.abs(asked) == angle].mean())
        measures[f"identity ±{angle}°"] = Measure(both, math.nan, 0.0)
    row = Row("views", source.name, "", len(asked), measures)
    return Outcome(row, source.crops[0], views.frames[:0], views.frames)


def yaw_slope(asked: np.ndarray, measured: np.ndarray) -> float:
    """Slope of the line through measured over asked yaw, degrees, within `SLOPE_WITHIN`."""
    used = (np.abs(asked) <= SLOPE_WITHIN) & np.isfinite(measured)
    return float(np.polyfit(asked[used], measured[used], 1)[0]) if used.sum() > 1 else math.nan


def _consistency(rendered: Sequence[Rendered], cameras: Camera) -> float:
    errors = []
    for i, yaw in enumerate(VIEWS):
        if yaw + APART in VIEWS:
            j = VIEWS.index(yaw + APART)
            first, second = (rendered[k].map(lambda t: t[None]) for k in (i, j))
            there = multi_view_consistency(first, cameras[i : i + 1], second, cameras[j : j + 1])
            errors.append(there[0])
    return float(torch.cat(errors).nanmean())
