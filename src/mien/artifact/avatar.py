"""`.mien`: a person's avatar in a few megabytes.

Axis legend: N Gaussians, C = 48 channels, D latent, B bytes.

| tensor | dtype, shape | holds |
| --- | --- | --- |
| features.codes, basis.codes | uint8 (B,) | f and m, quantised and deflated (`_pack`, `codes`) |
| features.step, basis.step | float32 (C,) | channel = code · step + offset |
| features.offset, basis.offset | float32 (C,) | |
| source_latent | float32 (D,) | |
| intrinsics | float32 (3, 3) | |
| anchors.means | uint16 (N, 3) | steps of 1/65535 of the bounding box |
| anchors.box | float32 (2, 3) | its lowest and highest corners |
| anchors.colors | uint8 (N, 3) | of 255 |
| anchors.scales | float16 (N,) | natural logarithms |
| anchors.density | float16 (N,) | |
| anchors.axes | float32 (3, 3) | |

*ray* and *plane* avatars have no anchors. The header says the format, its schema, the preset, the
fingerprint of the weights that read it (`weights`; the first avatars lack it, and no network takes
them), the number of Gaussians and the provenance, a JSON object of texts with at least `synthetic`,
`consent` and `tool`.
"""

from __future__ import annotations

import json
import math
import os

import torch
from torch import Tensor

from mien.artifact import codes
from mien.artifact.safe import MAX_LENGTH, Format, SafeFile, read_safe, tool_version, write_safe
from mien.structures import Anchors, Avatar, TensorRecord

FORMAT = Format("mien.avatar", 1, "avatar", "encode the photo again with `mien encode`")

CHANNELS = 48
"""Channels of f, and of m."""

STEPS_PER_DEVIATION = 32
"""Quantisation steps in one standard deviation of a channel: 40.9 dB, whatever its tails."""

LARGEST_CODE = 32_000
"""Room to `codes.LARGEST_CODE` for rounding."""

LARGEST_LOG_SCALE = 30.0
"""Scales stay between e^-30 and e^30."""

MAX_TEXT = 65_536
"""The most characters that a provenance may have."""

_FIELDS = ("codes", "step", "offset")
_STATIC = ("source_latent", "intrinsics")
_ANCHORS = ("means", "box", "colors", "scales", "density", "axes")


def save_avatar(path: str | os.PathLike[str], avatar: Avatar) -> None:
    """Write an avatar; see this module's description for the format.

    Fields that the provenance does not state are filled in: the avatar is `synthetic`, the
    subject's `consent` is "not stated", and the `tool` is this version of Mien.

    Args:
        path: by custom ends in `.mien`.
        avatar: of one person (no batch axes), on any device, of any float dtype.

    Raises:
        MienError: it cannot be written there.
        ValueError: the avatar is batched, empty, too large or holds numbers that are not finite.
    """
    count = _check(avatar)
    tensors = {
        "source_latent": avatar.source_latent.float(),
        "intrinsics": avatar.intrinsics.float(),
    }
    for name in ("features", "basis"):
        values = _pack(getattr(avatar, name).detach().cpu())
        tensors |= {f"{name}.{field}": value for field, value in values.items()}
    if avatar.anchors is not None:
        anchors = _pack_anchors(avatar.anchors.to(torch.float32))
        tensors |= {f"anchors.{field}": value for field, value in anchors.items()}
    fields = {
        "preset": avatar.preset,
        "weights": avatar.weights,
        "gaussians": str(count),
        "provenance": provenance_text(avatar.provenance),
    }
    write_safe(path, FORMAT, tensors, fields)


def load_avatar(path: str | os.PathLike[str]) -> Avatar:
    """Read an avatar: float32 tensors on the CPU, without batch axes.

    Raises:
        MienError: the file is missing, damaged, of another kind, or of a newer version.
    """
    file = read_safe(path, FORMAT)
    names = [f"{name}.{field}" for name in ("features", "basis") for field in _FIELDS]
    anchored = any(name.startswith("anchors.") for name in file.tensors)
    file.expect(*names, *_STATIC, *(f"anchors.{n}" for n in _ANCHORS if anchored))
    count = math.ceil(file.number("gaussians", MAX_LENGTH))
    return Avatar(
        features=_unpack(file, "features", count),
        basis=_unpack(file, "basis", count),
        source_latent=file.tensor("source_latent", torch.float32, None),
        intrinsics=file.tensor("intrinsics", torch.float32, 3, 3),
        anchors=_unpack_anchors(file, count) if anchored else None,
        preset=file.preset(),
        provenance=provenance_of(file),
        weights=file.weights(),
    )


