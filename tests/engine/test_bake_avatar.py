"""Baking, of a small avatar: what is lost, what is dropped, and that latents come out right."""

import dataclasses

import pytest
import torch

from mien.engine import bake as module
from mien.engine.bake import (
    attributes_of,
    bake,
    draw_latents,
    fidelity,
    fit_map,
    kept,
    load_spread,
    quantised,
    shown,
)
from mien.engine.play_cpu import Unpacked, gaussians_of
from mien.errors import MienError
from mien.model.network import Network
from mien.presets import tiny
from mien.structures import LANDMARKS, Avatar


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"SAMPLES": 48, "LESSONS": 600, "WITNESSES": 64, "EPOCHS": 60}.items():
        monkeypatch.setattr(module, name, value)


def drawn(network: Network, avatar: Avatar, count: int, seed: int = 9) -> torch.Tensor:
    rng = torch.Generator().manual_seed(seed)
    return draw_latents(network, avatar.source_latent, count, rng)


def test_the_statistics_are_of_faces_and_of_nobody() -> None:
    spread = load_spread()
    assert spread.mean.shape == (LANDMARKS, 3)
    eyes = (spread.mean[33] - spread.mean[263]).norm()
    assert 0.1 < eyes < 0.4
    for components in (spread.faces, spread.moves):
        flat = components.flatten(1)
        sizes = flat.norm(dim=1)
        # Principal components: orthogonal, falling; no rows of data.
        cosines = flat @ flat.T / (sizes * sizes[:, None]) - torch.eye(len(flat))
        assert cosines.abs().max() < 0.01
        assert (sizes.diff() <= 1e-4).all()


def test_a_baked_avatar_moves_as_the_avatar_does(network: Network, avatar: Avatar) -> None:
    latents = drawn(network, avatar, 12)
    baked = bake(network, avatar, bases=12)
    close = fidelity(network, avatar, baked, latents, 128)
    still = dataclasses.replace(baked, codes=torch.zeros_like(baked.codes))
    unmoved = fidelity(network, avatar, still, latents, 128)
    assert (close - unmoved).median() > 5
    assert close.median() > 33
    fewer = fidelity(network, avatar, bake(network, avatar, bases=2), latents, 128)
    assert (close - fewer).median() > 2


def test_takes_are_played_better_when_they_are_baked_in(network: Network, avatar: Avatar) -> None:
    strange = avatar.source_latent + 8 * torch.randn(6, network.config.latent)
    without = fidelity(network, avatar, bake(network, avatar, bases=8), strange, 64)
    with_it = fidelity(
        network, avatar, bake(network, avatar, bases=8, latents=strange), strange, 64
    )
    assert (with_it - without).median() > 3


def test_the_same_seed_bakes_the_same(network: Network, avatar: Avatar) -> None:
    one, same = bake(network, avatar, bases=3), bake(network, avatar, bases=3)
    other = bake(network, avatar, bases=3, seed=1)
    assert torch.equal(one.codes, same.codes)
    assert not torch.equal(one.codes, other.codes)


def test_a_budget_is_kept(network: Network, avatar: Avatar) -> None:
    bases = torch.randn(4, 13, 500)
    fine, step = quantised(bases, 1_000_000)
    assert (fine * step - bases).abs().max() <= step / 2 + 1e-6
    coarse, wide = quantised(bases, 8_000)
    assert module.packed_bytes(coarse) <= 8_000 < module.packed_bytes(fine)
    assert wide > step


def test_gaussians_that_never_show_are_dropped(network: Network, avatar: Avatar) -> None:
    anchors = avatar.anchors
    assert anchors is not None
    density = anchors.density.clone()
    density[::5] = -30
    faint = dataclasses.replace(avatar, anchors=dataclasses.replace(anchors, density=density))
    pixels = shown(network, faint, drawn(network, avatar, 2))
    left = kept(faint, pixels)
    assert (pixels[::5] == 0).all()
    assert len(left.features) == (pixels >= module.SEEN).sum()
    assert left.anchors is not None
    assert len(left.anchors.means) == len(left.basis) == len(left.features)


def test_attributes_and_gaussians_are_inverse(network: Network, avatar: Avatar) -> None:
    gaussians, _ = network.animate(avatar, drawn(network, avatar, 1)[0])
    back = gaussians_of(attributes_of(gaussians))
    for name, value in vars(gaussians).items():
        torch.testing.assert_close(vars(back)[name], value, atol=2e-4, rtol=1e-3)


def test_the_map_learns_what_is_not_linear() -> None:
    rng = torch.Generator().manual_seed(0)
    latents = 20 * torch.randn(1500, 4, generator=rng) + 5
    weights = torch.stack([latents[:, 0].abs() / 20, latents @ torch.rand(4) / 40], 1)
    found = fit_map(latents[:1000], weights[:1000], torch.tensor([0.5, 0.5]), rng)(latents)
    error = (found - weights)[1000:].square().mean(0) / weights.var(0)
    # A linear map alone could explain a tenth of the first.
    assert error[0] < 0.25
    assert error[1] < 0.01


def test_a_preset_without_landmarks_is_refused(network: Network, avatar: Avatar) -> None:
    other = Network(tiny())
    other.motion = torch.nn.Identity()  # type: ignore[assignment]
    with pytest.raises(MienError, match="cannot be baked"):
        bake(other, avatar)


def test_what_is_baked_can_be_played(network: Network, avatar: Avatar) -> None:
    baked = bake(network, avatar, bases=3)
    gaussians = Unpacked(baked)(avatar.source_latent)
    assert len(gaussians.means) == len(baked)
