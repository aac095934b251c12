"""`mien distill make`, from shards and a tiny teacher to taught shards."""

import io
import os
import sys
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from made_shards import TEACHER, keep_all, write_photos_and_takes, write_teacher

from mien.data.shards import load_frames, read_shards
from mien.errors import MienError
from mien.model.matching import fingerprint
from mien.model.network import Network
from mien.presets import tiny
from mien.teacher.animator import load
from mien.train import distill_filter
from mien.train.distill_filter import READER, Look
from mien.train.distill_make import (
    FACE,
    Make,
    animate,
    looking,
    make,
    onto_photo,
    open_workshop,
    summary,
)
from mien.train.distill_ray import make_with_ray

LOSS = 12
"""Levels by which a file may differ from what was made."""


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """What a teacher that knows nothing makes, all of it kept."""
    keep_all(monkeypatch)
    write_photos_and_takes(tmp_path / "data")
    teacher = write_teacher(tmp_path / "teacher")
    out = tmp_path / "taught"
    return Make(
        tmp_path / "data", teacher, out, drivers=3, steps=1, shard=2, network=TEACHER, workers=1
    )


def made(command: Make, rank: int = 0, world: int = 1) -> list[Path]:
    return make(command, Network(tiny()).encoder, None, rank, world)


def test_photos_become_shards_of_moving_people(command: Make) -> None:
    paths = made(command)
    assert [p.name for p in paths] == ["taught-0000.tar", "taught-0001.tar"]
    taught = list(read_shards(paths))
    assert len(taught) == 9
    source = list(read_shards([command.data / "train-0000.tar"]))
    for sample in taught:
        photo = next(s for s in source if s.take == sample.take.removesuffix("-taught"))
        assert (sample.person, sample.take) == (photo.person, photo.take + "-taught")
        np.testing.assert_array_equal(sample.world_from_cam, photo.world_from_cam)
        drivers = [s for s in source if np.array_equal(s.landmarks, sample.landmarks)]
        assert [s.take[:4] for s in drivers] == ["clip"]
    assert summary(paths)["made"] == summary(paths)["kept"] == 9
    assert len(load_frames(paths)) == 9


def test_labels_say_where_a_picture_comes_from(command: Make) -> None:
    with tarfile.open(made(command)[0]) as tar:
        name = next(member for member in tar.getnames() if member.endswith(".npz"))
        labels = np.load(io.BytesIO(tar.extractfile(name).read()))
    network = load(command.teacher, TEACHER).network
    assert str(labels["teacher"]) == fingerprint(network)
    assert (float(labels["guidance"]), int(labels["steps"])) == (1.5, 1)
    assert str(labels["driver_take"]) in ("clip0", "clip1")


