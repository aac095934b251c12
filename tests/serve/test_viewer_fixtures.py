"""The page's own tests compare with files made here; these must be what Python computes today."""

from pathlib import Path

import torch
from safetensors.torch import load_file
from viewer_fixtures import PACKET, RANGE, expected

from mien.serve.packets import encode_packet

FIXTURES = Path(__file__).resolve().parents[2] / "web" / "test" / "fixtures"


def test_fixtures_are_not_stale():
    stored = load_file(FIXTURES / "expected.safetensors")
    computed = expected(FIXTURES)
    remedy = "run `python tests/serve/viewer_fixtures.py web/test/fixtures`"
    assert stored.keys() == computed.keys(), remedy
    for name, value in computed.items():
        assert torch.allclose(stored[name], value, atol=1e-5), f"{name}: {remedy}"


def test_the_packet_is_not_stale():
    assert (FIXTURES / "packet.bin").read_bytes() == encode_packet(PACKET, RANGE)
