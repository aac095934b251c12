"""`mien train`: shards in, weights, logs and sheets out. Alone or under torchrun."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from pathlib import Path

import torch
import torch.distributed as dist

from mien.artifact import read_weights, write_weights
from mien.data.shards import Frames, load_frames
from mien.errors import MienError
from mien.model.network import Network, NetworkConfig
from mien.preprocess.pose import canonical
from mien.train import sheets
from mien.train.animate import AnimateConfig, Run, train

SHEET_GRID = 160
SHEET_DRIVERS = 5
SHEET_PHOTOS = 8


@dataclass(frozen=True)
class Train:
    """Train a network on prepared shards; goes on from OUT/state.safetensors if it is there.

    Args:
        data: folder of shards: train-*.tar and heldout-*.tar (for the sheets) of `mien prepare`,
            synth-*.tar of `mien synth`.
        out: folder for state, weights, logs and sheets.
        animate: how to train.
        start: weights to start from rather than from scratch.
        licence: one line that the weights file carries about what may be done with it.
        threads: threads that decode pictures while loading.
    """

    data: Path
    out: Path
    animate: AnimateConfig = field(default_factory=AnimateConfig)
    start: Path | None = None
    licence: str = "research only"
    threads: int = 16


def run(command: Train, config: NetworkConfig) -> None:
    """Carry out `mien train`.

    Raises:
        MienError: no shards, a damaged state, or an output folder that cannot be written.
    """
    rank, world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    device = _device()
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.benchmark = True
    if world > 1:
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        frames = _load(command.data, "train", "synth", threads=command.threads).to(device)
        command.out.mkdir(parents=True, exist_ok=True)
        report = _Reporter(command, config) if rank == 0 else None
        state = command.out / "state.safetensors"
        network = Network(config)
        if command.start is None:
            network.motion.fit_statistics(frames.landmarks.cpu())
        else:
            network.load_state_dict(read_weights(command.start).state)
        done = train(
            network,
            frames,
            torch.from_numpy(canonical().mirror),
            command.animate,
            state,
            report if report else lambda run, figures: None,
        )
        if report:
            report.finish(done, device)
    finally:
        if world > 1:
            dist.destroy_process_group()


def _device() -> torch.device:
    if torch.cuda.is_available():
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(device)
        return device
    return torch.device("cpu")


def _load(folder: Path, *names: str, threads: int) -> Frames:
    paths = sorted(path for name in names for path in folder.glob(f"{name}-*.tar"))
    if not paths:
        raise MienError(f"No {names[0]}-*.tar in {folder}; make shards with `mien prepare` first.")
    return load_frames(paths, threads)


class _Reporter:
    """Prints, logs to TensorBoard, and at the end writes weights and sheets."""

    def __init__(self, command: Train, config: NetworkConfig) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.command, self.config = command, config
        self.began = time.monotonic()
        self.board = SummaryWriter(str(command.out / "board"))

    def __call__(self, run: Run, figures: dict[str, float]) -> None:
        for name, value in figures.items():
            self.board.add_scalar(name, value, run.step)
        line = " ".join(f"{name} {value:.4g}" for name, value in figures.items())
        print(f"{time.monotonic() - self.began:6.0f} s  step {run.step}  {line}", flush=True)

    def finish(self, run: Run, device: torch.device) -> None:
        """Write the averaged weights, and judge them on held-out people."""
        network = run.average.eval()
        write_weights(
            self.command.out / "weights.safetensors",
            network.state_dict(),
            preset=self.config.preset,
            licence=self.command.licence,
        )
        backend, side = self.command.animate.backend, self.command.animate.view
        people = _load(self.command.data, "heldout", threads=self.command.threads).to(device)
        figures, picture = sheets.self_reenactment(network, people, SHEET_GRID, side, backend)
        self(run, figures)
        self._picture("self", picture, run.step)
        counts = torch.bincount(people.take)
        moving = torch.nonzero(counts >= 4)[:, 0][:SHEET_DRIVERS]
        stills = torch.nonzero(counts < 4)[:, 0]
        spread = torch.linspace(0, len(stills) - 1, SHEET_PHOTOS).round().long()
        firsts = {int(t): int(torch.nonzero(people.take == t)[0, 0]) for t in stills[spread]}
        middles = [torch.nonzero(people.take == t)[:, 0] for t in moving]
        photos = torch.tensor(list(firsts.values()), device=device)
        drivers = torch.stack([m[2 * len(m) // 3] for m in middles])
        picture = sheets.portraits(
            network, people, photos, people, drivers, SHEET_GRID, side, backend
        )
        self._picture("portraits", picture, run.step)
        self.board.close()

    def _picture(self, name: str, picture: torch.Tensor, step: int) -> None:
        from PIL import Image

        self.board.add_image(name, picture, step)
        Image.fromarray(picture.permute(1, 2, 0).numpy()).save(
            self.command.out / f"{name}.jpg", quality=88
        )
