"""`mien eval`: run the protocols over the held-out people and write what came out."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from rich.console import Console
from rich.progress import track as progress

from mien.errors import MienError
from mien.evaluate.cache import Arrays, Cache
from mien.evaluate.cases import SHAREABLE, Cases, choose_cases
from mien.evaluate.conditions import Conditions
from mien.evaluate.gallery import Exhibit, Gallery, exhibit
from mien.evaluate.instruments import clip_scene, instruments, photo_scene
from mien.evaluate.live import live
from mien.evaluate.protocols import Kind, Outcome, Yardstick, reenactment, yardstick
from mien.evaluate.report import report_page
from mien.evaluate.results import Results
from mien.evaluate.subject import Subject
from mien.evaluate.summary import summary_rows
from mien.evaluate.synthetic import synthetic_scenes
from mien.evaluate.takes import Scene, Track
from mien.evaluate.views import novel_views
from mien.files import check_writable, write_bytes


@dataclass(frozen=True)
class Evaluation:
    """What to measure on, and how long.

    Args:
        data: folder of the research data.
        output: folder that gets `results.json` and `index.html`.
        weights: the file that is measured, for its hash.
        ruler: the file whose encoder the metric *features* measures with, for its hash.
        size: width and height of the frames.
        frames: at most so many of each clip.
        cases: at most so many per protocol; None runs all.
        workers: processes that measure side by side.
        cache: folder for what does not depend on the model; None keeps nothing.
        shareable: show only what is made of public-domain portraits and rendered heads, and no
            frames of other people.
    """

    data: Path
    output: Path
    weights: Path | None = None
    ruler: Path | None = None
    size: int = 512
    frames: int = 100
    cases: int | None = None
    workers: int = 1
    cache: Path | None = None
    shareable: bool = False


@dataclass(frozen=True)
class Job:
    """One case.

    Args:
        protocol: its name.
        source: a photo, a clip, or a person of `mien.synth`.
        driver: a clip, where somebody else drives.
        shown: whether there are to be pictures of it; with its true frames; and a film.
    """

    protocol: Literal["self", "cross", "synthetic", "views", "live"]
    source: Path | int
    driver: Path | None = None
    shown: tuple[bool, bool, bool] = (True, True, False)

    def __str__(self) -> str:
        source = self.source.stem if isinstance(self.source, Path) else self.source
        return f"{self.protocol}: {source}"


def evaluate(make: Callable[[], Subject], task: Evaluation) -> Results:
    """Measure, and write the report.

    Args:
        make: makes what is measured; called once in each process, so it must pickle.
        task: on what.

    Raises:
        MienError: the data or a needed package is missing, or a folder cannot be written.
    """
    judge = Judge(make(), task)
    for folder in (task.output, task.cache):
        if folder is not None:
            make_folder(folder)
    jobs = plan(choose_cases(task.data, task.cases), shareable=task.shareable)
    # Live is timed: nothing else may run beside it, so it comes when the others have ended.
    timed = [job for job in jobs if job.protocol == "live"]
    jobs = [job for job in jobs if job.protocol != "live"]
    gallery, rows, missing = Gallery(), [], dict(judge.missing)
    for job, found in [*measured(judge, make, task, jobs), *((job, judge(job)) for job in timed)]:
        if isinstance(found, str):
            missing[str(job)] = found
            continue
        gallery.add(found)
        rows.append(found.row)
    conditions = Conditions.here(task.weights, task.ruler, task.size)
    results = Results(tuple(rows), conditions, missing)
    results.save(task.output / "results.json", summary_rows(results))
    write_bytes(task.output / "index.html", report_page(results, gallery).encode())
    return results


def plan(cases: Cases, *, shareable: bool) -> list[Job]:
    """The cases as jobs; a film of each protocol's first case that may be shown."""
    jobs, filmed = [], set()

    def add(protocol: str, source: Path | int, driver: Path | None, public: bool) -> None:
        shown = public or not shareable
        truth = protocol == "synthetic" or not shareable
        film = shown and protocol not in ("views", *filmed)
        filmed.update({protocol} if film else ())
        jobs.append(Job(protocol, source, driver, (shown, truth, film)))  # type: ignore[arg-type]

    for item in cases.selves:
        add("self", item.path, None, item.role in SHAREABLE)
    for photo, clip in cases.crosses:
        add("cross", photo.path, clip.path, photo.role in SHAREABLE)
    for seed in cases.synthetic:
        add("synthetic", seed, None, True)
    for item in cases.views:
        add("views", item.path, None, item.role in SHAREABLE)
    for photo, clip in cases.live:
        add("live", photo.path, clip.path, photo.role in SHAREABLE)
    return jobs


