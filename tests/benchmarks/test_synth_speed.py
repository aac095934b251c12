"""The figures of `benchmarks/synth.py`."""

import importlib.util
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
    assert within < spent["picture: drawn and read back"][0] * 1.1


def test_the_rate_leaves_out_the_start_and_the_end(
    speed: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0.0, 10.0, 11.0, 12.0, 13.0, 20.0])

    def generate(settings: SynthConfig, progress: object) -> list[Path]:
        assert callable(progress)
        for done in range(6):
            progress(8 * done, 40)
        (tmp_path / "a.tar").write_bytes(bytes(80_000))
        return [tmp_path / "a.tar"]

    monkeypatch.setattr(speed, "generate", generate)
    monkeypatch.setattr(speed.time, "perf_counter", lambda: next(clock))
    images, kilobytes = speed.rate(config(tmp_path, 40))
    assert images == pytest.approx(32 / 10)
    assert kilobytes == pytest.approx(2.0)
