"""Splats into tiles on a GPU: lists of splats, near to far, one a tile.

Splats are sorted by depth once, written out tile by tile in that order, and sorted by tile with a
stable sort. Tiles are few enough for 16-bit keys, so that the long sort takes two passes only.

Axis legend: M splats of all cameras, I pairs of splat and tile, T tiles of all cameras.
"""

# Triton comes with torch's GPU builds only, and its kernels' launch syntax has no types.
# pyright: reportMissingImports=false, reportIndexIssue=false

from __future__ import annotations

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from mien.render.triton_project import MASKED, Splats, blocks

BLOCK = 128
"""Splats a program writes out."""

GATHERED = 512
"""Pairs a program moves to their place."""

_MASKED = tl.constexpr(MASKED)


class Bins(NamedTuple):
    """Which splats each tile blends.

    Args:
        splats: (I,) int32, indices of splats, by tile and then near to far.
        ranges: (T, 2) int32, first and one past the last of a tile in `splats`.
        needed: () int64 on the device, pairs there are; above I, the farthest were left out.
    """

    splats: Tensor
    ranges: Tensor
    needed: Tensor


@triton.jit(do_not_specialize=["M", "capacity", "tiles_x", "tiles_a_camera", "per_camera"])
def emit_kernel(order, offsets, footprints, keys, splats, M, capacity, tiles_x, tiles_a_camera,
                per_camera, FIRST: tl.constexpr, SIZE: tl.constexpr):  # fmt: skip
    """Write each splat's tiles, as keys, and its index beside them; splats in the given order."""
    rank = tl.program_id(0) * SIZE + tl.arange(0, SIZE)
    mask = rank < M
    end = tl.load(offsets + rank, mask, 0)
    at = tl.load(offsets + rank - 1, mask & (rank > 0), 0)
    mask &= end > at
    splat = tl.load(order + rank, mask, 0).to(tl.int32)
    corner = tl.load(footprints + splat * 2, mask, 0)
    bits = tl.load(footprints + splat * 2 + 1, mask, 0)
    columns = (corner >> 48).to(tl.int32)
    rows = (corner >> 32).to(tl.int32) & 0xFFFF
    column = (corner >> 16).to(tl.int32) & 0xFFFF
    row = corner.to(tl.int32) & 0xFFFF
    area = tl.where(mask, columns * rows, 0)
    base = splat // per_camera * tiles_a_camera + row * tiles_x + column + FIRST

    i = tl.zeros_like(area)
    t = 0
    limit = tl.max(area, 0)
    while t < limit:
        bit = (bits >> tl.minimum(t, _MASKED - 1)) & 1
        hit = (t < area) & ((area > _MASKED) | (bit != 0))
        kept = hit & (at < capacity)
        tl.store(keys + at, (base + i).to(keys.dtype.element_ty), kept)
        tl.store(splats + at, splat, kept)
        at += hit.to(at.dtype)
        i += 1
        wrap = i >= columns
        base += tl.where(wrap, tiles_x, 0)
        i = tl.where(wrap, 0, i)
        t += 1


@triton.jit(do_not_specialize=["pairs"])
def gather_kernel(keys, permutation, unsorted, splats, ranges, pairs, EMPTY: tl.constexpr,
                  FIRST: tl.constexpr, SIZE: tl.constexpr):  # fmt: skip
    """Put splats in the sorted keys' order, and note where each tile's begin and end."""
    at = tl.program_id(0) * SIZE + tl.arange(0, SIZE)
    mask = at < pairs
    key = tl.load(keys + at, mask, EMPTY).to(tl.int32)
    mask &= key != EMPTY
    before = tl.load(keys + at - 1, mask & (at > 0), EMPTY).to(tl.int32)
    after = tl.load(keys + at + 1, mask & (at + 1 < pairs), EMPTY).to(tl.int32)
    tile = key - FIRST
    tl.store(ranges + tile * 2, at, mask & (key != before))
    tl.store(ranges + tile * 2 + 1, at + 1, mask & (key != after))
    source = tl.load(permutation + at, mask, 0)
    tl.store(splats + at, tl.load(unsorted + source, mask, 0), mask)


def bin_splats(
    splats: Splats, per_camera: int, tiles: tuple[int, int], capacity: int | None = None
) -> Bins:
    """Sort splats into tiles.

    Args:
        splats: of all cameras.
        per_camera: splats a camera.
        tiles: rows and columns of tiles of a picture.
        capacity: the most pairs that are kept. None counts them first, for which the host waits
            for the device; with a number nothing waits, and a CUDA graph can hold it.
    """
    device, number = splats.depths.device, len(splats.depths)
    a_camera = tiles[0] * tiles[1]
    total = number // per_camera * a_camera
    ranges = torch.zeros(total, 2, dtype=torch.int32, device=device)
    order = torch.sort(splats.depths).indices
    offsets = torch.cumsum(splats.counts.index_select(0, order), 0)
    needed = offsets[-1]
    size = int(needed) if capacity is None else capacity
    key = torch.iinfo(torch.int16 if total < 0xFFFF else torch.int32)
    keys = torch.full((size,), key.max, dtype=getattr(torch, key.dtype), device=device)
    unsorted = torch.empty(size, dtype=torch.int32, device=device)
    listed = torch.empty_like(unsorted)
    if size == 0:
        return Bins(listed, ranges, needed)
    emit_kernel[(blocks(number, BLOCK),)](
        order, offsets, splats.footprints, keys, unsorted, number, size, tiles[1], a_camera,
        per_camera, FIRST=key.min, SIZE=BLOCK,
    )  # fmt: skip
    keys, permutation = torch.sort(keys, stable=True)
    gather_kernel[(blocks(size, GATHERED),)](
        keys, permutation, unsorted, listed, ranges, size, EMPTY=key.max, FIRST=key.min,
        SIZE=GATHERED,
    )  # fmt: skip
    return Bins(listed, ranges, needed)
