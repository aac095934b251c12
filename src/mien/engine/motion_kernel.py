"""Motion to Gaussians in one kernel: local fusion, Φ and its heads, nothing kept in between.

A program takes a tile of Gaussians through all layers in registers: it reads f and m once, and
writes what a rasteriser reads. Products are of half precision, or where weights are float32 of
thrice the parts that tensor cores take of them; sums are float32.
`mien.engine.prepare.animate` is its plain twin.

Axis legend: B avatars, N Gaussians, C channels, H hidden.
"""

# Triton comes with torch's GPU builds only, and its kernels' launch syntax has no types.
# pyright: reportMissingImports=false, reportIndexIssue=false

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from mien.engine.prepare import Cast, Layers
from mien.structures import Gaussians

SIZE = 128
"""Gaussians a program."""

CHUNK = 32
"""Hidden numbers computed at once."""


@triton.jit
def _softplus2(x):
    """log₂(1 + 2ˣ), to 1.5e-5: a tenth of what half precision can tell at 0.3.

    Exponentials are what the GPU is shortest of here, and its logarithms cost more, so log₂(1 + u)
    is a polynomial without constant, the best of its degree on [0, 1].
    """
    u = tl.exp2(-tl.abs(x))
    log = 0.0463853106 * u - 0.196269527
    log = log * u + 0.417595714
    log = log * u - 0.709662795
    log = log * u + 1.44196558
    return tl.maximum(x, 0.0) + log * u


@triton.jit
def _eighths(x, SIZE: tl.constexpr):
    """Eight columns of (SIZE, 8)."""
    even, odd = tl.split(tl.reshape(x, (SIZE, 4, 2)))
    even_low, even_high = tl.split(tl.reshape(even, (SIZE, 2, 2)))
    odd_low, odd_high = tl.split(tl.reshape(odd, (SIZE, 2, 2)))
    c0, c4 = tl.split(even_low)
    c2, c6 = tl.split(even_high)
    c1, c5 = tl.split(odd_low)
    c3, c7 = tl.split(odd_high)
    return c0, c1, c2, c3, c4, c5, c6, c7


@triton.jit
def _store3(base, index, mask, x, y, z):
    """Three consecutive numbers of row `index`."""
    at = base + index * 3
    tl.store(at, x, mask)
    tl.store(at + 1, y, mask)
    tl.store(at + 2, z, mask)


@triton.jit
def _tanh(x):
    return 2 * tl.sigmoid(2 * x) - 1


