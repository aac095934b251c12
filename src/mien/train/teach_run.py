"""`mien teach`: shards in, a teacher's weights, logs and sheets out. Alone or under torchrun."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from mien.artifact import write_weights
from mien.data.shards import Frames
from mien.errors import MienError
from mien.model import instantiate
from mien.preprocess.pose import canonical
from mien.teacher.animator import PRESET, FlowTeacher, load
from mien.teacher.network import FlowConfig, FlowNetwork
from mien.train import desk, losses, sheets
from mien.train.distill_filter import READER, load_reader, save_reader
from mien.train.teach import Run, TeachConfig, train

MOVING = 4
"""Frames from which on a take counts as filmed."""

PER_TAKE = 6
DRIVERS = 5
PHOTOS = 8


@dataclass(frozen=True)
class Teach:
    """Train a teacher on prepared shards; goes on from OUT/state.safetensors if it is there.

    Args:
        data: folder of shards: train-*.tar and heldout-*.tar (for the sheets) of `mien prepare`,
            synth-*.tar of `mien synth`.
        out: folder for state, weights, logs and sheets.
        teach: how to train.
        network: sizes of the teacher.
        start: weights of an earlier run to go on from, with reader.safetensors beside them.
        licence: one line that the weights file carries about what may be done with it.
        workers: processes that decode pictures while loading.
    """

    data: Path
    out: Path
    teach: TeachConfig = field(default_factory=TeachConfig)
    network: FlowConfig = field(default_factory=FlowConfig)
    start: Path | None = None
    licence: str = "research only"
    workers: int = 8


def run(command: Teach) -> None:
    """Carry out `mien teach`.

    Raises:
        MienError: no shards, a damaged state, an output folder that cannot be written, or nothing
            to start from where `start` says.
    """
    with desk.processes() as (rank, device):
        frames = desk.load(command.data, "train", "synth", workers=command.workers).to(device)
        command.out.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(command.teach.seed)
        if command.start is None:
            network, reader = FlowNetwork(command.network), None
            network.motion.fit_statistics(frames.landmarks.cpu())
        else:
            network = load(command.start, command.network).network.requires_grad_(True)
            reader = load_reader(command.start).requires_grad_(True)
        board = desk.Board(command.out) if rank == 0 else None
        done = train(
            network,
            frames,
            torch.from_numpy(canonical().mirror),
            command.teach,
            command.out / "state.safetensors",
            board.figures if board else lambda step, figures: None,
            reader,
        )
        if board:
            finish(command, done, board, device)
            board.close()


def finish(command: Teach, run: Run, board: desk.Board, device: torch.device) -> None:
    """Write the averaged weights and the reader, and show the teacher on held-out people."""
    write_weights(
        command.out / "weights.safetensors",
        run.average.state_dict(),
        preset=PRESET,
        licence=command.licence,
    )
    save_reader(run.reader, command.out / READER, command.licence)
    teacher = FlowTeacher(run.average)
    people = desk.load(command.data, "heldout", workers=command.workers).to(device)
    figures, picture = self_reenactment(teacher, people)
    board.figures(run.step, figures)
    board.picture(run.step, "self", picture)
    for guidance in (1.0, 2.0):
        board.picture(run.step, f"portraits-{guidance:g}", portraits(teacher, people, guidance))


def self_reenactment(teacher: FlowTeacher, frames: Frames) -> tuple[dict[str, float], Tensor]:
    """Drive each take's first frame with later frames of the same take, without guidance.

    Args:
        teacher: to be judged.
        frames: of people it never saw.

    Returns:
        PSNR of the output and of the still photo (the floor), both against the true frames and
        averaged over takes, and a sheet: of each take the photo, then truth above output.
    """
    scores, rows = [], []
    for members in _takes(frames, moving=True):
        picks = torch.linspace(1, len(members) - 1, PER_TAKE).round().long()
        driven, source = members[picks.to(members.device)], members[:1].expand(PER_TAKE)
        made = animated(teacher, frames, source, driven, guidance=1.0)
        truth, still = (_pictures(frames, part, made.shape[-1]) for part in (driven, source))
        scores.append(torch.stack([losses.psnr(made, truth), losses.psnr(still, truth)]))
        rows += [torch.cat([still[:1], truth]), torch.cat([still[:1], made])]
    if not rows:
        raise MienError(
            "No held-out take has 4 frames or more; prepare some clips of other people."
        )
    output, floor = torch.stack(scores).mean(0).tolist()
    return {"heldout/psnr": output, "heldout/still": floor}, sheets.sheet(rows)


def portraits(teacher: FlowTeacher, frames: Frames, guidance: float) -> Tensor:
    """A sheet: drivers in the first row; then photos never filmed, each as they move."""
    drivers = torch.stack([m[2 * len(m) // 3] for m in _takes(frames, moving=True)[:DRIVERS]])
    stills = _takes(frames, moving=False) or _takes(frames, moving=True)
    spread = torch.linspace(0, len(stills) - 1, min(PHOTOS, len(stills))).round().long()
    side = teacher.network.config.side
    heads = _pictures(frames, drivers, side)
    rows = [torch.cat([torch.zeros_like(heads[:1]), heads])]
    for photo in (stills[int(i)][:1] for i in spread):
        made = animated(teacher, frames, photo.expand(len(drivers)), drivers, guidance=guidance)
        rows.append(torch.cat([_pictures(frames, photo, side), made]))
    return sheets.sheet(rows)


@torch.no_grad()
def animated(
    teacher: FlowTeacher, frames: Frames, photos: Tensor, drivers: Tensor, *, guidance: float
) -> Tensor:
    """(T, 3, S, S) in [0, 1]: frames `photos` (T,) moving as frames `drivers` (T,) do.

    The noise is always the same, so that sheets of different runs can be compared.
    """
    motion, cameras = teacher.network.motion, frames.camera
    pictures = teacher.pictures(
        frames.pixels[photos].float() / 255.0,
        cameras[photos],
        motion(frames.landmarks[photos]),
        motion(frames.landmarks[drivers]),
        cameras[drivers],
        guidance=guidance,
        generator=torch.Generator(frames.pixels.device).manual_seed(0),
    )
    return pictures[:, :3]


def _takes(frames: Frames, *, moving: bool) -> list[Tensor]:
    """Frame numbers of each take that is filmed, or of each that is not."""
    members = [torch.nonzero(frames.take == take)[:, 0] for take in range(len(frames.takes))]
    return [rows for rows in members if len(rows) and (len(rows) >= MOVING) == moving]


def _pictures(frames: Frames, rows: Tensor, side: int) -> Tensor:
    return instantiate.resize(frames.pixels[rows, :3].float() / 255.0, side)
