"""`mien eval`: run the protocols over the held-out people and write what came out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

from rich.console import Console
from rich.progress import track as progress

from mien.data.splits import Item
from mien.errors import MienError
from mien.evaluate.cases import SHAREABLE, Cases, choose_cases
from mien.evaluate.conditions import Conditions
from mien.evaluate.gallery import Gallery
from mien.evaluate.instruments import clip_scene, instruments, photo_scene
from mien.evaluate.protocols import (
    Outcome,
    Reenactor,
    cross_reenactment,
    novel_views,
    self_reenactment,
)
from mien.evaluate.report import report_page
from mien.evaluate.results import Results
from mien.evaluate.takes import Instruments, Scene
from mien.files import check_writable, write_bytes


@dataclass(frozen=True)
class Evaluation:
    """What to measure on, and how long.

    Args:
        data: folder of the research data.
        output: folder that gets `results.json` and `index.html`.
        size: width and height of the frames.
        frames: at most so many of each clip.
        limit: at most so many cases per protocol; None runs all.
        shareable: show only what is made of public-domain portraits, and no driving frames.
    """

    data: Path
    output: Path
    size: int = 512
    frames: int = 100
    limit: int | None = None
    shareable: bool = False


def evaluate(reenactor: Reenactor, task: Evaluation, weights: Path | None = None) -> Results:
    """Measure, and write the report.

    Args:
        reenactor: what is measured (see `subject.mien_reenactor`).
        task: on what.
        weights: the file whose hash the report names.

    Raises:
        MienError: the data or a needed package is missing, or the folder cannot be written.
    """
    tools, missing = instruments()
    cases = choose_cases(task.data, task.limit)
    make_folder(task.output)
    gallery, rows = Gallery(task.shareable), []
    for item, outcome in outcomes(reenactor, cases, tools, task, missing):
        gallery.add(outcome, public=item.role in SHAREABLE)
        rows.append(outcome.row)
    results = Results(tuple(rows), Conditions.here(weights), missing)
    results.save(task.output / "results.json")
    write_bytes(task.output / "index.html", report_page(results, gallery).encode())
    return results


def outcomes(
    reenactor: Reenactor,
    cases: Cases,
    tools: Instruments,
    task: Evaluation,
    missing: dict[str, str],
) -> Iterator[tuple[Item, Outcome]]:
    """Run the cases one by one.

    Args:
        missing: gets the cases that cannot be run, and why.

    Yields:
        The source of each case, and its outcome.
    """

    @lru_cache(maxsize=1)
    def clip(path: Path) -> Scene:
        return clip_scene(path, task.size, task.frames)

    def photo(path: Path) -> Scene:
        return photo_scene(path, task.size)

    def run_self(item: Item) -> Outcome:
        return self_reenactment(clip(item.path), reenactor, tools)

    def run_cross(pair: tuple[Item, Item]) -> Outcome:
        return cross_reenactment(photo(pair[0].path), clip(pair[1].path), reenactor, tools)

    def run_views(item: Item) -> Outcome:
        return novel_views(photo(item.path), reenactor, tools)

    work = [("self", item, partial(run_self, item)) for item in cases.selves]
    work += [("cross", pair[0], partial(run_cross, pair)) for pair in cases.crosses]
    work += [("views", item, partial(run_views, item)) for item in cases.views]
    for protocol, item, run in progress(work, "measuring", console=Console(stderr=True)):
        try:
            yield item, run()
        except MienError as error:
            missing[f"{protocol}: {item.path.stem}"] = str(error)


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
