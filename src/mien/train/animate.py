"""The *animate* stage: one flat loop that teaches a network to move a portrait like its driver.

Run it alone or under torchrun (one process a GPU; gloo on a CPU). Frames of one take: a source and
two targets; the source becomes an avatar, is told a target's motion, is seen from the target's
camera, and should look like the target, to the eye and to a reader of expressions.
"""

from __future__ import annotations

import copy
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from mien.data.shards import Frames
from mien.model.network import Network
from mien.render import Backend, splat
from mien.structures import Avatar
from mien.synth.dialect import load_dialect
from mien.train import checkpoint, losses
from mien.train.batches import Batch, PairSampler, Sampler
from mien.train.loop import Pace, average, descend, rate
from mien.train.reader import SIDE, Reader, face_camera, face_crop, turned, view


@dataclass(frozen=True)
class AnimateConfig:
    """How to train.

    Args:
        steps: length of the schedule; None: as many as fit in `minutes`.
        minutes: stop gracefully after this long, leaving a checkpoint.
        batch: sources a process and step; each has two targets.
        view: side of the pictures compared, in pixels.
        grids: grid sizes to draw from, so that one set of planes serves every level of detail.
        learning_rate: peak, of a warm-up and a cosine.
        warmup: steps until the peak.
        stills: share of sources from people with a single photo.
        synthetic: share of sources from rendered people, if the shards hold any.
        reading_from: steps that the reader of expressions learns before its loss counts in full.
        adversarial_from: fraction of the schedule after which the discriminator joins.
        adversarial, matching: weights of its score and of the distance of its features.
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
    grids: tuple[int, ...] = (96, 128, 160, 192)
    learning_rate: float = 4e-4
    warmup: int = 300
    stills: float = 0.1
    synthetic: float = 0.25
    reading_from: int = 500
    adversarial_from: float = 0.6
    adversarial: float = 0.01
    matching: float = 0.05
    average: float = 0.999
    seed: int = 0
    backend: Backend = "auto"
    compile: bool = True
    log_every: int = 100
    save_every: int = 2000


class Animate(nn.Module):
    """A batch to its losses; a module, so that DDP can wrap it.

    Args:
        network: what is trained.
        reader: reads expressions off faces; trained here too, on the true frames alone.
        backend: rasteriser.
        compile: compile the encoder and the losses.
    """

    dialect: Tensor

    def __init__(self, network: Network, reader: Reader, backend: Backend, compile: bool) -> None:
        super().__init__()
        self.network = network
        self.reader = reader
        self.backend: Backend = backend
        self.register_buffer("dialect", torch.from_numpy(load_dialect().offset), persistent=False)
        self._compare = losses.compare
        if compile:
            network.encoder.compile(dynamic=False)
            self._compare = torch.compile(losses.compare, dynamic=False)

    def forward(self, batch: Batch, grid: int, precision: torch.dtype) -> tuple[dict, Tensor]:
        """Loss terms (unweighted scalars) and the rendered views (T, 3, V, V)."""
        network, device = self.network, batch.source.device
        with torch.autocast(device.type, precision, enabled=precision != torch.float32):
            source_latent = network.motion(batch.source_landmarks)
            driving = network.motion(batch.driver_landmarks)
            plain = network.motion(batch.target_landmarks)
            seen = network.motion_image(batch.driver_image)
            avatar = network.encode(
                batch.source, batch.source_alpha, batch.source_camera, source_latent, grid
            )
            twice = avatar.map(lambda part: torch.cat([part, part]))
            gaussians, delta = network.animate(twice, driving)
        side = batch.target.shape[-1]
        rendered = splat(gaussians, batch.target_camera, (side, side), backend=self.backend)
        picture = rendered.image * batch.known
        terms = self._compare(
            picture,
            rendered.alpha,
            batch.target,
            batch.target_alpha,
            batch.known,
            regions=batch.regions(),
        )
        terms |= self._read(batch, picture, precision)
        terms |= self._strangers(batch, avatar, plain, precision)
        terms["relief"] = losses.relief(
            rendered.depth, batch.target_camera, batch.target_landmarks - self.dialect
        )
        terms["residual"] = delta.float().pow(2).mean()
        latent = plain.detach().float()
        error = (seen.float() - latent).pow(2).mean()
        terms["image_motion"] = error / latent.var(0, correction=0).mean().clamp_min(1e-2)
        return terms, picture

    def _read(self, batch: Batch, picture: Tensor, precision: torch.dtype) -> dict[str, Tensor]:
        """The reader's own error on true views, and what it sees differ in the renders."""
        reader, camera, landmarks = self.reader, batch.target_camera, batch.target_landmarks
        with torch.autocast(picture.device.type, precision, enabled=precision != torch.float32):
            truth, true_features = reader(face_crop(batch.target, camera, landmarks))
            said, features = self.reader.judge(face_crop(picture, camera, landmarks))
        labels = reader.truth(landmarks, self.network.motion, camera)
        return {
            "reader": reader.error(truth, labels),
            "reading": reader.error(said, truth.detach()),
            "reader_features": losses.feature_distance(true_features, features),
        }

    def _strangers(
        self, batch: Batch, avatar: Avatar, latents: Tensor, precision: torch.dtype
    ) -> dict[str, Tensor]:
        """What moves between two frames of a driver must move as far on somebody else, from any
        side, and that somebody must look as turned as the view is.

        Nobody knows how the stranger would have looked, but a change needs no knowledge of the
        face it starts from. Half of the avatars are driven by both targets of the other half.
        """
        count = len(batch.source)
        half = max(1, count // 2)
        drivers = torch.arange(count - half, count, device=latents.device)
        camera = turned(batch.source_camera[:half])
        near = face_camera(camera, batch.source_landmarks[:half])
        pairs = torch.cat([drivers, count + drivers])
        with torch.autocast(latents.device.type, precision, enabled=precision != torch.float32):
            strangers = avatar.map(lambda part: torch.cat([part[:half], part[:half]]))
            gaussians, _ = self.network.animate(strangers, latents[pairs])
        twice = near.map(lambda part: torch.cat([part, part]))
        picture = splat(gaussians, twice, (SIDE, SIDE), backend=self.backend).image
        with torch.autocast(latents.device.type, precision, enabled=precision != torch.float32):
            said, _ = self.reader.judge(picture)
        labels = self.reader.truth(batch.target_landmarks[pairs], self.network.motion, twice)
        first, second = said.float().chunk(2)
        before, after = labels.chunk(2)
        return {
            "stranger": self.reader.error(second - first, after - before),
            "turned": F.smooth_l1_loss(said.float()[:, -2:], view(twice)),
        }


WEIGHTS = {
    "l1": 1.0,
    "ssim": 0.3,
    "alpha": 0.2,
    "residual": 1e-3,
    "image_motion": 0.05,
    "reader": 0.3,
    "reading": 0.3,
    "reader_features": 0.05,
    "stranger": 0.1,
    "turned": 0.03,
    "relief": 0.1,
}
"""Weights of the loss terms; docs/training.md says why."""

READ_OFF_RENDERS = ("reading", "reader_features", "stranger", "turned")
"""Terms that wait until the reader can read."""


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
    discriminator: losses.Discriminator
    optimiser: torch.optim.Optimizer
    discriminator_optimiser: torch.optim.Optimizer
    step: int = 0
    progress: float = 0.0

    def tree(self) -> dict[str, Any]:
        """For `checkpoint.save`."""
        return {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "reader": self.reader.state_dict(),
            "discriminator": self.discriminator.state_dict(),
            "optimiser": checkpoint.optimiser_tree(self.optimiser),
            "discriminator_optimiser": checkpoint.optimiser_tree(self.discriminator_optimiser),
            "step": self.step,
            "progress": self.progress,
        }

    def restore(self, tree: dict[str, Any]) -> None:
        """Go on from what `tree` gave."""
        self.network.load_state_dict(tree["network"])
        self.average.load_state_dict(tree["average"])
        self.reader.load_state_dict(tree["reader"])
        self.discriminator.load_state_dict(tree["discriminator"])
        # An optimiser that has not stepped yet has no state, and leaves no trace in the file.
        checkpoint.restore_optimiser(self.optimiser, tree.get("optimiser", {}))
        checkpoint.restore_optimiser(
            self.discriminator_optimiser, tree.get("discriminator_optimiser", {})
        )
        self.step, self.progress = tree["step"], tree["progress"]


def start(network: Network, config: AnimateConfig, device: torch.device) -> Run:
    """A run at step 0."""
    network = network.to(device)
    network.encoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    reader = Reader().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    discriminator = losses.Discriminator().to(device)
    fused = device.type == "cuda"
    return Run(
        network=network,
        average=copy.deepcopy(network).requires_grad_(False),
        reader=reader,
        discriminator=discriminator,
        optimiser=torch.optim.AdamW(
            [*network.parameters(), *reader.parameters()],
            config.learning_rate,
            (0.9, 0.98),
            weight_decay=0.01,
            fused=fused,
        ),
        discriminator_optimiser=torch.optim.AdamW(
            discriminator.parameters(), 2e-4, (0.0, 0.99), weight_decay=0.0, fused=fused
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
    """
    stage = stage or Stage()
    rank = int(os.environ.get("RANK", "0"))
    world = int(os.environ.get("WORLD_SIZE", "1"))
    device = frames.pixels.device
    torch.manual_seed(config.seed)
    run = start(network, config, device)
    run.average.load_state_dict(run.network.state_dict())
    if state.exists():
        run.restore(checkpoint.load(state))
    trained: nn.Module = stage.module(run.network, run.reader, config)
    trained.to(device)
    judge: nn.Module = run.discriminator
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
    grid = config.grids[int(torch.randint(len(config.grids), (), generator=generator))]
    batch = sampler.draw(config.batch, config.view, generator)
    device = batch.source.device
    on_gpu = device.type == "cuda"
    precision = torch.bfloat16 if on_gpu else torch.float32
    terms, picture = trained(batch, grid, precision)
    weights = dict(stage.weights)
    for name in stage.waiting:
        weights[name] *= min(1.0, run.step / max(1, config.reading_from))
    loss = torch.stack([weights[name] * value for name, value in terms.items()]).sum()
    judged = run.progress >= config.adversarial_from
    if judged:
        run.discriminator.requires_grad_(False)
        with torch.autocast(device.type, precision, enabled=on_gpu):
            score, features = run.discriminator(picture)
            with torch.no_grad():
                _, truth = run.discriminator(batch.target)
        terms["matching"] = losses.feature_distance(truth, features)
        terms["adversarial"] = -score.float().mean()
        loss = loss + config.matching * terms["matching"]
        loss = loss + config.adversarial * terms["adversarial"]
        run.discriminator.requires_grad_(True)
    descend(run.optimiser, loss, rate(run.step, run.progress, config))
    if judged:
        with torch.autocast(device.type, precision, enabled=on_gpu):
            scores, _ = judge(torch.cat([batch.target, picture.detach()]))
        terms["judge"] = losses.discriminator_loss(*scores.float().chunk(2))
        descend(run.discriminator_optimiser, terms["judge"], 2e-4)
    average(run.average, run.network, run.step, config.average)
    with torch.no_grad():
        terms["psnr"] = losses.psnr(picture, batch.target)
    return {name: value.detach() for name, value in terms.items()}
