"""What of animating avatars does not depend on motion, done once; and the plain way of the rest.

The paper's local fusion and Φ are affine maps around two softplus layers. What stands between
those is one matrix for all frames, and everything that normalises or shifts is folded into it:

    x = LN(m)·scale + shift     scale, shift = mapping(source, driving)
    h = softplus(first x)       first = net₀ proj
    g = f + second h            second = gain net₂
    o = softplus(third g)       third = Φ₀, with what net₂'s bias adds
    raw = head o                head = those 14 rows of Φ₂ that are used, in the order of `COLUMNS`

LN(m) is computed here. third·f could be too, but would be twice as many numbers to read as f.

Half precision is enough where Φ says how Gaussians differ from anchors. Where it says positions
outright it would shift them by a tenth of a pixel of 512: f, third and head are float32 there.

Axis legend: B avatars, N Gaussians of the largest, C channels, H hidden, D latent.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mien.errors import MienError
from mien.model.decoder import IDENTITY_QUAT, OFFSET_STEP, Decoder
from mien.model.fusion import Fusion
from mien.structures import Avatar, Gaussians, TensorRecord

COLUMNS = (11, 12, 13, 0, 1, 2, 3, None, 14, 15, 16, None, 17, 18, 19, 20)
"""Which of Φ's outputs each row of the head is: position, density, colour, –, scale, –, quat."""

LOG2_E = math.log2(math.e)
"""Softplus is computed to base 2: a factor on the layer before it, its inverse on the one after."""


@dataclass(frozen=True)
class Layers(TensorRecord):
    """The weights that animate any avatar.

    Args:
        mapping: (D, 2C) float32, driving latent to its share of scale and shift.
        first: (H, C) half precision.
        first_bias: (H,) float32.
        second: (H, C) half precision, transposed.
        third: (H, C) half precision, or float32 for avatars without anchors.
        third_bias: (H,) float32.
    """

    mapping: Tensor
    first: Tensor
    first_bias: Tensor
    second: Tensor
    third: Tensor
    third_bias: Tensor


@dataclass(frozen=True)
class Cast(TensorRecord):
    """Avatars that are animated together; those with fewer Gaussians are filled up with nothing.

    Args:
        features: (B, N, C) f, half precision, or float32 for avatars without anchors.
        basis: (B, N, C) m, normalised, half precision.
        anchors: (B, N, 8) float32: mean, density, colour, scale; or None (see `Avatar`).
        counts: (B,) int32, Gaussians that each has.
        modulation: (B, 2C) float32, the source latent's share of scale and shift.
        head: (B, 16, H) as exact as the features, `COLUMNS` of Φ's last layer, turned to the
            avatar's axes.
        head_bias: (B, 16) float32.
        intrinsics: (B, 3, 3) float32, framing of the avatars.
    """

    features: Tensor
    basis: Tensor
    anchors: Tensor | None
    counts: Tensor
    modulation: Tensor
    head: Tensor
    head_bias: Tensor
    intrinsics: Tensor