def test_a_second_look_labels_pictures_by_what_they_show(
    command: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the reader says of them; those without the photo's person are left out."""
    monkeypatch.setattr(distill_filter, "FOLLOWS", 2.0)
    source = load_frames([command.data / "train-0000.tar"])
    shown = source.landmarks[0].numpy() + 0.25
    places = source.camera[:1].project(torch.from_numpy(shown)[None]).numpy()

    def examiner(pictures: np.ndarray) -> Look:
        count = len(pictures)
        people = np.zeros((count, 128))
        if count > 1:
            people[0] += 1.0
        return Look(shown[None].repeat(count, 0), places.repeat(count, 0), people)

    paths = make(command, Network(tiny()).encoder, examiner, 0, 1)
    taught = list(read_shards(paths))
    assert len(taught) == 6
    for sample in taught:
        np.testing.assert_allclose(sample.landmarks, shown, atol=1e-3)
    assert summary(paths)["second look failed"] == 3
    assert summary(paths)["expression missed"] == 0


def bright(pictures: np.ndarray) -> Look:
    """Finds a face in every picture, and the person in those that are as red as the photo."""
    generator = np.random.default_rng(0)
    landmarks = generator.normal(0, 0.05, (1, 478, 3)) + pictures.mean((1, 2, 3))[:, None, None]
    red = pictures[..., 0].mean((1, 2))
    places = np.full((len(pictures), 478, 2), np.nan)
    return Look(landmarks, places, red[:, None].repeat(128, 1) / 2000.0)


@pytest.mark.slow
def test_processes_look_as_one_does(command: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two shards, so that one is drawn while the other is looked at."""
    monkeypatch.setattr(
        distill_filter.Findings, "passed", property(lambda found: found.distance < 0.45)
    )
    encoder = Network(tiny()).encoder
    one = list(read_shards(make(command, encoder, bright, 0, 1)))
    other = replace(command, out=command.out.with_name("more"), workers=2)
    more = list(read_shards(make(other, encoder, bright, 0, 1)))
    assert 0 < len(one) == len(more)
    for a, b in zip(one, more, strict=True):
        assert a.key == b.key
        np.testing.assert_array_equal(a.image, b.image)
        np.testing.assert_array_equal(a.landmarks, b.landmarks)


def to_itself(pictures: np.ndarray) -> Look:
    """Refuses to look where it would use the GPU's driver, or many threads."""
    vendors = os.environ.get("__EGL_VENDOR_LIBRARY_FILENAMES", "all that are installed")
    assert (torch.get_num_threads(), vendors) == (1, os.devnull)
    return bright(pictures)


@pytest.mark.slow
def test_processes_that_look_keep_off_the_gpu() -> None:
    picture = np.zeros((8, 8, 3), np.uint8)
    camera = (np.eye(4, dtype=np.float32)[None], np.eye(3, dtype=np.float32)[None])
    with looking(to_itself, 2) as look:
        found = list(look([(picture, picture[None], np.ones((1, 39), np.float32), *camera)]))
    assert found[0].landmarks.shape == (1, 478, 3)
    assert os.environ.get("__EGL_VENDOR_LIBRARY_FILENAMES") != os.devnull


def test_nothing_is_drawn_beyond_a_photos_border(command: Make) -> None:
    """To the last bit, before a file loses some."""
    write_photos_and_takes(command.data, known=0.75)
    shop = open_workshop(command, Network(tiny()).encoder, None)
    told, _ = animate(shop, 0, torch.arange(len(shop.plan.photos)))
    assert (told.pixels[..., 25:] == 0).all()
    assert (told.pixels[..., 8:24, 8:23] > 0).any(1).all()


def test_nothing_is_taught_beyond_a_photos_border(command: Make) -> None:
    write_photos_and_takes(command.data, known=0.75)
    for sample in read_shards(made(command)):
        assert (sample.image[8:24, 8:23].max(-1) > 0).all()
        assert (sample.alpha[8:24, 8:23] > 0).all()
        # Almost nothing: files are lossy.
        assert sample.image[:, 25:].max() < LOSS
        assert sample.alpha[:, 25:].max() < LOSS


def test_nothing_is_taught_where_the_photo_shows_nobody(command: Make) -> None:
    source = load_frames([command.data / "train-0000.tar"])
    assert source.pixels[:, 3, :5].max() < 25
    for sample in read_shards(made(command)):
        assert sample.alpha[:4].max() < LOSS
        assert sample.image[:4].max() < LOSS
        assert sample.alpha[6].max() > 50


def test_only_the_face_is_the_teachers() -> None:
    """An ellipse about it; and the photo decides who is there."""
    photo = torch.full((1, 4, 64, 64), 0.25)
    photo[:, 3] = 1.0
    photo[:, :, :, :26] = 0.0
    angle = torch.linspace(0.0, 6.0, 40)
    away = torch.stack([0.1 * angle.cos(), 0.2 * angle.sin()], 1)
    away = away - away.mean(0)
    made = onto_photo(torch.ones(1, 4, 32, 32), photo, (away + 0.5)[None])[0]
    ticks = (torch.arange(32) + 0.5) / 32 - 0.5
    x, y = ticks[None, :], ticks[:, None]
    radius = ((x / 0.1) ** 2 + (y / 0.2) ** 2).sqrt()
    there = (x > -0.08).expand(32, 32)
    assert (made[:, there & (radius < 0.95 * FACE[0])] == 1.0).all()
    kept = there & (radius > 1.15 * FACE[1])
    assert kept.sum() > 100
    assert torch.allclose(made[:3, kept], torch.tensor(0.25))
    assert (made[:, (x < -0.12).expand(32, 32)] == 0.0).all()


def test_shards_that_are_there_are_skipped(command: Make) -> None:
    first, second = made(command)
    before = [sample.image for sample in read_shards([second])]
    second.unlink()
    stamp = first.stat().st_mtime_ns
    assert made(command) == [first, second]
    assert first.stat().st_mtime_ns == stamp
    after = [sample.image for sample in read_shards([second])]
    assert len(after) == 3
    np.testing.assert_array_equal(after, before)


def test_processes_share_the_work(command: Make) -> None:
    parts = [made(command, rank, 2) for rank in range(2)]
    assert [[path.name for path in part] for part in parts] == [
        ["taught-0000.tar"],
        ["taught-0001.tar"],
    ]
    alone = made(replace(command, out=command.out.with_name("alone")))
    for path in alone:
        one, other = (list(read_shards([p])) for p in (path, command.out / path.name))
        assert [s.key for s in one] == [s.key for s in other]
        np.testing.assert_array_equal([s.image for s in one], [s.image for s in other])


def test_what_misses_the_expression_or_the_person_is_left_out(
    command: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distill_filter, "FOLLOWS", 1.1)
    paths = made(command)
    assert list(read_shards(paths)) == []
    assert summary(paths)["expression missed"] == summary(paths)["made"] == 9
    assert summary(paths)["kept"] == summary(paths)["person lost"] == 0


def test_the_second_look_is_counted(command: Make) -> None:
    def nobody(pictures: np.ndarray) -> Look:
        shapes = ((478, 3), (478, 2), (128,))
        return Look(*(np.full((len(pictures), *shape), np.nan) for shape in shapes))

    paths = make(command, Network(tiny()).encoder, nobody, 0, 1)
    assert summary(paths)["second look failed"] == 9


def test_more_portraits_than_photos_take_frames_of_the_filmed(command: Make) -> None:
    paths = made(replace(command, portraits=5, drivers=2))
    takes = {sample.take for sample in read_shards(paths)}
    assert takes == {f"{name}-taught" for name in ("still0", "still1", "still2", "clip0", "clip1")}


@pytest.mark.parametrize("change", [{"guidance": 2.0}, {"drivers": 2}])
def test_shards_of_other_settings_are_not_mixed(command: Make, change: dict) -> None:
    made(command)
    with pytest.raises(MienError, match="other settings"):
        made(replace(command, **change))


def test_what_is_missing_is_said(command: Make, tmp_path: Path) -> None:
    with pytest.raises(MienError, match="cannot be loaded"):
        made(replace(command, teacher=tmp_path / "none.safetensors"))
    with pytest.raises(MienError, match="mien prepare"):
        made(replace(command, data=tmp_path / "teacher"))
    with pytest.raises(MienError, match="not those of a teacher"):
        made(replace(command, network=replace(TEACHER, latent=16)))
    with pytest.raises(MienError, match="2 or more"):
        made(replace(command, drivers=1))
    (command.teacher.parent / READER).unlink()
    with pytest.raises(MienError, match="bring it along"):
        made(command)
    assert not list(command.out.glob("*"))


def test_nobody_who_moves_is_said(command: Make) -> None:
    write_photos_and_takes(command.data, photos=12)
    with pytest.raises(MienError, match="no takes of moving people"):
        made(command)


def test_two_ray_workers_make_the_same(command: Make) -> None:
    pytest.importorskip("ray")
    paths = make_with_ray(replace(command, ray=2), Network(tiny()).encoder, None)
    assert [path.name for path in paths] == ["taught-0000.tar", "taught-0001.tar"]
    assert summary(paths)["made"] == 9


def test_without_ray_it_is_said(command: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MienError, match=r"mien\[ray\]"):
        make_with_ray(replace(command, ray=2), Network(tiny()).encoder, None)
