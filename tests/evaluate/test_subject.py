import itertools
from pathlib import Path

import numpy as np
import pytest
import torch

from mien.evaluate.bench import Workload, bench, stages
from mien.evaluate.subject import mien_performer, mien_reenactor
from mien.model.network import Network
from mien.preprocess.photo import read_photo
from mien.preprocess.video import Video
from mien.presets import tiny
from mien.structures import Camera


@pytest.fixture(scope="module")
def network() -> Network:
    torch.manual_seed(0)
    return Network(tiny()).eval().requires_grad_(False)


def test_the_pipeline_is_a_reenactor(network: Network, shared_data: Path) -> None:
    photo = read_photo(shared_data / "portraits" / "studio" / "p004_neutral.jpg").image
    clip = Video(shared_data / "clips" / "lp_d0.mp4")
    drivers = [image for _, image in itertools.islice(clip, 0, 60, 20)]
    cameras = Camera.orbit(torch.tensor([-0.3, 0.0, 0.3]))
    frames = list(mien_reenactor(network, 16)(photo, drivers, cameras, 64))
    assert [frame.image.shape for frame in frames] == [(3, 64, 64)] * 3
    assert all(frame.alpha.max() > 0.2 for frame in frames)
    assert (frames[0].image - frames[2].image).abs().max() > 0.05


def test_frame_by_frame_it_performs_alike(network: Network, shared_data: Path) -> None:
    photo = read_photo(shared_data / "portraits" / "studio" / "p004_neutral.jpg").image
    step = mien_performer(network, 16)(photo, 64)
    blank = step(np.zeros_like(photo))
    assert blank.shape == (64, 64, 3)
    assert blank.max() == 0  # nobody has been seen yet
    seen = step(photo)
    assert seen.max() > 50
    assert (step(np.zeros_like(photo)) == seen).all()


def test_every_stage_is_timed(network: Network, shared_data: Path) -> None:
    photo = read_photo(shared_data / "portraits" / "studio" / "p004_neutral.jpg").image
    work = Workload((32, 64), {"fast": 8, "high": 16}, rivals=("reference",), seconds=0.0)
    named = [(stage.name, stage.size, stage.detail) for stage in stages(network, photo, work)]
    assert len(named) == len(set(named)) == 3 + 2 + 2 * (2 + 4)
    result = bench(network, photo, work)
    assert [(t.stage, t.size, t.detail) for t in result.timings] == named
    assert all(0 < t.low <= t.median <= t.high for t in result.timings)
    assert result.memory > 50
    assert result.frame_rate(32, "fast") > 0
