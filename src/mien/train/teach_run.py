"""`mien teach`: shards in, a teacher's weights, logs and sheets out. Alone or under torchrun."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor

from mien.artifact import write_weights
from mien.data.shards import Frames, load_frames
from mien.errors import MienError
from mien.model import instantiate
from mien.preprocess.pose import canonical
from mien.teacher.animator import PRESET, FlowTeacher
from mien.teacher.network import FlowConfig, FlowNetwork
from mien.train import sheets
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
        licence: one line that the weights file carries about what may be done with it.
        threads: threads that decode pictures while loading.
    """

    data: Path
    out: Path
    teach: TeachConfig = field(default_factory=TeachConfig)
    network: FlowConfig = field(default_factory=FlowConfig)
    licence: str = "research only"
    threads: int = 16


def run(command: Teach) -> None:
    """Carry out `mien teach`.

    Raises:
        MienError: no shards, a damaged state, or an output folder that cannot be written.
    """
    rank, world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    device = torch.device("cpu")
    if torch.cuda.is_available():
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(device)
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.benchmark = True
    if world > 1:
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        frames = _load(command.data, "train", "synth", threads=command.threads).to(device)
        command.out.mkdir(parents=True, exist_ok=True)
        report = _Reporter(command) if rank == 0 else None
        torch.manual_seed(command.teach.seed)
        network = FlowNetwork(command.network)
        network.motion.fit_statistics(frames.landmarks.cpu())
        done = train(
            network,
            frames,
            torch.from_numpy(canonical().mirror),
            command.teach,
            command.out / "state.safetensors",
            report or (lambda run, figures: None),
        )
        if report:
            report.finish(done, device)
    finally:
        if world > 1:
            dist.destroy_process_group()


def _load(folder: Path, *names: str, threads: int) -> Frames:
    paths = sorted(path for name in names for path in folder.glob(f"{name}-*.tar"))
    if not paths:
        raise MienError(f"No {names[0]}-*.tar in {folder}; make shards with `mien prepare` first.")
    return load_frames(paths, threads)


class _Reporter:
    """Prints, logs to TensorBoard, and at the end writes weights and sheets."""

    def __init__(self, command: Teach) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.command = command
        self.began = time.monotonic()
        self.board = SummaryWriter(str(command.out / "board"))

    def __call__(self, run: Run, figures: dict[str, float]) -> None:
        for name, value in figures.items():
            self.board.add_scalar(name, value, run.step)
        line = " ".join(f"{name} {value:.4g}" for name, value in figures.items())
        print(f"{time.monotonic() - self.began:6.0f} s  step {run.step}  {line}", flush=True)

    def finish(self, run: Run, device: torch.device) -> None:
        """Write the averaged weights, and show them on held-out people."""
        write_weights(
            self.command.out / "weights.safetensors",
            run.average.state_dict(),
            preset=PRESET,
            licence=self.command.licence,
        )
        teacher = FlowTeacher(run.average)
        people = _load(self.command.data, "heldout", threads=self.command.threads).to(device)
        figures, picture = self_reenactment(teacher, people)
        self(run, figures)
        self._picture("self", picture, run.step)
        for guidance in (1.0, 2.0):
            picture = portraits(teacher, people, guidance)
            self._picture(f"portraits-{guidance:g}", picture, run.step)
        self.board.close()

    def _picture(self, name: str, picture: Tensor, step: int) -> None:
        from PIL import Image

        self.board.add_image(name, picture, step)
        Image.fromarray(picture.permute(1, 2, 0).numpy()).save(
            self.command.out / f"{name}.jpg", quality=88
        )


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
        scores.append(torch.stack([_psnr(made, truth), _psnr(still, truth)]))
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


def _psnr(a: Tensor, b: Tensor) -> Tensor:
    return -10.0 * torch.log10((a - b).pow(2).mean())
