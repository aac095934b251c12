"""The teacher's training: one flat loop, alone or under torchrun.

Frames of one take, as the student gets them (`batches`): the photo, the motion and the camera of
another frame, and that frame drowned in noise; the network says the frame. Where expression shows
counts more, and a reader of expressions judges what it says.
"""

from __future__ import annotations

import copy
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from mien.data.shards import Frames
from mien.model import instantiate
from mien.teacher import flow
from mien.teacher.network import FlowNetwork
from mien.train import checkpoint, losses
from mien.train.batches import Batch, PairSampler
from mien.train.loop import Pace, average, descend, rate
from mien.train.reader import Reader, face_crop

BEYOND = 0.1
"""How much what lies beyond a photo's border counts, as empty: else a teacher draws limbs there."""


@dataclass(frozen=True)
class TeachConfig:
    """How to train the teacher.

    Args:
        steps: length of the schedule; None: as many as fit in `minutes`.
        minutes: stop gracefully after this long, leaving a checkpoint.
        batch: photos a process and step; each has two targets.
        learning_rate: peak, of a warm-up and a cosine.
        warmup: steps until the peak.
        stills: share of photos of people with a single one: they stay as they are.
        synthetic: share of photos of rendered people, if the shards hold any.
        blind: share of targets whose motion is kept from the network, for guidance.
        reading: weight of the reader's judgement.
        reading_from: steps that the reader learns before it counts in full.
        average: decay of the moving average of the weights, which is what is written.
        seed: of everything; a run is repeatable.
        compile: compile the network.
        log_every, save_every: steps between logs and checkpoints.
    """

    steps: int | None = None
    minutes: float = 18.0
    batch: int = 32
    learning_rate: float = 3e-4
    warmup: int = 500
    stills: float = 0.1
    synthetic: float = 0.25
    blind: float = 0.1
    reading: float = 0.05
    reading_from: int = 1000
    average: float = 0.999
    seed: int = 0
    compile: bool = True
    log_every: int = 100
    save_every: int = 2000


class Teach(nn.Module):
    """A batch to its losses; a module, so that DDP can wrap it.

    Args:
        network: what is trained.
        reader: reads expressions off faces; trained here too, on the true frames alone.
        blind: share of targets whose motion is kept from the network.
        compile: compile the network.
    """

    def __init__(self, network: FlowNetwork, reader: Reader, blind: float, compile: bool) -> None:
        super().__init__()
        self.network, self.reader, self.blind = network, reader, blind
        if compile:
            for part in (network.twin, network.down, *network.up):
                # Shapes never change; the twin sees half the batch that the others see.
                part.compile(dynamic=False)

    def forward(self, batch: Batch, precision: torch.dtype) -> dict[str, Tensor]:
        """Loss terms, unweighted scalars."""
        device, count = batch.source.device, len(batch.target)
        clean = torch.cat([batch.target, batch.target_alpha], 1) * 2.0 - 1.0
        level = flow.draw_levels(count, device)
        noisy = flow.mix(clean, torch.randn_like(clean), level)
        blind = torch.rand(count, 1, device=device) < self.blind
        with torch.autocast(device.type, precision, enabled=precision != torch.float32):
            said = self._predict(batch, noisy, level, blind).float()
        error = flow_error(said, clean, level, batch.known, batch.regions())
        return {"flow": error} | self._read(batch, said, level, precision)

    def _predict(self, batch: Batch, noisy: Tensor, level: Tensor, blind: Tensor) -> Tensor:
        """(T, 4, V, V) clean pictures that the network sees in noisy ones."""
        network = self.network
        photo = torch.cat([batch.source, batch.source_alpha], 1)
        photo = instantiate.resize(photo, network.config.side) * 2.0 - 1.0
        own = network.motion(batch.source_landmarks)
        latent = network.motion(batch.driver_landmarks)
        latent = torch.where(blind, network.no_motion.to(latent.dtype), latent)
        reference = network.read(photo, batch.source_camera, own).repeat(2)
        return network(noisy, level, reference, latent, batch.target_camera)

    def _read(
        self, batch: Batch, said: Tensor, level: Tensor, precision: torch.dtype
    ) -> dict[str, Tensor]:
        """The reader's own error on true frames, and how it reads what the network says.

        What is said through much noise is a guess, and is judged the less the more there was.
        """
        reader, camera, landmarks = self.reader, batch.target_camera, batch.target_landmarks
        picture = (said[:, :3] * 0.5 + 0.5) * batch.known
        with torch.autocast(said.device.type, precision, enabled=precision != torch.float32):
            truth, _ = reader(face_crop(batch.target, camera, landmarks))
            seen, _ = reader.judge(face_crop(picture, camera, landmarks))
        labels = reader.truth(landmarks, self.network.motion, camera)
        clear = 1.0 - level[:, None]
        return {
            "reader": reader.error(truth, labels),
            "reading": reader.error(seen.float() * clear, truth.detach().float() * clear),
        }


