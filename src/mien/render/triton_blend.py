"""Blending on a GPU: one program a tile, front to back, and the same way again for gradients.

A program walks its tile's list; its pixels' state stays in registers. The backward kernel also
goes front to back: what lies behind a splat is what the picture shows less what has been passed,
so nothing need be kept from the forward kernel but the picture.

Maths as in `mien.render.reference`, in float32. Axis legend: P pixels of a tile.
"""

# Triton comes with torch's GPU builds only, and its kernels' launch syntax has no types.
# pyright: reportMissingImports=false, reportIndexIssue=false

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
def _pair(records, index, which: tl.constexpr):
    """Two numbers of a record in one load of 64 bits."""
    both = tl.load(records + index * _PAIRS + which)
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
def _alpha(x, y, conic_xx, conic_xy, conic_yy, peak, valid, px, py):
    """Offsets from the splat's centre, and α: with its cap, and 0 below the least."""
    dx = px - x
    dy = py - y
    power = peak - ((conic_xx * dx + conic_xy * dy) * dx + conic_yy * dy * dy)
    full = tl.exp2(power)
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
    most = 1.0
    while (at < end) & (most > _TRANSMITTANCE_MIN):
        for k in tl.static_range(UNROLL):
            valid = at + k < end
            splat = tl.load(splats + at + k, valid, 0)
            x, y = _pair(records, splat, 0)
            conic_xx, conic_xy = _pair(records, splat, 1)
            conic_yy, peak = _pair(records, splat, 2)
            r, g = _pair(records, splat, 3)
            b, z = _pair(records, splat, 4)
            _, _, _, alpha = _alpha(x, y, conic_xx, conic_xy, conic_yy, peak, valid, px, py)
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
    slot = tl.arange(0, 16)

    # Defined last: Triton 3.6 confuses loop variables that follow one used in the condition alone.
    most = 1.0
    while (at < end) & (most > _TRANSMITTANCE_MIN):
        for k in tl.static_range(UNROLL):
            valid = at + k < end
            splat = tl.load(splats + at + k, valid, 0)
            x, y = _pair(records, splat, 0)
            conic_xx, conic_xy = _pair(records, splat, 1)
            conic_yy, peak = _pair(records, splat, 2)
            r, g = _pair(records, splat, 3)
            b, z = _pair(records, splat, 4)
            dx, dy, full, alpha = _alpha(x, y, conic_xx, conic_xy, conic_yy, peak, valid, px, py)
            weight = alpha * transmittance
            transmittance -= weight
            counts = transmittance > _TRANSMITTANCE_MIN
            weight = tl.where(counts, weight, 0.0)
            g_weight = r * g_red + g * g_green + b * g_blue + z * g_depth + g_alpha
            share = weight * g_weight
            behind -= share
            # ∂L/∂ln α; the cap lets no gradient through. A squared root is the cheapest inverse.
            root = tl.rsqrt(1 - alpha)
            v = share - behind * alpha * (root * root)
            v = tl.where(counts & (full <= _ALPHA_MAX), v, 0.0)
            vx = v * dx
            vy = v * dy
            sums = tl.where(slot == 0, tl.sum(v, 0), 0.0)
            sums = tl.where(slot == 1, tl.sum(vx, 0), sums)
            sums = tl.where(slot == 2, tl.sum(vy, 0), sums)
            sums = tl.where(slot == 3, tl.sum(vx * dx, 0), sums)
            sums = tl.where(slot == 4, tl.sum(vx * dy, 0), sums)
            sums = tl.where(slot == 5, tl.sum(vy * dy, 0), sums)
            sums = tl.where(slot == 6, tl.sum(weight * g_red, 0), sums)
            sums = tl.where(slot == 7, tl.sum(weight * g_green, 0), sums)
            sums = tl.where(slot == 8, tl.sum(weight * g_blue, 0), sums)
            sums = tl.where(slot == 9, tl.sum(weight * g_depth, 0), sums)
            target = moments + splat.to(tl.int64) * _MOMENTS + slot
            tl.atomic_add(target, sums, valid & (slot < _MOMENTS), sem="relaxed")
        at += UNROLL
        most = tl.max(transmittance, 0)
