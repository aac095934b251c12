"""`mien bench`: how long each stage of the pipeline takes on this machine, and how much memory."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from mien.evaluate.conditions import Conditions
from mien.evaluate.tables import aligned
from mien.evaluate.takes import Frames
from mien.files import write_bytes
from mien.model.network import Network
from mien.pipeline import encode
from mien.preprocess.face import FaceTracker
from mien.preprocess.photo import portrait
from mien.preprocess.video import write_video
from mien.render import Backend, splat

WARM_UP = 3
"""Runs before the clock starts: caches, compilers and clocks settle."""

FILM = 50
"""Frames of the film whose encoding is timed."""

PER_FRAME = ("landmarks", "motion", "fusion and decode", "splat", "video encode")
"""Stages that a frame of `mien animate` passes through, one after the other."""


@dataclass(frozen=True)
class Timing:
    """How long one stage takes.

    Args:
        stage: its name.
        size: width and height of the frames; 0 for stages that do not depend on it.
        detail: name of the level of detail; empty for stages that do not depend on it.
        gaussians: how many were animated or drawn; 0 for other stages.
        median: milliseconds.
        low: milliseconds that a tenth of the runs stay under.
        high: milliseconds that a tenth of the runs exceed.
        runs: how many were timed.
    """

    stage: str
    size: int
    detail: str
    gaussians: int
    median: float
    low: float
    high: float
    runs: int


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
    """

    sizes: tuple[int, ...]
    detail: dict[str, int]
    rivals: tuple[Backend, ...] = ()
    seconds: float = 2.0


class Stage(NamedTuple):
    """Something to time, and what to call it (see `Timing`)."""

    name: str
    size: int
    detail: str
    gaussians: int
    run: Callable[[], object]


def bench(network: Network, photo: Frames, work: Workload, weights: Path | None = None) -> Bench:
    """Time every stage on one photo, which also drives itself.

    Args:
        network: on the device to be timed.
        photo: (H, W, 3) uint8.
        work: what to time.
        weights: the file whose hash is kept with the figures.

    Raises:
        MienError: the photo shows no face, or a rival is not installed.
    """
    device = next(network.parameters()).device
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    timings = []
    with torch.inference_mode():
        for stage in stages(network, photo, work):
            times = milliseconds(stage.run, work.seconds, device)
            low, median, high = np.quantile(times, (0.1, 0.5, 0.9)).tolist()
            timings.append(Timing(*stage[:4], median, low, high, len(times)))
    return Bench(str(device), tuple(timings), _peak_memory(device), Conditions.here(weights))


def stages(network: Network, photo: Frames, work: Workload) -> Iterator[Stage]:
    """The stages of the pipeline on one photo, one after the other."""
    with FaceTracker() as tracker:
        tracker.track(photo)
        yield Stage("landmarks", 0, "", 0, lambda: tracker.track(photo))
    yield Stage("preprocess photo", 0, "", 0, lambda: portrait(photo))
    one = portrait(photo)
    landmarks = one.landmarks.to(next(network.parameters()).device)
    yield Stage("motion", 0, "", 0, lambda: network.motion(landmarks[None]))
    for size in work.sizes:
        yield _film_stage(size)
    for detail, grid in work.detail.items():
        yield Stage("encode", 0, detail, 0, partial(encode, network, one, grid))
        avatar = encode(network, one, grid)
        latent, camera = avatar.source_latent, one.camera.to(landmarks.device)
        count = avatar.features.shape[0]
        animate = partial(network.animate, avatar, latent)
        yield Stage("fusion and decode", 0, detail, count, animate)
        gaussians = animate()[0]
        for size in work.sizes:
            draw = partial(splat, gaussians, camera, (size, size))
            yield Stage("splat", size, detail, count, draw)
            for rival in work.rivals:
                name = f"splat by {rival}"
                yield Stage(name, size, detail, count, partial(draw, backend=rival))


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


def milliseconds(
    run: Callable[[], object], seconds: float, device: torch.device
) -> NDArray[np.floating]:
    """Times of single runs, after `WARM_UP` ones; at least three.

    Args:
        run: what to time; if it returns an integer it has done so many things at once.
        seconds: to spend.
        device: that is waited for.
    """

    def once() -> float:
        start = time.perf_counter()
        done = run()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return 1e3 * (time.perf_counter() - start) / (done if isinstance(done, int) else 1)

    for _ in range(WARM_UP):
        once()
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < 3 or time.perf_counter() < end:
        times.append(once())
    return np.array(times)


def _peak_memory(device: torch.device) -> float:
    """MiB: of tensors on a GPU, or else of this whole process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    import resource

    unit = 2**20 if sys.platform == "darwin" else 2**10  # bytes there, KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def bench_table(result: Bench) -> str:
    """The figures as lines of text, aligned: stages, then frames a second, then memory."""
    lines = [("stage", "size", "detail", "Gaussians", "ms", "10% … 90%", "runs")]
    for t in result.timings:
        spread = f"{t.low:.1f} … {t.high:.1f}"
        size, count = str(t.size or ""), f"{t.gaussians:,}" if t.gaussians else ""
        lines.append((t.stage, size, t.detail, count, f"{t.median:.2f}", spread, str(t.runs)))
    drawn = dict.fromkeys((t.size, t.detail) for t in result.timings if t.stage == "splat")
    for size, detail in drawn:
        rate = f"{1e3 / result.frame_rate(size, detail):.2f}"
        note = f"{result.frame_rate(size, detail):.1f} frames/s"
        lines.append(("a frame, all in a row", str(size), detail, "", rate, note, ""))
    table = aligned(lines)
    return f"{table}\npeak memory {result.memory:,.0f} MiB on {result.device}"
