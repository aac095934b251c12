"""The compiled steps of `mien.render.cpu`: numba kernels over flat float32 arrays.

They release the interpreter's lock, and each does a part of its step's work, so that plain threads
can share it. (Numba's own threads compile slowly and forbid two pictures at once.)

Axis legend: N Gaussians, M of them drawn, T tiles (down the first column, then the next), E entries
of the tiles' lists, H W pixels.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numba
import numpy as np

# Numba's cache does not see when these change: it goes by the date of this file.
from mien.render.reference import ALPHA_MAX, ALPHA_MIN, BLUR, GUARD, NEAR, TRANSMITTANCE_MIN

LANES = 16
"""Width of a tile in pixels: a row of it is one or two vector registers."""

ROWS = 32
"""Height of a tile in pixels: its planes stay in the nearest cache."""

PITCH = 6 * LANES
"""Numbers in a row of a tile: transmittance, weighted red, green, blue, weight, weighted depth."""

SWEEP = 16
"""How many splats a tile blends between two looks at which of its rows are finished."""

FIELDS = 16
"""Numbers that a projected Gaussian takes, a cache line; `project` says which."""

HIDDEN = np.uint32(0x7F800000)
"""The bits of an infinite depth: a Gaussian that is not drawn."""

# exp(-s) = 1 + s (E1 + s (E2 + s (E3 + s E4))) for s in [0, 0.7], to 3e-6 of its value.
E1, E2, E3, E4 = (np.float32(v) for v in (-0.99987467, 0.49835247, -0.15969501, 0.02949522))

FAINTEST = np.float32(-math.log(ALPHA_MIN) / 8)
"""The greatest s that is drawn, where alpha = exp(-8 s)."""


def _jit(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile at the first call; keep the result on disk if there is a folder to write to."""
    options: dict[str, Any] = {
        "nogil": True,
        "error_model": "numpy",
        # Neither "nnan" nor "ninf": what is not finite must fail the tests that keep it out.
        "fastmath": {"contract", "reassoc", "nsz", "arcp"},
    }
    try:
        return numba.njit(function, cache=True, **options)
    except RuntimeError:  # numba finds no such folder
        return numba.njit(function, **options)


@_jit
def _clip(value, size):
    """Whole pixels before `value`, 0 to `size`; 0 for NaN, for which an integer may be anything."""
    if value >= size:
        return size
    return int(value) if value > 0 else 0


@_jit
def _span(low, high, size):
    """First and last pixel with centres from `low` to `high`, or a hair outside; maybe none."""
    return _clip(low + np.float32(0.499), size), _clip(high + np.float32(0.501), size) - 1


@_jit
def _dot(a, b):
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


@_jit
def _covariance(to_x, to_y, quat, scale):
    """Projected covariance (xx, xy, yy) of one Gaussian, and its determinant.

    Args:
        to_x, to_y: pixels right and down that a step along each of the world's axes takes.
    """
    one = np.float32(1)
    w, x, y, z = quat
    two = np.float32(2) / max(w * w + x * x + y * y + z * z, np.float32(1e-24))
    i = (one - two * (y * y + z * z), two * (x * y + w * z), two * (x * z - w * y))
    j = (two * (x * y - w * z), one - two * (x * x + z * z), two * (y * z + w * x))
    k = (two * (x * z + w * y), two * (y * z - w * x), one - two * (x * x + y * y))
    p = (scale[0] * _dot(to_x, i), scale[1] * _dot(to_x, j), scale[2] * _dot(to_x, k))
    q = (scale[0] * _dot(to_y, i), scale[1] * _dot(to_y, j), scale[2] * _dot(to_y, k))
    # Not xx yy - xy², whose terms cancel for needles.
    cross = (p[1] * q[2] - p[2] * q[1], p[2] * q[0] - p[0] * q[2], p[0] * q[1] - p[1] * q[0])
    return _dot(p, p), _dot(p, q), _dot(q, q), _dot(cross, cross)


