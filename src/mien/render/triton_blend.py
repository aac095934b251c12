"""Blending on a GPU: one program a tile, front to back, and the same way again for gradients.

A program walks its tile's list; its pixels' state stays in registers. The backward kernel also
goes front to back: what lies behind a splat is what the picture shows less what has been passed,
so nothing need be kept from the forward kernel but the picture.

Maths as in `mien.render.reference`, in float32. Axis legend: P pixels of a tile.
"""

# Triton comes with torch's GPU builds only, and its kernels' launch syntax has no types.
# pyright: reportMissingImports=false, reportIndexIssue=false, reportAttributeAccessIssue=false

from __future__ import annotations

import triton
import triton.language as tl

from mien.render.reference import ALPHA_MAX, ALPHA_MIN, TRANSMITTANCE_MIN
from mien.render.triton_project import RECORD
from mien.render.triton_project_backward import MOMENTS

_ALPHA_MAX = tl.constexpr(ALPHA_MAX)
_ALPHA_MIN = tl.constexpr(ALPHA_MIN)
_TRANSMITTANCE_MIN = tl.constexpr(TRANSMITTANCE_MIN)
_PAIRS = tl.constexpr(RECORD // 2)
_MOMENTS = tl.constexpr(MOMENTS)


@triton.jit
def _indices(splats, at, end, default, COUNT: tl.constexpr):
    """The next few splats of a list; past its end `default`, whose record holds no NaN."""
    indices = ()
    for k in tl.static_range(COUNT):
        indices += (tl.load(splats + at + k, at + k < end, default),)
    return indices


@triton.jit
def _fetch(records, indices, COUNT: tl.constexpr):
    """Their records, two numbers a load."""
    fetched = ()
    for k in tl.static_range(COUNT):
        for part in tl.static_range(_PAIRS):
            fetched += (tl.load(records + indices[k] * _PAIRS + part),)
    return fetched


@triton.jit
def _pair(fetched, k: tl.constexpr, part: tl.constexpr):
    both = fetched[k * _PAIRS + part]
    low = both.to(tl.int32).to(tl.float32, bitcast=True)
    high = (both >> 32).to(tl.int32).to(tl.float32, bitcast=True)
    return low, high


@triton.jit
def _pixels(tile, width, height, tiles_x, tiles_a_camera, TILE_W: tl.constexpr,
            TILE_H: tl.constexpr):  # fmt: skip
    """Camera, pixel coordinates, offset within a plane, and whether there is such a pixel."""
    camera = tile // tiles_a_camera
    within = tile % tiles_a_camera
    p = tl.arange(0, TILE_W * TILE_H)
    column = within % tiles_x * TILE_W + p % TILE_W
    row = within // tiles_x * TILE_H + p // TILE_W
    inside = (column < width) & (row < height)
    return camera, column, row, row * width + column, inside


@triton.jit
def _alpha(fetched, k: tl.constexpr, valid, px, py):
    """Offsets from the splat's centre, and α: as the formula has it; capped, and 0 if too small."""
    x, y = _pair(fetched, k, 0)
    xx, xy = _pair(fetched, k, 1)
    yy, peak = _pair(fetched, k, 2)
    dx = px - x
    dy = py - y
    full = tl.exp2(peak + (xx * dx + xy * dy) * dx + yy * dy * dy)
    alpha = tl.minimum(full, _ALPHA_MAX)
    alpha = tl.where((alpha >= _ALPHA_MIN) & valid, alpha, 0.0)
    return dx, dy, full, alpha


@triton.jit(do_not_specialize=["width", "height", "tiles_x", "tiles_a_camera"])
def blend_kernel(
    records, splats, ranges, image, alphas, depths,
    width, height, tiles_x, tiles_a_camera,
    TILE_W: tl.constexpr, TILE_H: tl.constexpr, UNROLL: tl.constexpr,
):  # fmt: skip
    """Write a tile of the image (B, 3, H, W), alpha and expected depth (B, 1, H, W)."""
    tile = tl.program_id(0)
    camera, column, row, offset, inside = _pixels(
        tile, width, height, tiles_x, tiles_a_camera, TILE_W, TILE_H
    )
    px = column.to(tl.float32) + 0.5
    py = row.to(tl.float32) + 0.5
    transmittance = tl.where(inside, 1.0, 0.0)
    red = tl.zeros_like(px)
    green = tl.zeros_like(px)
    blue = tl.zeros_like(px)
    alpha_sum = tl.zeros_like(px)
    depth = tl.zeros_like(px)

    at = tl.load(ranges + tile * 2)
    end = tl.load(ranges + tile * 2 + 1)
    first = tl.load(splats + at, at < end, 0)
    indices = _indices(splats, at, end, first, UNROLL)
    following = _fetch(records, indices, UNROLL)
    indices = _indices(splats, at + UNROLL, end, first, UNROLL)
    most = 1.0
    while (at < end) & (most > _TRANSMITTANCE_MIN):
        fetched = following
        following = _fetch(records, indices, UNROLL)
        indices = _indices(splats, at + 2 * UNROLL, end, first, UNROLL)
        for k in tl.static_range(UNROLL):
            _, _, _, alpha = _alpha(fetched, k, at + k < end, px, py)
            r, g = _pair(fetched, k, 3)
            b, z = _pair(fetched, k, 4)
            weight = alpha * transmittance
            transmittance -= weight
            # Transmittance never rises, so past the stop nothing counts any more.
            weight = tl.where(transmittance > _TRANSMITTANCE_MIN, weight, 0.0)
            red += weight * r
            green += weight * g
            blue += weight * b
            depth += weight * z
            alpha_sum += weight
        at += UNROLL
        most = tl.max(transmittance, 0)

    plane = (width * height).to(tl.int64)
    image += camera * 3 * plane + offset
    tl.store(image, red, inside)
    tl.store(image + plane, green, inside)
    tl.store(image + 2 * plane, blue, inside)
    tl.store(alphas + camera * plane + offset, alpha_sum, inside)
    tl.store(depths + camera * plane + offset, depth / tl.maximum(alpha_sum, 1e-10), inside)


@triton.jit
def _other_half(x, AXIS: tl.constexpr):
    """`x` with the two halves of an axis of 2 exchanged: one shuffle, for the rest cancels."""
    bits = x.to(tl.int32, bitcast=True)
    return (tl.sum(bits, AXIS, keep_dims=True) - bits).to(tl.float32, bitcast=True)


@triton.jit
def _half(AXIS: tl.constexpr):
    """Which half of an axis a lane is in, (2, 2, 2, 2, 2)."""
    lane = tl.reshape(tl.arange(0, 32), (2, 2, 2, 2, 2))
    return (lane >> (4 - AXIS)) & 1


@triton.jit
def _merge(a, b, AXIS: tl.constexpr):
    """Sums over an axis of 2: of `a` in its first half, of `b` in its second."""
    second = _half(AXIS) == 1
    return tl.where(second, b, a) + _other_half(tl.where(second, a, b), AXIS)


@triton.jit
def _lanes(x):
    """Sums over groups of pixels, as many as there are lanes: (2, 2, 2, 2, 2)."""
    return tl.reshape(tl.sum(tl.reshape(x, (x.numel // 32, 32)), 0), (2, 2, 2, 2, 2))


@triton.jit
def _sum_all(v0, v1, v2, v3, v4, v5, v6, v7, v8, v9):
    """Sum each over all pixels; which lane ends up with which is what `_shares` says.

    Every step halves the lanes that a value is spread over and, by giving each half another value,
    the number of values: 12 shuffles instead of 50.
    """
    a = _merge(_lanes(v0), _lanes(v1), 0)
    b = _merge(_lanes(v2), _lanes(v3), 0)
    c = _merge(_lanes(v4), _lanes(v5), 0)
    d = _merge(_lanes(v6), _lanes(v7), 0)
    e = _merge(_lanes(v8), _lanes(v9), 0)
    a = _merge(a, b, 1)
    c = _merge(c, d, 1)
    e += _other_half(e, 1)
    a = _merge(a, c, 2)
    e += _other_half(e, 2)
    a = _merge(a, e, 3)
    return a + _other_half(a, 4)


@triton.jit
def _shares():
    """Which value of `_sum_all` a lane holds, and whether it is the one to say so."""
    last = _half(3)
    which = _half(0) + tl.where(last == 1, 8, 2 * _half(1) + 4 * _half(2))
    spare = (last == 1) & (_half(1) + _half(2) > 0)
    return which, (_half(4) == 0) & ~spare


@triton.jit(do_not_specialize=["width", "height", "tiles_x", "tiles_a_camera"])
def blend_backward_kernel(
    records, splats, ranges, image, alphas, depths, grad_image, grad_alphas, grad_depths, moments,
    width, height, tiles_x, tiles_a_camera,
    TILE_W: tl.constexpr, TILE_H: tl.constexpr, UNROLL: tl.constexpr,
):  # fmt: skip
    """Add a tile's share to the `moments` (M, 10) of its splats."""
    tile = tl.program_id(0)
    camera, column, row, offset, inside = _pixels(
        tile, width, height, tiles_x, tiles_a_camera, TILE_W, TILE_H
    )
    px = column.to(tl.float32) + 0.5
    py = row.to(tl.float32) + 0.5
    transmittance = tl.where(inside, 1.0, 0.0)
    at = tl.load(ranges + tile * 2)
    end = tl.load(ranges + tile * 2 + 1)

    plane = (width * height).to(tl.int64)
    offset += camera * plane
    alpha_sum = tl.load(alphas + offset, inside, 0.0)
    depth = tl.load(depths + offset, inside, 0.0)
    g_alpha = tl.load(grad_alphas + offset, inside, 0.0)
    g_depth = tl.load(grad_depths + offset, inside, 0.0) / tl.maximum(alpha_sum, 1e-10)
    # Expected depth is a quotient; more alpha makes it less (unless the bound holds it).
    g_alpha -= tl.where(alpha_sum > 1e-10, g_depth * depth, 0.0)
    offset += camera * 2 * plane
    g_red = tl.load(grad_image + offset, inside, 0.0)
    g_green = tl.load(grad_image + offset + plane, inside, 0.0)
    g_blue = tl.load(grad_image + offset + 2 * plane, inside, 0.0)
    # What is still to come of Σ weight · (gradient of the weight).
    behind = (
        g_red * tl.load(image + offset, inside, 0.0)
        + g_green * tl.load(image + offset + plane, inside, 0.0)
        + g_blue * tl.load(image + offset + 2 * plane, inside, 0.0)
        + (g_alpha + g_depth * depth) * alpha_sum
    )
    slot, holds = _shares()
    first = tl.load(splats + at, at < end, 0)
    indices = _indices(splats, at, end, first, UNROLL)
    following = _fetch(records, indices, UNROLL)
    after = _indices(splats, at + UNROLL, end, first, UNROLL)
    # Defined last: Triton 3.6 confuses loop variables that follow one used in the condition alone.
    most = 1.0
    while (at < end) & (most > _TRANSMITTANCE_MIN):
        fetched = following
        current = indices
        following = _fetch(records, after, UNROLL)
        indices = after
        after = _indices(splats, at + 2 * UNROLL, end, first, UNROLL)
        for k in tl.static_range(UNROLL):
            dx, dy, full, alpha = _alpha(fetched, k, at + k < end, px, py)
            r, g = _pair(fetched, k, 3)
            b, z = _pair(fetched, k, 4)
            weight = alpha * transmittance
            transmittance -= weight
            counts = transmittance > _TRANSMITTANCE_MIN
            weight = tl.where(counts, weight, 0.0)
            share = weight * (r * g_red + g * g_green + b * g_blue + z * g_depth + g_alpha)
            behind -= share
            # ∂L/∂ln α; the cap lets no gradient through. A squared root is the cheapest inverse.
            root = tl.rsqrt(1 - alpha)
            v = share - behind * alpha * (root * root)
            v = tl.where(counts & (full <= _ALPHA_MAX), v, 0.0)
            vx = v * dx
            vy = v * dy
            sums = _sum_all(
                v, vx, vy, vx * dx, vx * dy, vy * dy,
                weight * g_red, weight * g_green, weight * g_blue, weight * g_depth,
            )  # fmt: skip
            target = moments + current[k].to(tl.int64) * _MOMENTS + slot
            tl.atomic_add(target, sums, holds & (at + k < end), sem="relaxed")
        at += UNROLL
        most = tl.max(transmittance, 0)