@triton.jit(do_not_specialize=["N"])
def motion_kernel(
    features, basis, anchors, counts, modulation,
    first, first_bias, second, third, third_bias, head, head_bias,
    means, quats, scales, opacities, colors,
    N, C: tl.constexpr, WIDE: tl.constexpr, H: tl.constexpr, CHUNK: tl.constexpr,
    ANCHORED: tl.constexpr, SIZE: tl.constexpr,
):  # fmt: skip
    """Write a tile of an avatar's Gaussians; `WIDE` is C or the next power of two."""
    avatar = tl.program_id(1)
    row = tl.program_id(0) * SIZE + tl.arange(0, SIZE)
    mask = row < N
    index = avatar * N + row
    channel = tl.arange(0, WIDE)
    known = channel < C
    at = index.to(tl.int64)[:, None] * C + channel[None, :]
    real = mask[:, None] & known[None, :]
    m = tl.load(basis + at, real, 0.0)
    moved = tl.load(features + at, real, 0.0).to(tl.float32)
    scale = tl.load(modulation + avatar * 2 * C + channel, known, 0.0)
    shift = tl.load(modulation + avatar * 2 * C + C + channel, known, 0.0)
    x = (m * scale[None, :] + shift[None, :]).to(tl.float16)

    for start in tl.static_range(0, H, CHUNK):
        unit = start + tl.arange(0, CHUNK)
        place = unit[:, None] * C + channel[None, :]
        weights = tl.load(first + place, known[None, :], 0.0)
        hidden = tl.dot(x, tl.trans(weights)) + tl.load(first_bias + unit)[None, :]
        weights = tl.load(second + place, known[None, :], 0.0)
        moved = tl.dot(_softplus2(hidden).to(tl.float16), weights, moved)

    exact: tl.constexpr = third.dtype.element_ty
    x = moved.to(exact)
    column = tl.arange(0, 16)
    raw = tl.zeros([SIZE, 16], tl.float32) + tl.load(head_bias + avatar * 16 + column)[None, :]
    for start in tl.static_range(0, H, CHUNK):
        unit = start + tl.arange(0, CHUNK)
        weights = tl.load(third + unit[:, None] * C + channel[None, :], known[None, :], 0.0)
        hidden = tl.dot(x, tl.trans(weights), input_precision="tf32x3")
        hidden += tl.load(third_bias + unit)[None, :]
        weights = tl.load(head + (avatar * 16 + column)[:, None] * H + unit[None, :])
        hidden = _softplus2(hidden).to(exact)
        raw = tl.dot(hidden, tl.trans(weights), raw, input_precision="tf32x3")

    even, odd = tl.split(tl.reshape(raw, (SIZE, 8, 2)))
    px, pz, red, blue, sx, sz, qw, qy = _eighths(even, SIZE)
    py, density, green, _, sy, _, qx, qz = _eighths(odd, SIZE)
    if ANCHORED:
        anchor = anchors + index * 8
        px += tl.load(anchor, mask, 0.0)
        py += tl.load(anchor + 1, mask, 0.0)
        pz += tl.load(anchor + 2, mask, 0.0)
        density += tl.load(anchor + 3, mask, 0.0)
        red = tl.clamp(tl.load(anchor + 4, mask, 0.0) + _tanh(red), 0.0, 1.0)
        green = tl.clamp(tl.load(anchor + 5, mask, 0.0) + _tanh(green), 0.0, 1.0)
        blue = tl.clamp(tl.load(anchor + 6, mask, 0.0) + _tanh(blue), 0.0, 1.0)
        step = tl.load(anchor + 7, mask, 0.0)
        sx = step * tl.exp(tl.clamp(sx, -3.0, 2.0))
        sy = step * tl.exp(tl.clamp(sy, -3.0, 2.0))
        sz = step * tl.exp(tl.clamp(sz, -3.0, 2.0))
    else:
        px, py, pz = _tanh(px), _tanh(py), _tanh(pz)
        red = 1.002 * tl.sigmoid(red) - 0.001
        green = 1.002 * tl.sigmoid(green) - 0.001
        blue = 1.002 * tl.sigmoid(blue) - 0.001
        sx, sy, sz = 0.05 * tl.sigmoid(sx), 0.05 * tl.sigmoid(sy), 0.05 * tl.sigmoid(sz)
    shrink = 1 / tl.maximum(tl.sqrt(qw * qw + qx * qx + qy * qy + qz * qz), 1e-12)

    _store3(means, index, mask, px, py, pz)
    _store3(scales, index, mask, sx, sy, sz)
    _store3(colors, index, mask, red, green, blue)
    # 1 − exp(−softplus(x)) is sigmoid(x).
    present = row < tl.load(counts + avatar)
    tl.store(opacities + index, tl.where(present, tl.sigmoid(density), 0.0), mask)
    tl.store(quats + index * 4, qw * shrink, mask)
    tl.store(quats + index * 4 + 1, qx * shrink, mask)
    tl.store(quats + index * 4 + 2, qy * shrink, mask)
    tl.store(quats + index * 4 + 3, qz * shrink, mask)


def animate(cast: Cast, layers: Layers, latents: Tensor) -> Gaussians:
    """Gaussians (B, N), float32, for latents (B, D); those beyond an avatar's count have opacity 0.

    Waits for nothing, so a CUDA graph can hold it. The hidden width must be a multiple of 16.
    """
    batch, number, channels = cast.features.shape
    hidden = layers.first.shape[0]
    device = cast.features.device
    modulation = torch.addmm(cast.modulation, latents, layers.mapping)
    means, scales, colors = (torch.empty(batch, number, 3, device=device) for _ in range(3))
    quats = torch.empty(batch, number, 4, device=device)
    opacities = torch.empty(batch, number, device=device)
    motion_kernel[(triton.cdiv(number, SIZE), batch)](
        cast.features, cast.basis, cast.anchors, cast.counts, modulation,
        layers.first, layers.first_bias, layers.second, layers.third, layers.third_bias,
        cast.head, cast.head_bias, means, quats, scales, opacities, colors,
        number, C=channels, WIDE=triton.next_power_of_2(channels), H=hidden,
        CHUNK=min(CHUNK, hidden & -hidden), ANCHORED=cast.anchors is not None, SIZE=SIZE,
    )  # fmt: skip
    return Gaussians(means, quats, scales, opacities, colors)