def _check(avatar: Avatar) -> int:
    """The number of Gaussians, once it is sure that what is stored can be read back."""
    count = len(avatar.features)
    if not 0 < count <= MAX_LENGTH:
        raise ValueError(f"{count} Gaussians are none, or too many")
    shapes = {
        "features": (count, CHANNELS),
        "basis": (count, CHANNELS),
        # One axis, of any size from 1 on.
        "source_latent": (max(1, avatar.source_latent.numel()),),
        "intrinsics": (3, 3),
    }
    _check_shapes(avatar, shapes)
    if avatar.anchors is not None:
        shapes = {
            "means": (count, 3),
            "colors": (count, 3),
            "scales": (count,),
            "density": (count,),
            "axes": (3, 3),
        }
        _check_shapes(avatar.anchors, shapes)
    return count


def _check_shapes(record: TensorRecord, shapes: dict[str, tuple[int, ...]]) -> None:
    for name, shape in shapes.items():
        value = getattr(record, name)
        if value.shape != shape:
            raise ValueError(f"{name} is {tuple(value.shape)}, not {shape}")
        if not value.isfinite().all():
            raise ValueError(f"{name} holds numbers that are not finite")


def _pack(values: Tensor) -> dict[str, Tensor]:
    """Quantise each channel of (N, C) evenly, and deflate the codes.

    The step is a fixed part of the channel's standard deviation, not of its range: outliers cost
    no precision but only a few longer codes, and the entropy cannot exceed that of a normal
    distribution, 7.1 bits. The codes are packed channel by channel.
    """
    values = values.double()
    offset = values.mean(0).float()
    centred = values - offset
    step = centred.std(0, correction=0) / STEPS_PER_DEVIATION
    step = torch.maximum(step, centred.abs().amax(0) / LARGEST_CODE).float().clamp_min(1e-30)
    steps = (centred / step).round().clamp(-LARGEST_CODE, LARGEST_CODE)
    return {"codes": codes.pack(steps.T.to(torch.int16)), "step": step, "offset": offset}


def _unpack(file: SafeFile, name: str, count: int) -> Tensor:
    """The inverse of `_pack`: (N, C) float32."""
    step = file.tensor(f"{name}.step", torch.float32, CHANNELS)
    offset = file.tensor(f"{name}.offset", torch.float32, CHANNELS)
    steps = torch.from_numpy(codes.unpack(file, f"{name}.codes", (CHANNELS, count)))
    return file.finite(name, (steps.T.float() * step + offset).contiguous())


def _pack_anchors(anchors: Anchors) -> dict[str, Tensor]:
    box = torch.stack([anchors.means.amin(0), anchors.means.amax(0)])
    extent = (box[1] - box[0]).clamp_min(1e-30)
    means = ((anchors.means - box[0]) / extent * 65_535).round()
    return {
        "means": means.to(torch.int32).to(torch.uint16),
        "box": box,
        "colors": (anchors.colors.clamp(0, 1) * 255).round().to(torch.uint8),
        "scales": anchors.scales.clamp(1e-13, 1e13).log().half(),
        "density": anchors.density.clamp(-60_000, 60_000).half(),
        "axes": anchors.axes,
    }


def _unpack_anchors(file: SafeFile, count: int) -> Anchors:
    low, high = file.tensor("anchors.box", torch.float32, 2, 3)
    means = file.tensor("anchors.means", torch.uint16, count, 3).float() / 65_535
    scales = file.tensor("anchors.scales", torch.float16, count).float()
    if scales.abs().max() > LARGEST_LOG_SCALE:
        raise file.refusal("anchors.scales is out of range")
    return Anchors(
        means=file.finite("anchors.means", low + means * (high - low)),
        colors=file.tensor("anchors.colors", torch.uint8, count, 3).float() / 255,
        scales=scales.exp(),
        density=file.tensor("anchors.density", torch.float16, count).float(),
        axes=file.tensor("anchors.axes", torch.float32, 3, 3),
    )


def provenance_text(stated: dict[str, str]) -> str:
    """Provenance as a header holds it, with what every file says filled in.

    Raises:
        ValueError: it is too long, or not all texts.
    """
    fields = {"synthetic": "true", "consent": "not stated", "tool": tool_version()} | stated
    text = json.dumps(fields, sort_keys=True)
    if not all(isinstance(value, str) for value in fields.values()) or len(text) > MAX_TEXT:
        raise ValueError(f"the provenance must be texts, of {MAX_TEXT} characters in all")
    return text


def provenance_of(file: SafeFile) -> dict[str, str]:
    """The provenance in a file's header."""
    text = file.text("provenance")
    try:
        fields = json.loads(text) if len(text) <= MAX_TEXT else None
    except (ValueError, RecursionError) as error:
        raise file.refusal("its provenance is damaged") from error
    if not isinstance(fields, dict) or not all(isinstance(v, str) for v in fields.values()):
        raise file.refusal("its provenance is not a short list of texts")
    return fields
