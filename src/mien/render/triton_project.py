"""Gaussians to splats on a GPU: the first kernel of a picture.

It writes for every Gaussian what blending reads (`RECORD` numbers), how many tiles it touches, and
where the pairs of it with them are to stand. A tile counts as touched if the ellipse inside which
α ≥ 1/255 reaches its pixel centres, as wide as it gets in that row of tiles, so hardly anything is
binned for nothing.

Maths as in `mien.render.reference`, in float32. Axis legend: B cameras, N Gaussians a camera,
M = B·N; rows of matrices are the camera's axes.
"""

# Triton comes with torch's GPU builds only, and its kernels' launch syntax has no types.
# pyright: reportMissingImports=false, reportIndexIssue=false

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from mien.render.reference import ALPHA_MIN, BLUR, GUARD, NEAR
from mien.structures import Camera, Gaussians

RECORD = 10
"""Numbers a splat: x, y in pixels; xx, xy, yy and peak such that at (dx, dy) from there
log2 α = peak + xx dx² + xy dx dy + yy dy²; red, green, blue, depth."""

BLOCK = 128
"""Gaussians a program."""


_NEAR = tl.constexpr(NEAR)
_BLUR = tl.constexpr(BLUR)
_GUARD = tl.constexpr(GUARD)
_ALPHA_MIN = tl.constexpr(ALPHA_MIN)
_RECORD = tl.constexpr(RECORD)
_LOG2_E = tl.constexpr(1.4426950408889634)
# How far log₂ α may fall for a splat to be drawn; a little more, against rounding.
_LEVEL = tl.constexpr(-math.log2(ALPHA_MIN) + 0.01)


def blocks(length: int, size: int) -> int:
    """How many of a size cover a length."""
    return -(-length // size)


class Splats(NamedTuple):
    """What projection writes.

    Args:
        records: (M, RECORD) float32; undefined for Gaussians that are not drawn.
        counts: (M,) int32, tiles touched; 0 for what is not drawn.
        starts: (M,) int64, where a splat's tiles stand among all pairs of splat and tile. Each
            `BLOCK` of a camera's Gaussians stands together, in order; the blocks in any order.
        pairs: (1,) int64, of splat and tile in all.
    """

    records: Tensor
    counts: Tensor
    starts: Tensor
    pairs: Tensor


@triton.jit
def load3(base, index, mask):
    """Three consecutive numbers of row `index`."""
    at = base + index * 3
    return (
        tl.load(at, mask, 0.0).to(tl.float32),
        tl.load(at + 1, mask, 0.0).to(tl.float32),
        tl.load(at + 2, mask, 0.0).to(tl.float32),
    )


@triton.jit
def dot3(a, b):
    """Inner product of two triples."""
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


@triton.jit
def load_camera(world_from_cam, intrinsics, camera, width, height):
    """The camera's three axes and position in the world; focal lengths and centre in pixels."""
    m = world_from_cam + camera * 16
    k = intrinsics + camera * 9
    right = (tl.load(m + 0), tl.load(m + 4), tl.load(m + 8))
    down = (tl.load(m + 1), tl.load(m + 5), tl.load(m + 9))
    ahead = (tl.load(m + 2), tl.load(m + 6), tl.load(m + 10))
    position = (tl.load(m + 3), tl.load(m + 7), tl.load(m + 11))
    fx = tl.load(k) * width
    fy = tl.load(k + 4) * height
    cx = tl.load(k + 2) * width
    cy = tl.load(k + 5) * height
    return right, down, ahead, position, fx, fy, cx, cy


@triton.jit
def rotation(q):
    """Columns of the rotation matrix of a unit quaternion."""
    w, x, y, z = q
    first = (1 - 2 * (y * y + z * z), 2 * (x * y + w * z), 2 * (x * z - w * y))
    second = (2 * (x * y - w * z), 1 - 2 * (x * x + z * z), 2 * (y * z + w * x))
    third = (2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y))
    return first, second, third


@triton.jit
def load_quaternion(quats, index, mask):
    """A unit quaternion and one over the length it was stored with."""
    at = quats + index * 4
    w = tl.load(at, mask, 1.0).to(tl.float32)
    x = tl.load(at + 1, mask, 0.0).to(tl.float32)
    y = tl.load(at + 2, mask, 0.0).to(tl.float32)
    z = tl.load(at + 3, mask, 0.0).to(tl.float32)
    shrink = 1 / tl.maximum(tl.sqrt(w * w + x * x + y * y + z * z), 1e-12)
    return (w * shrink, x * shrink, y * shrink, z * shrink), shrink


