"""What a take asks of an avatar, and the frames that come of it, on the tiny network."""

from dataclasses import replace

import pytest
import torch

from mien import pipeline
from mien.model.network import Network
from mien.pipeline import Direction, directed
from mien.presets import tiny
from mien.structures import LANDMARKS, Avatar, Camera, Motion, Portrait


@pytest.fixture(scope="module")
def network() -> Network:
    torch.manual_seed(0)
    return Network(tiny()).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def avatar(network: Network) -> Avatar:
    portrait = Portrait(
        torch.full((3, 64, 64), 0.5),
        torch.ones(1, 64, 64),
        Camera.orbit(),
        torch.randn(LANDMARKS, 3) * 0.1,
        torch.eye(3)[:2],
    )
    return pipeline.encode(network, portrait, 16)


def make_take(network: Network, frames: int = 5) -> Motion:
    cameras = Camera.orbit(torch.linspace(-0.3, 0.3, frames), roll=torch.full((frames,), 0.1))
    latents = torch.randn(frames, network.config.latent)
    times = torch.arange(frames) / 25
    return Motion(latents, cameras.cam_from_world, times, 25.0, network.config.preset)


def test_following_looks_through_the_drivers_pose(network: Network, avatar: Avatar) -> None:
    take = make_take(network)
    latents, cameras = directed(avatar, take, Direction())
    torch.testing.assert_close(cameras.cam_from_world, take.cam_from_head, atol=1e-5, rtol=0)
    torch.testing.assert_close(latents, take.latents)
    assert torch.equal(cameras.intrinsics[0], avatar.intrinsics)


@pytest.mark.parametrize("strength", [0.0, 0.5, 1.7])
def test_strength_scales_the_change_from_the_drivers_median(
    network: Network, avatar: Avatar, strength: float
) -> None:
    take = make_take(network)
    middle = take.latents.median(0).values
    change = strength * (take.latents - middle)
    for retarget, rest in (("absolute", middle), ("relative", avatar.source_latent)):
        direction = Direction("fixed", retarget, strength)  # type: ignore[arg-type]
        latents, _ = directed(avatar, take, direction)
        torch.testing.assert_close(latents, rest + change)


@pytest.mark.parametrize("retarget", ["absolute", "relative"])
def test_of_a_single_picture_strength_scales_the_change_from_the_photo(
    network: Network, avatar: Avatar, retarget: str
) -> None:
    take = make_take(network, 1)
    own = avatar.source_latent
    latents, _ = directed(avatar, take, Direction("fixed", retarget, 0.5))  # type: ignore[arg-type]
    torch.testing.assert_close(latents, own + 0.5 * (take.latents - own))


def test_relative_adds_the_change_from_the_drivers_median(network: Network, avatar: Avatar) -> None:
    take = make_take(network)
    latents, _ = directed(avatar, take, Direction(retarget="relative"))
    change = take.latents - take.latents.median(0).values
    torch.testing.assert_close(latents, avatar.source_latent + change)


def test_a_held_face_stays_as_it_is(network: Network, avatar: Avatar) -> None:
    take = make_take(network, 150)
    latents = take.latents[0].expand(150, -1)
    held, _ = directed(avatar, replace(take, latents=latents), Direction("orbit", strength=0.5))
    torch.testing.assert_close(held, latents)


def test_an_orbit_swings_and_a_fixed_camera_does_not(network: Network, avatar: Avatar) -> None:
    take = make_take(network, 160)
    yaw = directed(avatar, take, Direction("orbit"))[1].angles()[0]
    assert yaw.max() == pytest.approx(pipeline.ORBIT_YAW, abs=0.01)
    assert yaw.min() == pytest.approx(-pipeline.ORBIT_YAW, abs=0.01)
    assert directed(avatar, take, Direction("fixed"))[1].angles()[0].abs().max() == 0


def test_play_gives_a_frame_for_each_of_the_takes(network: Network, avatar: Avatar) -> None:
    take = make_take(network)
    plain = list(pipeline.play(network, avatar, take, Direction("fixed"), 32))
    assert [f.shape for f in plain] == [(32, 32, 3)] * 5
    assert all(f.dtype == torch.uint8 for f in plain)
    green = torch.tensor([0.0, 1.0, 0.0])[:, None, None]
    gone = avatar.map(lambda t: t)
    assert gone.anchors is not None
    gone.anchors.density.fill_(-30.0)
    behind = next(pipeline.play(network, gone, take, Direction("fixed"), 32, green))
    assert behind[0, 0].tolist() == [0, 255, 0]
