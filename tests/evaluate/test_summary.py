import json
from pathlib import Path

import pytest

from mien.evaluate.conditions import Conditions
from mien.evaluate.results import Measure, Results, Row
from mien.evaluate.summary import GOALS, Goal, summarise, summary_rows, summary_table


@pytest.fixture
def results() -> Results:
    def case(protocol: str, name: str, shift: float) -> Row:
        measures = {
            "PSNR": Measure(26 + shift, 22, 44),
            "expression": Measure(1.0 + shift, 2.0, 0.0),
            "identity": Measure(0.3 + shift, 0.8, 0.0),
            "follows: gaze": Measure(0.75 + shift, 0.0, 1.0),
            "yaw slope": Measure(0.95 + shift, 0.0, 1.0),
        }
        return Row(protocol, name, "d", 9, measures)

    rows = [case(p, str(s), s) for p in ("self", "cross", "views") for s in (0.0, 0.02, 0.04)]
    return Results(tuple(rows), Conditions("", "abc", "", {}, size=512))


def test_lines_by_hand(results: Results) -> None:
    lines = {line.goal.name: line for line in summarise(results)}
    assert lines["PSNR over the still photo's"].reached.value == pytest.approx(4.02)
    assert lines["normalised expression error"].reached.value == pytest.approx(0.49)
    assert lines["identity"].reached.value == pytest.approx(0.32)
    assert lines["identity"].score == pytest.approx(0.6)
    assert lines["gaze"].reached.value == pytest.approx(0.77)
    assert [lines[n].verdict for n in ("gaze", "identity", "yaw slope within ±35°")] == [
        "enough",
        "enough",
        "aim",
    ]
    assert lines["normalised expression error"].verdict == "not yet"
    assert lines["jitter ratio"].verdict == "not measured"


@pytest.mark.parametrize(
    ("sense", "good", "bad"), [("≥", 0.9, 0.7), ("≤", 0.7, 0.9), ("1 ±", 0.95, 1.9)]
)
def test_goals_have_a_direction(sense, good: float, bad: float) -> None:
    goal = Goal("g", "self", "m", 0.8, 0.8, sense)
    assert goal.reached(good, 0.8)
    assert not goal.reached(bad, 0.8)


def test_programs_read_every_line_with_its_bounds(results: Results, tmp_path: Path) -> None:
    results.save(tmp_path / "r.json", summary_rows(results))
    content = json.loads((tmp_path / "r.json").read_text())
    assert [row["name"] for row in content["summary"]] == [goal.name for goal in GOALS]
    for row in content["summary"]:
        assert {"value", "low", "high", "floor", "ceiling", "score", "commit", "size"} < set(row)
        assert row["commit"] == "abc"
    assert {row["commit"] for row in content["rows"]} == {"abc"}
    assert Results.load(tmp_path / "r.json").rows == results.rows


def test_the_table_ends_with_the_size(results: Results) -> None:
    lines = summary_table(results).splitlines()
    assert len(lines) == len(GOALS) + 2
    assert lines[-1] == "frames of 512²"
