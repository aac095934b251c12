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


@dataclass
class Gallery:
    """Collects what cases look like while they are measured.

    Args:
        shareable: take only cases of public-domain photos, and leave driving frames out.
        strips: (row, JPEG) of each case shown.
        films: protocol → MP4 of its first case shown.
    """

    shareable: bool
    strips: list[tuple[Row, bytes]] = field(default_factory=list)
    films: dict[str, bytes] = field(default_factory=dict)

    def add(self, outcome: Outcome, *, public: bool) -> None:
        """Keep small pictures of an outcome, if they may be shown.

        Args:
            outcome: of one case.
            public: whether its photo is in the public domain.
        """
        if self.shareable and not public:
            return
        truth = outcome.truth[:0] if self.shareable else outcome.truth
        self.strips.append((outcome.row, _jpeg(strip(outcome.source, truth, outcome.output))))
        protocol = outcome.row.protocol
        if protocol != "views" and protocol not in self.films:
            self.films[protocol] = film(outcome.source, truth, outcome.output)

    def worst(self, count: int) -> list[tuple[Row, bytes]]:
        """The strips of the cases that score lowest between their bounds, lowest first."""
        return sorted(self.strips, key=lambda strip: case_score(strip[0]))[:count]


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


def film(source: Frames, truth: Frames, output: Frames) -> bytes:
    """An MP4: source, true frames if there are any, and output, side by side."""
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
