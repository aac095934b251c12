"""The *animate* stage: one flat loop that teaches a network to move a portrait like its driver.

Run it alone or under torchrun (one process a GPU; gloo on a CPU). Frames of one take: a source and
two targets; the source becomes an avatar, is told a target's motion, is seen from the target's
camera, and should look like the target, to the eye and to a reader of expressions.
"""

from __future__ import annotations

import copy
import os
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from mien.data.shards import Frames
from mien.model.network import Network
from mien.render import Backend
from mien.train import adversary, checkpoint, losses
from mien.train.adversary import Judge
from mien.train.batches import PairSampler, Sampler
from mien.train.loop import Pace, average, descend, rate
from mien.train.objective import READ_OFF_RENDERS, WEIGHTS, Animate
from mien.train.reader import Reader

JUDGE_RATE = 2e-4
"""Learning rate of the adversary, all along."""


@dataclass(frozen=True)
class AnimateConfig:
    """How to train.

    Args:
        steps: length of the schedule; None: as many as fit in `minutes`.
        minutes: stop gracefully after this long, leaving a checkpoint.
        batch: sources a process and step; each has two targets.
        view: side of the pictures compared, in pixels.
        grids: grid sizes to draw from, so that one set of planes serves every level of detail; a
            size is drawn the more seldom the larger it is. The largest says what memory a step
            needs: what is kept of a source for gradients is 0.3 GiB of the encoder and 5 kB a
            Gaussian, so 0.5 GiB in all at 192 and 0.7 at 256.
        learning_rate: peak, of a warm-up and a cosine.
        warmup: steps until the peak.
        stills: share of sources from people with a single photo.
        synthetic: share of sources from rendered people, if the shards hold any.
        reading_from: steps that the reader of expressions learns before its loss counts in full.
        adversarial_from: fraction of the schedule after which the adversary joins.
        average: decay of the moving average of the weights, which is what ships.
        seed: of everything; a run is repeatable.
        backend: rasteriser (see `render.splat`).
        compile: compile the encoder and the losses.
        log_every, save_every: steps between logs and checkpoints.
    """

    steps: int | None = None
    minutes: float = 60.0
    batch: int = 24
    view: int = 256
    grids: tuple[int, ...] = (96, 128, 160, 192, 224, 256)
    learning_rate: float = 4e-4
    warmup: int = 300
    stills: float = 0.1
    synthetic: float = 0.25
    reading_from: int = 500
    adversarial_from: float = 0.6
    average: float = 0.999
    seed: int = 0
    backend: Backend = "auto"
    compile: bool = True
    log_every: int = 100
    save_every: int = 2000


@dataclass(frozen=True)
class Stage:
    """What is drawn and what is asked; `distill` derives from this, the plain stage.

    Args:
        weights: of the loss terms.
        waiting: those that wait until the reader can read.
    """

    weights: Mapping[str, float] = field(default_factory=lambda: WEIGHTS)
    waiting: tuple[str, ...] = READ_OFF_RENDERS

    def sampler(self, frames: Frames, partner: Tensor, config: AnimateConfig) -> Sampler:
        """What draws batches of `frames`."""
        return PairSampler(frames, config.stills, config.synthetic, partner)

    def module(self, network: Network, reader: Reader, config: AnimateConfig) -> Animate:
        """What turns batches to losses."""
        return Animate(network, reader, config.backend, config.compile)


@dataclass
class Run:
    """All that changes while training, and so all that a checkpoint holds."""

    network: Network
    average: Network
    reader: Reader
    judge: Judge
    optimiser: torch.optim.Optimizer
    judge_optimiser: torch.optim.Optimizer
    step: int = 0
    progress: float = 0.0

    def tree(self) -> dict[str, Any]:
        """For `checkpoint.save`."""
        return {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "reader": self.reader.state_dict(),
            "judge": self.judge.state_dict(),
            "optimiser": checkpoint.optimiser_tree(self.optimiser),
            "judge_optimiser": checkpoint.optimiser_tree(self.judge_optimiser),
            "step": self.step,
            "progress": self.progress,
        }

    def restore(self, tree: dict[str, Any]) -> None:
        """Go on from what `tree` gave."""
        self.network.load_state_dict(tree["network"])
        self.average.load_state_dict(tree["average"])
        self.reader.load_state_dict(tree["reader"])
        self.judge.load_state_dict(tree["judge"])
        # An optimiser that has not stepped yet has no state, and leaves no trace in the file.
        checkpoint.restore_optimiser(self.optimiser, tree.get("optimiser", {}))
        checkpoint.restore_optimiser(self.judge_optimiser, tree.get("judge_optimiser", {}))
        self.step, self.progress = tree["step"], tree["progress"]