@_jit
def project(first, last, means, quats, scales, opacities, colors, cam, size, antialiased,
             splats, depths, counts):  # fmt: skip
    """Project Gaussians `first` to `last`, exclusive; count, generously, the tiles they touch.

    Args:
        cam: see `_camera_numbers`.
        size: (H, W).
        splats: out (N, 16): x, y; a, b, c, d of s = a dx² + b dx dy + c dy² + d, drawn where
            s ≤ `FAINTEST` with alpha = exp(-8 s); red, green, blue; depth; half the height of
            that ellipse; 4 a c - b²; first and last column, first and last row of the box around.
        depths: out (N,), infinite if not drawn.
        counts: out (T,).
    """
    f = np.float32
    height, width = f(size[0]), f(size[1])
    tile_rows = (size[0] + ROWS - 1) // ROWS
    fx, fy, cx, cy = cam[12], cam[13], cam[14], cam[15]
    guard_x, guard_y = f(0.5 * GUARD) * width / fx, f(0.5 * GUARD) * height / fy
    low_x, high_x = -cx / fx - guard_x, (width - cx) / fx + guard_x
    low_y, high_y = -cy / fy - guard_y, (height - cy) / fy + guard_y
    for n in range(first, last):
        depths[n] = np.inf
        x, y, z = means[n, 0], means[n, 1], means[n, 2]
        depth = cam[6] * x + cam[7] * y + cam[8] * z + cam[11]
        if not f(NEAR) <= depth < f(np.inf):
            continue
        inverse = f(1) / depth
        ray_x = (cam[0] * x + cam[1] * y + cam[2] * z + cam[9]) * inverse
        ray_y = (cam[3] * x + cam[4] * y + cam[5] * z + cam[10]) * inverse
        # Far outside the picture the Jacobian is that of the nearest direction inside the guard.
        near_x, near_y = min(max(ray_x, low_x), high_x), min(max(ray_y, low_y), high_y)
        step_x, step_y = fx * inverse, fy * inverse
        xx, xy, yy, sharp = _covariance(
            (step_x * (cam[0] - near_x * cam[6]), step_x * (cam[1] - near_x * cam[7]),
             step_x * (cam[2] - near_x * cam[8])),
            (step_y * (cam[3] - near_y * cam[6]), step_y * (cam[4] - near_y * cam[7]),
             step_y * (cam[5] - near_y * cam[8])),
            (quats[n, 0], quats[n, 1], quats[n, 2], quats[n, 3]),
            (scales[n, 0], scales[n, 1], scales[n, 2]),
        )  # fmt: skip
        det = sharp + f(BLUR) * (xx + yy) + f(BLUR * BLUR)
        xx, yy = xx + f(BLUR), yy + f(BLUR)
        opacity = opacities[n]
        if antialiased:
            opacity *= math.sqrt(sharp / det)
        if not (det < f(np.inf) and f(ALPHA_MIN) <= opacity < f(np.inf)):
            continue
        power = f(math.log(opacity * f(1 / ALPHA_MIN)))
        half_x, half_y = math.sqrt(f(2) * power * xx), math.sqrt(f(2) * power * yy)
        mean_x, mean_y = fx * ray_x + cx, fy * ray_y + cy
        left, right = _span(mean_x - half_x, mean_x + half_x, size[1])
        top, bottom = _span(mean_y - half_y, mean_y + half_y, size[0])
        if left > right or top > bottom:
            continue
        depths[n] = depth
        eighth = f(0.125) / det
        splat = splats[n]
        splat[0], splat[1] = mean_x, mean_y
        splat[2], splat[3], splat[4] = f(0.5) * eighth * yy, -eighth * xy, f(0.5) * eighth * xx
        splat[5] = FAINTEST - f(0.125) * power
        splat[6], splat[7], splat[8] = colors[n, 0], colors[n, 1], colors[n, 2]
        splat[9], splat[10], splat[11] = depth, half_y, f(0.125) * eighth
        splat[12], splat[13], splat[14], splat[15] = left, right, top, bottom
        for column in range(left // LANES, right // LANES + 1):
            for row in range(top // ROWS, bottom // ROWS + 1):
                counts[column * tile_rows + row] += 1


@_jit
def sort(keys, order, spare):
    """Radix sort: indices (M,) of the keys (N,) that are not `HIDDEN`, by rising key, stable.

    Args:
        order, spare: (N,) memory to work in; the result is part of one of them.
    """
    count = 0
    low, high = HIDDEN, np.uint32(0)
    for n in range(len(keys)):
        if keys[n] < HIDDEN:
            order[count] = n
            count += 1
            low, high = min(low, keys[n]), max(high, keys[n])
    starts = np.empty(2048, np.int64)
    shift = np.uint32(0)
    while count > 0 and (high - low) >> shift:
        starts[:] = 0
        for i in range(count):
            starts[((keys[order[i]] - low) >> shift) & np.uint32(2047)] += 1
        total = 0
        for digit in range(2048):
            starts[digit], total = total, total + starts[digit]
        for i in range(count):
            digit = ((keys[order[i]] - low) >> shift) & np.uint32(2047)
            spare[starts[digit]] = order[i]
            starts[digit] += 1
        order, spare = spare, order
        shift += np.uint32(11)
    return order[:count]


@_jit
def list_splats(first, last, size, splats, starts, ends, ranks, rows):
    """List the splats of the tiles in columns `first` to `last`, exclusive, near to far.

    Args:
        splats: (M, 16) near to far.
        starts: (T + 1,) where each tile's entries begin.
        ends: out (T,) where they end.
        ranks: out (E,) which splat.
        rows: out (E, 2) the first and last row of the tile that it touches.
    """
    f = np.float32
    tile_rows = (size[0] + ROWS - 1) // ROWS
    for tile in range(first * tile_rows, last * tile_rows):
        ends[tile] = starts[tile]
    for rank in range(len(splats)):
        splat = splats[rank]
        begin, end = max(int(splat[12]) // LANES, first), min(int(splat[13]) // LANES + 1, last)
        if begin >= end:
            continue
        box_top, box_bottom = int(splat[14]), int(splat[15])
        mean_y, half_y = splat[1], splat[10]
        a, b, c, bend = splat[2], splat[3], splat[4], splat[11]
        lean, half, root = f(0.5) * b / a * half_y, f(0.5) / c, f(4) * c * (FAINTEST - splat[5])
        for column in range(begin, end):
            # The ellipse's highest and lowest point between the column's outer pixel centres.
            near = f(column * LANES) + f(0.5) - splat[0]
            far = near + f(LANES - 1)
            up, down = min(max(lean, near), far), min(max(-lean, near), far)
            rise = half * (math.sqrt(max(root - bend * up * up, f(0))) + b * up)
            fall = half * (math.sqrt(max(root - bend * down * down, f(0))) - b * down)
            top, bottom = _span(mean_y - rise, mean_y + fall, size[0])
            # Not beyond the box, whatever the rounding: its tiles are those that have room.
            top, bottom = max(top, box_top), min(bottom, box_bottom)
            if top > bottom:
                continue
            for row in range(top // ROWS, bottom // ROWS + 1):
                tile = column * tile_rows + row
                entry = ends[tile]
                ends[tile] = entry + 1
                ranks[entry] = rank
                rows[entry, 0] = max(top - row * ROWS, 0)
                rows[entry, 1] = min(bottom - row * ROWS, ROWS - 1)


@_jit
def blend(first, last, size, splats, starts, ends, ranks, rows, picture):
    """Blend tiles `first` to `last`, exclusive.

    Args:
        size: (H, W), W a multiple of `LANES`.
        splats, starts, ends, ranks, rows: see `list_splats`.
        picture: out (5 · H · W,): red, green, blue, alpha, depth.
    """
    f = np.float32
    height, width = size
    tile_rows = (height + ROWS - 1) // ROWS
    planes = np.empty(ROWS * PITCH, np.float32)
    unfinished = np.empty(ROWS, np.bool_)
    for tile in range(first, last):
        x0, y0 = tile // tile_rows * LANES, tile % tile_rows * ROWS
        inside = min(ROWS, height - y0)
        planes[:] = 0
        for row in range(ROWS):
            unfinished[row] = row < inside
            planes[row * PITCH : row * PITCH + LANES] = 1
        for entry in range(starts[tile], ends[tile]):
            if (entry - starts[tile]) % SWEEP == SWEEP - 1 and not _sweep(planes, unfinished):
                break
            splat = splats[ranks[entry]]
            dx, dy0 = f(x0) + f(0.5) - splat[0], f(y0) + f(0.5) - splat[1]
            a, b, c, d = splat[2], splat[3], splat[4], splat[5]
            red, green, blue, depth = splat[6], splat[7], splat[8], splat[9]
            for row in range(rows[entry, 0], rows[entry, 1] + 1):
                if unfinished[row]:
                    dy = dy0 + f(row)
                    _blend_row(planes, np.uint64(row * PITCH), dx, a, b * dy, c * dy * dy + d,
                               red, green, blue, depth)  # fmt: skip
        for row in range(inside):
            pixel = np.uint64((y0 + row) * width + x0)
            _write_row(planes, np.uint64(row * PITCH), picture, pixel, np.uint64(height * width))


@_jit
def gather_pixels(first, last, size, splats, starts, ends, ranks, rows, picture, sums):
    """What `blend` of tiles `first` to `last`, exclusive, takes from colours to a picture, turned
    round: from a picture to colours.

    Args:
        size: (H, W), W a multiple of `LANES`.
        splats, starts, ends, ranks, rows: see `list_splats`.
        picture: (3 · H · W,).
        sums: in and out (M, 3): of each splat, over pixels, alpha times transmittance times what
            the picture holds there.
    """
    f = np.float32
    height, width = size
    tile_rows = (height + ROWS - 1) // ROWS
    clear = np.empty(ROWS * LANES, np.float32)
    for tile in range(first, last):
        x0, y0 = tile // tile_rows * LANES, tile % tile_rows * ROWS
        clear[:] = 1
        for entry in range(starts[tile], ends[tile]):
            rank = ranks[entry]
            splat = splats[rank]
            dx, dy0 = f(x0) + f(0.5) - splat[0], f(y0) + f(0.5) - splat[1]
            a, b, c, d = splat[2], splat[3], splat[4], splat[5]
            red, green, blue = f(0), f(0), f(0)
            for row in range(rows[entry, 0], rows[entry, 1] + 1):
                dy = dy0 + f(row)
                pixel = np.uint64((y0 + row) * width + x0)
                part = _gather_row(clear, np.uint64(row * LANES), dx, a, b * dy, c * dy * dy + d,
                                   picture, pixel, np.uint64(height * width))  # fmt: skip
                red, green, blue = red + part[0], green + part[1], blue + part[2]
            sums[rank, 0] += red
            sums[rank, 1] += green
            sums[rank, 2] += blue


# The inner loops below index with unsigned integers: signed ones may count from the end, which
# hides from the compiler that lanes are neighbours in memory, and it would not vectorise.


@_jit
def gather(first, last, order, splats, ranked):
    """Bring splats (N, 16) into their order (M,); ranks `first` to `last`, exclusive."""
    for rank in range(first, last):
        source, target = np.uint64(order[rank]), np.uint64(rank)
        for field in range(FIELDS):
            ranked[target, np.uint64(field)] = splats[source, np.uint64(field)]


@_jit
def _blend_row(planes, base, dx0, a, b, c, red, green, blue, depth):
    """Blend one splat into one row of a tile, where s = a dx² + b dx + c."""
    one, none = np.float32(1), np.float32(0)
    for step in range(LANES):
        lane = base + np.uint64(step)
        dx = dx0 + np.float32(step)
        s = (a * dx + b) * dx + c
        e = one + s * (E1 + s * (E2 + s * (E3 + s * E4)))
        e *= e
        e *= e
        e *= e
        alpha = min(e, np.float32(ALPHA_MAX)) if s <= FAINTEST else none
        before = planes[lane]
        weight = alpha * before
        after = before - weight
        # A pixel that would get too opaque is finished, which a transmittance of 0 marks.
        goes_on = after > np.float32(TRANSMITTANCE_MIN)
        planes[lane] = after if goes_on else none
        weight = weight if goes_on else none
        planes[lane + np.uint64(LANES)] += weight * red
        planes[lane + np.uint64(2 * LANES)] += weight * green
        planes[lane + np.uint64(3 * LANES)] += weight * blue
        planes[lane + np.uint64(4 * LANES)] += weight
        planes[lane + np.uint64(5 * LANES)] += weight * depth


@_jit
def _gather_row(clear, base, dx0, a, b, c, picture, pixel, area):
    """One splat and one row of a tile: `_blend_row` turned round; see `gather_pixels`."""
    one, none = np.float32(1), np.float32(0)
    red, green, blue = none, none, none
    for step in range(LANES):
        lane, at = base + np.uint64(step), pixel + np.uint64(step)
        dx = dx0 + np.float32(step)
        s = (a * dx + b) * dx + c
        e = one + s * (E1 + s * (E2 + s * (E3 + s * E4)))
        e *= e
        e *= e
        e *= e
        alpha = min(e, np.float32(ALPHA_MAX)) if s <= FAINTEST else none
        before = clear[lane]
        weight = alpha * before
        after = before - weight
        goes_on = after > np.float32(TRANSMITTANCE_MIN)
        clear[lane] = after if goes_on else none
        weight = weight if goes_on else none
        red += weight * picture[at]
        green += weight * picture[at + area]
        blue += weight * picture[at + area + area]
    return red, green, blue


@_jit
def _sweep(planes, unfinished):
    """Note which rows of a tile are finished; returns whether any is not."""
    any_left = False
    for row in range(ROWS):
        if unfinished[row]:
            left = np.float32(0)
            for step in range(LANES):
                left += planes[np.uint64(row * PITCH) + np.uint64(step)]
            unfinished[row] = left > np.float32(0)
            any_left |= unfinished[row]
    return any_left


@_jit
def _write_row(planes, base, picture, pixel, area):
    """Write one row of a tile to the picture; weighted depth becomes mean depth."""
    for step in range(LANES):
        weight = planes[base + np.uint64(4 * LANES + step)]
        planes[base + np.uint64(5 * LANES + step)] /= max(weight, np.float32(1e-10))
    for plane in range(5):
        source, target = base + np.uint64((plane + 1) * LANES), pixel + np.uint64(plane) * area
        for step in range(LANES):
            picture[target + np.uint64(step)] = planes[source + np.uint64(step)]
