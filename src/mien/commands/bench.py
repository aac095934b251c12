"""`mien bench`: how fast this machine is, stage by stage."""

# No `from __future__ import annotations`: tyro reads the annotations.

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from mien import presets
from mien.artifact.baked import load_baked
from mien.commands.common import Detail, Device, chosen_device
from mien.evaluate.bench import Workload, bench, bench_table
from mien.files import check_writable
from mien.preprocess.photo import read_photo


@dataclass(frozen=True)
class Command:
    """Time every stage from photo to video on this machine; prints a table.

    On a GPU also sessions, in which everything is one CUDA graph: of one avatar and of many, and of
    the paper's networks with random weights.

    Args:
        photo: any portrait; it also drives itself.
        weights: weights file; without, the shipped ones.
        device: what to time.
        detail: levels of detail to time.
        size: pixels of the frames' sides to time.
        vs: other rasterisers to time on the same Gaussians.
        baked: avatar of `mien bake` to be played as well, on a processor.
        seconds: to spend on each figure.
        json: file that gets the figures, for programs.
    """

    photo: tyro.conf.Positional[Path]
    weights: Path | None = None
    device: Device = "auto"
    detail: tuple[Detail, ...] = ("fast", "balanced", "high")
    size: tuple[int, ...] = (256, 512)
    vs: tuple[Literal["reference", "gsplat", "triton", "cpu"], ...] = ()
    baked: Path | None = None
    seconds: float = 2.0
    json: Path | None = None


def run(command: Command) -> None:
    """Time, and print."""
    if command.json:
        check_writable(command.json)
    weights = command.weights or presets.shipped_weights()
    network = presets.load_network(weights, chosen_device(command.device))
    detail = {name: presets.DETAIL[name] for name in command.detail}
    baked = load_baked(command.baked) if command.baked else None
    work = Workload(command.size, detail, command.vs, command.seconds, baked)
    result = bench(network, read_photo(command.photo).image, work, weights)
    if command.json:
        result.save(command.json)
    print(bench_table(result))
