"""Batches: who is drawn, and that views and cameras agree."""

from dataclasses import replace

import torch

from mien.data.shards import Frames
from mien.structures import LANDMARKS, Camera
from mien.train.batches import PairSampler

PARTNER = torch.arange(LANDMARKS)
SIDE, VIEW = 64, 32


def frames(people: tuple[str, ...], each: int = 6) -> Frames:
    """White squares where a landmark-sized point of each face projects."""
    count = each * len(people)
    generator = torch.Generator().manual_seed(0)
    landmarks = 0.02 * torch.randn(count, LANDMARKS, 3, generator=generator)
    landmarks += torch.tensor([0.05, 0.03, 0.0])
    camera = Camera.orbit(torch.linspace(-0.2, 0.2, count))
    centre = (camera.project(landmarks.mean(1, keepdim=True))[:, 0] * SIDE).long()
    pixels = torch.zeros(count, 4, SIDE, SIDE, dtype=torch.uint8)
    for i, (x, y) in enumerate(centre.tolist()):
        pixels[i, :, y - 1 : y + 2, x - 1 : x + 2] = 255
    return Frames(
        pixels=pixels,
        landmarks=landmarks,
        camera=camera,
        inside=torch.tensor([[0.0, 0], [1, 0], [1, 1], [0, 1]]).repeat(count, 1, 1),
        take=torch.arange(count) // each,
        takes=people,
        people=people,
    )


def test_shares_of_real_and_rendered_people_are_kept() -> None:
    data = frames(("a", "b", "synth-1"))
    sampler = PairSampler(data, 0.0, 0.25, PARTNER)
    source, targets = sampler.indices(2000, torch.Generator().manual_seed(1))
    rendered = (data.take[source] == 2).float().mean()
    assert 0.2 < rendered < 0.3
    assert torch.equal(data.take[source].repeat(2), data.take[targets])


def test_without_rendered_people_all_are_real() -> None:
    sampler = PairSampler(frames(("a", "b")), 0.0, 0.25, PARTNER)
    source, _ = sampler.indices(50, torch.Generator().manual_seed(1))
    assert len(source) == 50


def test_people_with_a_single_photo_come_first_and_rendered_ones_last() -> None:
    data = frames(("clip", "synth-1", "photo"))
    keep = torch.nonzero((data.take < 2) | (torch.arange(18) == 12))[:, 0]
    data = replace(data[keep], takes=data.takes, people=data.people)
    sampler = PairSampler(data, 0.3, 0.3, PARTNER)
    source, _ = sampler.indices(60, torch.Generator().manual_seed(1))
    drawn = data.take[source].tolist()
    assert set(drawn) == {0, 1, 2}
    assert drawn == sorted(drawn, key=(2, 0, 1).index)


def test_targets_differ_from_the_source_more_than_chance() -> None:
    data = frames(("a",), each=40)
    data = replace(data, landmarks=data.landmarks * torch.linspace(0, 3, 40)[:, None, None])
    sampler = PairSampler(data, 0.0, 0.0, PARTNER)
    source, targets = sampler.indices(1000, torch.Generator().manual_seed(1))
    distance = (source.repeat(2) - targets).abs().float().mean()
    assert distance > 15.0  # Two independent draws from 40 lie 13.3 apart on average.


def test_views_whole_and_near_lie_where_their_cameras_say() -> None:
    torch.manual_seed(0)
    sampler = PairSampler(frames(("a", "b")), 0.0, 0.0, PARTNER)
    batch = sampler.draw(8, VIEW, torch.Generator().manual_seed(2))
    assert batch.target.shape == (16, 3, VIEW, VIEW)
    assert batch.target_camera.intrinsics.shape == (16, 3, 3)
    where = batch.target_camera.project(batch.target_landmarks.mean(1, keepdim=True))[:, 0] * VIEW
    ticks = torch.arange(VIEW) + 0.5
    mass = batch.target_alpha[:, 0]
    total = mass.sum((1, 2))
    found = torch.stack(
        [(mass.sum(1) * ticks).sum(1) / total, (mass.sum(2) * ticks).sum(1) / total], 1
    )
    assert (found - where).abs().max() < 1.5
    focal = batch.target_camera.intrinsics[:, 0, 0]
    torch.testing.assert_close(focal[8:], focal[:8] * SIDE / VIEW)
