"""`mien distill sheet`: photos of people never filmed, moved by a teacher, and how well."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from mien.data.shards import Frames
from mien.files import atomic_output, check_writable
from mien.model import instantiate
from mien.teacher.animator import FlowTeacher, load
from mien.teacher.network import FlowConfig
from mien.train import desk, sheets
from mien.train.distill_filter import Examiner, examine
from mien.train.distill_make import draw
from mien.train.distill_plan import Plan, plan


@dataclass(frozen=True)
class Sheet:
    """Show what a teacher makes of photos of people never filmed: drivers above, photos at the
    left, and at the right how well each row came out.

    Args:
        data: folder of heldout-*.tar of `mien prepare`.
        teacher: weights of `mien teach`.
        out: the picture to write, .jpg or .png.
        photos: rows.
        drivers: columns.
        steps, guidance: of the teacher's sampler.
        seed: of drivers and noise.
        network: sizes of the teacher.
        workers: processes that decode pictures while loading.
    """

    data: Path
    teacher: Path
    out: Path
    photos: int = 6
    drivers: int = 6
    steps: int = 6
    guidance: float = 1.5
    seed: int = 0
    network: FlowConfig = field(default_factory=FlowConfig)
    workers: int = 1


def draw_sheet(command: Sheet, examiner: Examiner | None) -> list[dict[str, float]]:
    """Carry out `mien distill sheet`.

    Args:
        command: what to show.
        examiner: instruments; None leaves their figures out.

    Returns:
        of each row: seconds a picture, and by the instruments the median distance between the
        person and the photo, and the median correlation with the driver, NaN without a face.

    Raises:
        MienError: no shards, no teacher, nobody who moves, or the sheet cannot be written.
    """
    check_writable(command.out)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    teacher = load(command.teacher, command.network, device)
    frames = desk.load(command.data, "heldout", workers=command.workers)
    made = plan(frames, None, command.seed)
    spread = torch.linspace(0, len(made.photos) - 1, min(command.photos, len(made.photos)))
    photos = made.photos[spread.round().long()]
    drivers = made.drivers(0, command.drivers)
    side = teacher.network.config.side
    heads = _pictures(frames, drivers, side)
    blank = torch.zeros_like(heads[:1])
    rows, figures = [torch.cat([blank, heads, blank])], []
    for photo in photos:
        pixels, row = _row(command, teacher, frames, made, photo, drivers, examiner)
        figures.append(row)
        own = _pictures(frames, photo[None], side)
        rows.append(torch.cat([own, pixels[:, :3] / 255.0, _written(row, side)]))
    with atomic_output(command.out) as draft:
        Image.fromarray(sheets.sheet(rows).permute(1, 2, 0).numpy()).save(draft, quality=88)
    return figures


def _row(
    command: Sheet,
    teacher: FlowTeacher,
    frames: Frames,
    made: Plan,
    photo: Tensor,
    drivers: Tensor,
    examiner: Examiner | None,
) -> tuple[Tensor, dict[str, float]]:
    """(D, 4, V, V) pictures of one photo, and the figures of its row."""
    noise = torch.Generator(teacher.network.no_motion.device).manual_seed(command.seed)
    began = time.monotonic()
    pixels = draw(
        teacher,
        frames,
        photo.expand(len(drivers)),
        drivers,
        steps=command.steps,
        guidance=command.guidance,
        noise=noise,
    )
    figures = {"seconds a picture": (time.monotonic() - began) / len(drivers)}
    if examiner is not None:
        own, driven = (
            part[..., :3, :, :].movedim(-3, -1).numpy() for part in (frames.pixels[photo], pixels)
        )
        found = examine(examiner, own, driven, made.change[drivers], frames.camera[photo])
        figures["identity distance"] = _median(found.distance)
        figures["correlation"] = _median(found.follows)
    return pixels, figures


def _median(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else float("nan")


def _pictures(frames: Frames, rows: Tensor, side: int) -> Tensor:
    return instantiate.resize(frames.pixels[rows, :3].float() / 255.0, side)


def _written(figures: dict[str, float], side: int) -> Tensor:
    """(1, 3, side, side) figures in white on black."""
    picture = Image.new("RGB", (side, side))
    text = "\n".join(f"{name}\n{value:.2f}\n" for name, value in figures.items())
    ImageDraw.Draw(picture).multiline_text((side // 16, side // 8), text, font_size=side / 12)
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None] / 255.0
