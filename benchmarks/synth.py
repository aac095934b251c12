"""How many synthetic heads a second this machine draws, and where a picture's time goes.

`python benchmarks/synth.py FACEKIT [--sizes 512 256] [--workers 16] [--gpus 1] [--seconds 30]`

Every picture has all its labels (alpha, depth, parts, normals, landmarks, coefficients, camera) and
is written into shards, which are thrown away. `FACEKIT` may be `tiny` for the built-in rig.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mien.errors import MienError
from mien.synth.dataset import SynthConfig, generate, open_studio, photograph, sample_members


class _Enough(Exception):
    """It was watched for long enough."""


def rate(config: SynthConfig, seconds: float) -> tuple[float, float]:
    """Pictures a second from when as many people are done as there are workers, and kB a picture.

    Watches for `seconds`, or longer: until each worker has had the time for two people more.

    Raises:
        MienError: all people of the configuration were made before.
    """
    marks: list[tuple[float, int]] = []

    def watch(done: int, total: int) -> None:
        marks.append((time.perf_counter(), done))
        if len(marks) > 3 * config.workers and marks[-1][0] - marks[config.workers][0] >= seconds:
            raise _Enough

    with contextlib.suppress(_Enough):
        generate(config, watch)
        raise MienError(f"{config.count} pictures were made in less than {seconds:g} s; ask more.")
    (start, first), (end, last) = marks[config.workers], marks[-1]
    sizes = [path.stat().st_size for path in config.out.glob("*.tar")]
    each = config.people_per_shard * config.faces * config.views
    return (last - first) / (end - start), float(np.mean(sizes)) / each / 1e3


def passes(config: SynthConfig, people: int) -> dict[str, list[float]]:
    """Milliseconds of each step in one process; those of the GPU by its own clock.

    Asking the GPU's clock waits for it, so that nothing runs ahead here as it does in `rate`.
    """
    spent: dict[str, list[float]] = defaultdict(list)
    studio = open_studio(config)
    renderer = studio.renderer

    def clocked(owner: Any, name: str, label: Callable[..., str], on_gpu: bool = False) -> None:
        real = getattr(owner, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            query = renderer.ctx.query(time=True) if on_gpu else None
            start = time.perf_counter()
            if query:
                with query:
                    result = real(*args, **kwargs)
            else:
                result = real(*args, **kwargs)
            taken = query.elapsed / 1e9 if query else time.perf_counter() - start
            spent[label(*args)].append(1e3 * taken)
            return result

        setattr(owner, name, call)

    clocked(studio.maker, "make", lambda *_: "person: made")
    clocked(renderer, "load", lambda *_: "person: uploaded")
    clocked(studio, "pose", lambda *_: "face: posed, uploaded, shadowed")
    clocked(renderer, "expose", lambda *_: "picture: asked for")
    clocked(renderer.film, "fetch", lambda *_: "picture: read back")
    clocked(renderer, "_draw", lambda _, use, __: f"GPU: {use}", on_gpu=True)
    clocked(renderer.film, "develop", lambda *_: "GPU: averaged", on_gpu=True)
    for seed in range(people + 1):
        if seed == 1:
            spent.clear()  # the first one warms up
        for shot in photograph(studio, config, config.seed + seed):
            start = time.perf_counter()
            sample_members(shot, config.dense)
            spent["picture: encoded"].append(1e3 * (time.perf_counter() - start))
    with renderer.ctx:
        print(renderer.ctx.info["GL_RENDERER"])
    renderer.close()
    return spent


def main() -> None:
    """Print two tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("facekit", type=Path)
    parser.add_argument("--sizes", type=int, nargs="+", default=[512, 256])
    parser.add_argument("--supersample", type=int, default=SynthConfig.supersample)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--gpus", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=30.0, help="watched, for each size")
    parser.add_argument("--people", type=int, default=4, help="in the table of steps; 0: no table")
    args = parser.parse_args()
    torch.set_num_threads(1)

    def config(size: int, folder: str) -> SynthConfig:
        count = 1000 * args.workers * SynthConfig.faces  # more than are waited for
        return SynthConfig(
            Path(folder), args.facekit, count, size, people_per_shard=1, workers=args.workers,
            gpus=args.gpus, supersample=args.supersample, dense=True,
        )  # fmt: skip

    if args.people:
        spent = passes(config(args.sizes[0], "."), args.people)
        print(f"\n| {args.sizes[0]}², one process | ms, median | ms, 90 % |\n| --- | --- | --- |")
        for label, values in spent.items():
            print(f"| {label} | {np.median(values):.2f} | {np.quantile(values, 0.9):.2f} |")
    print(
        f"\n| {args.workers} processes, {args.gpus} GPU | images/s | kB each |\n| --- | --- | --- |"
    )
    for size in args.sizes:
        # Processes that are stopped may still write when the folder goes.
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            speed, kilobytes = rate(config(size, folder), args.seconds)
        print(f"| {size}², all labels | {speed:.3g} | {kilobytes:.3g} |", flush=True)


if __name__ == "__main__":
    main()
