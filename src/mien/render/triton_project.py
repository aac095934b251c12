"""Gaussians to splats on a GPU: the first kernel of a picture.

It writes for every Gaussian what blending reads (`RECORD` numbers), its depth, and its
footprint: the rectangle of tiles that it may touch, and which of them it does touch. A tile
counts as touched if the ellipse inside which α ≥ 1/255 meets the box of its pixel centres, so
nothing is binned for nothing.

Maths as in `mien.render.reference`, in float32. Axis legend: B cameras, N Gaussians a camera,
M = B·N; rows of matrices are the camera's axes.
"""

# Triton comes with torch's GPU builds only, and its kernels' launch syntax has no types.
# pyright: reportMissingImports=false, reportIndexIssue=false

from __future__ import annotations

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from mien.render.reference import ALPHA_MIN, BLUR, GUARD, NEAR
from mien.structures import Camera, Gaussians

RECORD = 10
"""Numbers a splat: x, y in pixels; ½xx, xy, ½yy of the conic and log α at the centre, both for
base 2; red, green, blue, depth."""

MASKED = 63
"""Rectangles of up to this many tiles have a bit for each; all of a larger one is touched."""

BLOCK = 128
"""Gaussians a program."""


_NEAR = tl.constexpr(NEAR)
_BLUR = tl.constexpr(BLUR)
_GUARD = tl.constexpr(GUARD)
_ALPHA_MIN = tl.constexpr(ALPHA_MIN)
_RECORD = tl.constexpr(RECORD)
_MASKED = tl.constexpr(MASKED)
_LOG2_E = tl.constexpr(1.4426950408889634)


