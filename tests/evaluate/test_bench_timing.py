import time

import pytest
import torch

from mien.evaluate.bench_timing import WARM_UP, Drawn, Stage, Timing, drawn, in_graph, milliseconds
from mien.evaluate.bench_timing import timed as timing_of
from mien.render import splat
from mien.structures import Camera, Gaussians

CPU = torch.device("cpu")


def test_times_are_of_single_runs_after_a_warm_up(monkeypatch: pytest.MonkeyPatch) -> None:
    runs, now = [], [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])

    def run() -> None:
        runs.append(0)
        now[0] += 0.05 if len(runs) <= WARM_UP else 0.01

    times = milliseconds(run, 0.2, CPU)
    assert len(times) == len(runs) - WARM_UP
    assert times == pytest.approx(10)


def test_slow_stages_run_three_times() -> None:
    assert len(milliseconds(lambda: time.sleep(0.02), 0.0, CPU)) == 3


def test_many_at_once_are_counted_one_by_one() -> None:
    def ten() -> int:
        time.sleep(0.02)
        return 10

    assert 2.0 <= milliseconds(ten, 0.1, CPU).min() < 4.0


def test_a_timing_says_what_its_stage_says() -> None:
    seen = Drawn(5, 6, 0.7)
    timing = timing_of(Stage("s", 32, "fast", 9, lambda: None, 4, seen), 0.0, CPU)
    assert (timing.stage, timing.size, timing.detail, timing.gaussians) == ("s", 32, "fast", 9)
    assert (timing.avatars, timing.drawn, timing.memory) == (4, seen, 0.0)
    assert timing.low <= timing.median <= timing.high


def test_the_rate_is_of_all_avatars() -> None:
    assert Timing("s", 0, "", 0, 2.0, 1.0, 3.0, 9, avatars=4).rate == 2000


def test_only_what_is_to_be_seen_counts_as_drawn() -> None:
    # In the middle; too faint; beside the picture; behind what the camera sees of it.
    gaussians = Gaussians(
        torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [9.0, 0.0, 0.0], [0.1, 0.1, 0.0]]),
        torch.tensor([1.0, 0.0, 0.0, 0.0]).expand(4, 4),
        torch.full((4, 3), 0.5),
        torch.tensor([0.9, 0.001, 0.9, 0.9]),
        torch.rand(4, 3),
    )
    camera = Camera.orbit()
    picture = splat(gaussians, camera, (16, 16), backend="reference")
    seen = drawn(gaussians, camera, picture)
    assert seen.gaussians == 2
    assert seen.covered == pytest.approx((picture.alpha > 0.5).float().mean().item())
    assert seen.covered > 0.5


@pytest.mark.gpu
def test_a_graph_repeats_what_it_recorded() -> None:
    count = torch.zeros((), device="cuda")
    replay = in_graph(lambda: count.add_(1))
    count.zero_()
    assert replay() == count.item() > 1
