"""What `mien bench` keeps of a stage, and how it takes the time."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from mien.render.reference import ALPHA_MIN
from mien.structures import Camera, Gaussians, Rendered

WARM_UP = 3
"""Runs before the clock starts: caches, compilers and clocks settle."""

REPEATS = 10
"""Times that a stage stands in the CUDA graph it is timed in, so that launching counts little."""


@dataclass(frozen=True)
class Drawn:
    """What came of a stage: nothing is faster because it draws less.

    Args:
        gaussians: opaque enough to be drawn, with their middle in the picture; of all avatars.
        pairs: of a splat and a tile that it touches; 0 where they are not counted.
        covered: share of the pixels that are more than half covered.
        psnr: dB by which the pictures equal those of the plain path in float32; None if that is
            what was timed.
    """

    gaussians: int
    pairs: int
    covered: float
    psnr: float | None = None


@dataclass(frozen=True)
class Timing:
    """How long one stage takes.

    Args:
        stage: its name.
        size: width and height of the frames; 0 for stages that do not depend on it.
        detail: name of the level of detail; empty for stages that do not depend on it.
        gaussians: how many were animated or drawn, of each avatar; 0 for other stages.
        median: milliseconds.
        low: milliseconds that a tenth of the runs stay under.
        high: milliseconds that a tenth of the runs exceed.
        runs: how many were timed.
        avatars: that were animated together.
        memory: peak MiB of all tensors on the GPU; 0 elsewhere.
        drawn: what came of it; None for stages that draw nothing.
    """

    stage: str
    size: int
    detail: str
    gaussians: int
    median: float
    low: float
    high: float
    runs: int
    avatars: int = 1
    memory: float = 0.0
    drawn: Drawn | None = None

    @property
    def rate(self) -> float:
        """How many a second, of all avatars together."""
        return 1e3 * self.avatars / self.median


class Stage(NamedTuple):
    """Something to time, and what to call it (see `Timing`)."""

    name: str
    size: int
    detail: str
    gaussians: int
    run: Callable[[], object]
    avatars: int = 1
    drawn: Drawn | None = None


def timed(stage: Stage, seconds: float, device: torch.device) -> Timing:
    """Time a stage; the GPU's peak of memory is of all since the stage before."""
    times = milliseconds(stage.run, seconds, device)
    low, median, high = np.quantile(times, (0.1, 0.5, 0.9)).tolist()
    memory = 0.0
    if device.type == "cuda":
        memory = torch.cuda.max_memory_allocated(device) / 2**20
        torch.cuda.reset_peak_memory_stats(device)
    return Timing(
        *stage[:4], median, low, high, len(times),
        avatars=stage.avatars, memory=memory, drawn=stage.drawn,
    )  # fmt: skip


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


def in_graph(run: Callable[[], object]) -> Callable[[], int]:
    """Record a stage `REPEATS` times in a CUDA graph; what is returned replays that."""
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        run()
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(REPEATS):
            run()

    def replay() -> int:
        graph.replay()
        return REPEATS

    return replay


def drawn(gaussians: Gaussians, camera: Camera, picture: Rendered) -> Drawn:
    """What of Gaussians (*B, N) is to be seen in their picture by camera (*B)."""
    x, y = camera.project(gaussians.means).unbind(-1)
    seen = (gaussians.opacities >= ALPHA_MIN) & (x >= 0) & (x < 1) & (y >= 0) & (y < 1)
    return Drawn(int(seen.sum()), 0, (picture.alpha > 0.5).float().mean().item())
