"""Driving takes as ARKit's coefficients, frame by frame in a table, and back.

The table is CSV: `time` in seconds, ARKit's 52 coefficients from 0 to 1 by their names, and the
head's pose: `headYaw`, `headPitch`, `headRoll` in radians (as `structures.Camera.orbit` counts
them) and `headX`, `headY`, `headZ`, where the head is before the camera in canonical units. What is
left out is 0, or in front of the camera. Tables of the Live Link Face app are read too, but for
their pose, whose directions they do not say.

A table says what a face does, not whose it is, and only what 51 shapes can say. On four real takes
it keeps 74–88 % of the variance of the landmarks; coefficients made up at random come back from
their landmarks with a correlation of .99.

Axis legend: T frames, K = 51 controls (`tongueOut` is not seen by landmarks, and written as 0).
"""

from __future__ import annotations

import csv
import io
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mien.errors import MienError
from mien.files import check_readable, write_bytes
from mien.serve.controls import NAMES, load_controls

if TYPE_CHECKING:
    from mien.model.network import Network
    from mien.structures import Motion

POSE = ("headYaw", "headPitch", "headRoll", "headX", "headY", "headZ")

RIDGE = 1e-3
"""Weight of the coefficients' squares, in units of the mean square of the shapes."""

PRICE = 0.01
"""What a coefficient costs, times its shape's size, so that opposite ones do not both rise."""

ROUNDS = 500
"""Steps of the fit; twice as many change no coefficient by 0.01."""

CALM = 0.1
"""What a coefficient goes below in this share of a take's frames, it has when the face is calm."""

LONGEST = 300_000
"""The most rows of a table that is read."""

TIMECODE = re.compile(r"(\d+):(\d+):(\d+):(\d+(?:\.\d+)?)")


def coefficients(landmarks: Tensor) -> Tensor:
    """(T, K) from 0 to 1, in the order of `controls.NAMES`: what faces express.

    Non-negative least squares on what the landmarks do beyond the face's own calm ones. These are
    found first, for people differ by more than expressions do: without bounds, a take's frames
    are fitted, and what its calm ones keep (see `CALM`) is who it is. One frame tells no such
    difference: its face is taken to be the controls' neutral one.

    Args:
        landmarks: (T, 478, 3) canonical.
    """
    controls = load_controls()
    offsets = (landmarks - controls.neutral).flatten(1).double()
    shapes = controls.shapes.flatten(1).double()
    gram = shapes @ shapes.T
    gram += RIDGE * gram.diagonal().mean() * torch.eye(len(shapes))
    if len(offsets) > 1:
        free = torch.linalg.solve(gram, shapes @ offsets.T).T
        calm = free.quantile(CALM, dim=0)
        offsets = offsets - (offsets - (free - calm) @ shapes).median(0).values
    sizes = gram.diagonal().sqrt()
    price = PRICE * sizes * gram.diagonal().mean().sqrt()
    return _non_negative(gram, offsets @ shapes.T - price).float()


def _non_negative(gram: Tensor, target: Tensor) -> Tensor:
    """(T, K) in [0, 1]: w that make w·gram·wᵀ/2 − target·wᵀ least.

    Accelerated projected gradient (Beck & Teboulle 2009), all frames at once.
    """
    rate = 1.0 / torch.linalg.matrix_norm(gram, 2)
    weights = ahead = torch.zeros_like(target)
    momentum = 1.0
    for _ in range(ROUNDS):
        before = weights
        weights = (ahead - rate * (ahead @ gram - target)).clamp(0.0, 1.0)
        following = (1 + math.sqrt(1 + 4 * momentum**2)) / 2
        ahead = weights + (momentum - 1) / following * (weights - before)
        momentum = following
    return weights


def save_arkit(path: Path, take: Motion) -> None:
    """Write a take as a table.

    Raises:
        MienError: it keeps no landmarks, or the table cannot be written there.
    """
    from mien.structures import Camera, rigid_inverse

    if take.landmarks is None:
        raise MienError(
            f"{path} cannot be made: the take keeps latents alone, and coefficients are read off "
            "landmarks; track the video again with `mien motion`."
        )
    weights = coefficients(take.landmarks)
    cameras = Camera(rigid_inverse(take.cam_from_head), torch.eye(3))
    pose = torch.cat([torch.stack(cameras.angles(), -1), take.cam_from_head[:, :3, 3]], -1)
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["time", *NAMES, "tongueOut", *POSE])
    for time, row, place in zip(take.times.tolist(), weights, pose, strict=True):
        numbers = [*row.tolist(), 0.0, *place.tolist()]
        table.writerow([f"{time:.6f}", *(f"{number:.5f}" for number in numbers)])
    write_bytes(path, text.getvalue().encode())


