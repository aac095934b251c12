"""The container of Mien's own files: safetensors, with everything checked before it is used.

A file is one of a few formats, each with a schema version. A reader asks for every tensor by name,
dtype and shape; what is missing, unknown, misshapen or not finite makes a `MienError`.
"""

from __future__ import annotations

import json
import os
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from mien.errors import MienError
from mien.files import check_readable, write_bytes

MAX_BYTES = 256 * 2**20
"""No avatar or take comes near this size; a larger file is refused unread."""

MAX_AXES = 8
"""No tensor of Mien's has more axes."""

MAX_LENGTH = 4_000_000
"""The most Gaussians, or frames, that a file may hold."""

PRESET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""What the name of a preset looks like."""

FINGERPRINT = re.compile(r"[0-9a-f]{32}|")
"""What says which weights made a file (see `mien.model.matching`); empty if it is not known."""


@dataclass(frozen=True)
class Format:
    """One of Mien's own file formats.

    Args:
        name: stored in the file.
        schema: the version that is written, and the newest that can be read.
        noun: what a person calls such a file.
        remedy: how to come by a sound one.
        most: bytes that such a file may have.
    """

    name: str
    schema: int
    noun: str
    remedy: str
    most: int = MAX_BYTES


@dataclass(frozen=True)
class SafeFile:
    """A file that was read, and what it takes to check what it holds.

    Args:
        path: where it came from.
        format: what it should be.
        tensors: by name, as stored.
        metadata: the text fields of its header.
    """

    path: Path
    format: Format
    tensors: dict[str, Tensor]
    metadata: dict[str, str]

    def refusal(self, reason: str) -> MienError:
        """The error to raise when the file cannot be used for `reason`."""
        return refusal(self.path, self.format, reason)

    def expect(self, *names: str) -> None:
        """Refuse the file unless its tensors are exactly these."""
        if missing := sorted(set(names) - self.tensors.keys()):
            raise self.refusal(f"it lacks {', '.join(missing)}")
        if unknown := sorted(self.tensors.keys() - set(names)):
            raise self.refusal(f"it holds unknown tensors ({unknown[0][:64]!r})")

    def tensor(self, name: str, dtype: torch.dtype, *shape: int | None) -> Tensor:
        """A tensor of exactly this dtype and shape; None stands for any size from 1 on."""
        value = self.tensors[name]
        if value.dtype != dtype:
            raise self.refusal(f"{name} is {value.dtype}, where {dtype} belongs")
        fits = value.ndim == len(shape) and all(
            0 < size <= MAX_LENGTH if expected is None else size == expected
            for size, expected in zip(value.shape, shape, strict=True)
        )
        if not fits:
            raise self.refusal(f"{name} has the shape {list(value.shape)}, which does not fit")
        return self.finite(name, value)

    def finite(self, name: str, value: Tensor) -> Tensor:
        """`value`, unless some number in it is infinite or not a number."""
        if value.is_floating_point() and not value.isfinite().all():
            raise self.refusal(f"{name} holds numbers that are not finite")
        return value

    def text(self, name: str) -> str:
        """A text field of the header."""
        if name not in self.metadata:
            raise self.refusal(f"its header lacks the field {name!r}")
        return self.metadata[name]

    def number(self, name: str, most: float) -> float:
        """A text field of the header that says a number above zero and not above `most`."""
        try:
            value = float(self.text(name))
        except ValueError as error:
            raise self.refusal(f"its field {name!r} is no number") from error
        if not 0 < value <= most:
            raise self.refusal(f"its field {name!r} is {value:g}, not between 0 and {most:g}")
        return value

    def inflated(self, name: str, size: int) -> bytes:
        """What a deflated tensor of bytes holds, which must be exactly `size` bytes."""
        stored = self.tensors[name]
        if stored.dtype != torch.uint8 or stored.ndim != 1:
            raise self.refusal(f"{name} is no sequence of bytes")
        inflate = zlib.decompressobj()
        try:
            # One byte above what is expected is enough to tell, and no bomb can go off.
            content = inflate.decompress(stored.numpy().tobytes(), size + 1)
        except zlib.error as error:
            raise self.refusal(f"{name} is damaged") from error
        if len(content) != size or not inflate.eof:
            raise self.refusal(f"{name} does not hold the {size} bytes that belong there")
        return content

    def weights(self) -> str:
        """The fingerprint of the weights that made the file; "" if it does not say."""
        text = self.metadata.get("weights", "")
        if not FINGERPRINT.fullmatch(text):
            raise self.refusal("the fingerprint of its weights is malformed")
        return text

    def preset(self) -> str:
        """The name of the preset the file belongs to."""
        name = self.text("preset")
        if not PRESET.fullmatch(name):
            raise self.refusal("the name of its preset is malformed")
        return name


def read_safe(path: str | os.PathLike[str], format: Format) -> SafeFile:
    """Read a file of one of Mien's formats; nothing is mapped or left open.

    Raises:
        MienError: there is no such file, it is no safetensors file, of another format or of a
            newer version, too large, or its header does not hold together.
    """
    path = check_readable(path)
    size = path.stat().st_size
    if size > format.most:
        raise refusal(path, format, f"it is {size >> 20} MiB, and {format.most >> 20} is the most")
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            _check_header(path, format, header)
            tensors = {}
            for name in file.keys():  # noqa: SIM118 (it is no dict)
                shape = file.get_slice(name).get_shape()
                if len(shape) > MAX_AXES or not all(0 < size <= format.most for size in shape):
                    raise refusal(path, format, f"the shape of {name[:64]!r} is absurd")
                # A copy, for what is mapped would keep the file open.
                tensors[name] = file.get_tensor(name).clone()
    except SafetensorError as error:
        reason = "it is cut short, damaged or of another kind"
        raise refusal(path, format, reason) from error
    return SafeFile(path, format, tensors, header)


def write_safe(
    path: str | os.PathLike[str],
    format: Format,
    tensors: Mapping[str, Tensor],
    fields: Mapping[str, str],
) -> None:
    """Write a file of one of Mien's formats, whole or not at all.

    Raises:
        MienError: it cannot be written there (see `mien.files.atomic_output`).
        ValueError: the preset's name or the weights' fingerprint in `fields` is malformed, a tensor
            is empty, or the file would be larger than the format allows.
    """
    if not PRESET.fullmatch(fields["preset"]):
        raise ValueError(f"a preset cannot be named {fields['preset']!r}")
    if not FINGERPRINT.fullmatch(fields.get("weights", "")):
        raise ValueError(f"weights have no fingerprint like {fields['weights']!r}")
    header = {"format": format.name, "schema": str(format.schema), **fields}
    stored = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    content = _ordered(save(stored, header))
    if len(content) > format.most or not all(value.numel() for value in stored.values()):
        raise ValueError(f"{len(content)} bytes are too many, or a tensor is empty")
    write_bytes(path, content)


def deflated(content: bytes) -> Tensor:
    """Bytes as a deflated tensor, for `SafeFile.inflated`; best where equal bytes come in runs."""
    deflate = zlib.compressobj(6, strategy=zlib.Z_RLE)
    stream = deflate.compress(content) + deflate.flush()
    return torch.frombuffer(bytearray(stream), dtype=torch.uint8)


def refusal(path: Path, format: Format, reason: str) -> MienError:
    """The error to raise when the file at `path` cannot be used for `reason`."""
    return MienError(f"{path} is not a usable {format.noun}: {reason}; {format.remedy}.")


def tool_version() -> str:
    """The name and version of the program, as files record it."""
    try:
        return f"mien {metadata.version('mien')}"
    except metadata.PackageNotFoundError:
        return "mien (not installed)"


def _ordered(content: bytes) -> bytes:
    """A safetensors file with its metadata sorted: the same content shall give the same bytes."""
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + content[8 + length :]


def _check_header(path: Path, format: Format, header: Mapping[str, str]) -> None:
    name = header.get("format")
    if name is None:
        raise refusal(path, format, "it was not written by Mien")
    if name != format.name:
        raise refusal(path, format, f"it says that it is a {name[:64]!r} file")
    schema = header.get("schema", "")
    if not schema.isascii() or not schema.isdecimal() or len(schema) > 9 or int(schema) < 1:
        raise refusal(path, format, "its schema version is malformed")
    if int(schema) > format.schema:
        raise MienError(
            f"{path} was written by a newer version of Mien (schema {schema}; this one reads up to "
            f"{format.schema}); update with `pip install -U mien`."
        )
