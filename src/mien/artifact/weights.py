"""Network weights: as they ship, in half precision or bytes with one scale per output channel; or
exactly as they are, which imported ones stay.

| tensor | dtype | holds |
| --- | --- | --- |
| `<key>` | float16 | a vector, or a matrix that was not quantised |
| `<key>` and `<key>.scale` | int8 (O, ...) and float16 (O,) | a matrix or kernel: code · scale |
| `<key>` | float32 | numbers kept exactly |
| `<key>` | int64 | a counter |

The header says the format, its schema, the preset and the licence of the weights.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from mien.artifact.safe import Format, SafeFile, read_safe, write_safe
from mien.errors import MienError
from mien.files import check_readable

_REMEDY = "get them again with `pip install --force-reinstall mien`, or give another file"

FORMAT = Format("mien.weights", 1, "file of weights", _REMEDY, most=1 << 30)

SCALE = ".scale"


def write_weights(
    path: str | os.PathLike[str],
    state: Mapping[str, Tensor],
    *,
    preset: str,
    licence: str,
    int8: bool = False,
    exact: bool = False,
) -> None:
    """Write a network's weights.

    Args:
        path: by custom ends in `.safetensors`.
        state: as of `nn.Module.state_dict`, of floats and int64.
        preset: the preset the network belongs to.
        licence: one line that says what may be done with the weights.
        int8: store what has two axes or more as bytes, one scale per index of the first axis (the
            output channels of linear and convolution layers). The error is at most 0.45% of the
            largest weight of the channel.
        exact: store floats as float32 rather than in half precision.

    Raises:
        MienError: they cannot be written there.
        ValueError: some weight is not finite, or too large for half precision; `int8` and `exact`.
    """
    if int8 and exact:
        raise ValueError("weights cannot be stored both as bytes and exactly")
    floats = torch.float32 if exact else torch.float16
    stored: dict[str, Tensor] = {}
    for name, value in state.items():
        if not value.is_floating_point():
            stored[name] = value.long()
            continue
        if not value.to(floats).isfinite().all():
            raise ValueError(f"{name} holds numbers that {floats} cannot hold")
        if int8 and value.ndim >= 2 and value.numel() > 0:
            if name + SCALE in state:
                raise ValueError(f"{name + SCALE} is the name of the scale of {name}")
            stored[name], stored[name + SCALE] = _quantise(value.detach().float())
        else:
            stored[name] = value.to(floats)
    write_safe(path, FORMAT, stored, {"preset": preset, "licence": licence})


class Weights(NamedTuple):
    """What a file of weights holds.

    Args:
        state: float32 (counters int64), on the CPU, for `load_state_dict`.
        preset: the preset the network belongs to.
        licence: one line that says what may be done with the weights.
    """

    state: dict[str, Tensor]
    preset: str
    licence: str


def read_weights(path: str | os.PathLike[str]) -> Weights:
    """Read a network's weights.

    Raises:
        MienError: the file is missing, damaged, of another kind, or of a newer version.
    """
    try:
        check_readable(path)
    except MienError as error:
        raise MienError(f"The weights cannot be loaded: {error} To mend it, {_REMEDY}.") from error
    file = read_safe(path, FORMAT)
    scales = {n + SCALE for n, value in file.tensors.items() if value.dtype == torch.int8}
    state = {name: _weight(file, name) for name in file.tensors if name not in scales}
    return Weights(state, file.text("preset"), file.text("licence"))


def mean_weights(files: Sequence[tuple[str, Weights]]) -> Weights:
    """The mean of the weights of networks that began as one; counters are the first's.

    Args:
        files: name and content of at least one file. Their licences all hold for the mean.

    Raises:
        MienError: they are not weights of one and the same network.
    """
    (first, model), *others = files
    kinds = {name: value.shape for name, value in model.state.items()}
    for name, other in others:
        if other.preset != model.preset or kinds != {n: v.shape for n, v in other.state.items()}:
            raise MienError(
                f"{name} (preset {other.preset}) and {first} (preset {model.preset}) are weights "
                "of different networks and have no mean; give students of one network."
            )
    state = {
        name: torch.stack([file.state[name] for _, file in files]).mean(0)
        if value.is_floating_point()
        else value
        for name, value in model.state.items()
    }
    licences = dict.fromkeys(file.licence for _, file in files)
    return Weights(state, model.preset, "; ".join(licences))


def _weight(file: SafeFile, name: str) -> Tensor:
    value = file.tensors[name]
    if value.dtype == torch.int64:
        return value
    if value.dtype in (torch.float16, torch.float32):
        return file.finite(name, value).float()
    if value.dtype != torch.int8 or value.ndim < 2 or name + SCALE not in file.tensors:
        raise file.refusal(f"{name} is {value.dtype} without a scale, which weights never are")
    scale = file.tensor(name + SCALE, torch.float16, value.shape[0]).float()
    return value.float() * scale.reshape(-1, *[1] * (value.ndim - 1))


def _quantise(value: Tensor) -> tuple[Tensor, Tensor]:
    """int8 codes and float16 scales; the codes allow for the scale's own rounding."""
    rows = value.flatten(1)
    # 2^-24 is the least that half precision can hold.
    scale = (rows.abs().amax(1) / 127).clamp_min(2.0**-24).half()
    codes = (rows / scale.float()[:, None]).round().clamp(-127, 127)
    return codes.to(torch.int8).reshape(value.shape), scale