def start(
    network: Network, config: AnimateConfig, device: torch.device, reader: Reader | None = None
) -> Run:
    """A run at step 0; without a reader one that knows nothing."""
    network = network.to(device)
    network.encoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    reads = reader or Reader()
    reads = reads.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    judge = Judge().to(device)
    fused = device.type == "cuda"
    return Run(
        network=network,
        average=copy.deepcopy(network).requires_grad_(False),
        reader=reads,
        judge=judge,
        optimiser=torch.optim.AdamW(
            [*network.parameters(), *reads.parameters()],
            config.learning_rate,
            (0.9, 0.98),
            weight_decay=0.01,
            fused=fused,
        ),
        judge_optimiser=torch.optim.AdamW(
            judge.parameters(), JUDGE_RATE, (0.0, 0.99), weight_decay=0.0, fused=fused
        ),
    )


def train(
    network: Network,
    frames: Frames,
    partner: Tensor,
    config: AnimateConfig,
    state: Path,
    report: Callable[[int, dict[str, float]], None],
    stage: Stage | None = None,
    reader: Reader | None = None,
) -> Run:
    """Train until the schedule or the time ends; resumes from `state` if it is there.

    Args:
        network: freshly made with its statistics fitted, or trained before; overwritten by the
            checkpoint if there is one.
        frames: training frames, on the device to train on.
        partner: (478,) left–right twin of each landmark.
        config: how.
        state: checkpoint file, written by the first process.
        report: called by the first process every `log_every` steps with the step, mean loss
            terms, images a second and the learning rate.
        stage: what is drawn and asked; None: this stage's own.
        reader: one that can read already; None: one that learns anew.
    """
    stage = stage or Stage()
    rank = int(os.environ.get("RANK", "0"))
    world = int(os.environ.get("WORLD_SIZE", "1"))
    device = frames.pixels.device
    torch.manual_seed(config.seed)
    run = start(network, config, device, reader)
    run.average.load_state_dict(run.network.state_dict())
    if state.exists():
        run.restore(checkpoint.load(state))
    trained: nn.Module = stage.module(run.network, run.reader, config)
    trained.to(device)
    judge: nn.Module = run.judge
    if world > 1:
        ids = [device.index] if device.type == "cuda" else None
        trained = DistributedDataParallel(trained, device_ids=ids)
        judge = DistributedDataParallel(judge, device_ids=ids, broadcast_buffers=False)
    sampler = stage.sampler(frames, partner, config)
    sums: dict[str, Tensor] = {}
    mark, marked = time.monotonic(), run.step
    pace = Pace(config, run.progress, device)
    while pace.goes_on(run.step):
        run.progress = pace.progress
        terms = _step(run, trained, judge, sampler, stage, config, rank, world)
        sums = {k: sums.get(k, torch.zeros((), device=device)) + v for k, v in terms.items()}
        run.step += 1
        if rank == 0 and run.step % config.save_every == 0:
            checkpoint.save(state, run.tree())
        if rank == 0 and run.step % config.log_every == 0:
            means = {k: (v / config.log_every).item() for k, v in sums.items()}
            elapsed = time.monotonic() - mark
            images = (run.step - marked) * 2 * config.batch * world
            now = rate(run.step, run.progress, config)
            report(run.step, means | {"images/s": images / elapsed, "rate": now})
            sums, mark, marked = {}, time.monotonic(), run.step
    run.progress = pace.progress
    if rank == 0:
        checkpoint.save(state, run.tree())
    return run


def _step(
    run: Run,
    trained: nn.Module,
    judge: nn.Module,
    sampler: Sampler,
    stage: Stage,
    config: AnimateConfig,
    rank: int,
    world: int,
) -> dict[str, Tensor]:
    """One optimiser step; returns the detached loss terms. All draws are seeded by the step."""
    seed = (config.seed + run.step) * world + rank
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    grid = draw_grid(config.grids, config.seed + run.step)
    batch = sampler.draw(config.batch, config.view, generator)
    device = batch.source.device
    on_gpu = device.type == "cuda"
    precision = torch.bfloat16 if on_gpu else torch.float32
    judged = run.progress >= config.adversarial_from
    terms, views = trained(batch, grid, precision, judged)
    if judged:
        with torch.autocast(device.type, precision, enabled=on_gpu):
            terms |= adversary.please(run.judge, batch, views)
    weights = dict(stage.weights)
    for name in stage.waiting:
        weights[name] *= min(1.0, run.step / max(1, config.reading_from))
    loss = torch.stack([weights[name] * value for name, value in terms.items()]).sum()
    descend(run.optimiser, loss, rate(run.step, run.progress, config))
    if judged:
        with torch.autocast(device.type, precision, enabled=on_gpu):
            terms["judge"] = adversary.judging(judge, batch, views)
        descend(run.judge_optimiser, terms["judge"], JUDGE_RATE)
    average(run.average, run.network, run.step, config.average)
    with torch.no_grad():
        terms["psnr"] = losses.psnr(views.picture, batch.target)
    return {name: value.detach() for name, value in terms.items()}


def draw_grid(grids: tuple[int, ...], seed: int) -> int:
    """One of some grid sizes, with odds inverse to the size: a Gaussian costs what it costs.

    It depends on the seed alone: all processes of a step draw the same, and none waits for others.
    """
    return random.Random(seed).choices(grids, [1.0 / grid for grid in grids])[0]
