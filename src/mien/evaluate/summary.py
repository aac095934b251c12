"""The few lines that say whether avatars are good enough, out of all that is measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from mien.evaluate.results import Measure, Results
from mien.evaluate.statistics import Estimate, estimate, normalised
from mien.evaluate.tables import aligned


@dataclass(frozen=True)
class Goal:
    """A figure that avatars are to reach.

    Args:
        name: of the line.
        protocol: where it is measured.
        metric: what is measured.
        least: enough.
        aim: good.
        sense: at least, at most, or within so much of 1.
        read: the cases' mean or median; their score between floor and ceiling; or the mean of
            what they gain over the floor.
    """

    name: str
    protocol: str
    metric: str
    least: float
    aim: float
    sense: Literal["≥", "≤", "1 ±"] = "≥"
    read: Literal["mean", "median", "score", "gain"] = "mean"

    def reached(self, value: float, goal: float) -> bool:
        """Whether a value is as good as `goal`."""
        if self.sense == "1 ±":
            return abs(value - 1.0) <= goal
        return value >= goal if self.sense == "≥" else value <= goal


GOALS = (
    Goal("mouth opening follows", "cross", "follows: mouth opening", 0.93, 0.97),
    Goal("mouth width follows", "cross", "follows: mouth width", 0.85, 0.93),
    Goal("brows follow", "cross", "follows: brows", 0.8, 0.9),
    Goal("lids follow", "cross", "follows: lids", 0.75, 0.9),
    Goal("gaze", "cross", "follows: gaze", 0.7, 0.9),
    Goal("identity", "cross", "identity", 0.35, 0.28, "≤", "median"),
    Goal("yaw slope within ±35°", "views", "yaw slope", 0.1, 0.03, "1 ±"),
    Goal("identity at ±25°", "views", "identity ±25°", 0.30, 0.22, "≤", "median"),
    Goal("identity at ±40°", "views", "identity ±40°", 0.40, 0.30, "≤", "median"),
    Goal("normalised expression error", "self", "expression", 0.7, 0.9, "≥", "score"),
    Goal("PSNR over the still photo's", "self", "PSNR", 4.0, 6.0, "≥", "gain"),
    Goal("sharpness ratio", "cross", "sharpness", 0.5, 0.9),
    Goal("jitter ratio", "cross", "jitter", 1.2, 1.0, "≤"),
)
"""What held-out people are to look like."""


@dataclass(frozen=True)
class Line:
    """A goal and how near it is; floor and ceiling are means over the cases."""

    goal: Goal
    reached: Estimate
    floor: float
    ceiling: float
    score: float

    @property
    def verdict(self) -> str:
        """Which of the goal's two values is reached."""
        for word, goal in (("aim", self.goal.aim), ("enough", self.goal.least)):
            if self.goal.reached(self.reached.value, goal):
                return word
        return "not yet" if np.isfinite(self.reached.value) else "not measured"


def summarise(results: Results) -> list[Line]:
    """Every goal's line."""
    lines = []
    for goal in GOALS:
        measures = list(results.of(goal.protocol, goal.metric).values())
        bounds = np.array([(m.floor, m.ceiling) for m in measures]).reshape(-1, 2)
        known = np.ma.masked_invalid(bounds).mean(0).filled(np.nan)
        score = normalised(measures).value
        lines.append(Line(goal, _read(goal, measures), float(known[0]), float(known[1]), score))
    return lines


def _read(goal: Goal, measures: Sequence[Measure]) -> Estimate:
    if goal.read == "score":
        return normalised(measures)
    if goal.read == "gain":
        return estimate([m.value - m.floor for m in measures])
    statistic = np.median if goal.read == "median" else np.mean
    return estimate([m.value for m in measures], lambda cases: float(statistic(cases)))


def summary_rows(results: Results) -> list[dict[str, Any]]:
    """The lines for other programs: goal, figure, interval, bounds, commit and frame size."""
    shared = {"commit": results.conditions.commit, "size": results.conditions.size}
    return [
        {
            **asdict(line.goal),
            **asdict(line.reached),
            "floor": line.floor,
            "ceiling": line.ceiling,
            "score": line.score,
            "verdict": line.verdict,
            **shared,
        }
        for line in summarise(results)
    ]


HEAD = ("", "protocol", "reached", "95%", "floor", "ceiling", "score", "least", "aim", "cases", "")
"""Columns of the table."""


def summary_cells(results: Results) -> list[tuple[str, ...]]:
    """The lines as text, a cell for each of `HEAD`."""
    rows = []
    for line in summarise(results):
        goal, reached = line.goal, line.reached
        name = f"{goal.name} ({goal.read})" if goal.read in ("median", "score") else goal.name
        interval = f"{_short(reached.low)} … {_short(reached.high)}"
        wanted = (f"{goal.sense} {goal.least:g}", f"{goal.sense} {goal.aim:g}")
        numbers = (_short(line.floor), _short(line.ceiling), _short(line.score), *wanted)
        figure = _short(reached.value), interval, *numbers, str(reached.cases), line.verdict
        rows.append((name, goal.protocol, *figure))
    return rows


def summary_table(results: Results) -> str:
    """The lines for people who read a terminal."""
    size = results.conditions.size
    return f"{aligned([HEAD, *summary_cells(results)])}\nframes of {size}²"


def _short(value: float) -> str:
    return f"{value:.2f}" if np.isfinite(value) else "–"
