"""The authors' published weights, renamed and made effective for Mien's `paper` network.

Mien does not ship them. Every published tensor is used, under a name of Mien's own. The published
network multiplies some weights by constants when it runs; here those gains are folded into the
weights once, so that Mien's modules are plain ones.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from mien.errors import MienError
from mien.model.decoder import Decoder
from mien.model.fusion import Fusion
from mien.model.paper_encoder import PaperEncoder
from mien.model.paper_motion import LATENT, PaperMotionEncoder

LICENCE_NOTICE = """\
These weights are not part of Mien and not under its licence. Their authors publish them under the
NVIDIA Source Code License: for research and evaluation only, not for commercial use. The motion
encoder among them goes back to work by others (ByteDance, PD-FGC, AnimateDiff) with terms of their
own. Whoever imports them accepts all of these terms, which hold for the converted file too."""

# (pattern in Mien's name, its replacement in the published one), applied in this order.
_ENCODER = (
    (r"^backbone\.stem\.", r"deep_lab_v3.encoder.conv1."),
    *((rf"^backbone\.stages\.{i}\.", rf"deep_lab_v3.encoder.layer{i + 1}.") for i in range(4)),
    (r"\.shortcut\.", r".downsample.0."),
    (r"^context\.point\.", r"deep_lab_v3.decoder.aspp.convs.0.0."),
    *(
        (rf"^context\.dilated\.{i}\.", rf"deep_lab_v3.decoder.aspp.convs.{i + 1}.net.0.")
        for i in range(3)
    ),
    (r"^context\.whole\.", r"deep_lab_v3.decoder.aspp.convs.4.1."),
    (r"^context\.merge\.", r"deep_lab_v3.decoder.aspp.project.0."),
    (r"^context\.out\.", r"deep_lab_v3.decoder.project.0."),
    (r"^low\.embed\.", r"low_feat_encoder.net.0."),
    *((rf"^low\.blocks\.{i}\.", rf"low_feat_encoder.net.{i + 1}.") for i in range(2)),
    (r"^low\.conv\.", r"low_feat_encoder.net.5."),
    (r"^low\.out\.", r"low_feat_encoder.project."),
    (r"^high\.convs\.0\.", r"high_feat_encoder.in_layer."),
    (r"^high\.convs\.", r"high_feat_encoder.layer"),
    (r"^high\.out\.", r"high_feat_encoder.out_layer."),
    (r"^join\.mix\.", r"feat_decoder.in_layer.0."),
    (r"^join\.embed\.", r"feat_decoder.in_layer.1."),
    (r"^join\.block\.", r"feat_decoder.in_layer.2."),
    (r"^join\.conv\.", r"feat_decoder.layer_1."),
    *((rf"^join\.fine_convs\.{i}\.", rf"feat_decoder.layer_{i + 2}.") for i in range(3)),
    (r"^join\.out\.", r"feat_decoder.out_layer."),
    (r"\.attention\.query\.", r".attn.q."),
    (r"\.attention\.key_value\.", r".attn.kv."),
    (r"\.attention\.reduce\.conv\.", r".attn.sr."),
    (r"\.attention\.reduce\.norm\.", r".attn.norm."),
    (r"\.attention\.out\.", r".attn.proj."),
    (r"\.mlp\.widen\.", r".mlp.fc1."),
    (r"\.mlp\.depthwise\.", r".mlp.dwconv.dwconv."),
    (r"\.mlp\.narrow\.", r".mlp.fc2."),
    (r"\.(conv|norm)_([12])\.", r".\1\2."),
    (r"^", r"backbone."),
)

_DECODER = ((r"^", r"decoder."),)

_FUSION = ((r"^(mapping|proj)\.", r"transform.\1."), (r"^", r"motion_decoder."))

_TRANSFORMER = r".transformer_blocks.0."
_MOTION = (
    (r"^stem\.", r"model.conv1."),
    (r"^stem_norm\.", r"model.bn1."),
    (r"^fine\.", r"model.conv2."),
    *((rf"^coarse\.{i}\.", rf"model.conv{i + 3}.") for i in range(2)),
    *(
        (rf"^{name}_attention\.", rf"model.att_{i}.")
        for i, name in enumerate(("fine", "coarse", "top"), start=1)
    ),
    *(
        (rf"^hourglass\.{path}\.{i}\.", rf"model.m0.b{n}_{4 - i}.")
        for n, path in enumerate(("skip", "down", "up"), start=1)
        for i in range(4)
    ),
    (r"^hourglass\.bottom\.", r"model.m0.b2_plus_1."),
    (r"^top\.0\.", r"model.top_m_0."),
    (r"^top\.1\.", r"model.conv_last0."),
    (r"^top\.2\.", r"model.bn_end0."),
    (r"^maps\.1\.", r"model.l0."),
    (r"^maps\.2\.", r"model.bn5."),
    (r"^map\.", r"model.conv6."),
    (r"^latent\.", r"model.fc."),
    (r"^box\.0\.", r"bbox_proj.0."),
    (r"^box\.2\.", r"bbox_proj.3."),
    (r"^out\.", r"final_proj."),
    (r"^position$", r"pe"),
    (r"\.shortcut\.", r".downsample."),
    (r"\.attention_norm\.", rf"{_TRANSFORMER}norms.0."),
    (r"\.attention\.query_key_value\.", rf"{_TRANSFORMER}attention_blocks.0.to_{{q,k,v}}."),
    (r"\.attention\.out\.", rf"{_TRANSFORMER}attention_blocks.0.to_out.0."),
    (r"\.mlp_norm\.", rf"{_TRANSFORMER}ff_norm."),
    (r"\.mlp\.widen\.", rf"{_TRANSFORMER}ff.net.0.proj."),
    (r"\.mlp\.narrow\.", rf"{_TRANSFORMER}ff.net.2."),
    (r"\.embed\.", r".pos_embed.proj."),
    (r"(att_\d)\.out\.", r"\1.proj_out."),
    (r"\.conv_([123])\.", r".conv\1."),
    (r"\.norm_([123])\.", r".bn\1."),
    (r"^", r"model."),
)

_HALVED = re.compile(
    r"backbone\.(low_feat_encoder\.net\.[12]|feat_decoder\.in_layer\.2)\.|motion_decoder\.transform\."
)
_BY_FAN_IN = re.compile(r"(motion_)?decoder\.net\.\d\.weight$")


def import_state_dict(encoder: Mapping[str, Any], motion: Mapping[str, Any]) -> dict[str, Tensor]:
    """Published state dicts to that of the `paper` network.

    Args:
        encoder: `E_state_dict` of the published file: image encoder, Φ, local fusion.
        motion: `M_state_dict`: the motion encoder.

    Returns:
        Float32 tensors (and BatchNorm's int64 counters) under `encoder.` (`PaperEncoder`),
        `decoder.` (`Decoder`), `fusion.` (`Fusion`) and `motion.` (`PaperMotionEncoder`).

    Raises:
        MienError: a tensor is missing, left over, of another shape, not finite or not a tensor;
            names the first such.
    """
    left = {"E": dict(encoder), "M": dict(motion)}
    with torch.device("meta"):
        parts: list[tuple[str, nn.Module, tuple[tuple[str, str], ...], str]] = [
            ("encoder", PaperEncoder(), _ENCODER, "E"),
            ("decoder", Decoder(), _DECODER, "E"),
            ("fusion", Fusion(LATENT), _FUSION, "E"),
            ("motion", PaperMotionEncoder(), _MOTION, "M"),
        ]
    result = {}
    for prefix, module, table, source in parts:
        for name, expected in module.state_dict().items():
            published = published_names(name, table)
            shape = _part_shape(expected.shape, len(published))
            pieces = [_take(left[source], key, shape, source) for key in published]
            result[f"{prefix}.{name}"] = torch.cat(pieces) if len(pieces) > 1 else pieces[0]
    for source, rest in left.items():
        if rest:
            raise MienError(
                f"The checkpoint's {source}_state_dict has the unexpected tensor "
                f"{next(iter(rest))}; it is not the published network."
            )
    return result


def published_names(name: str, table: tuple[tuple[str, str], ...]) -> list[str]:
    """The published names of one of our tensors; several when ours is their concatenation."""
    for pattern, replacement in table:
        name = re.sub(pattern, replacement, name)
    joined = re.fullmatch(r"(.*)\{(.*)\}(.*)", name)
    if joined is None:
        return [name]
    before, parts, after = joined.groups()
    return [f"{before}{part}{after}" for part in parts.split(",")]


def _part_shape(shape: torch.Size, parts: int) -> tuple[int, ...]:
    """Shape of each of `parts` tensors that are concatenated along their first axis."""
    return tuple(shape) if parts == 1 else (shape[0] // parts, *shape[1:])


def _take(left: dict[str, Any], key: str, shape: tuple[int, ...], source: str) -> Tensor:
    """Remove one published tensor from `left`, checked and with its gain folded in."""
    if key not in left:
        raise MienError(
            f"The checkpoint's {source}_state_dict lacks {key}; it is not the published network."
        )
    value = left.pop(key)
    if not isinstance(value, Tensor) or tuple(value.shape) != shape:
        found = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
        raise MienError(
            f"{key} of the checkpoint's {source}_state_dict is {found} instead of {shape}; "
            "it is not the published network."
        )
    if not value.isfinite().all():
        raise MienError(
            f"{key} of the checkpoint's {source}_state_dict holds numbers that are not finite; "
            "download it again."
        )
    return value.detach().float() * gain(key, shape) if value.is_floating_point() else value


def gain(key: str, shape: tuple[int, ...]) -> float:
    """What the published network multiplies a stored tensor by whenever it uses it."""
    if _HALVED.match(key):
        return 0.5
    if _BY_FAN_IN.match(key):
        return 1.0 / math.sqrt(shape[1])
    return 1.0


def read_checkpoint(path: str | Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Both state dicts of a published file (`ckpt.pth`, `ckpt-legacy.pth`), on the CPU.

    A `.safetensors` file does too, with keys that begin with `E_state_dict.` or `M_state_dict.`.
    Only tensors and plain containers are read: loading the file never runs code from it. Show
    `LICENCE_NOTICE` to whoever asked for it.

    Raises:
        MienError: there is no such file, or it is not such a checkpoint.
    """
    path = Path(path)
    if not path.is_file():
        raise MienError(f"There is no checkpoint {path}; give the path of ckpt.pth.")
    try:
        if path.suffix == ".safetensors":
            content = _nested(load_file(path))
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # what a damaged file makes torch.load raise is anyone's guess
        raise MienError(
            f"{path} cannot be read as a PyTorch checkpoint of tensors; download it again."
        ) from error
    return _state_dict(content, "E_state_dict", path), _state_dict(content, "M_state_dict", path)


def _nested(flat: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """{"a.b.c": x} as {"a": {"b.c": x}}."""
    nested: dict[str, dict[str, Tensor]] = {}
    for name, value in flat.items():
        first, _, rest = name.partition(".")
        nested.setdefault(first, {})[rest] = value
    return nested


def _state_dict(content: Any, name: str, path: Path) -> dict[str, Any]:
    """The entry `name` of what a checkpoint file holds."""
    value = content.get(name) if isinstance(content, dict) else None
    if not isinstance(value, dict):
        raise MienError(
            f"{path} holds no {name}; give the file ckpt.pth or ckpt-legacy.pth itself."
        )
    return value
