"""From files to shards, on a few real ones where they are at hand."""

import numpy as np
import pytest
import torch

from mien.data.shards import load_frames, write_shards
from mien.data.splits import Item
from mien.preprocess.photo import portrait
from mien.train.prepare import Prepare, label, prepare, spread


def test_spread_takes_far_points_and_stops_at_near_duplicates() -> None:
    points = np.array([[0.0, 0], [0.1, 0], [5, 0], [0, 5], [5, 5], [5.2, 5]])
    assert spread(points, 10).tolist() == [0, 2, 3, 5]
    assert spread(points, 2).tolist() == [0, 5]
    assert spread(points[:0], 3).tolist() == []


@pytest.mark.slow
def test_a_photo_and_a_clip_become_labelled_crops(shared_data, tmp_path) -> None:
    command = Prepare(shared_data, tmp_path, size=128, per_clip=3, rate=3.0)
    photo = Item(shared_data / "portraits/congress/A000055.jpg", "portraits/congress", "a")
    clip = Item(shared_data / "clips/lp_d0.mp4", "clips", "b")
    samples = [*label(photo, command), *label(clip, command)]
    assert [s.person for s in samples] == ["a", "b", "b", "b"]
    frames = load_frames(write_shards(samples, tmp_path, "train"))
    assert frames.pixels.shape == (4, 4, 128, 128)
    # The labels agree with the picture: landmarks project inside the face's matte.
    pixels = (frames.camera.project(frames.landmarks) * 128).long()
    inside = pixels[(pixels >= 0).all(-1) & (pixels < 128).all(-1)]
    assert len(inside) == 4 * 478
    rows = torch.arange(4)[:, None]
    covered = frames.pixels[rows, 3, pixels[..., 1], pixels[..., 0]].float() / 255
    assert covered.mean() > 0.97
    assert frames.takes[0] != frames.takes[1]


@pytest.mark.slow
def test_clean_shards_hold_nothing_else(shared_data, tmp_path, monkeypatch) -> None:
    photos = ("congress/A000055", "wild_colour/ffhq_0003")
    items = [
        Item(shared_data / f"portraits/{name}.jpg", f"portraits/{name.split('/')[0]}", name)
        for name in photos
    ]
    assert all(item.path.exists() for item in items)
    monkeypatch.setattr("mien.train.prepare.survey", lambda folder: items)
    command = Prepare(shared_data, tmp_path, size=64, clean=True, workers=1)
    assert load_frames(prepare(command)).people == photos[:1]


def test_training_sees_photos_as_they_are_when_used(shared_data, tmp_path) -> None:
    path = shared_data / "portraits/congress/A000055.jpg"
    command = Prepare(shared_data, tmp_path, size=256)
    (sample,) = label(Item(path, "portraits/congress", "a"), command)
    used = portrait(path, 256)
    seen = torch.from_numpy(sample.image).permute(2, 0, 1) / 255.0
    # Soft edges are where a background would show.
    soft = ((used.alpha > 0.1) & (used.alpha < 0.9)).expand(3, -1, -1)
    assert soft.sum() > 100
    # The border of the photo is treated a little differently.
    assert (seen - used.image)[soft].abs().mean() < 0.003


def test_a_damaged_shard_is_said(tmp_path) -> None:
    from mien.errors import MienError

    (tmp_path / "train-0000.tar").write_bytes(b"not a tar at all" * 100)
    with pytest.raises(MienError, match=r"train-0000\.tar"):
        load_frames(tmp_path.glob("*.tar"))
