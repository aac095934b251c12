"""The figures of `benchmarks/synth.py`."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from mien.errors import MienError
from mien.synth.dataset import TINY, SynthConfig

PATH = Path(__file__).parents[2] / "benchmarks" / "synth.py"


@pytest.fixture
def speed() -> ModuleType:
    spec = importlib.util.spec_from_file_location("synth_speed", PATH)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def config(folder: Path, count: int) -> SynthConfig:
    return SynthConfig(
        folder, Path(TINY), count, 32, faces=1, people_per_shard=1, supersample=1, dense=True
    )


def test_every_step_of_a_picture_is_timed(speed: ModuleType, tmp_path: Path) -> None:
    try:
        spent = speed.passes(config(tmp_path, 1), people=1)
    except MienError as error:
        pytest.skip(f"needs OpenGL through EGL: {error}")
    assert {"GPU: shadow", "GPU: cover", "GPU: color", "picture: encoded"} <= set(spent)
    assert all(len(values) == 1 and values[0] > 0 for values in spent.values())
    within = sum(spent[f"GPU: {use}"][0] for use in ("cover", "color"))
    assert within < spent["picture: asked for"][0] * 1.1


def test_the_rate_leaves_out_the_start_and_waits_for_two_people_a_worker(
    speed: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0.0, 10.0, 11.0, 12.0, 13.0])

    def generate(settings: SynthConfig, progress: Callable[[int, int], None]) -> None:
        for done in range(9):
            progress(8 * done, 800)
            (tmp_path / f"{done}.tar").write_bytes(bytes(8_000))

    monkeypatch.setattr(speed, "generate", generate)
    monkeypatch.setattr(speed.time, "perf_counter", lambda: next(clock))
    images, kilobytes = speed.rate(config(tmp_path, 800), seconds=1.5)
    assert images == pytest.approx(16 / 2)
    assert kilobytes == pytest.approx(8.0)


def test_a_rate_without_enough_pictures_says_so(
    speed: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speed, "generate", lambda settings, progress: progress(2, 2))
    with pytest.raises(MienError, match="2 pictures were made in less than 9 s"):
        speed.rate(config(tmp_path, 2), seconds=9)
