"""`mien bench`: how long each stage of the pipeline takes on this machine, and how much memory."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch

from mien.artifact.baked import Baked
from mien.engine.encoding import recorded
from mien.engine.play_cpu import actor
from mien.errors import MienError
from mien.evaluate.bench_paper import planted_act
from mien.evaluate.bench_sessions import (
    Act,
    act_stages,
    crowd_stages,
    drives_of,
    encoder_stages,
)
from mien.evaluate.bench_timing import Stage, Timing, drawn, timed
from mien.evaluate.conditions import Conditions
from mien.evaluate.tables import aligned
from mien.evaluate.takes import Frames
from mien.files import write_bytes
from mien.model.matching import avatar_weights
from mien.model.network import Network
from mien.model.paper import PaperNetwork
from mien.pipeline import encode
from mien.preprocess.face import FaceTracker
from mien.preprocess.photo import portrait
from mien.preprocess.video import write_video
from mien.render import Backend, splat
from mien.structures import Camera, Gaussians, Portrait

FILM = 50
"""Frames of the film whose encoding is timed."""

PER_FRAME = ("landmarks", "motion", "fusion and decode", "splat", "video encode")
"""Stages that a frame of `mien animate` passes through, one after the other."""

CROWD_DETAIL = "balanced"
"""Level of detail at which many avatars are animated together on a GPU."""

COLUMNS = (
    "stage", "size", "detail", "Gaussians", "ms", "10% … 90%", "a second", "avatars",
    "drawn", "pairs", "covered", "dB", "MiB",
)  # fmt: skip
"""Of the table: see `Timing` and `Drawn`; dB against the plain path in float32."""


@dataclass(frozen=True)
class Bench:
    """A whole benchmark.

    Args:
        device: that the networks and the rasteriser ran on.
        timings: stage by stage.
        memory: peak of this process in MiB; of tensors on the GPU if that was the device.
        conditions: command, commit, weights, machine.
    """

    device: str
    timings: tuple[Timing, ...]
    memory: float
    conditions: Conditions

    def frame_rate(self, size: int, detail: str) -> float:
        """Frames a second when each passes through all stages one after the other."""
        used = [
            t
            for t in self.timings
            if t.stage in PER_FRAME and t.size in (0, size) and t.detail in ("", detail)
        ]
        return 1e3 / sum(t.median for t in used)

    def save(self, path: Path) -> None:
        """Write as JSON.

        Raises:
            MienError: the file cannot be written.
        """
        write_bytes(path, json.dumps(asdict(self), indent=1).encode(), b"\n")


@dataclass(frozen=True)
class Workload:
    """What to time.

    Args:
        sizes: of frames.
        detail: level of detail → grid (see `presets.DETAIL`).
        rivals: rasterisers to time on the same Gaussians, beside the one that is used.
        seconds: to spend on each timing.
        baked: an avatar to be played as well, on a processor.
    """

    sizes: tuple[int, ...]
    detail: dict[str, int]
    rivals: tuple[Backend, ...] = ()
    seconds: float = 2.0
    baked: Baked | None = None


def bench(
    network: Network, photo: Frames | Portrait, work: Workload, weights: Path | None = None
) -> Bench:
    """Time every stage on one photo, which also drives itself.

    Args:
        network: on the device to be timed.
        photo: (H, W, 3) uint8; or a portrait cut already, which leaves out what reads and writes
            pictures.
        work: what to time.
        weights: the file whose hash is kept with the figures.

    Raises:
        MienError: the photo shows no face, or a rival is not installed.
    """
    if "gsplat" in work.rivals and find_spec("gsplat") is None:
        raise MienError(
            "gsplat is not installed, so nothing can be timed against it; install it with "
            "`pip install gsplat`, or leave out `--vs gsplat`."
        )
    device = next(network.parameters()).device
    timings = []
    with torch.inference_mode():
        for stage in stages(network, photo, work):
            timings.append(timed(stage, work.seconds, device))
    memory = max(t.memory for t in timings) if device.type == "cuda" else _process_memory()
    return Bench(str(device), tuple(timings), memory, Conditions.here(weights))


def stages(network: Network, photo: Frames | Portrait, work: Workload) -> Iterator[Stage]:
    """The stages of the pipeline on one photo, one after the other; on a GPU sessions too."""
    if isinstance(photo, Portrait):
        one = photo
    else:
        with FaceTracker() as tracker:
            tracker.track(photo)
            yield Stage("landmarks", 0, "", 0, lambda: tracker.track(photo))
        yield Stage("preprocess photo", 0, "", 0, lambda: portrait(photo))
        one = portrait(photo)
        for size in work.sizes:
            yield _film_stage(size)
    one = one.to(next(network.parameters()).device)
    if one.image.is_cuda:
        yield from _gpu_stages(network, one, work)
    else:
        yield from _cpu_stages(network, one, work)


def _cpu_stages(network: Network, one: Portrait, work: Workload) -> Iterator[Stage]:
    yield Stage("motion", 0, "", 0, lambda: network.motion(one.landmarks[None]))
    for detail, grid in work.detail.items():
        yield Stage("encode", 0, detail, 0, partial(encode, network, one, grid))
        avatar = encode(network, one, grid)
        latent = avatar.source_latent
        count = avatar.features.shape[0]
        animate = partial(actor(network, avatar), latent)
        yield Stage("fusion and decode", 0, detail, count, animate)
        yield from _splat_stages(animate(), one.camera, detail, work.sizes, work.rivals)
    if work.baked:
        play = partial(actor(network, work.baked), work.baked.source_latent)
        yield Stage("fusion and decode", 0, "baked", len(work.baked), play)
        yield from _splat_stages(play(), one.camera, "baked", work.sizes)


def _splat_stages(
    gaussians: Gaussians,
    camera: Camera,
    detail: str,
    sizes: Sequence[int],
    rivals: Sequence[Backend] = (),
) -> Iterator[Stage]:
    """Drawing the same Gaussians, by the rasteriser that is used and by its rivals."""
    count = len(gaussians.means)
    for size in sizes:
        for backend in ("auto", *rivals):
            draw = partial(splat, gaussians, camera, (size, size), backend=backend)
            name = "splat" if backend == "auto" else f"splat by {backend}"
            seen = drawn(gaussians, camera, draw())
            yield Stage(name, size, detail, count, draw, drawn=seen)


def _gpu_stages(network: Network, one: Portrait, work: Workload) -> Iterator[Stage]:
    """Encoding; sessions of one avatar and of many; the paper's networks."""
    device, largest = one.image.device, max(work.sizes)
    drives = drives_of(network, one)
    yield from encoder_stages("", drives, device)
    quick, weights = recorded(network), avatar_weights(network)
    for detail, grid in work.detail.items():
        yield Stage("encode", 0, detail, 0, partial(encode, network, one, grid))
        again = partial(encode, quick, one, grid, weights=weights)
        yield Stage("encode, recorded", 0, detail, 0, again)
        act = Act("", network, encode(network, one, grid), one.camera, detail)
        for size in work.sizes:
            yield from act_stages(act, drives, size, work.rivals)
        if detail == CROWD_DETAIL:
            yield from crowd_stages(act, drives[-1], largest)
    if isinstance(network, PaperNetwork):
        return
    paper = planted_act(device)
    drives = drives_of(paper.network, one)
    batch, latent = one.map(lambda t: t[None]), drives[-1].latents[:1]
    for name, able in (("encode", paper.network), ("encode, recorded", recorded(paper.network))):
        read = partial(able.encode, batch.image, batch.alpha, batch.camera, latent, 0)
        yield Stage(f"{paper.name}{name}", 0, "", 0, read)
    yield from encoder_stages(paper.name, drives, device)
    yield from act_stages(paper, drives, largest, work.rivals)


