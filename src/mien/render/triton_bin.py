"""Splats into tiles on a GPU: a list of splats for each tile, near to far.

Every pair of a splat and a tile it touches is written out, counted into its tile, put into the
tile's list, and each list is sorted by depth on its own, in runs that fit the registers of a few
warps; of a longer list all runs are then merged at once. Splats at the same depth are drawn in
their order.

Axis legend: M splats of all cameras, P pairs of splat and tile, T tiles of all cameras.
"""

# Triton comes with torch's GPU builds only, and its kernels' launch syntax has no types.
# pyright: reportMissingImports=false, reportIndexIssue=false

from __future__ import annotations

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from mien.render.triton_project import RECORD, Splats, blocks, tile_rows, tile_span

GROUP = 8
"""Splats whose tiles a program writes out; divides the `BLOCK` of projection."""

SLOTS = 64
"""Pairs that it writes at once."""

WRITERS = 2**14
"""Programs that a picture has, at least, to write pairs out: few splats are large ones, with
hundreds of tiles each, so several programs then share a group."""

MOST_SHARE = 32
"""The most programs that share a group."""

PLACED = 256
"""Pairs, or tiles, that a program of the simpler kernels moves."""

RUN = 128
"""Pairs that are sorted in registers, a power of two; longer lists are merged from runs."""

_RECORD = tl.constexpr(RECORD)
_LAST = tl.constexpr(2**63 - 1)


class Bins(NamedTuple):
    """Which splats each tile blends.

    Args:
        splats: (P,) int32, indices of splats; the lists of the tiles, near to far.
        ranges: (T, 2) int32, a list's first and one past its last.
    """

    splats: Tensor
    ranges: Tensor


@triton.jit(do_not_specialize=["N", "capacity", "tiles_x", "tiles_y"])
def emit_kernel(
    records, counts, starts, keys, tiles, ranks, tile_counts, N, capacity, tiles_x, tiles_y,
    TILE_W: tl.constexpr, TILE_H: tl.constexpr, GROUP: tl.constexpr, SLOTS: tl.constexpr,
):  # fmt: skip
    """Write every pair of a group of splats: its key, its tile, its rank of arrival there.

    Programs that share a group take turns.
    """
    camera = tl.program_id(1)
    local = tl.program_id(0) * GROUP
    group = camera * N + local
    last = tl.minimum(local + GROUP, N) - 1 - local
    at = tl.load(starts + group) + tl.program_id(2) * SLOTS
    end = tl.load(starts + group + last) + tl.load(counts + group + last)
    end = tl.minimum(end, capacity)
    while at < end:
        slot = at + tl.arange(0, SLOTS)
        mask = slot < end
        member = tl.zeros([SLOTS], tl.int32)
        for k in tl.static_range(1, GROUP):
            start = tl.load(starts + group + k, k <= last, _LAST)
            member += (slot >= start).to(tl.int32)
        splat = group + member
        left = (slot - tl.load(starts + splat, mask, 0)).to(tl.int32)
        record = records + splat * _RECORD
        x = tl.load(record, mask, 0.0)
        y = tl.load(record + 1, mask, 0.0)
        xx = tl.load(record + 2, mask, -1.0)
        xy = tl.load(record + 3, mask, 0.0)
        yy = tl.load(record + 4, mask, -1.0)
        peak = tl.load(record + 5, mask, 0.0)
        z = tl.load(record + 9, mask, 0.0)

        # Go down the rows until the pair is among a row's columns.
        row, rows = tile_rows(y, xx, xy, yy, peak, tiles_y, TILE_H)
        below = row + tl.where(mask, rows, 0)
        tile = tl.full([SLOTS], -1, tl.int32)
        while tl.max(below - row, 0) > 0:
            column, columns = tile_span(x, y, xx, xy, yy, peak, row, tiles_x, TILE_W, TILE_H)
            here = (left < columns) & (row < below)
            tile = tl.where(here, (camera * tiles_y + row) * tiles_x + column + left, tile)
            left -= columns
            row = tl.where(here, below, row + 1)

        # Projection counted with the same formulas; were they rounded otherwise, a pair is void.
        found = tile >= 0
        depth = z.to(tl.int32, bitcast=True).to(tl.int64)
        rank = tl.atomic_add(tile_counts + tile, 1, found, sem="relaxed")
        tl.store(keys + slot, depth << 32 | splat.to(tl.int64), mask)
        tl.store(tiles + slot, tile, mask)
        tl.store(ranks + slot, rank, mask)
        at += SLOTS * tl.num_programs(2)


@triton.jit(do_not_specialize=["T"])
def allot_kernel(tile_counts, taken, ranges, runs, T, RUN: tl.constexpr, SIZE: tl.constexpr):
    """Give every tile its range, and list its runs; blocks of tiles come in any order."""
    tile = tl.program_id(0) * SIZE + tl.arange(0, SIZE)
    count = tl.load(tile_counts + tile, tile < T, 0)
    base = tl.atomic_add(taken, tl.sum(count, 0), sem="relaxed")
    end = base + tl.cumsum(count, 0)
    tl.store(ranges + tile * 2, end - count, tile < T)
    tl.store(ranges + tile * 2 + 1, end, tile < T)
    number = (count + RUN - 1) // RUN
    base = tl.atomic_add(taken + 1, tl.sum(number, 0), sem="relaxed")
    at = base + tl.cumsum(number, 0) - number
    most = tl.max(number, 0)
    run = 0
    while run < most:
        tl.store(runs + (at + run) * 2, tile, run < number)
        tl.store(runs + (at + run) * 2 + 1, run, run < number)
        run += 1


