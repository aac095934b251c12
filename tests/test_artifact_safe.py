"""What is not sound safetensors of Mien's is refused before anything is made of it."""

import json
import struct
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from mien.artifact import load_avatar, load_motion, read_weights
from mien.artifact.safe import MAX_BYTES
from mien.errors import MienError

pytestmark = pytest.mark.parametrize("load", [load_avatar, load_motion, read_weights])


def container(header: object, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def one(dtype: str, shape: list[int], size: int, kind: str) -> bytes:
    """A file of a single tensor that claims whatever it likes."""
    metadata = {"format": kind, "schema": "1", "preset": "base"}
    tensor = {"dtype": dtype, "shape": shape, "data_offsets": [0, size]}
    return container({"__metadata__": metadata, "x": tensor}, bytes(size))


def kind_of(load) -> str:
    return {load_avatar: "mien.avatar", load_motion: "mien.motion"}.get(load, "mien.weights")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"abc",
        bytes(8),
        bytes(1000),
        struct.pack("<Q", 2**63) + b"{}",
        struct.pack("<Q", 2**64 - 1) + b"{}",
        container(b"[]"),
        container(b"[" * 100_000),
        container(b'{"__metadata__":' + b'{"a":' * 1000),
        container({"__metadata__": {"format": 1}}),
        container(b'{"__metadata__":{"a":"\xff"}}'),
        b"\x80\x04\x95\x0f\x00\x00\x00\x00\x00\x00\x00cos\nsystem\n.",
        b"\x89PNG\r\n\x1a\n" + bytes(100),
    ],
)
def test_no_safetensors(tmp_path: Path, load, content: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(MienError, match="cut short, damaged or of another kind"):
        load(path)


@pytest.mark.parametrize(
    ("dtype", "shape", "size"),
    [
        ("F32", [0, 2**64 - 1], 0),
        ("F32", [0, 2**62, 2**62], 0),
        ("F32", [2**33, 2**33], 4),
        ("F32", [1] * 5000, 4),
        ("F32", [2], 4),
        ("F16", [0], 0),
        ("F4", [2], 1),
        ("F8_E5M2", [1], 1),
        ("C64", [1], 8),
        ("BOOL", [4], 4),
        ("U64", [1], 8),
        ("F12", [1], 8),
    ],
)
def test_headers_that_lie(tmp_path: Path, load, dtype: str, shape: list[int], size: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(one(dtype, shape, size, kind_of(load)))
    with pytest.raises(MienError, match="not a usable"):
        load(path)


def test_safetensors_of_others(tmp_path: Path, load) -> None:
    path = tmp_path / "file"
    save_file({"x": torch.zeros(3)}, path)
    with pytest.raises(MienError, match="not written by Mien"):
        load(path)


def test_a_file_too_large_is_refused_unread(tmp_path: Path, load) -> None:
    path = tmp_path / "file"
    most = 1 << 30 if load is read_weights else MAX_BYTES
    with path.open("wb") as file:
        file.truncate(most + 1)
    with pytest.raises(MienError, match=f"{most >> 20} is the most"):
        load(path)


def test_a_folder(tmp_path: Path, load) -> None:
    with pytest.raises(MienError, match="is a folder"):
        load(tmp_path)


def test_a_missing_file(tmp_path: Path, load) -> None:
    with pytest.raises(MienError, match="does not exist"):
        load(tmp_path / "missing")
