"""Latents meet only the weights that made them; takes with landmarks outlive their weights."""

import copy
from dataclasses import replace

import pytest
import torch

from mien.errors import MienError
from mien.model.matching import (
    avatar_weights,
    check_avatar,
    fingerprint,
    matched,
    motion_weights,
)
from mien.model.network import Network
from mien.presets import tiny
from mien.structures import Avatar, Camera, Motion

FRAMES = 3


@pytest.fixture(scope="module")
def network() -> Network:
    torch.manual_seed(0)
    return Network(tiny()).eval().requires_grad_(False)


@pytest.fixture
def retrained(network) -> Network:
    """The same preset after one more step of training."""
    other = copy.deepcopy(network)
    other.motion.net[-1].bias.data[0] += 0.5
    return other


def a_take(network: Network) -> Motion:
    faces = 0.1 * torch.randn(FRAMES, 478, 3)
    return Motion(
        latents=network.motion(faces),
        cam_from_head=Camera.orbit(torch.zeros(FRAMES)).cam_from_world,
        times=torch.arange(FRAMES).double(),
        fps=1.0,
        preset=network.config.preset,
        landmarks=faces,
        weights=motion_weights(network),
    )


def an_avatar(network: Network) -> Avatar:
    blank = torch.zeros(5, 48)
    latent = torch.zeros(network.config.latent)
    return Avatar(blank, blank, latent, torch.eye(3), None, "tiny", weights=avatar_weights(network))


def test_a_fingerprint_is_of_every_number_name_and_shape():
    def layer() -> torch.nn.Linear:
        torch.manual_seed(0)
        return torch.nn.Linear(6, 4)

    other = layer()
    other.bias.data[3] = torch.nextafter(other.bias.data[3], torch.tensor(9.0))
    flat = layer()
    flat.weight = torch.nn.Parameter(flat.weight.reshape(8, 3))
    unnamed = torch.nn.ParameterDict({"a": layer().weight, "b": layer().bias})
    whole = fingerprint(layer())
    assert len(whole) == 32
    assert whole == fingerprint(layer())
    assert len({whole, *map(fingerprint, (other, flat, unnamed))}) == 4


def test_any_part_that_reads_an_avatar_counts(network):
    made = an_avatar(network)
    check_avatar(made, network, "me.mien")
    for part in ("motion", "fusion", "decoder"):
        other = copy.deepcopy(network)
        getattr(other, part).net[-1].bias.data[0] += 0.1
        with pytest.raises(MienError, match=r"me\.mien was made with other weights; encode"):
            check_avatar(made, other, "me.mien")


def test_the_encoder_may_change(network):
    other = copy.deepcopy(network)
    other.encoder.front_head.bias.data[0] += 0.1
    check_avatar(an_avatar(network), other, "me.mien")


def test_avatars_that_do_not_say_are_refused(network):
    with pytest.raises(MienError, match="before avatars said"):
        check_avatar(replace(an_avatar(network), weights=""), network, "me.mien")


def test_avatars_of_another_preset_or_size_are_refused(network):
    made = an_avatar(network)
    for other in (replace(made, preset="base"), replace(made, source_latent=torch.zeros(9))):
        with pytest.raises(MienError, match="was made with the preset"):
            check_avatar(other, network, "me.mien")


def test_a_take_of_these_weights_stays_as_it_is(network):
    take = a_take(network)
    assert matched(take, network, "x.motion") is take


@pytest.mark.parametrize("preset", ["tiny", "base"])
def test_a_take_with_landmarks_is_made_anew(network, retrained, preset):
    take = replace(a_take(network), preset=preset)
    again = matched(take, retrained, "x.motion")
    torch.testing.assert_close(again.latents, retrained.motion(take.landmarks))
    assert not torch.allclose(again.latents, take.latents)
    assert again.preset == "tiny"
    assert again.weights == motion_weights(retrained)
    assert torch.equal(again.cam_from_head, take.cam_from_head)


def test_a_take_of_latents_alone_is_refused(network, retrained):
    take = replace(a_take(network), landmarks=None)
    with pytest.raises(MienError, match=r"x\.motion was made with other weights.*track the video"):
        matched(take, retrained, "x.motion")
    with pytest.raises(MienError, match="before takes said"):
        matched(replace(take, weights=""), network, "x.motion")
    with pytest.raises(MienError, match="was made with the preset 'base'"):
        matched(replace(take, preset="base"), network, "x.motion")
