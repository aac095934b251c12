"""The Triton rasteriser equals the reference, in value and in gradient.

On a machine without a GPU the same tests run under Triton's interpreter, in a process of its own,
because Triton reads TRITON_INTERPRET once, when it is imported. It interprets some ten thousand
times slower than a GPU runs, so scenes are tiny.
"""

import os
import subprocess
import sys

import pytest
import torch

from mien.render import reference
from mien.structures import Camera, Gaussians, Rendered

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
triton_splat = triton_bin = None
if INTERPRETED or torch.cuda.is_available():
    triton_splat = pytest.importorskip("mien.render.triton_splat", exc_type=ImportError)
    triton_bin = pytest.importorskip("mien.render.triton_bin", exc_type=ImportError)

SIZE = (20, 36)
"""Neither side a multiple of a tile's."""

VISIBLE = 1 / 255
"""The greatest difference that is allowed: a splat at the edge of what is drawn at all may fall on
either side of it."""

DEVICES = [
    pytest.param(
        "cpu", marks=pytest.mark.skipif(not INTERPRETED, reason="runs under the interpreter")
    ),
    pytest.param("cuda", marks=pytest.mark.gpu),
]


@pytest.mark.skipif(INTERPRETED, reason="is the interpreter already")
@pytest.mark.slow
def test_under_the_interpreter() -> None:
    pytest.importorskip("triton")
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "cpu", __file__],
        env=os.environ | {"TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "passed" in run.stdout


@pytest.fixture(params=DEVICES)
def device(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def tiling() -> "triton_splat.Tiling":
    """Few programs, so that the interpreter is soon done."""
    return triton_splat.Tiling(height=16, width=16, warps=2, unroll=2)


@pytest.fixture(autouse=True)
def _short_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sorting is what the interpreter is slowest at."""
    if INTERPRETED:
        monkeypatch.setattr(triton_bin, "RUN", 32)


def scene(device: str, number: int = 24, batch: int = 2) -> Gaussians:
    """Splats from under a pixel to a third of the picture in size, some outside of it."""
    return Gaussians(
        0.3 * torch.randn(batch, number, 3),
        torch.randn(batch, number, 4),
        0.004 * 20 ** torch.rand(batch, number, 3),
        torch.rand(batch, number),
        torch.rand(batch, number, 3),
    ).to(device)


def cameras(device: str) -> Camera:
    return Camera.orbit(torch.tensor([0.4, -0.7]), torch.tensor([0.1, -0.2]), 0.3).to(device)


def with_gradients(draw, gaussians: Gaussians) -> tuple[Rendered, Gaussians]:
    leaves = gaussians.map(lambda t: t.detach().clone().requires_grad_())
    picture = draw(leaves)
    waves = (
        torch.linspace(0, 9, p.numel(), device=p.device).sin().view_as(p)
        for p in vars(picture).values()
    )
    sum((p * w).sum() for p, w in zip(vars(picture).values(), waves, strict=True)).backward()
    return picture.map(torch.Tensor.detach), leaves.map(lambda t: t.grad)


def assert_equal(gaussians: Gaussians, camera: Camera, size=SIZE, **options) -> None:
    """Values within `VISIBLE` of the reference in float64, nearly all far closer; gradients."""
    antialiased = options.get("antialiased", False)
    picture, grads = with_gradients(
        lambda g: triton_splat.splat(g, camera, size, **options), gaussians
    )
    exact = camera.to(torch.float64)
    expected, expected_grads = with_gradients(
        lambda g: reference.splat(g, exact, size, antialiased=antialiased),
        gaussians.to(torch.float64),
    )
    for name, plane in vars(expected).items():
        off = (vars(picture)[name] - plane).abs()
        assert off.max() <= VISIBLE, name
        assert off.flatten().quantile(0.99) <= 0.01 * VISIBLE, name
    for name, grad in vars(expected_grads).items():
        off = (vars(grads)[name] - grad).norm()
        assert off <= 1e-3 * grad.norm().clamp(min=1e-6), name


@pytest.mark.parametrize("antialiased", [False, True])
def test_equals_the_reference(device: str, antialiased: bool, tiling) -> None:
    assert_equal(scene(device), cameras(device), antialiased=antialiased, tiling=tiling)


def test_the_cut_changes_nothing(device: str) -> None:
    gaussians, camera = scene(device, 12, batch=1), cameras(device)[:1]
    pictures = [
        triton_splat.splat(gaussians, camera, SIZE, tiling=triton_splat.Tiling(h, w, 1, u))
        for h, w, u in ((8, 8, 4), (8, 16, 1), (16, 8, 3))
    ]
    for picture in pictures[1:]:
        for a, b in zip(vars(picture).values(), vars(pictures[0]).values(), strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=1e-6)


def test_memory_is_not_read_before_it_is_written(
    device: str, tiling, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What `torch.empty` returns is poison here, and the first splat is not drawn."""
    empty = torch.empty

    def poisoned(*args, requires_grad: bool = False, **kwargs) -> torch.Tensor:
        new = empty(*args, **kwargs)
        new.fill_(float("nan") if new.is_floating_point() else 2**30)
        return new.requires_grad_(requires_grad)

    gaussians = scene(device, 8, batch=1)
    gaussians.opacities[:, 0] = 0
    monkeypatch.setattr(torch, "empty", poisoned)
    assert_equal(gaussians, cameras(device)[:1], tiling=tiling)


def test_opaque_layers_stop_the_light(device: str, tiling) -> None:
    """Opacity 1 (capped, so without gradient) and 0, and pixels that end before the list does."""
    gaussians = scene(device, 12, batch=1)
    opacities = torch.tensor([0.0, 1.0, 1.0], device=device).repeat(4)[None]
    gaussians = Gaussians(
        gaussians.means * 0.1, gaussians.quats, gaussians.scales * 5, opacities, gaussians.colors
    )
    assert_equal(gaussians, cameras(device)[:1], tiling=tiling)


def test_a_splat_wider_than_the_picture(device: str) -> None:
    """It touches every tile; another's centre lies beyond the Jacobian's guard."""
    gaussians = scene(device, 2, batch=1)
    means = torch.tensor([[[0.0, 0.0, 0.0], [1.2, 0.1, 0.3]]], device=device)
    gaussians = Gaussians(
        means, gaussians.quats,
        torch.tensor([0.3, 0.4, 0.6], device=device).expand(1, 2, 3), gaussians.opacities * 0 + 0.9,
        gaussians.colors,
    )  # fmt: skip
    assert_equal(
        gaussians, cameras(device)[:1], (32, 36), tiling=triton_splat.Tiling(8, 8, 1, unroll=1)
    )


def test_what_cannot_be_seen(device: str, tiling) -> None:
    """Behind the camera, beside the picture, or transparent: black, and no gradient."""
    gaussians = scene(device, 3, batch=1)
    means = torch.tensor([[[0.0, 0.0, 6.0], [9.0, 0.0, 0.0], [0.0, 0.0, 0.0]]], device=device)
    opacities = torch.tensor([[0.9, 0.9, 0.001]], device=device)
    gaussians = Gaussians(means, gaussians.quats, gaussians.scales, opacities, gaussians.colors)
    camera = Camera.orbit(torch.zeros(1)).to(device)
    picture, grads = with_gradients(
        lambda g: triton_splat.splat(g, camera, SIZE, tiling=tiling), gaussians
    )
    for value in (*vars(picture).values(), *vars(grads).values()):
        assert not value.any()


def test_no_gaussians(device: str) -> None:
    gaussians = scene(device, 0)
    picture, grads = with_gradients(
        lambda g: triton_splat.splat(g, cameras(device), SIZE), gaussians
    )
    assert picture.image.shape == (2, 3, *SIZE)
    assert grads.means.shape == (2, 0, 3)
    assert not picture.alpha.any()


def test_bounded_draws_the_same(device: str, tiling) -> None:
    gaussians, camera = scene(device, 12), cameras(device)
    free = triton_splat.splat(gaussians, camera, SIZE, tiling=tiling)
    bounded, needed = triton_splat.splat_bounded(gaussians, camera, SIZE, 500, tiling=tiling)
    assert 12 < needed <= 500
    assert torch.equal(bounded.image, free.image)


def test_too_little_room_is_told(device: str, tiling) -> None:
    """Some pairs are missing, nothing else is written, and how many there were is still right."""
    gaussians, camera = scene(device, 12), cameras(device)
    _, needed = triton_splat.splat_bounded(gaussians, camera, SIZE, 500, tiling=tiling)
    picture, told = triton_splat.splat_bounded(gaussians, camera, SIZE, 10, tiling=tiling)
    full = triton_splat.splat(gaussians, camera, SIZE, tiling=tiling)
    assert told == needed
    assert not torch.equal(picture.image, full.image)
    assert picture.alpha.min() >= 0
    assert picture.alpha.max() <= 1


def test_a_list_longer_than_a_run(device: str, tiling, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists of no round length, merged from sorted runs in several passes; and equal depths."""
    monkeypatch.setattr(triton_bin, "RUN", 8)
    gaussians = scene(device, 45, batch=1)
    twice = gaussians.map(lambda t: t.repeat_interleave(2, 1)[:, :77])
    twice = Gaussians(
        twice.means * 0.2, twice.quats, twice.scales, 0.3 * twice.opacities, twice.colors
    )
    assert_equal(twice, cameras(device)[:1], (16, 16), tiling=tiling)


@pytest.mark.parametrize("programs", [1, 3])
def test_programs_that_write_a_group_take_turns(
    device: str, tiling, monkeypatch: pytest.MonkeyPatch, programs: int
) -> None:
    """A few pairs at once, so that each program has several turns, the last ones of them short."""
    monkeypatch.setattr(triton_bin, "SLOTS", 8)
    monkeypatch.setattr(triton_bin, "MOST_SHARE", programs)
    assert_equal(scene(device, 12, batch=1), cameras(device)[:1], tiling=tiling)


def test_half_precision_inputs(device: str, tiling) -> None:
    gaussians, camera = scene(device, 12).to(torch.float16), cameras(device)
    picture, grads = with_gradients(
        lambda g: triton_splat.splat(g, camera, SIZE, tiling=tiling), gaussians
    )
    wide = triton_splat.splat(gaussians.to(torch.float32), camera, SIZE, tiling=tiling)
    assert picture.image.dtype == torch.float32
    assert grads.means.dtype == torch.float16
    assert torch.equal(picture.image, wide.image)


@pytest.mark.gpu
def test_a_large_scene() -> None:
    gaussians = scene("cuda", 20_000)
    gaussians = Gaussians(
        gaussians.means, gaussians.quats, gaussians.scales * 0.3, gaussians.opacities,
        gaussians.colors,
    )  # fmt: skip
    assert_equal(gaussians, cameras("cuda"), (252, 300))


@pytest.mark.gpu
def test_more_tiles_than_short_keys() -> None:
    """A batch whose tiles need keys of 32 bits."""
    gaussians = scene("cuda", 50, batch=80)
    camera = Camera.orbit(torch.linspace(-1, 1, 80)).to("cuda")
    picture = triton_splat.splat(gaussians, camera, (256, 256))
    for i in (0, 79):
        alone = triton_splat.splat(gaussians[i : i + 1], camera[i : i + 1], (256, 256))
        torch.testing.assert_close(picture.image[i], alone.image[0], rtol=0, atol=1e-6)


@pytest.mark.gpu
def test_a_graph_replays_what_its_inputs_say() -> None:
    first, second = scene("cuda", 500), scene("cuda", 500)
    held, camera = first.map(torch.clone), cameras("cuda")
    triton_splat.splat_bounded(held, camera, SIZE, 50_000)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        picture, needed = triton_splat.splat_bounded(held, camera, SIZE, 50_000)
    for gaussians in (first, second):
        for slot, value in zip(vars(held).values(), vars(gaussians).values(), strict=True):
            slot.copy_(value)
        graph.replay()
        assert needed <= 50_000
        expected = triton_splat.splat(gaussians, camera, SIZE).image
        torch.testing.assert_close(picture.image, expected, rtol=0, atol=1e-6)