@triton.jit
def guarded(ray, focal, centre, extent):
    """The direction at which the Jacobian is taken: at most `GUARD` half pictures outside."""
    guard = _GUARD * 0.5 * extent / focal
    low = -centre / focal - guard
    high = (extent - centre) / focal + guard
    return tl.minimum(tl.maximum(ray, low), high)


@triton.jit
def jacobian_rows(right, down, ahead, fx, fy, ray_x, ray_y, rz):
    """∂(pixel)/∂(world position) at the guarded direction: two rows of three."""
    jx = fx * rz
    jy = fy * rz
    kx = -jx * ray_x
    ky = -jy * ray_y
    first = (
        jx * right[0] + kx * ahead[0],
        jx * right[1] + kx * ahead[1],
        jx * right[2] + kx * ahead[2],
    )
    second = (
        jy * down[0] + ky * ahead[0],
        jy * down[1] + ky * ahead[1],
        jy * down[2] + ky * ahead[2],
    )
    return first, second


@triton.jit
def tile_rows(y, xx, xy, yy, peak, tiles_y, TILE_H: tl.constexpr):
    """Of splats as `RECORD` holds them: the first row of tiles that is touched, and how many."""
    level = peak + _LEVEL
    reach = tl.sqrt(-4 * xx * level / (4 * xx * yy - xy * xy))
    first = tl.ceil((y - reach + 0.5) / TILE_H) - 1
    last = tl.floor((y + reach - 0.5) / TILE_H)
    first = tl.maximum(first, 0.0)
    rows = tl.minimum(last, tiles_y - 1.0) - first + 1
    # Compared before they are integers, in which what is far outside would not fit.
    drawn = rows > 0
    return tl.where(drawn, first, 0.0).to(tl.int32), tl.where(drawn, rows, 0.0).to(tl.int32)


@triton.jit
def tile_span(x, y, xx, xy, yy, peak, row, tiles_x, TILE_W: tl.constexpr, TILE_H: tl.constexpr):
    """In a row of tiles: the first column that is touched, and how many."""
    level = peak + _LEVEL
    det = 4 * xx * yy - xy * xy
    low = (row * TILE_H).to(tl.float32) + 0.5 - y
    high = low + (TILE_H - 1)
    # The ellipse is widest to the right at -tilt, to the left at tilt; on either side of there
    # it narrows, so within the row it is widest as near as the row comes.
    tilt = xy / (2 * yy) * tl.sqrt(-4 * yy * level / det)
    right = tl.minimum(tl.maximum(-tilt, low), high)
    left = tl.minimum(tl.maximum(tilt, low), high)
    scale = -0.5 / xx
    right = scale * (xy * right + tl.sqrt(tl.maximum(-4 * xx * level - det * right * right, 0.0)))
    left = scale * (xy * left - tl.sqrt(tl.maximum(-4 * xx * level - det * left * left, 0.0)))
    first = tl.ceil((x + left + 0.5) / TILE_W) - 1
    last = tl.floor((x + right - 0.5) / TILE_W)
    first = tl.maximum(first, 0.0)
    columns = tl.minimum(last, tiles_x - 1.0) - first + 1
    drawn = columns > 0
    return tl.where(drawn, first, 0.0).to(tl.int32), tl.where(drawn, columns, 0.0).to(tl.int32)


