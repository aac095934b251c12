"""The one function that draws: batches, types, choice of backend, complaints."""

import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import Float
from torch import Tensor

from mien.errors import MienError
from mien.render import splat
from mien.structures import Camera, Gaussians

SIZE = (20, 31)
BACKENDS = ("reference", "cpu")


def scene(count: int = 30, batch: int = 2, seed: int = 0) -> Gaussians:
    rng = torch.Generator().manual_seed(seed)
    return Gaussians(
        0.3 * torch.randn(batch, count, 3, generator=rng),
        torch.nn.functional.normalize(torch.randn(batch, count, 4, generator=rng), dim=-1),
        0.01 + 0.1 * torch.rand(batch, count, 3, generator=rng),
        torch.rand(batch, count, generator=rng),
        torch.rand(batch, count, 3, generator=rng),
    )


def cameras(batch: int = 2) -> Camera:
    return Camera.orbit(torch.linspace(-0.5, 0.5, batch), 0.1)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_batch_is_each_of_its_pictures(backend: str) -> None:
    gaussians, camera = scene(), cameras()
    together = splat(gaussians, camera, SIZE, backend=backend)
    assert isinstance(together.image, Float[Tensor, "2 3 20 31"])
    assert isinstance(together.alpha, Float[Tensor, "2 1 20 31"])
    assert isinstance(together.depth, Float[Tensor, "2 1 20 31"])
    for index in range(2):
        alone = splat(gaussians[index], camera[index], SIZE, backend=backend)
        assert isinstance(alone.image, Float[Tensor, "3 20 31"])
        assert all(torch.equal(v, vars(together[index])[name]) for name, v in vars(alone).items())


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    count=st.integers(1, 60),
    backend=st.sampled_from(BACKENDS),
    antialiased=st.booleans(),
)
def test_what_holds_for_every_picture(
    seed: int, count: int, backend: str, antialiased: bool
) -> None:
    gaussians, camera = scene(count, 1, seed)[0], cameras(1)[0]
    picture = splat(gaussians, camera, SIZE, backend=backend, antialiased=antialiased)
    drawn = picture.alpha > 0
    assert ((picture.alpha >= 0) & (picture.alpha < 1)).all()
    # Premultiplied: colours in [0, 1] cannot add up to more than what hides the background.
    assert ((picture.image >= 0) & (picture.image <= picture.alpha + 1e-5)).all()
    z = (camera.cam_from_world[:3, :3] @ gaussians.means.T)[2] + camera.cam_from_world[2, 3]
    assert (picture.depth[drawn] >= z.min() - 1e-4).all()
    assert (picture.depth[drawn] <= z.max() + 1e-4).all()
    assert (picture.depth[~drawn] == 0).all()
    shuffled = gaussians[torch.randperm(count, generator=torch.Generator().manual_seed(seed))]
    again = splat(shuffled, camera, SIZE, backend=backend, antialiased=antialiased)
    for name, values in vars(picture).items():
        torch.testing.assert_close(vars(again)[name], values, rtol=0, atol=1e-5)


def test_auto_is_the_fast_one_unless_gradients_are_wanted() -> None:
    gaussians, camera = scene(), cameras()
    fast = splat(gaussians, camera, SIZE, backend="cpu").image
    plain = splat(gaussians, camera, SIZE, backend="reference").image
    assert not torch.equal(fast, plain)
    assert torch.equal(splat(gaussians, camera, SIZE).image, fast)
    gaussians.colors.requires_grad_()
    tracked = splat(gaussians, camera, SIZE).image
    assert torch.equal(tracked, fast)
    assert tracked.requires_grad
    gaussians.opacities.requires_grad_()
    tracked = splat(gaussians, camera, SIZE).image
    assert torch.equal(tracked, plain)
    assert tracked.requires_grad
    with torch.no_grad():
        assert torch.equal(splat(gaussians, camera, SIZE).image, fast)
        exact = splat(gaussians.to(torch.float64), camera, SIZE).image
    assert exact.dtype == torch.float64


def test_half_precision_is_drawn_in_single() -> None:
    gaussians, camera = scene().to(torch.bfloat16), cameras()
    expected = splat(gaussians.to(torch.float32), camera, SIZE, backend="reference").image
    with torch.autocast("cpu", torch.bfloat16):
        found = splat(gaussians, camera, SIZE, backend="reference").image
    assert torch.equal(found, expected)


@pytest.mark.parametrize("field", ["means", "quats", "scales", "opacities"])
def test_no_gradients_from_the_fast_one_but_to_colours(field: str) -> None:
    gaussians = scene()
    getattr(gaussians, field).requires_grad_()
    with pytest.raises(ValueError, match="no gradients"):
        splat(gaussians, cameras(), SIZE, backend="cpu")


@pytest.mark.parametrize("field", ["means", "quats", "scales", "opacities", "colors"])
def test_shapes_that_do_not_match(field: str) -> None:
    values = vars(scene())
    gaussians = Gaussians(**{k: v[:, :-1] if k == field else v for k, v in values.items()})
    with pytest.raises(ValueError, match="expected"):
        splat(gaussians, cameras(), SIZE)


def test_batches_that_do_not_match() -> None:
    with pytest.raises(ValueError, match="world_from_cam"):
        splat(scene(), cameras(3), SIZE)
    with pytest.raises(ValueError, match="world_from_cam"):
        splat(scene()[0], cameras(1), SIZE)
    with pytest.raises(ValueError, match="nothing to draw"):
        splat(scene(), cameras(), (0, 4))


def test_without_gsplat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gsplat", None)
    with pytest.raises(MienError, match="pip install gsplat"):
        splat(scene(), cameras(), SIZE, backend="gsplat")


@pytest.mark.gpu
def test_auto_on_a_gpu_is_differentiable_and_like_the_reference() -> None:
    gaussians, camera = scene().to("cuda"), cameras().to("cuda")
    gaussians.means.requires_grad_()
    picture = splat(gaussians, camera, SIZE)
    plain = splat(gaussians, camera, SIZE, backend="reference")
    assert picture.image.requires_grad
    torch.testing.assert_close(picture.image, plain.image, rtol=0, atol=1 / 255)
