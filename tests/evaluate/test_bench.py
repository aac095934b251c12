import json
import time
from pathlib import Path

import pytest
import torch

from mien.evaluate.bench import WARM_UP, Bench, Timing, bench_table, milliseconds
from mien.evaluate.conditions import Conditions

CPU = torch.device("cpu")


def timing(stage: str, median: float, size: int = 0, detail: str = "") -> Timing:
    return Timing(stage, size, detail, 1000, median, median - 1, median + 1, 9)


@pytest.fixture
def result() -> Bench:
    timings = (
        timing("landmarks", 8.0),
        timing("motion", 1.0),
        timing("preprocess photo", 500.0),
        timing("video encode", 2.0, size=256),
        timing("video encode", 6.0, size=512),
        timing("encode", 300.0, detail="fast"),
        timing("fusion and decode", 4.0, detail="fast"),
        timing("splat", 5.0, size=256, detail="fast"),
        timing("splat by reference", 900.0, size=256, detail="fast"),
    )
    return Bench("cpu", timings, 812.0, Conditions("mien bench", "abc", "", {"cores": "2"}))


def test_times_are_of_single_runs_after_a_warm_up() -> None:
    runs = []

    def run() -> None:
        runs.append(0)
        time.sleep(0.05 if len(runs) <= WARM_UP else 0.01)

    times = milliseconds(run, 0.2, CPU)
    assert len(times) == len(runs) - WARM_UP
    assert 10 <= times.min() <= times.max() < 50


def test_slow_stages_run_three_times() -> None:
    assert len(milliseconds(lambda: time.sleep(0.02), 0.0, CPU)) == 3


def test_many_at_once_are_counted_one_by_one() -> None:
    def ten() -> int:
        time.sleep(0.02)
        return 10

    assert 2.0 <= milliseconds(ten, 0.1, CPU).min() < 4.0


def test_a_frame_passes_each_of_its_stages_once(result: Bench) -> None:
    assert result.frame_rate(256, "fast") == pytest.approx(1000 / (8 + 1 + 2 + 4 + 5))


def test_the_table_ends_with_what_counts(result: Bench) -> None:
    lines = bench_table(result).splitlines()
    assert "50.0 frames/s" in lines[-2]
    assert lines[-1] == "peak memory 812 MiB on cpu"
    assert len(lines) == 1 + len(result.timings) + 2


def test_it_is_written_for_programs(result: Bench, tmp_path: Path) -> None:
    result.save(tmp_path / "bench.json")
    content = json.loads((tmp_path / "bench.json").read_text())
    assert content["timings"][0]["stage"] == "landmarks"
    assert content["conditions"]["commit"] == "abc"