def load_arkit(path: Path, network: Network) -> Motion:
    """Read a table as a take: a neutral face that does what the coefficients say.

    Raises:
        MienError: the file is missing or no such table, or the network reads pictures.
    """
    from mien.model.matching import motion_weights
    from mien.model.paper import PaperNetwork
    from mien.structures import Camera, Motion

    if isinstance(network, PaperNetwork):
        raise MienError(
            f"{path} cannot drive weights of the preset '{network.config.preset}', which read "
            "pictures; give a video."
        )
    columns = _columns(path)
    times = columns.pop("time")
    controls = load_controls()
    blank = np.zeros(len(times))
    weights = np.stack([columns.get(name.lower(), blank) for name in NAMES], -1)
    shift = torch.einsum("tk,klc->tlc", torch.from_numpy(weights).float(), controls.shapes)
    landmarks = controls.neutral + shift.clamp(-1.0, 1.0)
    angles = (torch.from_numpy(columns.get(name.lower(), blank)).float() for name in POSE[:3])
    poses = Camera.orbit(*angles).cam_from_world
    if "headz" in columns:
        place = np.stack([columns.get(name.lower(), blank) for name in POSE[3:]], -1)
        poses[:, :3, 3] = torch.from_numpy(place).float()
    with torch.no_grad():
        latents = network.motion(landmarks.to(next(network.parameters()).device)).cpu()
    seconds = float(times[-1] - times[0])
    return Motion(
        latents=latents,
        cam_from_head=poses,
        times=torch.from_numpy(times - times[0]),
        fps=(len(times) - 1) / seconds if len(times) > 1 else 30.0,
        preset=network.config.preset,
        landmarks=landmarks,
        weights=motion_weights(network),
    )


def _columns(path: Path) -> dict[str, NDArray[np.float64]]:
    """The table's columns that mean something, by their names in lower case; `time` increases."""
    try:
        text = check_readable(path).read_text(encoding="utf-8-sig")
        rows = list(csv.reader(io.StringIO(text)))
    except (UnicodeDecodeError, csv.Error) as error:
        raise MienError(f"{path} is no table of text ({error}); give a CSV file.") from error
    rows = [row for row in rows if row]
    names = [name.strip().lower() for name in rows[0]] if rows else []
    known = {name.lower() for name in NAMES}
    coded = "timecode" in names
    if not (coded or "time" in names) or not known & set(names):
        raise MienError(
            f"{path} is no table of ARKit's coefficients: its first line must name `time` and "
            "coefficients such as `jawOpen`."
        )
    if not 2 <= len(rows) <= LONGEST + 1:
        raise MienError(f"{path} has {len(rows) - 1} frames; give a table of 1 to {LONGEST}.")
    if not coded:
        known |= {"time", *(name.lower() for name in POSE)}
    columns = {name: _numbers(path, rows, names.index(name)) for name in sorted(known & set(names))}
    if coded:
        columns["time"] = _from_timecodes(path, rows, names.index("timecode"))
    if not (np.diff(columns["time"]) > 0).all():
        raise MienError(f"{path} is not usable: its times do not increase from line to line.")
    for name in NAMES:
        if name.lower() in columns:
            columns[name.lower()] = columns[name.lower()].clip(0.0, 1.0)
    return columns


def _numbers(path: Path, rows: list[list[str]], column: int) -> NDArray[np.float64]:
    values = np.empty(len(rows) - 1)
    for line, row in enumerate(rows[1:]):
        try:
            values[line] = float(row[column])
        except (ValueError, IndexError):
            values[line] = math.nan
        if not abs(values[line]) < 1e6:
            raise MienError(
                f"{path} is not usable: frame {line} has no number for '{rows[0][column]}'."
            )
    return values


def _from_timecodes(path: Path, rows: list[list[str]], column: int) -> NDArray[np.float64]:
    """Seconds of hours:minutes:seconds:frames; frames count to 30 or to 60 a second."""
    parts = np.empty((len(rows) - 1, 4))
    for line, row in enumerate(rows[1:]):
        match = TIMECODE.fullmatch(row[column].strip()) if column < len(row) else None
        if match is None:
            raise MienError(f"{path} is not usable: frame {line} has no timecode.")
        parts[line] = [float(part) for part in match.groups()]
    rate = 60.0 if parts[:, 3].max() >= 30 else 30.0
    return parts[:, :3] @ [3600.0, 60.0, 1.0] + parts[:, 3] / rate
