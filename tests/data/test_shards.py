"""Shards are whole or absent, and come back as they went in."""

import io
import itertools
import zipfile
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from mien.data import shards
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


@pytest.mark.parametrize("effort", [0, 1, 6])
@pytest.mark.parametrize("isal", [True, False])
def test_labels_are_an_archive_that_numpy_reads(
    effort: int, isal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not isal:
        monkeypatch.setattr(shards, "isal_zlib", None)
    rng = np.random.default_rng(0)
    arrays = {
        "few": rng.normal(size=(4, 4)).astype(np.float32),
        "many": rng.integers(-9, 9, (90, 90, 3)).astype(np.int8),
        "turned": np.arange(6000, dtype=np.uint16).reshape(60, 100).T,
        "name": np.str_("someone"),
        "none": np.zeros((0, 3)),
    }
    packed = shards._npz(arrays, effort)
    assert packed == shards._npz(arrays, effort)
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        assert archive.testzip() is None
        kinds = {info.filename: info.compress_type for info in archive.infolist()}
        assert kinds["few.npy"] == zipfile.ZIP_STORED
        assert kinds["many.npy"] == zipfile.ZIP_DEFLATED
    with np.load(io.BytesIO(packed), allow_pickle=False) as archive:
        assert list(archive) == list(arrays)
        for name, array in arrays.items():
            np.testing.assert_array_equal(archive[name], array)
            assert archive[name].dtype == np.asanyarray(array).dtype
