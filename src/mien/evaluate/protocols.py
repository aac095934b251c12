"""The experiments: what is animated by what, and what is measured of it.

Each is a flow of data: scenes → the model's frames, the still source and the true frames → a take
of each → figures with their bounds. The true frames pass through the same crop and the same video
codec as the model's. What does not depend on the model is a `Yardstick`, and can be kept.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import torch
from torch import Tensor

from mien.evaluate.catalogue import CATALOGUE
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
    PICTURED,
    Floats,
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

STRANGER = 0.84
"""Floor of identity where no stranger is at hand: dlib's distance between two people, the mean of
held-out photos and the drivers of others."""

Kind = Literal["self", "cross", "synthetic"]


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
        truth: (T, S, S, 3) what it is compared with; T = 0 if there is none.
        output: (T, S, S, 3) what the model made of it.
    """

    row: Row
    source: Frames
    truth: Frames
    output: Frames


@dataclass(frozen=True)
class Yardstick:
    """What of a case does not depend on the model.

    Args:
        descriptor: (128,) identity of the source.
        sharpness: of the source.
        motion: the driver's, frame for frame.
        bounds: floor and ceiling by metric.
    """

    descriptor: Floats
    sharpness: float
    motion: Track
    bounds: dict[str, tuple[float, float]]


def yardstick(kind: Kind, source: Scene, driver: Scene, instruments: Instruments) -> Yardstick:
    """Let the still source and the true frames be judged as a model's would be."""
    photo = look(source.crops, source.alpha, instruments)
    plain = Yardstick(
        photo.descriptors[0], float(photo.sharpness[0]), instruments.track(driver.crops), {}
    )
    held = np.zeros(len(driver), int)
    still, true = (
        _judged(kind, frames, alpha, driver, plain, instruments)[1]
        for frames, alpha in (
            (source.crops[held], source.alpha[held]),
            (driver.crops, driver.alpha),
        )
    )
    bounds = {name: _bounds(kind, name, still[name], true[name]) for name in true}
    return Yardstick(plain.descriptor, plain.sharpness, plain.motion, bounds)


def _bounds(kind: Kind, name: str, still: float, true: float) -> tuple[float, float]:
    """Floor and ceiling of a metric, from what the still source and the true frames reach.

    The still source is its own look, and so no floor for it. If somebody else drives, it is the
    ceiling; the floor of identity is then the driver, else a stranger; of sharpness, a blank.
    """
    if name == "identity":
        return (true, still) if kind == "cross" else (STRANGER, true)
    if name == "sharpness":
        return 0.0, still if kind == "cross" else true
    return still, true


def self_reenactment(
    scene: Scene, reenactor: Reenactor, instruments: Instruments, known: Yardstick | None = None
) -> Outcome:
    """A clip's first frame, driven by the others, against them."""
    return reenactment("self", scene[:1], scene[1:], reenactor, instruments, known)


def cross_reenactment(
    source: Scene,
    driver: Scene,
    reenactor: Reenactor,
    instruments: Instruments,
    known: Yardstick | None = None,
) -> Outcome:
    """A photo driven by another person's clip, in that person's poses."""
    return reenactment("cross", source, driver, reenactor, instruments, known)


def reenactment(
    kind: Kind,
    source: Scene,
    driver: Scene,
    reenactor: Reenactor,
    instruments: Instruments,
    known: Yardstick | None = None,
) -> Outcome:
    """One case.

    Args:
        kind: of protocol.
        source: one frame.
        driver: frames that drive; unless `kind` is *cross*, the true ones.
        reenactor: what is measured.
        instruments: what it is measured with.
        known: the case's yardstick, if it has been made before.
    """
    known = known or yardstick(kind, source, driver, instruments)
    size = driver.crops.shape[1]
    rendered = collect(reenactor(source.images[0], driver.images, driver.cameras, size))
    take, reached = _judged(kind, *rendered, driver, known, instruments)
    measures = {
        name: Measure(reached[name], *known.bounds[name]) for name in CATALOGUE if name in reached
    }
    row = Row(kind, source.name, driver.name, len(driver), measures)
    return Outcome(row, source.crops[0], driver.crops, take.frames)


def collect(rendered: Iterable[Rendered]) -> tuple[Frames, Tensor]:
    """Frames (T, S, S, 3) and their alpha (T, S, S)."""
    frames, alpha = zip(*((frames_of(r.image[None])[0], r.alpha[0]) for r in rendered), strict=True)
    return np.stack(frames), torch.stack(alpha).cpu()


def _judged(
    kind: Kind,
    frames: Frames,
    alpha: Tensor,
    driver: Scene,
    known: Yardstick,
    instruments: Instruments,
) -> tuple[Take, dict[str, float]]:
    """What a case's frames look like to the instruments, and what they reach."""
    if kind != "cross":
        frames, alpha = frames * driver.known[..., None].numpy(), alpha * driver.known
    take = look(instruments.codec(frames), alpha, instruments)
    reached = _likeness(take, driver, instruments) if kind != "cross" else {}
    reached |= _look(take, known) | _shape(take.track, known.motion, same=kind != "cross")
    # A rendered head keeps its expression: only clips say how motion follows.
    return take, reached if kind == "synthetic" else reached | _motion(take.track, known.motion)


def _likeness(take: Take, truth: Scene, instruments: Instruments) -> dict[str, float]:
    """The figures that compare with true frames."""
    picks = sampled(len(take.frames), PICTURED)
    image, true = pictures(take.frames[picks]), pictures(truth.crops[picks])
    result = {
        name: float(measure(image, true).mean()) for name, measure in instruments.pictures.items()
    }
    overlap = mask_iou(take.alpha[picks, None], truth.alpha[picks, None])
    return {**result, "mask IoU": float(overlap.mean())}


def _look(take: Take, known: Yardstick) -> dict[str, float]:
    """The figures of the source's look."""
    return {
        "face found": 100.0 * float(take.track.found.mean()),
        "identity": _median(identity_distances(known.descriptor, take.descriptors)),
        "sharpness": _median(take.sharpness) / known.sharpness,
    }


def _shape(output: Track, motion: Track, *, same: bool) -> dict[str, float]:
    """The figures of where the face's points are; `same` if the driver is the source."""
    errors = keypoint_distances(motion.points, output.points, same_person=same)
    return {
        "pose": pose_error(motion.angles, output.angles)["pose"],
        "AKD": errors.pop("AKD"),
        "expression": float(np.mean(list(errors.values()))),
        **{f"error: {region}": error for region, error in errors.items()},
    }


def _motion(output: Track, motion: Track) -> dict[str, float]:
    """The figures of how the face's points move."""
    signals = face_signals(motion.points), face_signals(output.points)
    beyond = [without_pose(s, motion.angles) for s in signals]
    figures = {
        "follows": grouped(correlation(*signals)),
        "amount": grouped(amount(*signals)),
        "beyond pose": grouped(correlation(*beyond)),
    }
    named = {f"{kind}: {k}": v for kind, values in figures.items() for k, v in values.items()}
    return {"jitter": jitter(motion.points, output.points), **named}


def _median(values: np.ndarray) -> float:
    return float(np.nanmedian(values)) if np.isfinite(values).any() else math.nan
