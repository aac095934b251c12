"""Ways to spoil a file of Mien's, for tests of those who read it."""

import struct
from collections.abc import Callable
from pathlib import Path

from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

FLIPS = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 7)), min_size=1, max_size=4)
"""Bits to flip: where in the file, 0 to 1, and which of the byte."""


def rewrite(path: Path, change: Callable[[dict[str, Tensor], dict[str, str]], object]) -> None:
    """Change the tensors and the metadata of a file, leaving it sound safetensors."""
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    tensors = load_file(path)
    change(tensors, metadata)
    save_file(tensors, path, metadata)


def flipped(path: Path, flips: list[tuple[float, int]]) -> Path:
    """A damaged copy beside a file; half of the flips go where the small header is."""
    damaged = bytearray(path.read_bytes())
    header, last = 8 + struct.unpack("<Q", damaged[:8])[0], len(damaged) - 1
    for place, bit in flips:
        reach = header * 2 * place if place < 0.5 else last * (2 * place - 1)
        damaged[min(int(reach), last)] ^= 1 << bit
    copy = path.with_name("damaged.mien")
    copy.write_bytes(damaged)
    return copy