def flow_error(
    said: Tensor, clean: Tensor, level: Tensor, known: Tensor, weights: Tensor
) -> Tensor:
    """Squared error of the velocity that clean pictures stand for, a scalar.

    Args:
        said, clean: (T, 4, V, V).
        level: (T,) noise levels.
        known: (T, 1, V, V) 1 where the truth is known; elsewhere `clean` is empty.
        weights: (T, 1, V, V).
    """
    scale = level.clamp_min(flow.LEAST)[:, None, None, None]
    error = ((said - clean) / scale).pow(2)
    return losses.weighted_mean(error, weights * known.clamp_min(BEYOND))


@dataclass
class Run:
    """All that changes while training, and so all that a checkpoint holds."""

    network: FlowNetwork
    average: FlowNetwork
    reader: Reader
    optimiser: torch.optim.Optimizer
    step: int = 0
    progress: float = 0.0

    def tree(self) -> dict[str, Any]:
        """For `checkpoint.save`."""
        return {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "reader": self.reader.state_dict(),
            "optimiser": checkpoint.optimiser_tree(self.optimiser),
            "step": self.step,
            "progress": self.progress,
        }

    def restore(self, tree: dict[str, Any]) -> None:
        """Go on from what `tree` gave."""
        self.network.load_state_dict(tree["network"])
        self.average.load_state_dict(tree["average"])
        self.reader.load_state_dict(tree["reader"])
        # An optimiser that has not stepped yet has no state, and leaves no trace in the file.
        checkpoint.restore_optimiser(self.optimiser, tree.get("optimiser", {}))
        self.step, self.progress = tree["step"], tree["progress"]


def start(network: FlowNetwork, reader: Reader, config: TeachConfig, device: torch.device) -> Run:
    """A run at step 0."""
    network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    reader = reader.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return Run(
        network=network,
        average=copy.deepcopy(network).requires_grad_(False),
        reader=reader,
        optimiser=torch.optim.AdamW(
            [*network.parameters(), *reader.parameters()],
            config.learning_rate,
            (0.9, 0.98),
            weight_decay=0.01,
            fused=device.type == "cuda",
        ),
    )


def train(
    network: FlowNetwork,
    frames: Frames,
    partner: Tensor,
    config: TeachConfig,
    state: Path,
    report: Callable[[int, dict[str, float]], None],
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
            terms, targets a second and the learning rate.
        reader: of an earlier run, to go on with; None: one that has yet to learn.
    """
    rank, world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    device = frames.pixels.device
    torch.manual_seed(config.seed)
    run = start(network, reader or Reader(), config, device)
    if state.exists():
        run.restore(checkpoint.load(state))
    trained: nn.Module = Teach(run.network, run.reader, config.blind, config.compile)
    if world > 1:
        ids = [device.index] if device.type == "cuda" else None
        trained = DistributedDataParallel(trained, device_ids=ids, broadcast_buffers=False)
    sampler = PairSampler(frames, config.stills, config.synthetic, partner)
    sums: dict[str, Tensor] = {}
    mark, marked = time.monotonic(), run.step
    pace = Pace(config, run.progress, device)
    while pace.goes_on(run.step):
        run.progress = pace.progress
        terms = _step(run, trained, sampler, config, rank, world)
        sums = {k: sums.get(k, torch.zeros((), device=device)) + v for k, v in terms.items()}
        run.step += 1
        if rank == 0 and run.step % config.save_every == 0:
            checkpoint.save(state, run.tree())
        if rank == 0 and run.step % config.log_every == 0:
            means = {k: (v / (run.step - marked)).item() for k, v in sums.items()}
            images = (run.step - marked) * 2 * config.batch * world
            speed = images / (time.monotonic() - mark)
            now = rate(run.step, run.progress, config)
            report(run.step, means | {"images/s": speed, "rate": now})
            sums, mark, marked = {}, time.monotonic(), run.step
    run.progress = pace.progress
    if rank == 0:
        checkpoint.save(state, run.tree())
    return run


def _step(
    run: Run, trained: nn.Module, sampler: PairSampler, config: TeachConfig, rank: int, world: int
) -> dict[str, Tensor]:
    """One optimiser step; returns the detached loss terms. All draws are seeded by the step."""
    seed = (config.seed + run.step) * world + rank
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    batch = sampler.draw(config.batch, run.network.config.side, generator)
    on_gpu = batch.source.device.type == "cuda"
    terms = trained(batch, torch.bfloat16 if on_gpu else torch.float32)
    reading = config.reading * min(1.0, run.step / max(1, config.reading_from))
    loss = terms["flow"] + terms["reader"] + reading * terms["reading"]
    descend(run.optimiser, loss, rate(run.step, run.progress, config))
    average(run.average, run.network, run.step, config.average)
    return {name: value.detach() for name, value in terms.items()}
