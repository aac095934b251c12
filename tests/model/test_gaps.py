"""Gaps in surfaces that the photo saw askew are closed, and nothing else is touched."""

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from mien.model import gaps
from mien.model.gaps import APART, GAP, MOST, close_gaps
from mien.model.network import Network
from mien.presets import tiny
from mien.render import splat
from mien.structures import Anchors, Avatar, Camera, Gaussians

GRID, STEP = 16, 0.03
SIZE = 0.5 * STEP
"""Standard deviation of every Gaussian of the test's surfaces."""


def animate(avatar: Avatar, latent: Tensor) -> tuple[Gaussians, None]:
    """In place of a network: features say where a Gaussian is and how opaque."""
    count = len(avatar.features)
    return Gaussians(
        means=avatar.features[:, :3],
        quats=torch.tensor([1.0, 0, 0, 0]).expand(count, 4),
        scales=torch.full((count, 3), SIZE),
        opacities=avatar.features[:, 3],
        colors=avatar.features[:, :3].abs(),
    ), None


@pytest.fixture(autouse=True)
def ample(monkeypatch: pytest.MonkeyPatch) -> None:
    """Room for any number of them."""
    monkeypatch.setattr(gaps, "ROOM", 99)


NETWORK: Network = SimpleNamespace(animate=animate)  # type: ignore[assignment]


def surface(depth: Tensor, opacity: float = 0.95) -> Avatar:
    """A grid seen from the front, each of its Gaussians `depth` (GRID, GRID) behind the plane."""
    ticks = (torch.arange(GRID) - (GRID - 1) / 2) * STEP
    y, x = torch.meshgrid(-ticks, ticks, indexing="ij")
    front = torch.stack([x, y, -depth, torch.full_like(x, opacity)], -1).reshape(-1, 4)
    back = torch.zeros((GRID // 2) ** 2, 4)
    features = torch.cat([front, back])
    count = len(features)
    anchors = Anchors(
        means=features[:, :3],
        colors=torch.rand(count, 3),
        scales=torch.full((count,), SIZE),
        density=torch.zeros(count),
        axes=torch.diag(torch.tensor([1.0, -1.0, -1.0])),
    )
    return Avatar(features, features * 2, torch.zeros(4), torch.eye(3), anchors, "test")


def slope(rise: float) -> Tensor:
    """Depths that grow by `rise` from column to column."""
    return torch.arange(GRID).float().expand(GRID, GRID) * rise


def test_a_surface_seen_squarely_stays_as_it_is() -> None:
    avatar = surface(slope(0.0))
    closed = close_gaps(NETWORK, avatar, GRID)
    assert torch.equal(closed.features, avatar.features)
    assert torch.equal(closed.anchors.density, avatar.anchors.density)  # type: ignore[union-attr]


def test_a_steep_surface_gets_gaussians_between_its_neighbours() -> None:
    rise = 0.06
    avatar = surface(slope(rise))
    closed = close_gaps(NETWORK, avatar, GRID)
    between = int(torch.tensor((rise**2 + STEP**2) ** 0.5 / SIZE / GAP).ceil()) - 1
    assert between == 1
    added = closed.features[len(avatar.features) :]
    assert len(added) == GRID * (GRID - 1) * between
    # In the middle between neighbours of a row, as everything else that belongs to them.
    grid = avatar.features[: GRID * GRID].reshape(GRID, GRID, 4)
    torch.testing.assert_close(added, ((grid[:, 1:] + grid[:, :-1]) / 2).reshape(-1, 4))
    torch.testing.assert_close(closed.basis[len(avatar.basis) :], 2 * added)
    assert closed.anchors is not None
    assert len(closed.anchors.colors) == len(closed.anchors.scales) == len(closed.features)


def test_one_does_not_look_through_it_from_the_side_any_more() -> None:
    # 14 of 16 columns: the outermost are the outline.
    avatar = surface(slope(0.07))
    camera = Camera.orbit(torch.tensor(0.9))

    def thinnest(seen: Avatar) -> float:
        alpha = splat(animate(seen, seen.source_latent)[0], camera, (256, 256)).alpha[0]
        middle = camera.project(seen.features[: GRID * GRID, :3])
        columns = middle.reshape(GRID, GRID, 2)[GRID // 2, 2:-2, 0] * 256
        row = int(middle.reshape(GRID, GRID, 2)[GRID // 2, GRID // 2, 1] * 256)
        return float(alpha[row, int(columns.min()) : int(columns.max())].min())

    assert thinnest(avatar) < 0.3
    assert thinnest(close_gaps(NETWORK, avatar, GRID)) > 0.5


@pytest.mark.parametrize("what", ["one thing behind another", "a fringe"])
def test_what_is_no_surface_is_left_alone(what: str) -> None:
    if what == "a fringe":
        avatar = surface(slope(0.06), opacity=0.4)
    else:
        depth = slope(0.0).clone()
        depth[:, GRID // 2 :] = APART + 0.01
        avatar = surface(depth)
    assert len(close_gaps(NETWORK, avatar, GRID).features) == len(avatar.features)


def test_no_gap_gets_more_than_the_most() -> None:
    avatar = surface(slope(0.07))
    gaussians = animate(avatar, avatar.source_latent)[0]
    assert 0.07 / (0.1 * SIZE) / GAP > MOST + 1

    def thin(avatar: Avatar, latent: Tensor) -> tuple[Gaussians, None]:
        scales = torch.full_like(gaussians.scales, 0.1 * SIZE)
        return Gaussians(
            gaussians.means, gaussians.quats, scales, gaussians.opacities, gaussians.colors
        ), None

    closed = close_gaps(SimpleNamespace(animate=thin), avatar, GRID)  # type: ignore[arg-type]
    across = GRID * (GRID - 1) * MOST
    down = GRID * (GRID - 1) * (int(torch.tensor(STEP / (0.1 * SIZE) / GAP).ceil()) - 1)
    assert len(closed.features) - len(avatar.features) == across + down


def test_the_widest_gaps_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    rises = torch.linspace(0.05, 0.07, GRID - 1)
    depth = torch.cat([torch.zeros(1), rises.cumsum(0)]).expand(GRID, GRID)
    avatar = surface(depth)
    monkeypatch.setattr(gaps, "ROOM", 1 / 4)
    added = close_gaps(NETWORK, avatar, GRID).features[len(avatar.features) :]
    assert GRID**2 / 4 - MOST < len(added) <= GRID**2 / 4
    # All to the right, where the surface recedes faster.
    monkeypatch.setattr(gaps, "ROOM", 99)
    every = close_gaps(NETWORK, avatar, GRID).features[len(avatar.features) :]
    assert len(every) > 3 * len(added)
    assert added[:, 0].min() > every[:, 0].median()


def test_an_untrained_avatar_has_no_gaps() -> None:
    network = Network(tiny()).eval().requires_grad_(False)
    alpha = torch.ones(1, 1, 64, 64)
    image = torch.rand(1, 3, 64, 64)
    latent = torch.zeros(1, network.config.latent)
    avatar = network.encode(image, alpha, Camera.orbit(torch.zeros(1)), latent, 16)[0]
    assert len(close_gaps(network, avatar, 16).features) == 16 * 16 + 8 * 8


def test_without_a_grid_there_is_nothing_to_close() -> None:
    avatar = surface(slope(0.06)).map(lambda t: t)
    free = Avatar(
        avatar.features, avatar.basis, avatar.source_latent, avatar.intrinsics, None, "test"
    )
    assert close_gaps(NETWORK, free, GRID) is free
