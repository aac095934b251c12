"""`mien eval`: how good avatars of held-out people are, or what changed between two results."""

# No `from __future__ import annotations`: tyro reads the annotations.

import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mien import presets
from mien.commands.common import Detail, Device, chosen_device
from mien.errors import MienError
from mien.evaluate.compare import compare, comparison_table
from mien.evaluate.results import Results

if TYPE_CHECKING:
    from mien.evaluate.subject import Subject


@dataclass(frozen=True)
class Command:
    """Measure on held-out people; write a report as a web page and as JSON.

    Args:
        data: folder of the research data.
        output: folder that gets `index.html` and `results.json`.
        weights: weights file; without, the shipped ones.
        device: where the networks run.
        detail: how many Gaussians an avatar has.
        size: pixels of the frames' sides.
        frames: at most so many of each clip.
        cases: at most so many per protocol; without, all.
        workers: processes that measure side by side; without, one per core, four at most.
        cache: folder that keeps what does not depend on the weights (cut clips, floors and
            ceilings, rendered heads), so that the next run is faster.
        shareable: show only what is made of public-domain portraits and rendered heads, and no
            frames of other people.
        compare: two earlier `results.json`; says what changed from the first to the second and
            whether it is beyond noise, and measures nothing.
    """

    data: Path | None = None
    output: Path = Path("report")
    weights: Path | None = None
    device: Device = "auto"
    detail: Detail = "balanced"
    size: int = 512
    frames: int = 100
    cases: int | None = None
    workers: int | None = None
    cache: Path | None = None
    shareable: bool = False
    compare: tuple[Path, Path] | None = None


def run(command: Command) -> None:
    """Measure, or compare."""
    if command.compare:
        before, after = (Results.load(path) for path in command.compare)
        print(comparison_table(compare(before, after)))
        return
    if command.data is None:
        raise MienError("Say where the research data lies: `mien eval --data FOLDER`.")
    for name in ("frames", "cases", "workers"):
        if (value := getattr(command, name)) is not None and value < 1:
            raise MienError(f"--{name} is {value}; it must be at least 1.")
    if command.size < 192 or command.size % 4:
        raise MienError(f"--size is {command.size}; it must be a multiple of 4, at least 192.")
    from mien.evaluate.run import Evaluation, evaluate
    from mien.evaluate.summary import summary_table

    weights = command.weights or presets.shipped_weights()
    task = Evaluation(
        data=command.data,
        output=command.output,
        weights=weights,
        ruler=presets.shipped_weights(),
        size=command.size,
        frames=command.frames,
        cases=command.cases,
        workers=command.workers or min(4, os.cpu_count() or 1),
        cache=command.cache,
        shareable=command.shareable,
    )
    device = str(chosen_device(command.device))
    results = evaluate(partial(subject, weights, device, presets.DETAIL[command.detail]), task)
    print(command.output / "index.html")
    print(summary_table(results))


def subject(weights: Path, device: str, grid: int) -> "Subject":
    """What is measured, and the ruler: always the shipped encoder, whichever weights are measured.

    Raises:
        MienError: the weights cannot be read.
    """
    from mien.evaluate.subject import Subject, mien_performer, mien_reenactor

    network = presets.load_network(weights, device)
    ruler = presets.load_network().encoder
    return Subject(mien_reenactor(network, grid), mien_performer(network, grid), ruler)