class Judge:
    """Runs jobs in one process.

    Args:
        subject: what is measured.
        task: on what.
    """

    def __init__(self, subject: Subject, task: Evaluation) -> None:
        self.subject, self.task, self.keep = subject, task, Cache(task.cache)
        self.tools, self.missing = instruments(subject.ruler)
        self._clip = lru_cache(maxsize=1)(
            lambda path: clip_scene(path, task.size, task.frames, self.keep)
        )

    def __call__(self, job: Job) -> Exhibit | str:
        """What came out, or why it could not be measured."""
        try:
            outcome = self._outcome(job)
        except MienError as error:
            return str(error)
        shown, truth, film = job.shown
        return exhibit(outcome, truth=truth, film=film) if shown else Exhibit(outcome.row)

    def _outcome(self, job: Job) -> Outcome:
        reenact, tools, size = self.subject.reenact, self.tools, self.task.size
        if job.protocol == "synthetic":
            assert isinstance(job.source, int)
            facekit = self.task.data / "facekit"
            photo, truth = synthetic_scenes(job.source, facekit, size, self.keep)
            return self._reenactment("synthetic", job, photo, truth)
        assert isinstance(job.source, Path)
        if job.protocol == "self":
            clip = self._clip(job.source)
            return self._reenactment("self", job, clip[:1], clip[1:])
        photo = photo_scene(job.source, size)
        if job.protocol == "views":
            return novel_views(photo, reenact, tools)
        driver = self._clip(job.driver)
        if job.protocol == "live":
            return live(photo, driver, self.subject.perform, tools)
        return self._reenactment("cross", job, photo, driver)

    def _reenactment(self, kind: Kind, job: Job, source: Scene, driver: Scene) -> Outcome:
        task, tools = self.task, self.tools
        # Nothing is compared picture by picture across people.
        pictures = (None,) if kind == "cross" else (*tools.pictures, task.ruler)
        parts = (kind, job.source, job.driver, task.size, task.frames, *pictures)
        kept = self.keep(
            ("yardstick", *parts), lambda: packed(yardstick(kind, source, driver, tools))
        )
        return reenactment(kind, source, driver, self.subject.reenact, tools, unpacked(kept))


def packed(known: Yardstick) -> Arrays:
    """A yardstick as arrays."""
    track = known.motion
    return {
        "descriptor": np.asarray(known.descriptor),
        "sharpness": np.array(known.sharpness),
        "points": np.asarray(track.points),
        "angles": np.asarray(track.angles),
        "pixels": np.asarray(track.pixels),
        "names": np.array(list(known.bounds)),
        "bounds": np.array(list(known.bounds.values())),
    }


def unpacked(arrays: Arrays) -> Yardstick:
    """The inverse of `packed`."""
    track = Track(arrays["points"], arrays["angles"], arrays["pixels"])
    pairs = ((float(low), float(high)) for low, high in arrays["bounds"])
    bounds = dict(zip((str(name) for name in arrays["names"]), pairs, strict=True))
    return Yardstick(arrays["descriptor"], float(arrays["sharpness"]), track, bounds)


def measured(
    judge: Judge, make: Callable[[], Subject], task: Evaluation, jobs: list[Job]
) -> Iterator[tuple[Job, Exhibit | str]]:
    """Run the jobs, here or in processes of their own.

    Yields:
        Each job, in order, and what came out.
    """
    console = Console(stderr=True)
    if task.workers == 1:
        for job in progress(jobs, "measuring", console=console):
            yield job, judge(job)
        return
    # Neither OpenGL nor threads survive a fork.
    context = multiprocessing.get_context("spawn")
    threads = max(1, (os.cpu_count() or 1) // task.workers)
    with ProcessPoolExecutor(task.workers, context, _begin, (make, task, threads)) as pool:
        try:
            found = progress(pool.map(_work, jobs), "measuring", len(jobs), console=console)
            yield from zip(jobs, found, strict=True)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


_judge: Judge | None = None  # of a worker process


def _begin(make: Callable[[], Subject], task: Evaluation, threads: int) -> None:
    global _judge
    import cv2

    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)
    _judge = Judge(make(), task)


def _work(job: Job) -> Exhibit | str:
    assert _judge is not None
    return _judge(job)


def make_folder(folder: Path) -> None:
    """Make sure that there is a folder to write to, before hours are spent.

    Raises:
        MienError: it cannot be made or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MienError(
            f"The folder {folder} cannot be made ({error.strerror}): name another one."
        ) from error
    check_writable(folder / "results.json")
