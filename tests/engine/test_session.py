import copy
import math

import pytest
import torch
from torch import Tensor

from mien import presets
from mien.engine import driver
from mien.engine.session import Session
from mien.model.network import Network
from mien.render import splat
from mien.structures import LANDMARKS, Anchors, Avatar, Camera, Rendered

SIZE = 64

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


@pytest.fixture(params=DEVICES)
def network(request: pytest.FixtureRequest) -> Network:
    made = Network(presets.tiny()).eval().requires_grad_(False)
    made.decoder.net[-1].weight.mul_(5)
    return made.to(request.param)


def avatar(number: int) -> Avatar:
    anchors = Anchors(
        0.2 * torch.randn(number, 3),
        torch.rand(number, 3),
        torch.full((number,), 0.03),
        torch.randn(number),
        torch.eye(3),
    )
    return Avatar(
        torch.randn(number, 48), torch.randn(number, 48), torch.randn(8),
        Camera.orbit().intrinsics, anchors, "tiny",
    )  # fmt: skip


def plain(network: Network, one: Avatar, latent: Tensor, camera: Camera) -> Tensor:
    """(3, H, W), drawn in float32 on the CPU."""
    network = copy.deepcopy(network).cpu()
    gaussians, _ = network.animate(one, latent.cpu())
    return splat(gaussians, camera, (SIZE, SIZE), backend="reference").image


def psnr(a: Tensor, b: Tensor) -> float:
    return -10 * math.log10((a.cpu() - b.cpu()).square().mean().clamp_min(1e-12))


def assert_same(picture: Rendered, expected: list[Tensor]) -> None:
    assert picture.image.shape == (len(expected), 3, SIZE, SIZE)
    for ours, theirs in zip(picture.image, expected, strict=True):
        assert theirs.std() > 0.02
        assert psnr(ours, theirs) >= 45


def test_pictures_are_those_of_the_network(network: Network) -> None:
    avatars, camera = [avatar(300), avatar(200)], Camera.orbit(0.2, 0.1)
    session = Session(network, avatars, camera, SIZE)
    for _ in range(2):
        motion = torch.randn(2, 8)
        picture = session.step(motion)
        expected = [plain(network, a, m, camera) for a, m in zip(avatars, motion, strict=True)]
        assert_same(picture, expected)
        assert psnr(*expected) < 30


def test_cameras_move_and_stay_moved(network: Network) -> None:
    one, motion = avatar(300), torch.randn(1, 8)
    session = Session(network, [one], Camera.orbit(), SIZE)
    moved = Camera.orbit(torch.tensor([0.6]), 0.2)
    session.step(motion, moved)
    assert_same(session.step(motion), [plain(network, one, motion[0], moved[0])])


def test_landmarks_drive(network: Network) -> None:
    one, points = avatar(300), torch.randn(1, LANDMARKS, 3)
    session = Session(network, [one], Camera.orbit(), SIZE, driver.landmarks(network.motion))
    latent = network.motion(points.to(session.input.device))[0]
    assert_same(session.step(points), [plain(network, one, latent, Camera.orbit())])


def test_images_drive(network: Network) -> None:
    one, image = avatar(300), torch.rand(1, 3, 96, 96)
    session = Session(
        network, [one], Camera.orbit(), SIZE, driver.portraits(network.motion_image, 96)
    )
    latent = network.motion_image(image.to(session.input.device))[0]
    assert_same(session.step(image), [plain(network, one, latent, Camera.orbit())])


def test_room_is_made_when_it_is_lacking(network: Network) -> None:
    one, motion = avatar(3000), torch.randn(1, 8)
    away, near = Camera.orbit(radius=-5.0), Camera.orbit(radius=1.5)
    session = Session(network, [one], away, SIZE)
    session.step(motion, near)
    assert session.refit() == (session.input.device.type == "cuda")
    assert not session.refit()
    assert_same(session.step(motion), [plain(network, one, motion[0], near)])
    assert (session.pairs() > 1024) == (session.input.device.type == "cuda")
