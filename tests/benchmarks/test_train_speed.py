"""The figures of `benchmarks/train_speed.py`."""

from pathlib import Path

import pytest


def test_speeds_are_medians_without_the_first_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    from train_speed import speeds

    plain = [(n, {"images/s": float(x)}) for n, x in enumerate((1, 100, 110, 90))]
    judged = [(n, {"images/s": float(x), "judge": 0.0}) for n, x in enumerate((2, 80, 82, 81))]
    assert speeds([*plain, *judged]) == (100.0, 81.0)
