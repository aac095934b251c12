import time

import pytest

from mien.evaluate.live import FRAME, WARM_UP, live

from .puppets import INSTRUMENTS, paint, read, scene


def performer(seconds: float):
    """Shows person 2 doing what the driver does; its first frames are slow."""

    def perform(source, size):
        seen = []

        def step(frame):
            seen.append(frame)
            time.sleep(0.1 if len(seen) <= WARM_UP else seconds)
            return paint(read(frame[None]), 2)[0]

        return step

    return perform


def test_each_frame_is_waited_for() -> None:
    row = live(scene(2, 1), scene(1, 12), performer(0.01), INSTRUMENTS).row
    latency = row.measures["latency"]
    assert 10 <= latency.value < 60  # without the slow start; loose, for machines that are busy
    assert (latency.floor, latency.ceiling) == (FRAME, 0.0)
    assert row.measures["latency, 95%"].value >= latency.value
    assert row.measures["jitter"].value == pytest.approx(1.0, abs=0.05)
