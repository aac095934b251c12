"""Pace and rate of training."""

import math
from dataclasses import replace

import pytest
import torch

from mien.train.animate import AnimateConfig
from mien.train.loop import Pace, rate

CONFIG = AnimateConfig(steps=100, warmup=10, learning_rate=1.0)


def test_rate_warms_up_and_falls() -> None:
    rates = [rate(step, step / 100, CONFIG) for step in range(101)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[9]
    assert rates[100] == pytest.approx(0.03)
    assert all(math.isfinite(r) for r in rates)


def test_a_run_ends_with_its_steps() -> None:
    pace = Pace(CONFIG, 0.0, torch.device("cpu"))
    assert [pace.goes_on(step) for step in (0, 99, 100)] == [True, True, False]
    assert pace.progress == 1.0


def test_a_run_without_steps_ends_with_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    pace = Pace(replace(CONFIG, steps=None, minutes=2.0), 0.0, torch.device("cpu"))
    assert pace.goes_on(0)
    clock[0] = 60.0
    assert pace.goes_on(7)
    assert pace.progress == 0.0, "the clock is looked at now and then only"
    assert pace.goes_on(20)
    assert pace.progress == pytest.approx(0.5)
    resumed = Pace(pace.schedule, pace.progress, torch.device("cpu"))
    clock[0] = 90.0
    assert resumed.goes_on(20)
    assert resumed.progress == pytest.approx(0.75)
    clock[0] = 121.0
    assert not resumed.goes_on(40)
