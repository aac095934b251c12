"""How many pictures a second training gets through, on one process and on several.

    python benchmarks/train_speed.py --data SHARDS [--processes 1 2] [--minutes 1] [--json FILE]

Each process has a GPU, or all share the processor. A few shards are enough: what is loaded is drawn
from at random, and loading is not timed. The adversary joins half-way, so that there are two
figures; reports that hold the first steps of either are left out, for something compiles there.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from ablations import SIZES
from mien.evaluate.tables import aligned
from mien.model.network import Network
from mien.preprocess.pose import canonical
from mien.train import desk
from mien.train.animate import train


def measure(options: argparse.Namespace) -> None:
    """What each process does: train; the first writes what it was told, (step, figures) each."""
    config, plain, _ = SIZES[options.preset]
    how = replace(
        plain,
        minutes=options.minutes,
        steps=options.steps,
        batch=options.batch or plain.batch,
        adversarial_from=0.5,
        log_every=options.log_every,
    )
    with desk.processes() as (rank, device):
        frames = desk.load(options.data, "train", "synth", workers=options.workers).to(device)
        network = Network(config)
        network.motion.fit_statistics(frames.landmarks.cpu())
        said: list[tuple[int, dict[str, float]]] = []
        with tempfile.TemporaryDirectory() as folder:
            state = Path(folder) / "state.safetensors"
            partner = torch.from_numpy(canonical().mirror)
            train(network, frames, partner, how, state, lambda *told: said.append(told))
        if rank == 0:
            options.json.write_text(json.dumps(said))


def speeds(said: Sequence[tuple[int, dict[str, float]]]) -> tuple[float, float]:
    """Median pictures a second without and with the adversary, of all but the first reports."""
    rates: tuple[list[float], list[float]] = ([], [])
    for _, figures in said:
        rates["judge" in figures].append(figures["images/s"])
    without, judged = (statistics.median(part[1:]) for part in rates)
    return without, judged


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="shards of `mien prepare`")
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--minutes", type=float, default=1.0, help="of training, each")
    parser.add_argument("--steps", type=int, help="of training, each, if that comes first")
    parser.add_argument("--batch", type=int, help="sources a process")
    parser.add_argument("--log-every", type=int, default=20)
    parser.add_argument("--preset", choices=SIZES, default="base")
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--json", type=Path, help="write the figures there too")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.measure:
        measure(options)
        return
    given = list(arguments) if arguments is not None else sys.argv[1:]
    figures = {}
    for count in options.processes:
        with tempfile.TemporaryDirectory() as folder:
            told = Path(folder) / "told.json"
            torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
            torchrun += ["--nproc-per-node", str(count), __file__, *given, "--measure"]
            subprocess.run([*torchrun, "--json", str(told)], check=True)
            figures[count] = speeds(json.loads(told.read_text()))
    if options.json:
        options.json.write_text(json.dumps(figures) + "\n")
    first, alone = next(iter(figures.items()))
    rows = [("processes", "images/s", "of ideal", "with the adversary", "of ideal")]
    for count, pair in figures.items():
        shares = (x * first / (one * count) for x, one in zip(pair, alone, strict=True))
        cells = ((f"{x:.3g}", f"{share:.0%}") for x, share in zip(pair, shares, strict=True))
        rows.append((str(count), *next(cells), *next(cells)))
    print(aligned(rows))


if __name__ == "__main__":
    main()
