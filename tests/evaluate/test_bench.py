import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from mien import presets
from mien.artifact.baked import Baked, LatentMap
from mien.cli import main
from mien.errors import MienError
from mien.evaluate.bench import Bench, Workload, bench, bench_table
from mien.evaluate.bench_timing import Drawn, Timing
from mien.evaluate.conditions import Conditions
from mien.model.network import Network
from mien.structures import LANDMARKS, Camera, Portrait


def timing(stage: str, median: float, size: int = 0, detail: str = "") -> Timing:
    return Timing(stage, size, detail, 1000, median, median - 1, median + 1, 9)


def head() -> Portrait:
    side = 64
    rows, columns = np.mgrid[:side, :side] / side - 0.5
    alpha = torch.from_numpy(rows**2 + columns**2 < 0.1).float()[None]
    points = 0.2 * torch.randn(LANDMARKS, 3)
    return Portrait(
        alpha * torch.rand(3, side, side), alpha, Camera.orbit(), points, torch.eye(3)[:2]
    )


def baked(number: int = 50) -> Baked:
    rest = torch.randn(13, number) * 0.1
    rest[3:6] = -3.5
    unit = LatentMap(torch.randn(4, 8), torch.randn(4), torch.randn(2, 4), torch.randn(2),
                     torch.randn(2, 8))  # fmt: skip
    codes = torch.randint(-9, 9, (2, 13, number), dtype=torch.int16)
    step = torch.full((13,), 1e-4)
    return Baked(rest, codes, step, unit, torch.randn(8), Camera.orbit().intrinsics, "tiny")


@pytest.fixture
def network() -> Network:
    return Network(presets.tiny()).eval().requires_grad_(False)


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


def test_a_frame_passes_each_of_its_stages_once(result: Bench) -> None:
    assert result.frame_rate(256, "fast") == pytest.approx(1000 / (8 + 1 + 2 + 4 + 5))


def test_the_table_ends_with_what_counts(result: Bench) -> None:
    lines = bench_table(result).splitlines()
    assert lines[0].split()[:2] == ["stage", "size"]
    assert lines[-2].split()[-2:] == ["20.00", "50.0"]  # ms, frames a second
    assert lines[-1] == "peak memory 812 MiB on cpu"
    assert len(lines) == 1 + len(result.timings) + 2


def test_it_is_written_for_programs(result: Bench, tmp_path: Path) -> None:
    result.save(tmp_path / "bench.json")
    content = json.loads((tmp_path / "bench.json").read_text())
    assert content["timings"][0]["stage"] == "landmarks"
    assert content["conditions"]["commit"] == "abc"


def test_a_portrait_needs_no_pictures_read_or_written(network: Network) -> None:
    work = Workload((32,), {"fast": 8}, rivals=("reference",), seconds=0.0, baked=baked())
    result = bench(network, head(), work)
    named = [(t.stage, t.size, t.detail) for t in result.timings]
    assert named == [
        ("motion", 0, ""),
        ("encode", 0, "fast"),
        ("fusion and decode", 0, "fast"),
        ("splat", 32, "fast"),
        ("splat by reference", 32, "fast"),
        ("fusion and decode", 0, "baked"),
        ("splat", 32, "baked"),
    ]
    assert result.frame_rate(32, "baked") != result.frame_rate(32, "fast")


def test_what_is_drawn_stands_beside_its_time(network: Network) -> None:
    work = Workload((32,), {}, seconds=0.0, baked=baked())
    splat = bench(network, head(), work).timings[-1]
    assert splat.drawn is not None
    assert 0 < splat.drawn.gaussians <= splat.gaussians == 50
    assert 0 < splat.drawn.covered < 1


def test_the_table_tells_what_was_drawn(result: Bench) -> None:
    seen = Drawn(8765, 123456, 0.25, 52.13)
    of_session = Timing(
        "frame, driven by landmarks", 512, "fast", 9000, 0.25, 0.2, 0.3, 9, 4, 321.0, seen
    )
    table = bench_table(Bench("cuda", (of_session,), 321.0, result.conditions))
    for figure in ("0.2500", "16,000", "8,765", "123,456", "25%", "52.1", "321"):
        assert figure in table


@pytest.mark.skipif(find_spec("gsplat") is not None, reason="gsplat is installed")
def test_a_rival_that_is_missing_is_told_first(network: Network) -> None:
    with pytest.raises(MienError, match=r"gsplat is not installed.*pip install gsplat"):
        bench(network, head(), Workload((32,), {"fast": 8}, rivals=("gsplat",)))


@pytest.mark.skipif(torch.cuda.is_available(), reason="has a GPU")
def test_a_device_that_is_missing_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "photo.jpg", "--device", "cuda"]) == 2
    assert "There is no CUDA GPU" in capsys.readouterr().err


@pytest.mark.gpu
def test_sessions_are_timed_on_a_gpu(network: Network) -> None:
    work = Workload((32,), {"balanced": 8}, seconds=0.0)
    result = bench(network.cuda(), head(), work)
    frames = [t for t in result.timings if "frame" in t.stage]
    assert [t.avatars for t in frames if "many" in t.stage] == [1, 4, 16, 64]
    assert any("paper" in t.stage and "pictures" in t.stage for t in frames)
    for t in frames:
        assert t.memory > 0
        assert t.drawn is not None
        assert t.drawn.pairs > 0
        assert t.drawn.psnr is not None
        assert t.drawn.psnr >= 45
