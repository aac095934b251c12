"""SPZ, version 3: Niantic's packed Gaussians, about a quarter of the size of Mien's PLY.

A gzip stream of a header of 16 bytes and the attributes one after the other: positions, alphas,
colours, scales, rotations. Its axes are x right, y up, z back, which is the canonical frame.
"""

from __future__ import annotations

import gzip
import io
import os
import struct

import numpy as np
import torch
from torch import Tensor

from mien.artifact.ply import SH_DC, check_frame
from mien.files import write_bytes
from mien.structures import Gaussians

MAGIC = 0x5053474E
VERSION = 3

FRACTION_BITS = 14
"""Of the 24 bits of a coordinate: steps of 1/16384 unit (24 µm), up to ±512 units."""

COLOR_SCALE = 0.15
"""What colours (as spherical harmonics) are multiplied with, so that a byte holds them."""

NAME = "synthetic-head-by-mien.spz"
"""The name of the packed file in the gzip header: tools that look there see what it is."""


def save_spz(path: str | os.PathLike[str], gaussians: Gaussians) -> None:
    """Write Gaussians as SPZ, in the axes that the format prescribes.

    Viewers that keep these (three.js, Babylon) show the head upright, looking at the first camera;
    PlayCanvas' (SuperSplat) turn them to those of a COLMAP scene, and show it upright, from behind.

    Args:
        path: by custom ends in `.spz`.
        gaussians: of one frame (no batch axes).

    Raises:
        MienError: it cannot be written there.
        ValueError: the Gaussians are batched, none, or hold numbers that are not finite.
    """
    g = check_frame(gaussians)
    header = struct.pack("<IIIBBBB", MAGIC, VERSION, len(g.means), 0, FRACTION_BITS, 0, 0)
    harmonics = (g.colors - 0.5) / SH_DC
    packed = io.BytesIO()
    with gzip.GzipFile(NAME, "wb", fileobj=packed, mtime=0) as file:
        file.write(header)
        file.write(_positions(g.means))
        file.write(_bytes(g.opacities * 255))
        file.write(_bytes((harmonics * COLOR_SCALE + 0.5) * 255))
        file.write(_bytes((g.scales.clamp_min(1e-12).log() + 10) * 16))
        file.write(_rotations(g.quats))
    write_bytes(path, packed.getbuffer())


def _bytes(values: Tensor) -> bytes:
    return values.round().clamp(0, 255).to(torch.uint8).numpy().tobytes()


def _positions(means: Tensor) -> bytes:
    """Fixed-point numbers of 24 bits, little endian, two's complement."""
    limit = 2**23 - 1
    fixed = (means.double() * 2**FRACTION_BITS).round().clamp(-limit, limit)
    words = fixed.numpy().astype("<i4")
    return words[..., None].view(np.uint8)[..., :3].tobytes()


def _rotations(quats: Tensor) -> bytes:
    """The three smallest of xyzw in 10 bits each, sign and size, below the index of the largest.

    The largest comes out as the positive root of what is left to 1; no other one can exceed √½.
    """
    xyzw = torch.nn.functional.normalize(quats, dim=-1).roll(-1, dims=-1).numpy()
    largest = np.abs(xyzw).argmax(-1)
    sign = np.sign(np.take_along_axis(xyzw, largest[:, None], -1))
    order = np.array([[j for j in range(4) if j != i] for i in range(4)])
    smallest = np.take_along_axis(xyzw, order[largest], -1) * sign
    sizes = np.rint(np.abs(smallest) * np.sqrt(2) * 511).clip(0, 511).astype(np.uint32)
    fields = sizes | (smallest < 0).astype(np.uint32) << 9
    words = largest.astype(np.uint32) << 30
    words |= fields[:, 0] << 20 | fields[:, 1] << 10 | fields[:, 2]
    return words.astype("<u4").tobytes()
