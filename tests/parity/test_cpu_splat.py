"""The rasteriser for processors draws what the reference draws."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from splat_scenes import cloud, head

from mien.render import Backend, splat
from mien.render.cpu import CpuSplatter
from mien.structures import FOV_FFHQ, Camera, Gaussians, Rendered

VISIBLE = 1 / 255

EDGE = 1.01 * VISIBLE
"""The greatest difference that is allowed: a splat at the edge of what is drawn at all may fall on
either side of it, which is one VISIBLE and what roundings add."""

SPLATTER = CpuSplatter(threads=2)


def psnr(one: torch.Tensor, other: torch.Tensor) -> float:
    return -10 * math.log10(max((one - other).square().mean().item(), 1e-20))


def assert_equal(
    gaussians: Gaussians, camera: Camera, size: tuple[int, int], antialiased: bool = False
) -> Rendered:
    fast = SPLATTER.render(gaussians, camera, size, antialiased=antialiased)
    plain = splat(gaussians, camera, size, antialiased=antialiased, backend="reference")
    for plane, values in vars(plain).items():
        assert getattr(fast, plane).shape == values.shape
        assert getattr(fast, plane).isfinite().all()
    assert (fast.image - plain.image).abs().max() <= EDGE
    assert (fast.alpha - plain.alpha).abs().max() <= EDGE
    # Where next to nothing is drawn the mean depth hangs on a hair.
    far = plain.depth.max().clamp(min=1)
    assert ((fast.depth - plain.depth) * plain.alpha).abs().max() <= EDGE * far
    assert psnr(fast.image, plain.image) >= 55
    assert psnr(fast.alpha, plain.alpha) >= 55
    return fast


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    count=st.integers(1, 300),
    height=st.integers(1, 70),
    width=st.integers(1, 70),
    yaw=st.floats(-3.1, 3.1),
    radius=st.floats(0.3, 4),
    antialiased=st.booleans(),
)
def test_clouds(
    seed: int, count: int, height: int, width: int, yaw: float, radius: float, antialiased: bool
) -> None:
    camera = Camera.orbit(yaw, 0.3, 0.1, radius=radius)
    assert_equal(cloud(count, seed), camera, (height, width), antialiased)


@pytest.mark.parametrize("antialiased", [False, True])
def test_a_head(antialiased: bool) -> None:
    picture = assert_equal(
        head(20_000), Camera.orbit(0.3, 0.1, fov=FOV_FFHQ), (192, 176), antialiased
    )
    assert picture.alpha.max() > 0.99


def test_a_crop_with_its_centre_far_aside() -> None:
    camera = Camera.orbit(0.2).zoomed(torch.tensor([0.7, 0.35]), 3.0)
    assert_equal(head(5_000), camera, (48, 64))


def changed(gaussians: Gaussians, **values: float | torch.Tensor) -> Gaussians:
    full = {name: torch.as_tensor(value) for name, value in values.items()}
    return Gaussians(
        **{name: full.get(name, t).expand_as(t).float() for name, t in vars(gaussians).items()}
    )


@pytest.mark.parametrize(
    "values",
    [
        {"scales": 50.0},
        {"scales": torch.tensor([50.0, 1e-4, 1e-4])},
        {"scales": 1e12},
        {"scales": 1e-20},
        {"scales": 0.0},
        {"opacities": 0.0},
        {"opacities": 1.0},
        {"opacities": VISIBLE},
        {"means": 0.0},
        {"means": 0.0, "opacities": 1.0},
        {"means": torch.tensor([0.0, 0.0, 2.69])},
        {"means": torch.tensor([1e6, 0.0, 0.0])},
        {"means": torch.tensor([1e38, -1e38, 0.0])},
    ],
    ids=str,
)
@pytest.mark.parametrize("antialiased", [False, True])
def test_extremes(values: dict[str, float | torch.Tensor], antialiased: bool) -> None:
    gaussians = changed(cloud(50), **values)
    assert_equal(gaussians, Camera.orbit(0.1), (33, 47), antialiased)


def test_nothing_to_draw() -> None:
    camera = Camera.orbit(0.1)
    picture = assert_equal(cloud(0), camera, (20, 30))
    assert (picture.alpha == 0).all()
    behind = changed(cloud(50), means=torch.tensor([0.0, 0.0, 5.0]))
    picture = assert_equal(behind, camera, (20, 30))
    assert (picture.depth == 0).all()


@pytest.mark.parametrize("field", ["means", "quats", "scales", "opacities"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_broken_gaussians_are_left_out(field: str, value: float) -> None:
    whole, camera = cloud(60), Camera.orbit(0.1)
    broken = whole.map(torch.clone)
    getattr(broken, field)[::3] = value
    picture = assert_equal(broken, camera, (32, 32))
    kept = torch.arange(60) % 3 != 0
    assert torch.equal(picture.image, SPLATTER.render(whole[kept], camera, (32, 32)).image)


@pytest.mark.parametrize("antialiased", [False, True])
@pytest.mark.parametrize("size", [(70, 45), (33, 150)])
def test_gradients_to_colours(size: tuple[int, int], antialiased: bool) -> None:
    weights = torch.rand(3, *size, generator=torch.Generator().manual_seed(0)) - 0.5

    def gradient(scene: Gaussians, backend: Backend) -> torch.Tensor:
        colors = scene.colors.clone().requires_grad_()
        rendered = splat(
            replace(scene, colors=colors),
            Camera.orbit(0.3),
            size,
            antialiased=antialiased,
            backend=backend,
        )
        return torch.autograd.grad((weights * rendered.image).sum(), colors)[0]

    for scene in (cloud(400, 3), head(3_000)):
        plain = gradient(scene, "reference")
        # Splats at the edge of what is drawn may fall on either side of it.
        assert (gradient(scene, "cpu") - plain).norm() <= 5e-3 * plain.norm()
