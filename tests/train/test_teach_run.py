"""`mien teach`, from shards to weights and sheets."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from made_frames import make_frames
from PIL import Image

from mien.data.shards import Sample, write_shards
from mien.errors import MienError
from mien.structures import Portrait
from mien.teacher.animator import FlowTeacher, load
from mien.teacher.network import FlowConfig, FlowNetwork
from mien.train.distill_filter import load_reader
from mien.train.teach import TeachConfig, train
from mien.train.teach_run import Teach, run, self_reenactment

TINY = FlowConfig(side=32, widths=(16, 32), depths=(1, 1), latent=8, condition=32)
CONFIG = TeachConfig(steps=2, batch=1, warmup=1, compile=False, log_every=1)


def write(folder: Path, name: str) -> None:
    frames = make_frames(32)
    samples = [
        Sample(
            key=f"{name}-{i}",
            person=frames.people[frames.take[i]],
            # The second take comes to single photos.
            take=frames.takes[frames.take[i]] if i % 2 == 0 else f"still {i}",
            image=frames.pixels[i, :3].permute(1, 2, 0).numpy(),
            alpha=frames.pixels[i, 3].numpy(),
            landmarks=frames.landmarks[i].numpy(),
            world_from_cam=frames.camera.world_from_cam[i].numpy(),
            intrinsics=frames.camera.intrinsics[i].numpy(),
            inside=frames.inside[i].numpy(),
        )
        for i in range(len(frames))
    ]
    write_shards(samples, folder, name)


def test_shards_become_a_teacher_and_sheets(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    write(data, "train")
    write(data, "heldout")
    run(Teach(data, out, CONFIG, TINY, licence="of a test", workers=1))
    assert "heldout/psnr" in capsys.readouterr().out
    # Photo and six frames, truth above output; photo and one driver, below a row of drivers.
    for name, columns, rows in (("self", 7, 2), ("portraits-2", 2, 5)):
        with Image.open(out / f"{name}.jpg") as picture:
            assert picture.size == (columns * 32, rows * 32)
    frames = make_frames(32)
    portrait = Portrait(
        frames.pixels[:2, :3] / 255.0,
        frames.pixels[:2, 3:] / 255.0,
        frames.camera[slice(2)],
        frames.landmarks[:2],
        torch.from_numpy(np.eye(2, 3, dtype=np.float32)).expand(2, 2, 3),
    )
    made = load(out / "weights.safetensors", TINY).animate(portrait, portrait, steps=1)
    assert made.shape == (2, 3, 32, 32)
    said, _ = load_reader(out / "weights.safetensors")(torch.rand(1, 3, 192, 192))
    assert said.isfinite().all()


def test_a_teacher_goes_on_from_an_earlier_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, first, second = (tmp_path / name for name in ("data", "first", "second"))
    for name in ("train", "heldout"):
        write(data, name)
    run(Teach(data, first, CONFIG, TINY, workers=1))
    begun = []

    def begin(network, *others):
        begun.append(copy.deepcopy((network.state_dict(), others[-1].state_dict())))
        return train(network, *others)

    monkeypatch.setattr("mien.train.teach_run.train", begin)
    earlier = first / "weights.safetensors"
    run(Teach(data, second, CONFIG, TINY, start=earlier, workers=1))
    ((network, reader),) = begun
    for made, kept in (
        (network, load(earlier, TINY).network.state_dict()),
        (reader, load_reader(earlier).state_dict()),
    ):
        for name, value in kept.items():
            torch.testing.assert_close(made[name], value, msg=name)
    learned = load(second / "weights.safetensors", TINY).network.state_dict()
    assert any((learned[name] != network[name]).any() for name in learned)


def test_a_folder_without_shards_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MienError, match="mien prepare"):
        run(Teach(tmp_path, tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_single_photos_cannot_be_reenacted() -> None:
    with pytest.raises(MienError, match="4 frames"):
        self_reenactment(FlowTeacher(FlowNetwork(TINY)), make_frames(32, 2))
