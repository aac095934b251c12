"""Shards are whole or absent, and come back as they went in."""

import itertools
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from mien.data.shards import Sample, load_frames, read_shards, write_shards
from mien.errors import MienError


def samples(count: int) -> Iterator[Sample]:
    draw = np.random.default_rng(0)
    for index in range(count):
        yield Sample(
            key=f"{index:04d}",
            person=f"person{index % 3}",
            take="take",
            image=draw.integers(0, 256, (32, 32, 3), np.uint8),
            alpha=np.full((32, 32), 255, np.uint8),
            landmarks=draw.normal(size=(478, 3)).astype(np.float32),
            world_from_cam=np.eye(4, dtype=np.float32),
            intrinsics=np.eye(3, dtype=np.float32),
            inside=np.zeros((4, 2), np.float32),
        )


def test_samples_come_back_in_order_from_several_shards(tmp_path):
    paths = write_shards(samples(20), tmp_path / "new", "train", max_bytes=30_000)
    assert [path.name for path in paths] == [f"train-{i:04d}.tar" for i in range(len(paths))]
    assert len(paths) > 2
    assert sorted(paths) == sorted((tmp_path / "new").iterdir())
    found = list(read_shards(paths))
    assert [sample.key for sample in found] == [f"{i:04d}" for i in range(20)]
    first = next(samples(1))
    np.testing.assert_allclose(found[0].landmarks, first.landmarks, atol=2e-3)


def test_whatever_interrupts_leaves_only_whole_shards(tmp_path):
    def interrupted() -> Iterator[Sample]:
        yield from itertools.islice(samples(20), 7)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_shards(interrupted(), tmp_path, "train", max_bytes=30_000)
    left = sorted(tmp_path.iterdir())
    assert [path.name for path in left] == [f"train-{i:04d}.tar" for i in range(len(left))]
    whole = list(read_shards(left))
    assert 0 < len(whole) < 7


def test_a_shard_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "train-0000.tar").mkdir()
    with pytest.raises(MienError, match="is a folder"):
        write_shards(samples(1), tmp_path, "train")


def test_processes_load_what_one_does(tmp_path):
    paths = write_shards(samples(150), tmp_path, "train", max_bytes=60_000)
    alone, together = load_frames(paths), load_frames(paths, workers=2)
    assert alone.people == together.people
    for name in ("pixels", "landmarks", "inside", "take"):
        assert torch.equal(getattr(alone, name), getattr(together, name)), name
