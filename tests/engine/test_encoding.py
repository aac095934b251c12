import copy

import pytest
import torch

from mien import pipeline, presets
from mien.engine.encoding import recorded
from mien.model.matching import avatar_weights
from mien.model.network import Network
from mien.model.paper import PaperNetwork
from mien.structures import LANDMARKS, Avatar, Camera, Portrait


def photo() -> Portrait:
    camera = Camera.orbit(float(torch.rand(())), 0.1)
    points = 0.1 * torch.randn(LANDMARKS, 3)
    return Portrait(torch.rand(3, 64, 64), torch.rand(1, 64, 64), camera, points, torch.zeros(2, 3))


def assert_alike(ours: Avatar, expected: Avatar) -> None:
    assert ours.weights == expected.weights
    for name in ("features", "basis"):
        a, b = getattr(ours, name), getattr(expected, name)
        assert b.std() > 0
        assert (a - b).norm() <= 1e-2 * b.norm(), name


def test_without_a_gpu_the_network_is_left_as_it_is() -> None:
    network = Network(presets.tiny())
    assert recorded(network) is network


def test_weights_that_are_known_are_not_looked_for() -> None:
    network = Network(presets.tiny()).eval()
    assert pipeline.encode(network, photo(), 8, weights="known").weights == "known"


@pytest.mark.gpu
def test_avatars_of_several_photos() -> None:
    network = Network(presets.tiny()).eval().requires_grad_(False).cuda()
    before, weights = copy.deepcopy(network.state_dict()), avatar_weights(network)
    quick = recorded(network)
    photos = [photo() for _ in range(3)]
    ours = [pipeline.encode(quick, one, 8, weights=weights) for one in photos]
    expected = [pipeline.encode(network, one, 8) for one in photos]
    for one, other in zip(ours, expected, strict=True):
        assert_alike(one, other)
    # Each has its own number of Gaussians, since gaps are closed.
    first, second = (one.features[: min(len(one.features) for one in ours)] for one in ours[:2])
    assert (first - second).norm() > 0.1 * first.norm()
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])
        assert value.stride() == before[name].stride()


@pytest.mark.gpu
def test_planes_of_the_paper() -> None:
    encoder = PaperNetwork(presets.paper()).eval().requires_grad_(False).cuda()
    quick = recorded(encoder).encoder
    for side in (64, 64, 128):
        picture = 2 * torch.rand(1, 3, side, side, device="cuda") - 1
        expected = encoder.encoder(picture)
        assert (quick(picture) - expected).norm() <= 1e-2 * expected.norm()
