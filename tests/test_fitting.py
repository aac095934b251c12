"""Colours fitted to a photo, on the tiny network and on small problems with known answers."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from mien.fitting import DAMPING, STEPS, fit_colors, least_squares
from mien.model.network import Network
from mien.pipeline import render
from mien.presets import tiny
from mien.structures import LANDMARKS, Avatar, Camera, Portrait

SIZE = 48


@pytest.fixture(scope="module")
def network() -> Network:
    torch.manual_seed(0)
    return Network(tiny()).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def avatar(network: Network) -> Avatar:
    """Of a grey card, not fitted."""
    torch.manual_seed(1)
    grey, whole = torch.full((1, 3, SIZE, SIZE), 0.5), torch.ones(1, 1, SIZE, SIZE)
    latent = torch.randn(1, network.config.latent)
    return network.encode(grey, whole, Camera.orbit().map(lambda t: t[None]), latent, 24)[0]


def drawn(network: Network, avatar: Avatar, yaw: float = 0.0) -> tuple[Tensor, Tensor]:
    camera = replace(Camera.orbit(yaw), intrinsics=avatar.intrinsics)
    seen = render(network, avatar, avatar.source_latent, camera, SIZE)
    return seen.image, seen.alpha


def photo(image: Tensor, alpha: Tensor, avatar: Avatar) -> Portrait:
    camera = replace(Camera.orbit(), intrinsics=avatar.intrinsics)
    return Portrait(image, alpha, camera, torch.zeros(LANDMARKS, 3), torch.eye(3)[:2])


def psnr(one: Tensor, other: Tensor) -> float:
    return -10 * math.log10((one - other).square().mean().item())


def painted(avatar: Avatar) -> Avatar:
    """The same in smoothly varying colours."""
    assert avatar.anchors is not None
    waves = torch.stack([torch.sin(9 * avatar.anchors.means[:, k % 2] + k) for k in range(3)], -1)
    return replace(avatar, anchors=replace(avatar.anchors, colors=0.5 + 0.3 * waves))


def test_it_comes_nearer_to_the_photo_and_changes_nothing_but_colours(
    network: Network, avatar: Avatar
) -> None:
    image, alpha = drawn(network, painted(avatar))
    fitted = fit_colors(network, avatar, photo(image, alpha, avatar))
    before, _ = drawn(network, avatar)
    after, covers = drawn(network, fitted)
    assert psnr(after, image) > psnr(before, image) + 10
    assert torch.equal(covers, alpha)
    assert fitted.anchors is not None
    assert avatar.anchors is not None
    for name, value in vars(avatar.anchors).items():
        assert name == "colors" or torch.equal(getattr(fitted.anchors, name), value)
    assert fitted.anchors.colors.min() >= 0
    assert fitted.anchors.colors.max() <= 1
    truth, before, after = (drawn(network, a, 0.3)[0] for a in (painted(avatar), avatar, fitted))
    assert psnr(after, truth) > psnr(before, truth) + 5


def test_a_photo_that_is_covered_less_asks_for_no_other_colours(
    network: Network, avatar: Avatar
) -> None:
    image, alpha = drawn(network, avatar)
    thin = fit_colors(network, avatar, photo(0.6 * image, 0.6 * alpha, avatar))
    assert thin.anchors is not None
    assert avatar.anchors is not None
    torch.testing.assert_close(thin.anchors.colors, avatar.anchors.colors, atol=1e-4, rtol=0)


def test_what_the_photo_does_not_show_stays(network: Network, avatar: Avatar) -> None:
    image, alpha = drawn(network, painted(avatar))
    left = torch.arange(SIZE) < SIZE // 2
    fitted = fit_colors(network, avatar, photo(image * left, alpha * left, avatar))
    assert fitted.anchors is not None
    assert avatar.anchors is not None
    change = (fitted.anchors.colors - avatar.anchors.colors).abs().amax(1)
    x = avatar.anchors.means[:, 0]
    assert change[x > 0.15].max() < 1e-3
    assert change[x < -0.05].max() > 0.05


def test_it_works_in_inference_mode_too(network: Network, avatar: Avatar) -> None:
    image, alpha = drawn(network, painted(avatar))
    expected = fit_colors(network, avatar, photo(image, alpha, avatar))
    with torch.inference_mode():
        copied = avatar.map(torch.clone)
        fitted = fit_colors(network, copied, photo(image.clone(), alpha.clone(), copied))
    assert fitted.anchors is not None
    assert expected.anchors is not None
    torch.testing.assert_close(fitted.anchors.colors, expected.anchors.colors)


def test_without_anchors_there_is_nothing_to_fit(network: Network, avatar: Avatar) -> None:
    bare = replace(avatar, anchors=None)
    image, alpha = drawn(network, avatar)
    assert fit_colors(network, bare, photo(image, alpha, avatar)) is bare


def test_least_squares_finds_what_the_normal_equations_say() -> None:
    rng = torch.Generator().manual_seed(0)
    matrix = torch.randn(20, STEPS, generator=rng, dtype=torch.float64)
    wanted = torch.randn(3, 4, 5, generator=rng, dtype=torch.float64)
    found = least_squares(
        lambda x: (matrix @ x).T.unflatten(1, (4, 5)),
        lambda picture: matrix.T @ picture.flatten(1).T,
        wanted,
    )
    damped = matrix.T @ matrix + DAMPING * torch.eye(STEPS, dtype=torch.float64)
    expected = torch.linalg.solve(damped, matrix.T @ wanted.flatten(1).T)
    torch.testing.assert_close(found, expected)


def test_nothing_wanted_nothing_done() -> None:
    zero = torch.zeros(3, 4, 5)
    found = least_squares(
        lambda x: x.T[:, :, None].expand(3, 2, 5), lambda p: p.sum(2).T[:2], zero[:, :2]
    )
    assert torch.equal(found, torch.zeros(2, 3))