def blocks(length: int, size: int) -> int:
    """How many of a size cover a length."""
    return -(-length // size)


class Splats(NamedTuple):
    """What projection writes, for every Gaussian of every camera; `footprints` are undefined for
    those that are not drawn.

    Args:
        records: (M, RECORD) float32, zeros for what is not drawn.
        depths: (M,) float32 along the camera's z, infinite for what is not drawn.
        footprints: (M, 2) int64; the rectangle of tiles as four 16-bit numbers (columns, rows,
            first column, first row), and its bits, row by row.
        counts: (M,) int32, tiles touched.
    """

    records: Tensor
    depths: Tensor
    footprints: Tensor
    counts: Tensor


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
def _least(a, b, c, x, y, low_x, high_x, low_y, high_y):
    """Least of ½ax² + bxy + ½cy² over a box, coordinates from the splat's centre at (x, y)."""
    near_x = tl.minimum(tl.maximum(x, low_x), high_x) - x
    near_y = tl.minimum(tl.maximum(y, low_y), high_y) - y
    # The form is convex: with the centre outside, its least lies on an edge that faces it.
    along_y = tl.minimum(tl.maximum(y - b / c * near_x, low_y), high_y) - y
    along_x = tl.minimum(tl.maximum(x - b / a * near_y, low_x), high_x) - x
    on_x = 0.5 * (a * near_x * near_x + c * along_y * along_y) + b * near_x * along_y
    on_y = 0.5 * (a * along_x * along_x + c * near_y * near_y) + b * along_x * near_y
    far = float("inf")
    least = tl.minimum(tl.where(near_x != 0, on_x, far), tl.where(near_y != 0, on_y, far))
    return tl.where((near_x == 0) & (near_y == 0), 0.0, least)


@triton.jit
def _touched(x, y, a, b, c, reach_x, reach_y, level, tiles_x, tiles_y, TILE_W, TILE_H):
    """Tiles that a splat touches: (column, row, columns, rows, bits of the rectangle, count)."""
    column = tl.ceil((x - reach_x + 0.5) / TILE_W) - 1
    row = tl.ceil((y - reach_y + 0.5) / TILE_H) - 1
    last_column = tl.floor((x + reach_x - 0.5) / TILE_W)
    last_row = tl.floor((y + reach_y - 0.5) / TILE_H)
    column = tl.minimum(tl.maximum(column, 0.0), tiles_x + 0.0).to(tl.int32)
    row = tl.minimum(tl.maximum(row, 0.0), tiles_y + 0.0).to(tl.int32)
    last_column = tl.minimum(tl.maximum(last_column, -1.0), tiles_x - 1.0).to(tl.int32)
    last_row = tl.minimum(tl.maximum(last_row, -1.0), tiles_y - 1.0).to(tl.int32)
    columns = tl.maximum(last_column - column + 1, 0)
    rows = tl.maximum(last_row - row + 1, 0)
    # The reach of an ellipse that cannot be drawn is negative: no tiles.
    area = tl.where(level >= 0, columns * rows, 0)

    bits = tl.zeros_like(area).to(tl.int64)
    count = tl.zeros_like(area)
    i = tl.zeros_like(area)
    j = tl.zeros_like(area)
    small = area <= _MASKED
    t = 0
    limit = tl.max(tl.where(small, area, 0), 0)
    while t < limit:
        low_x = ((column + i) * TILE_W).to(tl.float32) + 0.5
        low_y = ((row + j) * TILE_H).to(tl.float32) + 0.5
        least = _least(a, b, c, x, y, low_x, low_x + (TILE_W - 1), low_y, low_y + (TILE_H - 1))
        hit = (least <= level) & (t < area) & small
        bits |= hit.to(tl.int64) << t
        count += hit.to(tl.int32)
        i += 1
        wrap = i >= columns
        j += wrap.to(tl.int32)
        i = tl.where(wrap, 0, i)
        t += 1
    return column, row, columns, rows, bits, tl.where(small, count, area)


@triton.jit(do_not_specialize=["N", "width", "height", "tiles_x", "tiles_y"])
def project_kernel(
    means, quats, scales, opacities, colors, world_from_cam, intrinsics,
    records, depths, footprints, counts,
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
    # A little more than the ellipse, against rounding: blending has the last word.
    level = tl.where(drawn, tl.log(opacity / _ALPHA_MIN) + 1e-3, -1.0)
    twice = tl.maximum(2 * level, 0.0)
    column, row, columns, rows, bits, count = _touched(
        x, y, a, b, c, tl.sqrt(twice * xx), tl.sqrt(twice * yy), level, tiles_x, tiles_y,
        TILE_W, TILE_H,
    )  # fmt: skip

    seen = mask & (count > 0)
    tl.store(counts + index, count, mask)
    tl.store(depths + index, tl.where(seen, z, float("inf")), mask)
    corner = (columns << 16 | rows).to(tl.int64) << 32 | (column << 16 | row).to(tl.int64)
    tl.store(footprints + index * 2, corner, seen)
    tl.store(footprints + index * 2 + 1, bits, seen)
    red, green, blue = load3(colors, index, seen)
    # Past a list's end blending reads the first record, with weight 0: it must hold numbers.
    at = records + index * _RECORD
    tl.store(at, tl.where(seen, x, 0.0), mask)
    tl.store(at + 1, tl.where(seen, y, 0.0), mask)
    tl.store(at + 2, tl.where(seen, a * (0.5 * _LOG2_E), 0.0), mask)
    tl.store(at + 3, tl.where(seen, b * _LOG2_E, 0.0), mask)
    tl.store(at + 4, tl.where(seen, c * (0.5 * _LOG2_E), 0.0), mask)
    tl.store(at + 5, tl.where(seen, tl.log2(opacity), 0.0), mask)
    tl.store(at + 6, red, mask)
    tl.store(at + 7, green, mask)
    tl.store(at + 8, blue, mask)
    tl.store(at + 9, tl.where(seen, z, 0.0), mask)


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
        torch.empty(batch * number, device=device),
        torch.empty(batch * number, 2, dtype=torch.int64, device=device),
        torch.empty(batch * number, dtype=torch.int32, device=device),
    )
    project_kernel[(blocks(number, BLOCK), batch)](
        gaussians.means, gaussians.quats, gaussians.scales, gaussians.opacities, gaussians.colors,
        camera.world_from_cam, camera.intrinsics, *splats, number, size[1], size[0],
        blocks(size[1], tile[1]), blocks(size[0], tile[0]),
        ANTIALIASED=antialiased, TILE_W=tile[1], TILE_H=tile[0], SIZE=BLOCK,
    )  # fmt: skip
    return splats