@torch.no_grad()
def prepare_layers(fusion: Fusion, decoder: Decoder, *, exact: bool = False) -> Layers:
    """Fold the networks' weights (see the top of this file); `exact` if there are no anchors."""
    into, out = _linears(fusion.net)
    third, _ = _linears(decoder.net)
    channels = fusion.proj.out_features
    offset = third.bias + fusion.gain * (third.weight @ out.bias)
    return Layers(
        mapping=fusion.mapping.weight[:, fusion.mapping.in_features // 2 :].T.contiguous(),
        first=(LOG2_E * into.weight @ fusion.proj.weight).half(),
        first_bias=LOG2_E * (into.weight @ fusion.proj.bias + into.bias),
        second=(fusion.gain / LOG2_E * out.weight).T.reshape(-1, channels).half().contiguous(),
        third=(LOG2_E * third.weight).to(torch.float32 if exact else torch.half),
        third_bias=LOG2_E * offset,
    )


@torch.no_grad()
def prepare(avatars: Sequence[Avatar], fusion: Fusion, decoder: Decoder) -> Cast:
    """Lay avatars out for animation with these networks, on the networks' device.

    Raises:
        MienError: there are none, or avatars of several presets.
    """
    if not avatars:
        raise MienError("There is no avatar to animate; give at least one.")
    presets = sorted({avatar.preset for avatar in avatars})
    if len(presets) > 1 or len({avatar.anchors is None for avatar in avatars}) > 1:
        raise MienError(
            f"Avatars of the presets {', '.join(presets)} cannot be animated together; "
            "give those of one preset."
        )
    device = fusion.mapping.weight.device
    avatars = [avatar.to(device) for avatar in avatars]
    counts = [len(avatar.features) for avatar in avatars]
    longest = max(counts)
    heads = [_head(decoder, avatar) for avatar in avatars]
    width = fusion.mapping.in_features // 2
    kind = torch.float32 if avatars[0].anchors is None else torch.half
    sources = torch.stack([avatar.source_latent for avatar in avatars]).float()
    return Cast(
        features=_filled([a.features.to(kind) for a in avatars], longest),
        basis=_filled(
            [F.layer_norm(a.basis.float(), a.basis.shape[-1:]).half() for a in avatars], longest
        ),
        anchors=None
        if avatars[0].anchors is None
        else _filled([_anchor_records(a) for a in avatars], longest),
        counts=torch.tensor(counts, dtype=torch.int32, device=device),
        modulation=sources @ fusion.mapping.weight[:, :width].T,
        head=torch.stack([weight for weight, _ in heads]).to(kind),
        head_bias=torch.stack([bias for _, bias in heads]),
        intrinsics=torch.stack([a.intrinsics for a in avatars]).float(),
    )


def animate(cast: Cast, layers: Layers, latents: Tensor) -> Gaussians:
    """The plain twin of `motion_kernel.animate`, in float32: Gaussians (B, N) for latents (B, D).

    Those beyond an avatar's count have opacity 0.
    """
    modulation = cast.modulation + latents @ layers.mapping
    scale, shift = modulation[:, None].chunk(2, -1)
    wide = layers.to(torch.float32)
    hidden = _softplus2((cast.basis * scale + shift) @ wide.first.T + wide.first_bias)
    moved = cast.features.float() + hidden @ wide.second
    hidden = _softplus2(moved @ wide.third.T + wide.third_bias)
    raw = hidden @ cast.head.float().transpose(1, 2) + cast.head_bias[:, None]
    position, density, color, _, scale, _, quat = raw.split([3, 1, 3, 1, 3, 1, 4], -1)
    density = density[..., 0]
    real = torch.arange(raw.shape[1], device=raw.device) < cast.counts[:, None]
    if cast.anchors is None:
        means = torch.tanh(position)
        colors = 1.002 * torch.sigmoid(color) - 0.001
        scales = 0.05 * torch.sigmoid(scale)
    else:
        means = cast.anchors[..., :3] + position
        density = density + cast.anchors[..., 3]
        colors = (cast.anchors[..., 4:7] + torch.tanh(color)).clamp(0.0, 1.0)
        scales = cast.anchors[..., 7:] * torch.exp(scale.clamp(-3.0, 2.0))
    # 1 − exp(−softplus(x)) is sigmoid(x).
    opacities = torch.where(real, torch.sigmoid(density), 0.0)
    return Gaussians(means, F.normalize(quat, dim=-1), scales, opacities, colors)


def _softplus2(x: Tensor) -> Tensor:
    """log₂(1 + 2ˣ)."""
    return F.softplus(x / LOG2_E) * LOG2_E


def _linears(net: nn.Module) -> tuple[nn.Linear, nn.Linear]:
    first, _, last = net.children()
    assert isinstance(first, nn.Linear)
    assert isinstance(last, nn.Linear)
    return first, last


def _head(decoder: Decoder, avatar: Avatar) -> tuple[Tensor, Tensor]:
    """(16, H) and (16,) float32: Φ's last layer as `Cast` wants it."""
    _, last = _linears(decoder.net)
    both = torch.cat([last.weight, last.bias[:, None]], 1).float()
    rows = both.new_zeros(len(COLUMNS), both.shape[1])
    used = [column for column in COLUMNS if column is not None]
    rows[[row for row, column in enumerate(COLUMNS) if column is not None]] = both[used]
    rows[3, -1] -= 1.0  # the density's shift (see `model.decoder.density`)
    if avatar.anchors is not None:
        rows[:3] = OFFSET_STEP * avatar.anchors.axes @ rows[:3]
        rows[12:, -1] += rows.new_tensor(IDENTITY_QUAT)
    return rows[:, :-1] / LOG2_E, rows[:, -1]


def _anchor_records(avatar: Avatar) -> Tensor:
    anchors = avatar.anchors
    assert anchors is not None
    columns = [anchors.means, anchors.density[:, None], anchors.colors, anchors.scales[:, None]]
    return torch.cat(columns, -1).float()


def _filled(rows: list[Tensor], length: int) -> Tensor:
    """(B, length, ...): rows (n, ...) with zeros after them."""
    return torch.stack([F.pad(row, (0, 0, 0, length - len(row))) for row in rows]).contiguous()
