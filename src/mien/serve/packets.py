"""Motion on the wire: one small packet a frame, quantised.

Layout, little endian; D latents:

| bytes | holds |
| --- | --- |
| 0 | version |
| 1 | which `Range` quantised the latents |
| 2–3 | sequence number, wraps |
| 4–7 | milliseconds since the driver's start |
| 8–13 | rotation vector of `cam_from_head`, int16 of ±π |
| 14–19 | its translation, int16 of ±`REACH` |
| 20–  | D latents, int8: value = centre + code / 127 · span |

At 25 packets a second and D = 64 that is 16.8 kbit/s. `web/src/packets.ts` is the twin.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.serve.protocol import PACKET_HEADER, PACKET_VERSION, REACH, Range

_HEADER = struct.Struct("<BBHI3h3h")
assert _HEADER.size == PACKET_HEADER

_STEPS = 32_767
_CODES = 127


class PacketError(ValueError):
    """Bytes that are no motion packet."""


@dataclass(frozen=True)
class Packet:
    """What the driver does at one moment.

    Args:
        range: number of the `Range` the latents were quantised with, 0 to 255.
        sequence: 0 to 65535.
        milliseconds: since the driver's start, 0 to 2³² − 1.
        rotation: (3,) rotation vector of `cam_from_head`, of length ≤ π.
        translation: (3,) canonical units, each within ±`REACH`.
        latent: (D,).
    """

    range: int
    sequence: int
    milliseconds: int
    rotation: NDArray[np.float32]
    translation: NDArray[np.float32]
    latent: NDArray[np.float32]


def encode_packet(packet: Packet, range_: Range) -> bytes:
    """Quantise; what lies outside its range is clamped."""
    rotation = _quantise(packet.rotation / math.pi, _STEPS)
    translation = _quantise(packet.translation / REACH, _STEPS)
    centre, span = _floats(range_.centre), _floats(range_.span)
    codes = _quantise((packet.latent - centre) / span, _CODES).astype(np.int8)
    header = _HEADER.pack(
        PACKET_VERSION,
        packet.range,
        packet.sequence,
        packet.milliseconds,
        *rotation.tolist(),
        *translation.tolist(),
    )
    return header + codes.tobytes()


def decode_packet(data: bytes, range_: Range) -> Packet:
    """The inverse of `encode_packet`.

    Raises:
        PacketError: it is cut short, of another version, or of another range.
    """
    number = check_packet(data, len(range_.centre))
    if number != range_.id:
        raise PacketError(f"it needs range {number}, not {range_.id}")
    _, _, sequence, milliseconds, *pose = _HEADER.unpack_from(data)
    codes = np.frombuffer(data, np.int8, offset=PACKET_HEADER).astype(np.float32)
    return Packet(
        number,
        sequence,
        milliseconds,
        _floats(pose[:3]) / _STEPS * np.float32(math.pi),
        _floats(pose[3:]) / _STEPS * np.float32(REACH),
        _floats(range_.centre) + codes / _CODES * _floats(range_.span),
    )


def check_packet(data: bytes, latent: int) -> int:
    """The number of the range that a packet of `latent` numbers was quantised with.

    Raises:
        PacketError: it is no such packet.
    """
    if len(data) != PACKET_HEADER + latent:
        raise PacketError(f"it has {len(data)} bytes, not {PACKET_HEADER + latent}")
    if data[0] != PACKET_VERSION:
        raise PacketError(f"it is of version {data[0]}, not {PACKET_VERSION}")
    return data[1]


def _quantise(values: NDArray[np.float32], steps: int) -> NDArray[np.int32]:
    return np.rint(np.clip(values, -1.0, 1.0) * steps).astype(np.int32)


def _floats(values: Sequence[float]) -> NDArray[np.float32]:
    return np.asarray(values, np.float32)
