"""The rasteriser for real time on a processor: float32, no gradients, compiled by numba.

The same picture as `mien.render.reference`, to well under 1/255. A frame takes five steps: project
every Gaussian; sort them by depth; bring them into that order; list, for each tile, which splats
touch which of its rows; blend tile by tile. All but the sort are cut into jobs that threads share.

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
        splats, order, counts = self._project(gaussians, camera, size, False)
        lists = self._list(splats, counts, size)
        ranked = np.zeros(len(splats), np.float32)
        kernels.measure(size, splats, *lists, ranked)
        result = torch.zeros(len(gaussians.means))
        result[torch.from_numpy(order).long()] = torch.from_numpy(ranked)
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
        # Jobs of about as many entries each, many of them: how many are hidden is not known.
        parts = 8 * self.threads
        shares = lists.starts[-1] * np.arange(1, parts) // parts
        edges = [0, *np.searchsorted(lists.starts, shares), len(lists.ends)]
        self._share(
            list(itertools.pairwise(edges)),
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


def splat(
    gaussians: Gaussians, camera: Camera, size: tuple[int, int], *, antialiased: bool = False
) -> Rendered:
    """Draw a batch, one picture after the other; see `mien.render.splat`."""
    splatter = CpuSplatter()
    pictures = [
        splatter.render(gaussians[index], camera[index], size, antialiased=antialiased)
        for index in range(len(gaussians.means))
    ]
    images, alphas, depths = zip(*(vars(picture).values() for picture in pictures), strict=True)
    return Rendered(torch.stack(images), torch.stack(alphas), torch.stack(depths))


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


def _tiles(size: tuple[int, int]) -> int:
    return -(-size[0] // ROWS) * -(-size[1] // LANES)


def _cut(length: int, parts: int) -> list[tuple[int, int]]:
    """`length` things in `parts` about equal runs: (first, last), last exclusive."""
    edges = [length * part // parts for part in range(parts + 1)]
    return list(itertools.pairwise(edges))
