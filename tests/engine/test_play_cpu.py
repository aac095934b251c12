"""Playing on a processor gives what the plain ways give; threads end."""

import dataclasses
import math
import threading
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from mien import pipeline
from mien.artifact.baked import ATTRIBUTES, Baked, LatentMap
from mien.engine.bake import draw_latents
from mien.engine.play_cpu import (
    Folded,
    Unpacked,
    actor,
    ahead,
    check_baked,
    express,
    gaussians_of,
    play,
)
from mien.errors import MienError
from mien.model.matching import motion_weights
from mien.model.network import Network
from mien.pipeline import Direction
from mien.render import splat
from mien.structures import Avatar, Camera, Motion, intrinsics_from_fov


@pytest.fixture
def baked(network: Network) -> Baked:
    size, count = network.config.latent, 400
    rest = torch.randn(ATTRIBUTES, count)
    rest[:3] *= 0.1
    rest[3:6] -= 4
    weigh = LatentMap(*(torch.randn(s) for s in ((7, size), (7,), (5, 7), (5,), (5, size))))
    return Baked(
        rest=rest,
        codes=torch.randint(-300, 300, (5, ATTRIBUTES, count), dtype=torch.int16),
        step=torch.full((ATTRIBUTES,), 1e-4),
        weigh=weigh,
        source_latent=torch.randn(size),
        intrinsics=intrinsics_from_fov(23.28),
        preset="base",
        weights=motion_weights(network),
    )


def expressions(network: Network, avatar: Avatar, count: int) -> Tensor:
    return draw_latents(network, avatar.source_latent, count, torch.Generator().manual_seed(5))


def make_take(network: Network, avatar: Avatar, frames: int = 5) -> Motion:
    cameras = Camera.orbit(torch.linspace(-0.3, 0.3, frames))
    latents = expressions(network, avatar, frames)
    times = torch.arange(frames) / 25
    return Motion(latents, cameras.cam_from_world, times, 25.0, network.config.preset)


def psnr(one: Tensor, other: Tensor) -> float:
    return -10 * math.log10(max((one - other).square().mean().item(), 1e-20))


@pytest.mark.parametrize(("dtype", "least"), [(torch.float32, 90), (torch.bfloat16, 45)])
def test_folding_changes_nothing(
    network: Network, avatar: Avatar, dtype: torch.dtype, least: float
) -> None:
    folded = Folded(network, avatar, dtype)
    for latent in expressions(network, avatar, 3):
        camera = dataclasses.replace(Camera.orbit(0.2), intrinsics=avatar.intrinsics)
        plain, _ = network.animate(avatar, latent)
        pictures = [splat(g, camera, (192, 192)).image for g in (plain, folded(latent))]
        assert psnr(*pictures) > least
        still = splat(network.animate(avatar, avatar.source_latent)[0], camera, (192, 192)).image
        assert psnr(pictures[0], still) < 40  # there was something to get wrong


def test_many_latents_at_once(network: Network, avatar: Avatar) -> None:
    folded = Folded(network, avatar)
    latents = expressions(network, avatar, 3)
    together = folded(latents)
    for index, latent in enumerate(latents):
        for one, other in zip(
            vars(together[index]).values(), vars(folded(latent)).values(), strict=True
        ):
            torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


def test_unpacking_changes_nothing(baked: Baked) -> None:
    unpacked = Unpacked(baked)
    for latent in torch.randn(3, len(baked.source_latent)):
        plain, fast = express(baked, latent), unpacked(latent)
        for one, other in zip(vars(plain).values(), vars(fast).values(), strict=True):
            torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


def test_attributes_mean_what_the_format_says() -> None:
    attributes = torch.zeros(ATTRIBUTES, 2)
    attributes[:3, 0] = torch.tensor([1.0, 2.0, 3.0])
    attributes[3:6, 0] = torch.tensor([0.0, 1.0, 99.0])
    attributes[8, 0] = math.pi / 2
    attributes[9, 0] = 1.0
    attributes[10:, 0] = torch.tensor([-0.5, 0.5, 1.5])
    first = gaussians_of(attributes)[0]
    half = math.sqrt(0.5)
    torch.testing.assert_close(first.means, torch.tensor([1.0, 2.0, 3.0]))
    torch.testing.assert_close(first.scales, torch.tensor([1.0, math.e, math.exp(30)]))
    torch.testing.assert_close(first.quats, torch.tensor([half, 0.0, 0.0, half]))
    torch.testing.assert_close(first.opacities, torch.tensor(1 / (1 + math.exp(-1))))
    torch.testing.assert_close(first.colors, torch.tensor([0.0, 0.5, 1.0]))
    assert torch.equal(gaussians_of(attributes)[1].quats, torch.tensor([1.0, 0, 0, 0]))


@pytest.mark.parametrize("see_through", [False, True])
def test_the_frames_are_those_of_the_pipeline(
    network: Network, avatar: Avatar, see_through: bool
) -> None:
    take, direction = make_take(network, avatar), Direction(pose="orbit", strength=1.5)
    background = None if see_through else torch.rand(3, 192, 192)
    shown = (take, direction, 192, background)
    fast = play(actor(network, avatar), *shown, see_through=see_through)
    plain = pipeline.play(
        network, avatar, take, direction, 192, background, see_through=see_through
    )
    pairs = list(zip(fast, plain, strict=True))
    assert len(pairs) == len(take)
    for one, other in pairs:
        assert one.shape == other.shape
        assert one.dtype == torch.uint8
        # A pixel that is nearly clear may have any colour.
        alpha = other[..., 3:] / 255 if see_through else torch.tensor(1.0)
        # bfloat16 may swap the order of Gaussians that lie close together: 47 and more of most.
        assert psnr(alpha * one[..., :3] / 255, alpha * other[..., :3] / 255) > 42


def test_a_baked_avatar_performs_takes(network: Network, avatar: Avatar, baked: Baked) -> None:
    take = make_take(network, avatar, 3)
    frames = list(play(actor(network, baked), take, Direction(), 40))
    assert [frame.shape for frame in frames] == [(40, 40, 3)] * 3
    assert not torch.equal(frames[0], frames[1])


def test_another_motion_encoder_is_refused(network: Network, baked: Baked) -> None:
    check_baked(baked, network, "me.mien")
    with pytest.raises(MienError, match=r"me\.mien was baked with other weights"):
        check_baked(dataclasses.replace(baked, weights="0" * 32), network, "me.mien")
    with pytest.raises(MienError, match="preset 'tiny'"):
        check_baked(dataclasses.replace(baked, preset="tiny"), network, "me.mien")


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "ahead"]


def test_ahead_gives_the_same_in_order() -> None:
    assert list(ahead(iter(range(50)), 3)) == list(range(50))
    assert list(ahead([])) == []
    assert not threads()


def test_ahead_passes_errors_on_after_what_came_before() -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise MienError("the disk is full")

    items = ahead(broken())
    assert next(items) == 1
    with pytest.raises(MienError, match="the disk is full"):
        next(items)
    assert not threads()


def test_ahead_stops_when_nobody_listens() -> None:
    made = []

    def endless() -> Iterator[int]:
        while True:
            made.append(len(made))
            yield made[-1]

    items = ahead(endless(), 2)
    assert next(items) == 0
    items.close()  # type: ignore[attr-defined]
    assert not threads()
    assert len(made) <= 5
