import pytest
import torch

from mien.evaluate.bench_paper import RADIUS, planted_act
from mien.evaluate.bench_sessions import Act
from mien.render import splat

NUMBER = 4000


@pytest.fixture(scope="module")
def act() -> Act:
    torch.manual_seed(0)
    return planted_act(torch.device("cpu"), NUMBER)


def test_random_networks_say_a_head_sized_ball(act: Act) -> None:
    gaussians, _ = act.network.animate(act.avatar, torch.randn(512))
    assert gaussians.means.shape == (NUMBER, 3)
    assert gaussians.means.norm(dim=-1).median() == pytest.approx(RADIUS, abs=0.02)
    assert gaussians.opacities.min() > 0.3
    picture = splat(gaussians, act.camera, (64, 64))
    # FFHQ's framing fills the picture but for its corners.
    assert 0.8 < (picture.alpha > 0.5).float().mean() < 1.0


def test_motion_moves_it(act: Act) -> None:
    still, moved = (act.network.animate(act.avatar, torch.randn(512))[0] for _ in range(2))
    assert (still.means - moved.means).abs().max() > 1e-4


def test_sizes_are_the_papers(act: Act) -> None:
    parameters = sum(p.numel() for p in act.network.motion.parameters())
    assert 61e6 < parameters < 63e6
    assert act.avatar.features.shape == (NUMBER, 48)
    assert act.avatar.anchors is None
