from dataclasses import replace

import numpy as np
import pytest

from mien.errors import MienError
from mien.evaluate.compare import compare, comparison_table
from mien.evaluate.conditions import Conditions
from mien.evaluate.results import Measure, Results, Row


def results(figures: dict[str, list[float]]) -> Results:
    """One protocol; a case per figure, named by its place."""
    count = max(map(len, figures.values()))
    rows = []
    for case in range(count):
        measures = {k: Measure(v[case], 0.0, 1.0) for k, v in figures.items() if case < len(v)}
        rows.append(Row("self", f"case {case}", "d", 9, measures))
    return Results(tuple(rows), Conditions("", "", "", {}))


@pytest.fixture
def base() -> list[float]:
    return list(np.random.default_rng(0).uniform(0.3, 0.9, 20))


def verdicts(before: Results, after: Results) -> dict[str, str]:
    return {change.metric: change.verdict for change in compare(before, after)}


def test_a_small_change_of_every_case_is_beyond_noise(base: list[float]) -> None:
    up, down = [v + 0.02 for v in base], [v - 0.02 for v in base]
    before = results({"SSIM": base, "identity": base, "yaw slope": base, "FLIP": base})
    after = results({"SSIM": up, "identity": up, "yaw slope": up, "FLIP": down})
    assert verdicts(before, after) == {
        "SSIM": "better",
        "identity": "worse",
        "yaw slope": "better",  # nearer to 1
        "FLIP": "better",
    }


def test_a_change_that_goes_both_ways_is_noise(base: list[float]) -> None:
    mixed = [v + (0.1 if i % 2 else -0.1) for i, v in enumerate(base)]
    assert verdicts(results({"SSIM": base}), results({"SSIM": mixed})) == {"SSIM": "within noise"}
    assert verdicts(results({"SSIM": base}), results({"SSIM": base})) == {"SSIM": "within noise"}


def test_only_common_cases_count(base: list[float]) -> None:
    changes = compare(results({"SSIM": base}), results({"SSIM": base[:5]}))
    assert changes[0].gain.cases == 5
    assert changes[0].before == changes[0].after == pytest.approx(np.mean(base[:5]))


def test_another_ruler_and_another_machine_are_not_compared(base: list[float]) -> None:
    first = results({"SSIM": base, "features": base})
    other = replace(first, conditions=Conditions("", "", "", {}, ruler="another"))
    assert set(verdicts(first, first)) == {"SSIM", "features"}
    assert set(verdicts(first, other)) == {"SSIM"}
    rows = (Row("live", "a", "b", 9, {"latency": Measure(30.0, 40.0, 0.0)}), *first.rows)
    first = replace(first, rows=rows)
    other = replace(first, conditions=Conditions("", "", "", {"cores": "64"}))
    assert "latency" in verdicts(first, first)
    assert "latency" not in verdicts(first, other)


def test_nothing_in_common_is_said(base: list[float]) -> None:
    with pytest.raises(MienError, match="no case in common"):
        compare(results({"SSIM": base}), results({"FLIP": base}))


def test_the_table_has_a_line_per_metric(base: list[float]) -> None:
    before, after = results({"SSIM": base}), results({"SSIM": [v + 0.5 for v in base]})
    lines = comparison_table(compare(before, after)).splitlines()
    assert len(lines) == 2
    assert "+0.500" in lines[1]
    assert lines[1].endswith("better")
