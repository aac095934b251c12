"""`mien distill`: what a teacher can do becomes training shards, or a sheet to look at."""

# No `from __future__ import annotations`: tyro reads the annotations.

import importlib.util
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import tyro
from numpy.typing import NDArray

from mien import presets
from mien.errors import MienError
from mien.train.distill_filter import Examiner, Look
from mien.train.distill_make import Make, make, shares, summary
from mien.train.distill_ray import make_with_ray
from mien.train.distill_sheet import Sheet, draw_sheet


@dataclass(frozen=True)
class Command:
    """Turn what a teacher can do into what a student can learn from.

    Args:
        task: what to do.
    """

    task: Annotated[
        Annotated[Make, tyro.conf.subcommand("make")]
        | Annotated[Sheet, tyro.conf.subcommand("sheet")],
        tyro.conf.arg(name=""),
    ]


def run(command: Command) -> None:
    """Make shards or a sheet, and say how they came out."""
    task = command.task
    if isinstance(task, Sheet):
        rows = draw_sheet(task, instruments())
        figures = {name: [row[name] for row in rows] for name in rows[0]}
        print(task.out)
        for name, values in figures.items():
            print(f"{name}: {'  '.join(f'{value:.3g}' for value in values)}")
        return
    encoder = presets.load_network(task.weights).encoder
    examiner = instruments() if task.check else None
    if task.check and examiner is None:
        raise MienError(
            '--check needs MediaPipe and dlib: run `pip install "mien[eval]"`, or leave it out.'
        )
    if task.ray:
        paths = make_with_ray(task, encoder, examiner)
    else:
        paths = make(task, encoder, examiner, *shares())
    for path in paths:
        print(path)
    if paths:
        print("  ".join(f"{name} {value:g}" for name, value in summary(paths).items()))


def instruments() -> Examiner | None:
    """What looks at pictures, if it is installed."""
    needed = ("mediapipe", "dlib", "face_recognition_models")
    return examine if all(map(importlib.util.find_spec, needed)) else None


def examine(pictures: NDArray[np.uint8]) -> Look:
    """MediaPipe's landmarks and dlib's descriptors; see `distill_filter.Examiner`."""
    from mien.evaluate.instruments import track_face
    from mien.evaluate.metrics.identity import descriptor

    # Faces of strangers are found one by one: a tracker would take one for the last.
    tracks = [track_face(picture[None]) for picture in pictures]
    nobody = np.full(128, np.nan)
    people = [
        descriptor(picture, track.pixels[0]) if track.found[0] else nobody
        for picture, track in zip(pictures, tracks, strict=True)
    ]
    size = np.array([pictures.shape[2], pictures.shape[1]])
    return Look(
        np.concatenate([track.points for track in tracks]),
        np.concatenate([track.pixels for track in tracks]) / size,
        np.stack(people),
    )
