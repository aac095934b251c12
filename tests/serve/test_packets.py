import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mien.serve.packets import Packet, PacketError, decode_packet, encode_packet
from mien.serve.protocol import PACKET_HEADER, PACKETS_PER_SECOND, REACH, Range

RANGE = Range(7, [0.5] * 64, [2.0] * 64)


def packet(latent: np.ndarray) -> Packet:
    rotation, translation = np.float32([0.2, -1.0, 3.1]), np.float32([0.5, -0.25, 2.7])
    return Packet(7, 65_535, 123_456, rotation, translation, latent.astype(np.float32))


def test_there_and_back_within_half_a_step():
    sent = packet(np.random.default_rng(0).uniform(-1.5, 2.5, 64))
    got = decode_packet(encode_packet(sent, RANGE), RANGE)
    assert (got.range, got.sequence, got.milliseconds) == (7, 65_535, 123_456)
    assert np.abs(got.latent - sent.latent).max() <= 2.0 / 127 / 2 * 1.001
    assert np.abs(got.rotation - sent.rotation).max() <= math.pi / 32_767
    assert np.abs(got.translation - sent.translation).max() <= REACH / 32_767


def test_what_is_outside_the_range_is_clamped():
    got = decode_packet(encode_packet(packet(np.full(64, 99.0)), RANGE), RANGE)
    assert got.latent == pytest.approx(np.full(64, 2.5))


def test_a_stream_is_within_twenty_kilobits_a_second():
    data = encode_packet(packet(np.zeros(64)), RANGE)
    frame_header = 2
    assert len(data) == PACKET_HEADER + 64
    assert (len(data) + frame_header) * 8 * PACKETS_PER_SECOND < 20_000


@given(st.binary(max_size=120))
def test_anything_else_is_refused(data):
    if len(data) == PACKET_HEADER + 64 and data[0] == 1 and data[1] == 7:
        return
    with pytest.raises(PacketError):
        decode_packet(data, RANGE)
