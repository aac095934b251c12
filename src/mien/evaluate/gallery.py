"""Pictures for a report: strips of every case, and a film of one case per protocol."""

from __future__ import annotations

import io
import math
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mien.evaluate.protocols import Outcome
from mien.evaluate.results import Row
from mien.evaluate.takes import Frames

CELL = 128
"""Pixels of a picture in a strip."""

COLUMNS = 8
"""Moments, or views, that a strip shows."""

FILM = 256
"""Pixels of a picture in a film."""


@dataclass(frozen=True)
class Exhibit:
    """What remains of an outcome.

    Args:
        row: its figures.
        strip: JPEG; empty if it may not be shown.
        film: MP4; empty if none was made.
    """

    row: Row
    strip: bytes = b""
    film: bytes = b""


def exhibit(outcome: Outcome, *, truth: bool, film: bool) -> Exhibit:
    """Small pictures of an outcome.

    Args:
        outcome: of one case.
        truth: whether the frames that it is compared with may be shown.
        film: whether a film is wanted.
    """
    shown = outcome.truth if truth else outcome.truth[:0]
    made = side_by_side(outcome.source, shown, outcome.output) if film else b""
    return Exhibit(outcome.row, _jpeg(strip(outcome.source, shown, outcome.output)), made)


@dataclass
class Gallery:
    """Collects exhibits.

    Args:
        strips: (row, JPEG) of each case shown.
        films: protocol → MP4 of its first case shown.
    """

    strips: list[tuple[Row, bytes]] = field(default_factory=list)
    films: dict[str, bytes] = field(default_factory=dict)

    def add(self, shown: Exhibit) -> None:
        """Keep what there is to see of a case."""
        if shown.strip:
            self.strips.append((shown.row, shown.strip))
        if shown.film:
            self.films.setdefault(shown.row.protocol, shown.film)

    def worst(self, count: int) -> list[tuple[Row, bytes]]:
        """The strips of the cases that score lowest between their bounds, lowest first.

        Not of *live*, whose figures say more of the machine than of the pictures.
        """
        looks = [strip for strip in self.strips if strip[0].protocol != "live"]
        return sorted(looks, key=lambda strip: case_score(strip[0]))[:count]


def case_score(row: Row) -> float:
    """Mean over metrics of where a case lies between its bounds, each within ±1."""
    scores = []
    for m in row.measures.values():
        score = (m.value - m.floor) / (m.ceiling - m.floor) if m.ceiling != m.floor else math.nan
        if math.isfinite(score):
            scores.append(min(max(score, -1.0), 1.0))
    return float(np.mean(scores)) if scores else math.inf


def strip(source: Frames, truth: Frames, output: Frames) -> Frames:
    """The source, then moments of the output, with the true frames above them if there are any."""
    picks = np.linspace(0, len(output) - 1, min(COLUMNS, len(output))).round().astype(int)
    rows = [[_small(source, CELL), *(_small(output[i], CELL) for i in picks)]]
    if len(truth):
        blank = np.zeros((CELL, CELL, 3), np.uint8)
        rows.insert(0, [blank, *(_small(truth[i], CELL) for i in picks)])
    return np.vstack([np.hstack(row) for row in rows])


def side_by_side(source: Frames, truth: Frames, output: Frames) -> bytes:
    """An MP4: source, true frames if there are any, and output."""
    from mien.preprocess.video import write_video

    columns = [np.broadcast_to(source, output.shape), *([truth] if len(truth) else []), output]
    frames = [np.hstack([_small(c[i], FILM) for c in columns]) for i in range(len(output))]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "film.mp4"
        write_video(path, frames, fps=25.0)
        return path.read_bytes()


def _small(image: Frames, size: int) -> Frames:
    from PIL import Image

    return np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BOX))


def _jpeg(image: Frames) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=80)
    return buffer.getvalue()
