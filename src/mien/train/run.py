"""`mien train`: shards in, weights, logs and sheets out. Alone or under torchrun."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch

from mien.artifact import read_weights, write_weights
from mien.data.shards import load_frames
from mien.errors import MienError
from mien.model.network import Network, NetworkConfig
from mien.preprocess.pose import canonical
from mien.train import desk, sheets
from mien.train.animate import AnimateConfig, Run, train
from mien.train.distill import DistillStage
from mien.train.distill_filter import READER, save_reader
from mien.train.reader import Reader

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
        taught: whether to learn from taught-*.tar of `mien distill make` too: not at all, from the
            views that the teacher drew alone ("front"), or also from others, to which `start` lifts
            its pictures ("lifted").
        taught_batch: photos of taught pictures a process and step, beside `animate.batch`.
        reader: `reader.safetensors` of an earlier run, to go on with; without one a new one learns
            to read, which takes minutes.
        licence: one line that the weights file carries about what may be done with it.
        workers: processes that decode pictures while loading.
    """

    data: Path
    out: Path
    animate: AnimateConfig = field(default_factory=AnimateConfig)
    start: Path | None = None
    taught: Literal["none", "front", "lifted"] = "none"
    taught_batch: int = 8
    reader: Path | None = None
    licence: str = "research only"
    workers: int = 8


def run(command: Train, config: NetworkConfig) -> None:
    """Carry out `mien train`.

    Raises:
        MienError: no shards, a damaged state or reader, an output folder that cannot be written, or
            taught pictures are asked for and there are none, or nothing to start from.
    """
    with desk.processes() as (rank, device):
        frames = desk.load(command.data, "train", "synth", workers=command.workers).to(device)
        command.out.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(command.animate.seed)
        network = Network(config)
        if command.start is None:
            network.motion.fit_statistics(frames.landmarks.cpu())
        else:
            network.load_state_dict(read_weights(command.start).state)
        stage = None if command.taught == "none" else distil_stage(command, network, device)
        board = desk.Board(command.out) if rank == 0 else None
        done = train(
            network,
            frames,
            torch.from_numpy(canonical().mirror),
            command.animate,
            command.out / "state.safetensors",
            board.figures if board else lambda step, figures: None,
            stage,
            read_reader(command.reader) if command.reader else None,
        )
        if board:
            finish(command, config.preset, done, board, device)
            board.close()


def read_reader(path: Path) -> Reader:
    """The reader of an earlier run, to go on with.

    Raises:
        MienError: it is missing, damaged, or something else.
    """
    state, reader = read_weights(path).state, Reader()
    try:
        # What each signal counts is this version's to say.
        reader.load_state_dict(state | dict(reader.named_buffers()))
    except RuntimeError as error:
        raise MienError(
            f"{path} holds no reader of this version; leave --reader out, and one learns anew."
        ) from error
    return reader


def distil_stage(command: Train, network: Network, device: torch.device) -> DistillStage:
    """The stage that learns from taught shards, of a network as it starts.

    Raises:
        MienError: it starts from scratch, or there are no taught shards.
    """
    if command.start is None:
        raise MienError(
            f"--taught {command.taught} goes on from a trained student; name its weights with "
            "--start."
        )
    paths = sorted(command.data.glob("taught-*.tar"))
    if not paths:
        raise MienError(
            f"No taught-*.tar in {command.data}; make them there with `mien distill make`."
        )
    return DistillStage(
        taught=load_frames(paths, command.workers).to(device),
        batch=command.taught_batch,
        frozen=copy.deepcopy(network).to(device) if command.taught == "lifted" else None,
    )


def finish(command: Train, preset: str, run: Run, board: desk.Board, device: torch.device) -> None:
    """Write the averaged weights and the reader, and judge the student on held-out people."""
    network = run.average.eval()
    write_weights(
        command.out / "weights.safetensors",
        network.state_dict(),
        preset=preset,
        licence=command.licence,
    )
    save_reader(run.reader, command.out / READER, command.licence)
    backend, side = command.animate.backend, command.animate.view
    people = desk.load(command.data, "heldout", workers=command.workers).to(device)
    figures, picture = sheets.self_reenactment(network, people, SHEET_GRID, side, backend)
    board.figures(run.step, figures)
    board.picture(run.step, "self", picture)
    counts = torch.bincount(people.take)
    moving = torch.nonzero(counts >= 4)[:, 0][:SHEET_DRIVERS]
    stills = torch.nonzero(counts < 4)[:, 0]
    spread = torch.linspace(0, len(stills) - 1, SHEET_PHOTOS).round().long()
    firsts = {int(t): int(torch.nonzero(people.take == t)[0, 0]) for t in stills[spread]}
    middles = [torch.nonzero(people.take == t)[:, 0] for t in moving]
    photos = torch.tensor(list(firsts.values()), device=device)
    drivers = torch.stack([m[2 * len(m) // 3] for m in middles])
    picture = sheets.portraits(network, people, photos, people, drivers, SHEET_GRID, side, backend)
    board.picture(run.step, "portraits", picture)
