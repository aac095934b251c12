"""The teacher's network at a size for tests."""

import torch

from mien.structures import Camera
from mien.teacher.network import (
    HEAD_RADIUS,
    FlowConfig,
    FlowNetwork,
    camera_numbers,
    places,
)

TINY = FlowConfig(side=32, widths=(16, 32, 32), depths=(1, 1, 2), latent=8, condition=32)


def awake() -> FlowNetwork:
    """A network whose zero weights are not: as after some training."""
    network = FlowNetwork(TINY)
    for parameter in network.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.1)
    return network


def test_the_nose_has_the_same_place_in_all_views() -> None:
    cameras = Camera.orbit(torch.tensor([-0.4, 0.0, 0.5]), torch.tensor([0.2, 0.0, -0.1]))
    side = 256
    maps = places(cameras, side)[:, :3]
    nose = torch.tensor([[[0.0, 0.0, HEAD_RADIUS]]]).expand(3, 1, 3)
    spot = (cameras.project(nose)[:, 0] * side).long()
    for i in range(3):
        seen = maps[i, :, spot[i, 1], spot[i, 0]] * HEAD_RADIUS
        torch.testing.assert_close(seen, nose[i, 0], rtol=0.0, atol=0.01)


def test_the_same_camera_is_no_turn() -> None:
    camera = Camera.orbit(torch.tensor([0.3]))
    numbers = camera_numbers(camera, camera)[0]
    torch.testing.assert_close(numbers[:9].reshape(3, 3), torch.eye(3), rtol=0.0, atol=1e-6)
    torch.testing.assert_close(numbers[9:], torch.zeros(7), rtol=0.0, atol=1e-4)


def test_a_picture_depends_on_photo_motion_camera_and_level() -> None:
    network = awake()
    camera, other = Camera.orbit(torch.zeros(1)), Camera.orbit(torch.full((1,), 0.4))
    photo, noisy = torch.rand(2, 1, 4, 32, 32)
    latent, level = torch.randn(1, 8), torch.full((1,), 0.5)
    with torch.no_grad():
        reference = network.read(photo, camera, latent)
        plain = network(noisy, level, reference, latent, camera)
        assert plain.shape == (1, 4, 32, 32)
        changed = [
            network(noisy, level, network.read(1.0 - photo, camera, latent), latent, camera),
            network(noisy, level, reference, -latent, camera),
            network(noisy, level, reference, latent, other),
            network(noisy, 0.5 * level, reference, latent, camera),
        ]
    for picture in changed:
        assert (picture - plain).abs().max() > 1e-4


def test_a_reference_can_serve_several_targets() -> None:
    network = awake()
    cameras = Camera.orbit(torch.tensor([0.0, 0.2]))
    photos, latents = torch.rand(2, 4, 32, 32), torch.randn(2, 8)
    noisy, level = torch.randn(4, 4, 32, 32), torch.rand(4)
    twice = cameras.map(lambda part: torch.cat([part, part]))
    with torch.no_grad():
        once = network.read(photos, cameras, latents)
        together = network(noisy, level, once.repeat(2), latents.repeat(2, 1), twice)
        alone = network(noisy[2:], level[2:], once, latents, cameras)
    torch.testing.assert_close(together[2:], alone, rtol=1e-4, atol=1e-5)
