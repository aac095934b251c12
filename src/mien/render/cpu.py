"""The rasteriser for real time on a processor: float32, compiled by numba.

The same picture as `mien.render.reference`, to well under 1/255. A frame takes five steps: project
every Gaussian; sort them by depth; bring them into that order; list, for each tile, which splats
touch which of its rows; blend tile by tile. All but the sort are cut into jobs that threads share.

A picture is linear in the colours, so for them, and for them alone, there are gradients: the same
weights, summed over pixels rather than over splats.

Axis legend: N Gaussians, M of them drawn, T tiles, E entries of the tiles' lists, H W pixels.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import DTypeLike, NDArray
from torch import Tensor

from mien.render import cpu_kernels as kernels
from mien.render.cpu_kernels import FIELDS, LANES, ROWS
from mien.structures import Camera, Gaussians, Rendered


class _Lists(NamedTuple):
    """Which splats touch which tile; see `cpu_kernels.list_splats`."""

    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    ranks: NDArray[np.int32]
    rows: NDArray[np.uint8]


class CpuSplatter:
    """Draws picture after picture; keeps its threads and its memory in between.

    One picture at a time: to draw several at once take several splatters.

    Args:
        threads: that share the work; by default as many as PyTorch uses.
    """

    def __init__(self, threads: int | None = None) -> None:
        self.threads = threads or torch.get_num_threads()
        self._pool = ThreadPoolExecutor(self.threads)
        self._memory: dict[str, NDArray[Any]] = {}

    def render(
        self,
        gaussians: Gaussians,
        camera: Camera,
        size: tuple[int, int],
        *,
        antialiased: bool = False,
    ) -> Rendered:
        """Draw Gaussians (N) by one camera, neither batched; see `mien.render.splat`."""
        splats, _, counts = self._project(gaussians, camera, size, antialiased)
        lists = self._list(splats, counts, size)
        return self._blend(splats, lists, size)

    def shown(self, gaussians: Gaussians, camera: Camera, size: tuple[int, int]) -> Tensor:
        """How many pixels' worth of a picture each Gaussian makes up, (N,); see `render`."""
        ones = torch.ones(3, *size)
        return self.gathered(gaussians, camera, ones, antialiased=False)[:, 0]

    def gathered(
        self, gaussians: Gaussians, camera: Camera, picture: Tensor, *, antialiased: bool
    ) -> Tensor:
        """`render` turned round: what a picture (3, H, W) holds where each Gaussian is seen, times
        how much of it is, summed over pixels, (N, 3). Whatever colours they have.
        """
        size = (picture.shape[1], picture.shape[2])
        splats, order, counts = self._project(gaussians, camera, size, antialiased)
        lists = self._list(splats, counts, size)
        padded = (size[0], -(-size[1] // LANES) * LANES)
        flat = torch.nn.functional.pad(picture, (0, padded[1] - size[1])).numpy().reshape(-1)
        # Splats reach across tiles: each job has sums of its own.
        jobs = _even(lists, self.threads)
        sums = np.zeros((len(jobs), len(splats), 3), np.float32)
        self._share(
            jobs,
            lambda job, first, last: kernels.gather_pixels(
                first, last, padded, splats, *lists, flat, sums[job]
            ),
        )
        result = torch.zeros(len(gaussians.means), 3)
        result[torch.from_numpy(order).long()] = torch.from_numpy(sums.sum(0))
        return result

    def _project(
        self, gaussians: Gaussians, camera: Camera, size: tuple[int, int], antialiased: bool
    ) -> tuple[NDArray[np.float32], NDArray[np.int32], NDArray[np.int32]]:
        """Splats (M, 16) near to far; which Gaussians they are, (M,); and how many entries each
        tile needs at most, (T,).
        """
        scene = [_numpy(value) for value in vars(gaussians).values()]
        numbers = _camera_numbers(camera, size)
        total = len(scene[0])
        splats = self._take("splats", (total, FIELDS), np.float32)
        depths = self._take("depths", (total,), np.float32)
        jobs = _cut(total, 2 * self.threads)
        counts = np.zeros((len(jobs), _tiles(size)), np.int32)
        self._share(jobs, lambda job, first, last: kernels.project(
            first, last, *scene, numbers, size, antialiased, splats, depths, counts[job]
        ))  # fmt: skip
        # Positive floats are ordered as their bits are.
        order = kernels.sort(
            depths.view(np.uint32),
            self._take("order", (total,), np.int32),
            self._take("spare", (total,), np.int32),
        )
        ranked = self._take("ranked", (len(order), FIELDS), np.float32)
        self._share(
            _cut(len(order), 2 * self.threads),
            lambda _, first, last: kernels.gather(first, last, order, splats, ranked),
        )
        return ranked, order, counts.sum(0)

    def _list(
        self, splats: NDArray[np.float32], counts: NDArray[np.int32], size: tuple[int, int]
    ) -> _Lists:
        starts = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
        lists = _Lists(
            starts,
            np.empty_like(counts, np.int64),
            self._take("ranks", (starts[-1],), np.int32),
            self._take("rows", (starts[-1], 2), np.uint8),
        )
        self._share(
            _cut(-(-size[1] // LANES), 2 * self.threads),
            lambda _, first, last: kernels.list_splats(first, last, size, splats, *lists),
        )
        return lists

    def _blend(self, splats: NDArray[np.float32], lists: _Lists, size: tuple[int, int]) -> Rendered:
        height, width = size
        padded = (height, -(-width // LANES) * LANES)
        picture = torch.empty(5, *padded)
        flat = picture.numpy().reshape(-1)
        self._share(
            # Many of them: how many entries are hidden is not known.
            _even(lists, 8 * self.threads),
            lambda _, first, last: kernels.blend(first, last, padded, splats, *lists, flat),
        )
        return Rendered(*picture[:, :, :width].contiguous().split([3, 1, 1]))

    def _take(self, name: str, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """Memory of this shape: that of the last picture if it is large enough."""
        length = math.prod(shape)
        if name not in self._memory or len(self._memory[name]) < length:
            self._memory[name] = np.empty(length, dtype)
        return self._memory[name][:length].reshape(shape)

    def _share(
        self, jobs: Sequence[tuple[int, int]], work: Callable[[int, int, int], None]
    ) -> None:
        """Do `work(number, first, last)` for all jobs, in threads, and wait."""
        for _ in self._pool.map(lambda job: work(job[0], *job[1]), enumerate(jobs)):
            pass


class _Splat(torch.autograd.Function):
    """A batch, one picture after the other, that knows the image's gradient to the colours."""

    @staticmethod
    def forward(
        ctx: Any,
        colors: Tensor,
        gaussians: Gaussians,
        camera: Camera,
        size: tuple[int, int],
        antialiased: bool,
    ) -> tuple[Tensor, Tensor, Tensor]:
        del colors
        ctx.scene = gaussians, camera, antialiased
        splatter = CpuSplatter()
        pictures = [
            splatter.render(gaussians[index], camera[index], size, antialiased=antialiased)
            for index in range(len(gaussians.means))
        ]
        images, alphas, depths = zip(*(vars(picture).values() for picture in pictures), strict=True)
        rest = torch.stack(alphas), torch.stack(depths)
        ctx.mark_non_differentiable(*rest)
        return torch.stack(images), *rest

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        gaussians, camera, antialiased = ctx.scene
        splatter = CpuSplatter()
        parts = [
            splatter.gathered(gaussians[index], camera[index], one, antialiased=antialiased)
            for index, one in enumerate(gradients[0])
        ]
        return torch.stack(parts), None, None, None, None


def splat(
    gaussians: Gaussians, camera: Camera, size: tuple[int, int], *, antialiased: bool = False
) -> Rendered:
    """Draw a batch; see `mien.render.splat`."""
    return Rendered(*_Splat.apply(gaussians.colors, gaussians, camera, size, antialiased))


def _camera_numbers(camera: Camera, size: tuple[int, int]) -> NDArray[np.float32]:
    """(16,): rotation row by row and translation of cam_from_world, then, in pixels, the focal
    lengths and the principal point.
    """
    world_from_cam, intrinsics = _numpy(camera.world_from_cam), _numpy(camera.intrinsics)
    axes = world_from_cam[:3, :3].T
    extent = np.array([size[1], size[0]], np.float32)
    focal, centre = intrinsics[[0, 1], [0, 1]] * extent, intrinsics[:2, 2] * extent
    return np.concatenate([axes.ravel(), -axes @ world_from_cam[:3, 3], focal, centre])


def _numpy(tensor: Tensor) -> NDArray[np.float32]:
    return tensor.detach().to(torch.float32).contiguous().numpy()


def _even(lists: _Lists, parts: int) -> list[tuple[int, int]]:
    """The tiles in `parts` runs of about as many entries each: (first, last), last exclusive."""
    shares = lists.starts[-1] * np.arange(1, parts) // parts
    edges = [0, *np.searchsorted(lists.starts, shares), len(lists.ends)]
    return list(itertools.pairwise(edges))


def _tiles(size: tuple[int, int]) -> int:
    return -(-size[0] // ROWS) * -(-size[1] // LANES)


def _cut(length: int, parts: int) -> list[tuple[int, int]]:
    """`length` things in `parts` about equal runs: (first, last), last exclusive."""
    edges = [length * part // parts for part in range(parts + 1)]
    return list(itertools.pairwise(edges))