@triton.jit(do_not_specialize=["capacity"])
def place_kernel(keys, tiles, ranks, pairs, ranges, lists, capacity, SIZE: tl.constexpr):
    """Put every pair's key into its tile's range."""
    slot = tl.program_id(0) * SIZE + tl.arange(0, SIZE)
    mask = slot < tl.minimum(tl.load(pairs), capacity)
    tile = tl.load(tiles + slot, mask, -1)
    mask &= tile >= 0
    target = tl.load(ranges + tile * 2, mask, 0) + tl.load(ranks + slot, mask, 0)
    tl.store(lists + target, tl.load(keys + slot, mask, 0), mask)


@triton.jit
def sort_kernel(lists, ranges, runs, number, splats, RUN: tl.constexpr):
    """Sort a run of a tile's keys; if it is all of them, write the splats' indices."""
    index = tl.program_id(0)
    if index < tl.load(number):
        tile = tl.load(runs + index * 2)
        first = tl.load(ranges + tile * 2)
        length = tl.load(ranges + tile * 2 + 1) - first
        here = tl.load(runs + index * 2 + 1) * RUN + tl.arange(0, RUN)
        mask = here < length
        keys = tl.sort(tl.load(lists + first + here, mask, _LAST))
        if length <= RUN:
            tl.store(splats + first + here, keys.to(tl.int32), mask)
        else:
            tl.store(lists + first + here, keys, mask)


@triton.jit
def merge_kernel(
    lists, ranges, runs, number, splats, RUN: tl.constexpr, LEVELS: tl.constexpr
):  # fmt: skip
    """Write a run's splats where they belong in their tile: after all that any run has nearer."""
    index = tl.program_id(0)
    if index < tl.load(number):
        tile = tl.load(runs + index * 2)
        first = tl.load(ranges + tile * 2)
        length = tl.load(ranges + tile * 2 + 1) - first
        if length > RUN:
            own = tl.load(runs + index * 2 + 1)
            lane = tl.arange(0, RUN)
            mask = own * RUN + lane < length
            key = tl.load(lists + first + own * RUN + lane, mask, _LAST)
            rank = lane
            count = (length + RUN - 1) // RUN
            turn = 1
            while turn < count:
                other = (own + turn) % count
                room = tl.minimum(length - other * RUN, RUN)
                nearer = tl.zeros_like(lane)
                for level in tl.static_range(LEVELS):
                    probe = nearer + (RUN >> level)
                    reach = mask & (probe <= room)
                    found = tl.load(lists + first + other * RUN + probe - 1, reach, _LAST)
                    nearer = tl.where(reach & (found < key), probe, nearer)
                rank += nearer
                turn += 1
            tl.store(splats + first + rank, key.to(tl.int32), mask)


def bin_splats(
    splats: Splats, batch: int, tiles: tuple[int, int], tile: tuple[int, int], capacity: int
) -> Bins:
    """Sort splats into tiles.

    Args:
        splats: of all cameras.
        batch: cameras.
        tiles: rows and columns of tiles of a picture.
        tile: height and width of a tile in pixels.
        capacity: the most pairs that are kept.
    """
    device, number = splats.counts.device, len(splats.counts) // batch
    total = batch * tiles[0] * tiles[1]
    int32 = {"dtype": torch.int32, "device": device}
    tile_counts, ranges = torch.zeros(total + 2, **int32), torch.empty(total, 2, **int32)
    taken, most_runs = tile_counts[total:], total + capacity // RUN
    runs = torch.empty(most_runs, 2, **int32)
    listed, where, ranks = (torch.empty(capacity, **int32) for _ in range(3))
    keys, lists = (torch.empty(capacity, dtype=torch.int64, device=device) for _ in range(2))
    groups = blocks(number, GROUP)
    share = min(blocks(WRITERS, groups * batch), MOST_SHARE)
    emit_kernel[(groups, batch, share)](
        splats.records, splats.counts, splats.starts, keys, where, ranks, tile_counts,
        number, capacity, tiles[1], tiles[0],
        TILE_W=tile[1], TILE_H=tile[0], GROUP=GROUP, SLOTS=SLOTS, num_warps=1,
    )  # fmt: skip
    allot_kernel[(blocks(total, PLACED),)](
        tile_counts, taken, ranges, runs, total, RUN=RUN, SIZE=PLACED
    )
    place_kernel[(blocks(capacity, PLACED),)](
        keys, where, ranks, splats.pairs, ranges, lists, capacity, SIZE=PLACED
    )
    sorting = (lists, ranges, runs, taken[1:], listed)
    sort_kernel[(most_runs,)](*sorting, RUN=RUN, num_warps=2)
    merge_kernel[(most_runs,)](*sorting, RUN=RUN, LEVELS=RUN.bit_length(), num_warps=2)
    return Bins(listed, ranges)