@triton.jit(do_not_specialize=["N", "width", "height", "tiles_x", "tiles_y"])
def project_kernel(
    means, quats, scales, opacities, colors, world_from_cam, intrinsics,
    records, counts, starts, pairs,
    N, width, height, tiles_x, tiles_y,
    ANTIALIASED: tl.constexpr, TILE_W: tl.constexpr, TILE_H: tl.constexpr, SIZE: tl.constexpr,
):  # fmt: skip
    """Write the `Splats` of a block of Gaussians of one camera."""
    camera = tl.program_id(1)
    local = tl.program_id(0) * SIZE + tl.arange(0, SIZE)
    mask = local < N
    index = camera * N + local

    right, down, ahead, position, fx, fy, cx, cy = load_camera(
        world_from_cam, intrinsics, camera, width, height
    )
    px, py, pz = load3(means, index, mask)
    offset = (px - position[0], py - position[1], pz - position[2])
    z = dot3(offset, ahead)
    drawn = mask & (z >= _NEAR)
    rz = 1 / tl.where(drawn, z, 1.0)
    ray_x = dot3(offset, right) * rz
    ray_y = dot3(offset, down) * rz
    x = fx * ray_x + cx
    y = fy * ray_y + cy

    row_x, row_y = jacobian_rows(
        right, down, ahead, fx, fy,
        guarded(ray_x, fx, cx, width), guarded(ray_y, fy, cy, height), rz,
    )  # fmt: skip
    q, _ = load_quaternion(quats, index, mask)
    first, second, third = rotation(q)
    sx, sy, sz = load3(scales, index, mask)
    u = (dot3(row_x, first) * sx, dot3(row_x, second) * sy, dot3(row_x, third) * sz)
    v = (dot3(row_y, first) * sx, dot3(row_y, second) * sy, dot3(row_y, third) * sz)
    sharp_xx = dot3(u, u)
    sharp_yy = dot3(v, v)
    xy = dot3(u, v)
    xx = sharp_xx + _BLUR
    yy = sharp_yy + _BLUR
    det = xx * yy - xy * xy
    opacity = tl.load(opacities + index, mask, 0.0).to(tl.float32)
    if ANTIALIASED:
        opacity *= tl.sqrt(tl.maximum(sharp_xx * sharp_yy - xy * xy, 0.0) / det)

    drawn = drawn & (det > 0) & (opacity >= _ALPHA_MIN)
    opacity = tl.where(drawn, opacity, 1.0)
    rdet = 1 / tl.where(drawn, det, 1.0)
    a = yy * rdet
    b = -xy * rdet
    c = xx * rdet
    a *= -0.5 * _LOG2_E
    b *= -_LOG2_E
    c *= -0.5 * _LOG2_E
    peak = tl.log2(opacity)

    row, rows = tile_rows(y, a, b, c, peak, tiles_y, TILE_H)
    rows = tl.where(drawn, rows, 0)
    count = tl.zeros_like(rows)
    done = 0
    most = tl.max(rows, 0)
    while done < most:
        span = tile_span(x, y, a, b, c, peak, row + done, tiles_x, TILE_W, TILE_H)
        count += tl.where(done < rows, span[1], 0)
        done += 1
    wide = count.to(tl.int64)
    base = tl.atomic_add(pairs, tl.sum(wide, 0), sem="relaxed")
    tl.store(starts + index, base + tl.cumsum(wide, 0) - wide, mask)
    tl.store(counts + index, count, mask)

    seen = mask & (count > 0)
    red, green, blue = load3(colors, index, seen)
    at = records + index * _RECORD
    tl.store(at, x, seen)
    tl.store(at + 1, y, seen)
    tl.store(at + 2, a, seen)
    tl.store(at + 3, b, seen)
    tl.store(at + 4, c, seen)
    tl.store(at + 5, peak, seen)
    tl.store(at + 6, red, seen)
    tl.store(at + 7, green, seen)
    tl.store(at + 8, blue, seen)
    tl.store(at + 9, z, seen)


def project(
    gaussians: Gaussians,
    camera: Camera,
    size: tuple[int, int],
    tile: tuple[int, int],
    *,
    antialiased: bool,
) -> Splats:
    """Project Gaussians (B, N), each batch element by its own camera.

    Args:
        gaussians: contiguous, of any floating-point type.
        camera: (B,), float32, contiguous.
        size: (H, W) of the picture.
        tile: height and width of a tile in pixels.
        antialiased: see `mien.render.reference.project`.
    """
    batch, number = gaussians.means.shape[:2]
    device = gaussians.means.device
    splats = Splats(
        torch.empty(batch * number, RECORD, device=device),
        torch.empty(batch * number, dtype=torch.int32, device=device),
        torch.empty(batch * number, dtype=torch.int64, device=device),
        torch.zeros(1, dtype=torch.int64, device=device),
    )
    project_kernel[(blocks(number, BLOCK), batch)](
        gaussians.means, gaussians.quats, gaussians.scales, gaussians.opacities, gaussians.colors,
        camera.world_from_cam, camera.intrinsics, *splats, number, size[1], size[0],
        blocks(size[1], tile[1]), blocks(size[0], tile[0]),
        ANTIALIASED=antialiased, TILE_W=tile[1], TILE_H=tile[0], SIZE=BLOCK,
    )  # fmt: skip
    return splats
