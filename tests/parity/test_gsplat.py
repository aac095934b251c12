"""gsplat, the yardstick, draws what the reference draws, and differentiates it alike."""

import pytest
import torch
from splat_scenes import cloud, head

from mien.render import splat
from mien.structures import FOV_FFHQ, Camera, Gaussians

pytestmark = pytest.mark.gpu

VISIBLE = 1 / 255
"""The greatest difference that is allowed: a splat at the edge of what is drawn at all may fall on
either side of it."""


@pytest.fixture(autouse=True)
def _gsplat() -> None:
    pytest.importorskip("gsplat")


def pair(antialiased: bool, scene: Gaussians, camera: Camera, size: tuple[int, int]):
    """(picture, gradients) by the reference and by gsplat, the scene twice from two sides."""
    for backend in ("reference", "gsplat"):
        leaves = scene.to("cuda").map(lambda t: torch.stack([t, t]).requires_grad_())
        picture = splat(leaves, camera, size, antialiased=antialiased, backend=backend)
        waves = [torch.linspace(0, 30, p.numel()).sin().view_as(p) for p in vars(picture).values()]
        planes = vars(picture).values()
        loss = sum((p * w.to(p)).sum() for p, w in zip(planes, waves, strict=True))
        grads = torch.autograd.grad(loss, list(vars(leaves).values()))
        yield picture.map(torch.Tensor.detach), dict(zip(vars(leaves), grads, strict=True))


@pytest.mark.parametrize("antialiased", [False, True])
@pytest.mark.parametrize(
    ("scene", "size"),
    [(cloud(400), (90, 70)), (head(5000), (128, 128))],
    ids=["cloud", "head"],
)
def test_values_and_gradients(scene: Gaussians, size: tuple[int, int], antialiased: bool) -> None:
    camera = Camera.orbit(torch.tensor([0.3, -0.5]), 0.1, 0.1, fov=FOV_FFHQ)
    (plain, plain_grads), (found, found_grads) = pair(antialiased, scene, camera, size)
    assert (found.image - plain.image).abs().max() <= VISIBLE
    assert (found.alpha - plain.alpha).abs().max() <= VISIBLE
    assert ((found.depth - plain.depth) * plain.alpha).abs().max() <= 4 * VISIBLE
    for name, expected in plain_grads.items():
        error = (found_grads[name] - expected).norm() / expected.norm()
        assert error < 2e-2, name
