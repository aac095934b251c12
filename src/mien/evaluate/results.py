"""What was measured: the rows behind every table, and their JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mien.errors import MienError
from mien.evaluate.conditions import Conditions
from mien.files import write_bytes

VERSION = 1
"""Of the JSON's layout."""


@dataclass(frozen=True)
class Measure:
    """One figure and its bounds; NaN where there is none.

    Args:
        value: what the model reached.
        floor: what is reached by doing nothing: mostly, what the still source reaches.
        ceiling: what could be reached: mostly, what the true frames reach, through the same crop
            and codec.
    """

    value: float
    floor: float
    ceiling: float


@dataclass(frozen=True)
class Row:
    """One case of a protocol.

    Args:
        protocol: its name.
        source: whose look.
        driver: whose motion; empty where there is none.
        frames: how many were compared.
        measures: by metric.
    """

    protocol: str
    source: str
    driver: str
    frames: int
    measures: dict[str, Measure]

    @property
    def case(self) -> tuple[str, str, str]:
        """What makes this row the same case in another result."""
        return self.protocol, self.source, self.driver


@dataclass(frozen=True)
class Results:
    """A whole evaluation.

    Args:
        rows: case by case.
        conditions: where they come from.
        missing: metric → why it could not be measured.
    """

    rows: tuple[Row, ...]
    conditions: Conditions
    missing: dict[str, str] = field(default_factory=dict)

    def protocols(self) -> list[str]:
        """Their names, in order of appearance."""
        return list(dict.fromkeys(row.protocol for row in self.rows))

    def metrics(self, protocol: str) -> list[str]:
        """Names of what a protocol measured, in order of appearance."""
        rows = (row for row in self.rows if row.protocol == protocol)
        return list(dict.fromkeys(name for row in rows for name in row.measures))

    def of(self, protocol: str, metric: str) -> dict[tuple[str, str, str], Measure]:
        """That metric's figures, case by case."""
        rows = (row for row in self.rows if row.protocol == protocol and metric in row.measures)
        return {row.case: row.measures[metric] for row in rows}

    def save(self, path: Path, summary: Sequence[Mapping[str, Any]] = ()) -> None:
        """Write as JSON; figures that are unknown or infinite become null.

        Args:
            path: the file; each of its rows names the commit.
            summary: lines that are written along, for other programs to read.

        Raises:
            MienError: the file cannot be written.
        """
        content = {"version": VERSION, "summary": list(summary), **asdict(self)}
        for row in content["rows"]:
            row["commit"] = self.conditions.commit
        write_bytes(path, json.dumps(_without_nan(content), indent=1).encode(), b"\n")

    @staticmethod
    def load(path: Path) -> Results:
        """Read what `save` wrote.

        Raises:
            MienError: it is no such file, or of another version.
        """
        try:
            content = json.loads(path.read_text())
            if content["version"] != VERSION:
                raise MienError(
                    f"{path} has layout version {content['version']}, but this Mien reads "
                    f"version {VERSION}: measure again."
                )
            rows = tuple(_row(row) for row in content["rows"])
            return Results(rows, Conditions(**content["conditions"]), content["missing"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise MienError(f"{path} is no JSON file of mien eval: name one.") from error


def _row(content: dict[str, Any]) -> Row:
    measures = {
        name: Measure(**{k: math.nan if v is None else v for k, v in figures.items()})
        for name, figures in content["measures"].items()
    }
    facts = {key: value for key, value in content.items() if key != "commit"}
    return Row(**{**facts, "measures": measures})


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