def _film_stage(size: int) -> Stage:
    """Encoding of one frame of video; timed over a film, as an encoder works on many at once."""
    frame = np.random.default_rng(0).integers(0, 255, (size // 16, size // 16, 3), np.uint8)
    frame = frame.repeat(16, 0).repeat(16, 1)
    film = [np.roll(frame, shift, axis=1) for shift in range(FILM)]

    def run() -> int:
        with tempfile.TemporaryDirectory() as folder:
            write_video(Path(folder) / "film.mp4", film, fps=25.0)
        return FILM

    return Stage("video encode", size, "", 0, run)


def _process_memory() -> float:
    """Peak MiB of this whole process."""
    import resource

    unit = 2**20 if sys.platform == "darwin" else 2**10  # bytes there, KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def bench_table(result: Bench) -> str:
    """The figures as lines of text, aligned: stages, then frames a second, then memory."""
    lines = [COLUMNS, *map(_cells, result.timings)]
    frames = dict.fromkeys((t.size, t.detail) for t in result.timings if t.stage == "splat")
    for size, detail in frames:
        rate = result.frame_rate(size, detail)
        row = (
            "a frame, all in a row",
            str(size),
            detail,
            "",
            f"{1e3 / rate:.2f}",
            "",
            f"{rate:.1f}",
        )
        lines.append((*row, *[""] * (len(COLUMNS) - len(row))))
    return f"{aligned(lines)}\npeak memory {result.memory:,.0f} MiB on {result.device}"


def _cells(t: Timing) -> tuple[str, ...]:
    """A stage as a row of the table; what does not apply stays empty."""
    # Three figures that count, however short it takes.
    digits = 4 if t.median < 1 else 2
    seen = t.drawn
    return (
        t.stage,
        str(t.size or ""),
        t.detail,
        f"{t.gaussians:,}" if t.gaussians else "",
        f"{t.median:.{digits}f}",
        f"{t.low:.{digits}f} … {t.high:.{digits}f}",
        f"{t.rate:,.0f}" if t.rate >= 100 else f"{t.rate:.1f}",
        str(t.avatars),
        f"{seen.gaussians:,}" if seen else "",
        f"{seen.pairs:,}" if seen and seen.pairs else "",
        f"{seen.covered:.0%}" if seen else "",
        f"{seen.psnr:.1f}" if seen and seen.psnr is not None else "",
        f"{t.memory:,.0f}" if t.memory else "",
    )
