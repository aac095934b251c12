"""`.mien`, baked: an avatar that plays without networks, as a sum of a few linear bases.

Axis legend: N Gaussians, K bases, A = 13 attributes, D latent, H hidden, B bytes.

| tensor | dtype, shape | holds |
| --- | --- | --- |
| source_latent | float32 (D,) | motion latent of the photo itself |
| intrinsics | float32 (3, 3) | |
| rest.codes | uint8 (B,) | attributes (A, N) of no weights, quantised and deflated (`codes`) |
| rest.step, rest.offset | float32 (A,) | attribute = code · step + offset |
| bases.codes | uint8 (B,) | bases (K, A, N), quantised and deflated |
| bases.step | float32 (A,) | base = code · step |
| map.hidden.weight, map.hidden.bias | float32 (H, D), (H,) | latent → weights, see `LatentMap` |
| map.out.weight, map.out.bias | float32 (K, H), (K,) | |
| map.linear | float32 (K, D) | |

The attributes of a Gaussian add in this space: canonical position (3), natural logarithms of its
scales (3), rotation vector (3, radians), logit of its opacity (1), colour before it is clamped (3).
To play a latent z:

    w = linear · z + out.weight · silu(hidden.weight · z + hidden.bias) + out.bias
    attributes = rest + Σ w[k] · bases[k]

How codes are packed stands in `codes`. The header says the format, its schema, the preset, the
fingerprint of the motion encoder (`weights`), the number of Gaussians and the provenance, as in
`avatar`.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor
from torch.nn.functional import silu

from mien.artifact import codes
from mien.artifact.avatar import load_avatar, provenance_of, provenance_text
from mien.artifact.safe import MAX_LENGTH, Format, SafeFile, read_safe, write_safe
from mien.structures import Avatar, TensorRecord

FORMAT = Format("mien.baked", 1, "baked avatar", "make it again with `mien bake`")

ATTRIBUTES = 13
"""Numbers that a Gaussian is: position, log-scales, rotation vector, logit-opacity, colour."""

MAX_BASES = 256

MAX_HIDDEN = 4096

MAX_CODES = 2**28
"""The most codes that the bases may have: half a gigabyte of memory."""

REST_STEPS = 60_000
"""Quantisation steps from the least to the greatest value of an attribute at rest."""

_MAP = ("map.hidden.weight", "map.hidden.bias", "map.out.weight", "map.out.bias", "map.linear")
_NAMES = ("source_latent", "intrinsics", "rest.codes", "rest.step", "rest.offset",
          "bases.codes", "bases.step", *_MAP)  # fmt: skip


@dataclass(frozen=True)
class LatentMap(TensorRecord):
    """Motion latents to weights of the bases: linear, plus a layer of SiLU units.

    Args:
        hidden_weight: (H, D).
        hidden_bias: (H,).
        out_weight: (K, H).
        out_bias: (K,).
        linear: (K, D).
    """

    hidden_weight: Tensor
    hidden_bias: Tensor
    out_weight: Tensor
    out_bias: Tensor
    linear: Tensor

    def __call__(self, latent: Tensor) -> Tensor:
        """Weights (*B, K) of latents (*B, D)."""
        hidden = silu(latent @ self.hidden_weight.T + self.hidden_bias)
        return latent @ self.linear.T + hidden @ self.out_weight.T + self.out_bias


@dataclass(frozen=True)
class Baked(TensorRecord):
    """An avatar as linear bases.

    Args:
        rest: (A, N) float32 attributes of no weights (see this module's description).
        codes: (K, A, N) int16; a base is code · step.
        step: (A,).
        weigh: latent → weights.
        source_latent: (D,) motion latent of the photo itself.
        intrinsics: (3, 3) the framing that views of this avatar use.
        preset: whose latents it takes.
        provenance: free text fields kept with the file.
        weights: fingerprint of the motion encoder whose latents it takes.
    """

    rest: Tensor
    codes: Tensor
    step: Tensor
    weigh: LatentMap
    source_latent: Tensor
    intrinsics: Tensor
    preset: str
    provenance: dict[str, str] = field(default_factory=dict)
    weights: str = ""

    def __len__(self) -> int:
        return self.rest.shape[-1]


def save_baked(path: str | os.PathLike[str], baked: Baked) -> None:
    """Write a baked avatar; see this module's description for the format.

    Args:
        path: by custom ends in `.mien`.
        baked: on any device. The codes are kept exactly; the rest to 1/60,000 of its range.

    Raises:
        MienError: it cannot be written there.
        ValueError: it is misshapen, empty, too large or holds numbers that are not finite.
    """
    _check(baked)
    low, high = baked.rest.amin(1).cpu().double(), baked.rest.amax(1).cpu().double()
    step = ((high - low) / REST_STEPS).clamp_min(1e-30).float()
    offset = ((low + high) / 2).float()
    rest = ((baked.rest.cpu() - offset[:, None]) / step[:, None]).round().to(torch.int16)
    tensors = {
        "source_latent": baked.source_latent.float(),
        "intrinsics": baked.intrinsics.float(),
        "rest.codes": codes.pack(rest),
        "rest.step": step,
        "rest.offset": offset,
        "bases.codes": codes.pack(baked.codes.cpu()),
        "bases.step": baked.step.float(),
    }
    tensors |= {name: value.float() for name, value in _map_tensors(baked.weigh).items()}
    fields = {
        "preset": baked.preset,
        "weights": baked.weights,
        "gaussians": str(len(baked)),
        "provenance": provenance_text(baked.provenance),
    }
    write_safe(path, FORMAT, tensors, fields)


def load_baked(path: str | os.PathLike[str]) -> Baked:
    """Read a baked avatar, on the CPU.

    Raises:
        MienError: the file is missing, damaged, of another kind, or of a newer version.
    """
    file = read_safe(path, FORMAT)
    file.expect(*_NAMES)
    count = math.ceil(file.number("gaussians", MAX_LENGTH))
    source = file.tensor("source_latent", torch.float32, None)
    latent_map = _read_map(file, len(source))
    bases = len(latent_map.out_bias)
    if bases * ATTRIBUTES * count > MAX_CODES:
        raise file.refusal(f"{bases} bases of {count} Gaussians are too many")
    step = file.tensor("rest.step", torch.float32, ATTRIBUTES)[:, None]
    offset = file.tensor("rest.offset", torch.float32, ATTRIBUTES)[:, None]
    rest = torch.from_numpy(codes.unpack(file, "rest.codes", (ATTRIBUTES, count)))
    base_step = file.tensor("bases.step", torch.float32, ATTRIBUTES)
    file.finite("bases.step", base_step * 2**15)
    return Baked(
        rest=file.finite("rest", rest.float() * step + offset),
        codes=torch.from_numpy(codes.unpack(file, "bases.codes", (bases, ATTRIBUTES, count))),
        step=base_step,
        weigh=latent_map,
        source_latent=source,
        intrinsics=file.tensor("intrinsics", torch.float32, 3, 3),
        preset=file.preset(),
        provenance=provenance_of(file),
        weights=file.weights(),
    )


def read_any_avatar(path: str | os.PathLike[str]) -> Avatar | Baked:
    """Read an avatar of either kind, on the CPU.

    Raises:
        MienError: the file is missing, damaged, of another kind, or of a newer version.
    """
    return load_baked(path) if is_baked(path) else load_avatar(path)


def is_baked(path: str | os.PathLike[str]) -> bool:
    """Whether a file says that it is a baked avatar; False for what cannot be read at all."""
    try:
        with safe_open(path, framework="pt") as file:
            return (file.metadata() or {}).get("format") == FORMAT.name
    except (SafetensorError, OSError):
        return False


def packed_bytes(bases: Tensor) -> int:
    """How many bytes the codes (..., int16) of bases take in a file."""
    return len(codes.pack(bases))


def _check(baked: Baked) -> None:
    """Raise ValueError unless what is stored can be read back."""
    count, bases = len(baked), len(baked.codes)
    hidden, latent = len(baked.weigh.hidden_bias), baked.source_latent.numel()
    if not (0 < count <= MAX_LENGTH and 0 < bases <= MAX_BASES and 0 < hidden <= MAX_HIDDEN):
        raise ValueError(f"{count} Gaussians, {bases} bases or {hidden} units: none, or too many")
    if bases * ATTRIBUTES * count > MAX_CODES:
        raise ValueError(f"{bases} bases of {count} Gaussians are too many")
    if baked.codes.dtype != torch.int16 or baked.codes.max() > codes.LARGEST_CODE:
        raise ValueError(f"codes must be int16, and {codes.LARGEST_CODE} is the greatest")
    shapes = {
        "rest": (ATTRIBUTES, count),
        "codes": (bases, ATTRIBUTES, count),
        "step": (ATTRIBUTES,),
        "source_latent": (max(1, latent),),
        "intrinsics": (3, 3),
        "map.hidden.weight": (hidden, latent),
        "map.hidden.bias": (hidden,),
        "map.out.weight": (bases, hidden),
        "map.out.bias": (bases,),
        "map.linear": (bases, latent),
    }
    for name, value in {**vars(baked), **_map_tensors(baked.weigh)}.items():
        if name in shapes and value.shape != shapes[name]:
            raise ValueError(f"{name} is {tuple(value.shape)}, not {shapes[name]}")
        if name in shapes and not value.isfinite().all():
            raise ValueError(f"{name} holds numbers that are not finite")


def _map_tensors(latent_map: LatentMap) -> dict[str, Tensor]:
    return dict(zip(_MAP, vars(latent_map).values(), strict=True))


def _read_map(file: SafeFile, latent: int) -> LatentMap:
    hidden_bias = file.tensor("map.hidden.bias", torch.float32, None)
    out_bias = file.tensor("map.out.bias", torch.float32, None)
    hidden, bases = len(hidden_bias), len(out_bias)
    if hidden > MAX_HIDDEN or bases > MAX_BASES:
        raise file.refusal(f"{bases} bases, or {hidden} units of the map, are too many")
    return LatentMap(
        hidden_weight=file.tensor("map.hidden.weight", torch.float32, hidden, latent),
        hidden_bias=hidden_bias,
        out_weight=file.tensor("map.out.weight", torch.float32, bases, hidden),
        out_bias=out_bias,
        linear=file.tensor("map.linear", torch.float32, bases, latent),
    )
