"""The GPU rasteriser: 3D Gaussian splatting in Triton, forward and backward, nothing to compile.

    Gaussians ─ triton_project ─► splats ─ triton_bin ─► a list a tile ─ triton_blend ─► Rendered

Equals `mien.render.reference` in value and gradient; runs on CPU tensors too under Triton's
interpreter (TRITON_INTERPRET=1), which is how its tests run without a GPU.

Axis legend: B batch, N Gaussians, M = B·N, T tiles of all pictures, H W pixels.
"""

# Triton comes with torch's GPU builds only, and its kernels' launch syntax has no types.
# pyright: reportMissingImports=false, reportIndexIssue=false

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from mien.render.triton_bin import bin_splats
from mien.render.triton_blend import blend_backward_kernel, blend_kernel
from mien.render.triton_project import blocks, project
from mien.render.triton_project_backward import MOMENTS, project_backward
from mien.structures import Camera, Gaussians, Rendered


class Tiling(NamedTuple):
    """How a picture is cut among the GPU's programs; changes speed only.

    Args:
        height, width: of a tile in pixels, powers of two.
        warps: that share a tile.
        unroll: splats whose numbers are fetched at once.
    """

    height: int = 8
    width: int = 8
    warps: int = 1
    unroll: int = 4


TILING = Tiling()


def splat(
    gaussians: Gaussians,
    camera: Camera,
    size: tuple[int, int],
    *,
    antialiased: bool = False,
    tiling: Tiling = TILING,
) -> Rendered:
    """Draw Gaussians (B, N), each batch element by its own camera (B,).

    Differentiable with respect to the Gaussians. The host waits once for the device, to learn how
    much memory the lists of splats need; `splat_bounded` never waits.

    Args:
        gaussians: of any floating-point type; arithmetic is float32.
        camera: in axes and units of `mien.structures`; gets no gradients.
        size: (H, W) in pixels.
        antialiased: fade splats that the projection widens (Yu et al. 2024, Mip-Splatting).
        tiling: how the picture is cut; changes speed only.
    """
    return _draw(gaussians, camera, size, antialiased, tiling, None)[0]


def splat_bounded(
    gaussians: Gaussians,
    camera: Camera,
    size: tuple[int, int],
    capacity: int,
    *,
    antialiased: bool = False,
    tiling: Tiling = TILING,
) -> tuple[Rendered, Tensor]:
    """Draw as `splat` does, in memory of a fixed size and without waiting for the device.

    What a CUDA graph can capture: no host sync, and shapes that depend on arguments' shapes only.

    Args:
        gaussians, camera, size, antialiased, tiling: see `splat`.
        capacity: the most pairs of a splat and a tile it touches, over the whole batch. Beyond
            it some are left out, any.

    Returns:
        The pictures, and how many pairs there were, (1,) int64 on the device: read it now and
        then, and grow the capacity if it is exceeded.
    """
    return _draw(gaussians, camera, size, antialiased, tiling, capacity)


def _draw(
    gaussians: Gaussians,
    camera: Camera,
    size: tuple[int, int],
    antialiased: bool,
    tiling: Tiling,
    capacity: int | None,
) -> tuple[Rendered, Tensor]:
    means = gaussians.means
    if means.numel() * size[0] * size[1] == 0:
        nothing = means.float().sum() * 0
        black = (means.new_zeros(len(means), c, *size, dtype=torch.float32) for c in (3, 1, 1))
        pairs = means.new_zeros(1, dtype=torch.int64)
        return Rendered(*(plane + nothing for plane in black)), pairs
    camera = camera.map(lambda t: t.float().contiguous())
    with torch.cuda.device_of(means):
        *planes, pairs = _Splat.apply(
            means, gaussians.quats, gaussians.scales, gaussians.opacities, gaussians.colors,
            camera, size, antialiased, tiling, capacity,
        )  # fmt: skip
    return Rendered(*planes), pairs


class _Splat(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        means: Tensor,
        quats: Tensor,
        scales: Tensor,
        opacities: Tensor,
        colors: Tensor,
        camera: Camera,
        size: tuple[int, int],
        antialiased: bool,
        tiling: Tiling,
        capacity: int | None,
    ) -> tuple[Tensor, ...]:
        gaussians = Gaussians(means, quats, scales, opacities, colors)
        gaussians = gaussians.map(lambda t: t.contiguous())
        tiles = blocks(size[0], tiling.height), blocks(size[1], tiling.width)
        splats = project(gaussians, camera, size, tiling[:2], antialiased=antialiased)
        if capacity is None:
            capacity = int(splats.pairs)
        bins = bin_splats(splats, len(means), tiles, tiling[:2], capacity)
        planes = [means.new_empty(len(means), c, *size, dtype=torch.float32) for c in (3, 1, 1)]
        read = (splats.records.view(torch.int64), bins.splats, bins.ranges, *planes)
        blend_kernel[(len(bins.ranges),)](*read, *_cut(size, tiles), **_options(tiling))
        ctx.save_for_backward(*vars(gaussians).values(), splats.counts, *read)
        ctx.rest = camera, size, tiles, antialiased, tiling
        ctx.mark_non_differentiable(splats.pairs)
        return *planes, splats.pairs

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *grads: Tensor
    ) -> tuple[Tensor | None, ...]:
        *attributes, counts, records, listed, ranges, image, alpha, depth = ctx.saved_tensors
        camera, size, tiles, antialiased, tiling = ctx.rest
        with torch.cuda.device_of(records):
            moments = torch.zeros(len(records), MOMENTS, device=records.device)
            blend_backward_kernel[(len(ranges),)](
                records, listed, ranges, image, alpha, depth,
                *(grad.float().contiguous() for grad in grads[:3]), moments,
                *_cut(size, tiles), **_options(tiling),
            )  # fmt: skip
            result = project_backward(
                Gaussians(*attributes), camera, size, counts, moments, antialiased=antialiased
            )
        cast = (g.to(a.dtype) for g, a in zip(vars(result).values(), attributes, strict=True))
        return *cast, *(None,) * 5


def _cut(size: tuple[int, int], tiles: tuple[int, int]) -> tuple[int, int, int, int]:
    """Width and height of the picture, columns of tiles, tiles a picture."""
    return size[1], size[0], tiles[1], tiles[0] * tiles[1]


def _options(tiling: Tiling) -> dict[str, int]:
    return {
        "TILE_W": tiling.width,
        "TILE_H": tiling.height,
        "UNROLL": tiling.unroll,
        "num_warps": tiling.warps,
    }
