"""The rasteriser for processors: its threads, its memory, its cache. (What it draws: parity.)"""

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

from mien.render import cpu_kernels
from mien.render.cpu import CpuSplatter
from mien.structures import Camera, Gaussians, Rendered

CAMERA = Camera.orbit(0.2, 0.1)


def scene(count: int, seed: int = 0) -> Gaussians:
    rng = torch.Generator().manual_seed(seed)
    return Gaussians(
        0.3 * torch.randn(count, 3, generator=rng),
        torch.randn(count, 4, generator=rng),
        0.002 + 0.05 * torch.rand(count, 3, generator=rng),
        torch.rand(count, generator=rng),
        torch.rand(count, 3, generator=rng),
    )


def same(one: Rendered, other: Rendered) -> bool:
    pairs = zip(vars(one).values(), vars(other).values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def test_how_many_threads_changes_nothing() -> None:
    gaussians = scene(3000)
    one = CpuSplatter(threads=1).render(gaussians, CAMERA, (70, 150))
    assert same(one, CpuSplatter(threads=5).render(gaussians, CAMERA, (70, 150)))


def test_what_was_drawn_before_changes_nothing() -> None:
    splatter = CpuSplatter(threads=2)
    first = splatter.render(scene(500), CAMERA, (40, 60))
    kept = first.map(torch.clone)
    for count, size in ((3000, (70, 150)), (10, (5, 3)), (0, (16, 32)), (500, (150, 40))):
        fresh = CpuSplatter(threads=2).render(scene(count, count), CAMERA, size)
        assert same(splatter.render(scene(count, count), CAMERA, size), fresh)
    assert same(splatter.render(scene(500), CAMERA, (40, 60)), kept)
    assert same(first, kept)


def test_many_splatters_at_once() -> None:
    def draw(seed: int) -> Rendered:
        return CpuSplatter(threads=2).render(scene(2000, seed), CAMERA, (64, 64))

    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(draw, range(8)))
    assert all(same(picture, draw(seed)) for seed, picture in enumerate(together))


def test_memory_of_any_layout_and_type() -> None:
    gaussians = scene(100)
    odd = gaussians.map(lambda t: torch.stack([t, t], -1).double()[..., 0].requires_grad_())
    assert not odd.means.is_contiguous()
    splatter = CpuSplatter(threads=1)
    plain = splatter.render(gaussians, CAMERA, (30, 30))
    assert same(splatter.render(odd, CAMERA, (30, 30)), plain)


def test_what_each_gaussian_shows_adds_up_to_the_picture() -> None:
    gaussians, size = scene(800), (70, 150)
    splatter = CpuSplatter(threads=2)
    pixels = splatter.shown(gaussians, CAMERA, size)
    picture = splatter.render(gaussians, CAMERA, size)
    torch.testing.assert_close(pixels.sum(), picture.alpha.sum(), rtol=1e-4, atol=0)
    colored = picture.image.sum((1, 2))
    torch.testing.assert_close(pixels @ gaussians.colors, colored, rtol=1e-3, atol=0)
    hidden = gaussians.map(torch.clone)
    hidden.means[::2, 2] = 50  # behind the camera
    assert (splatter.shown(hidden, CAMERA, size)[::2] == 0).all()


def test_depths_are_sorted_over_their_whole_range() -> None:
    keys = torch.cat([torch.rand(500) * 10.0 ** torch.randint(-2, 30, (500,)), torch.ones(20)])
    keys[::7] = torch.inf
    shown = keys.isfinite().nonzero()[:, 0]
    expected = shown[keys[shown].argsort(stable=True)]
    room = torch.empty(2, len(keys), dtype=torch.int32).numpy()
    found = cpu_kernels.sort(keys.numpy().view("uint32"), *room)
    assert found.tolist() == expected.tolist()


def test_runs_where_nothing_can_be_written(tmp_path: Path) -> None:
    copy = tmp_path / "kernels.py"
    shutil.copy(cpu_kernels.__file__, copy)
    (tmp_path / "__pycache__").touch()  # a file, so that no such folder can be made
    nowhere = {"HOME": os.devnull, "XDG_CACHE_HOME": os.devnull, "NUMBA_CACHE_DIR": ""}
    code = (
        "import kernels, numpy as np;"
        "room = np.empty((2, 3), np.int32);"
        "assert kernels.sort(np.array([3, 1, 2], np.uint32), *room).tolist() == [1, 2, 0]"
    )
    path = os.pathsep.join([str(tmp_path), *sys.path])
    subprocess.run(
        [sys.executable, "-c", code], check=True, env=os.environ | nowhere | {"PYTHONPATH": path}
    )
