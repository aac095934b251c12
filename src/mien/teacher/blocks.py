"""The blocks of the teacher's networks: convolutions and attention that a condition modulates.

Axis legend: B batch, C channels, H W pixels, N tokens, E condition.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

HEAD = 64
"""Channels of an attention head."""


def zeroed(layer: nn.Linear | nn.Conv2d) -> nn.Linear | nn.Conv2d:
    """The layer with zero weights: what it feeds starts as the identity."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


class ResBlock(nn.Module):
    """Two convolutions; the condition scales and shifts what is between them.

    Args:
        inputs, outputs: channels, multiples of 8.
        condition: E.
    """

    def __init__(self, inputs: int, outputs: int, condition: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(8, inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.modulation = zeroed(nn.Linear(condition, 2 * outputs))
        self.norm2 = nn.GroupNorm(8, outputs, affine=False)
        self.conv2 = zeroed(nn.Conv2d(outputs, outputs, 3, padding=1))
        self.skip = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """(B, inputs, H, W) under (B, E) to (B, outputs, H, W)."""
        scale, shift = self.modulation(condition)[..., None, None].chunk(2, 1)
        hidden = self.conv1(F.silu(self.norm1(x)))
        hidden = self.conv2(F.silu(self.norm2(hidden) * (1.0 + scale) + shift))
        return self.skip(x) + hidden


class Transformer(nn.Module):
    """A DiT block with adaLN-zero (Peebles & Xie 2023) that may attend to a reference too.

    Own and reference tokens share one softmax (reference attention, Hu et al. 2024), so a token
    takes what it needs from the photo, or nothing.

    Args:
        width: C.
        condition: E.
        reference: whether `forward` gets reference tokens of the same width.
    """

    def __init__(self, width: int, condition: int, reference: bool) -> None:
        super().__init__()
        self.heads = max(1, width // HEAD)
        self.norm1 = nn.LayerNorm(width, elementwise_affine=False)
        self.qkv = nn.Linear(width, 3 * width)
        self.sharpness = nn.Parameter(torch.full((self.heads, 1, 1), 1.5))
        self.reference = (
            nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 2 * width)) if reference else None
        )
        self.out = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width, elementwise_affine=False)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU("tanh"), nn.Linear(4 * width, width)
        )
        self.modulation = zeroed(nn.Linear(condition, 6 * width))

    def forward(self, x: Tensor, condition: Tensor, reference: Tensor | None = None) -> Tensor:
        """Tokens (B, N, C) under (B, E), with reference tokens (B, M, C), to (B, N, C)."""
        changes = self.modulation(condition)[:, None].chunk(6, -1)
        hidden = self.norm1(x) * (1.0 + changes[0]) + changes[1]
        x = x + changes[2] * self._attend(hidden, reference)
        hidden = self.norm2(x) * (1.0 + changes[3]) + changes[4]
        return x + changes[5] * self.mlp(hidden)

    def _attend(self, x: Tensor, reference: Tensor | None) -> Tensor:
        q, k, v = self.qkv(x).chunk(3, -1)
        if self.reference is not None and reference is not None:
            keys, values = self.reference(reference).chunk(2, -1)
            k, v = torch.cat([k, keys], 1), torch.cat([v, values], 1)
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in (q, k, v))
        # Normalised queries and keys keep half precision safe; the sharpness lets one key win.
        q, k = (F.rms_norm(part, part.shape[-1:]) for part in (q, k))
        q, k = (q * self.sharpness).to(v.dtype), k.to(v.dtype)
        return self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class Level(nn.Module):
    """Blocks at one resolution: convolutions, each followed by attention where there is any.

    Args:
        inputs: channels that come in.
        width: C of everything after.
        depth: how many blocks.
        condition: E.
        attention: whether the level attends.
        reference: whether its attention sees a reference.
        places: channels of the maps that say where on the head a pixel looks.
    """

    def __init__(
        self,
        inputs: int,
        width: int,
        depth: int,
        condition: int,
        *,
        attention: bool,
        reference: bool,
        places: int,
    ) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            ResBlock(width if i else inputs, width, condition) for i in range(depth)
        )
        self.attentions = nn.ModuleList(
            Transformer(width, condition, reference) for _ in range(depth if attention else 0)
        )
        self.place = nn.Conv2d(places, width, 1) if attention else None

    def forward(
        self, x: Tensor, condition: Tensor, places: Tensor, references: list[Tensor]
    ) -> tuple[Tensor, list[Tensor]]:
        """One pass.

        Args:
            x: (B, inputs, H, W).
            condition: (B, E).
            places: (B, P, H, W).
            references: (B, M, C) for each attention block, or none at all.

        Returns:
            (B, C, H, W), and the tokens (B, N, C) that left each attention block.
        """
        if self.place is None:
            for block in self.convolutions:
                x = block(x, condition)
            return x, []
        place, tokens = self.place(places), []
        for i, (block, attend) in enumerate(zip(self.convolutions, self.attentions, strict=True)):
            x = block(x, condition) + place
            flat = x.flatten(2).transpose(1, 2)
            flat = attend(flat, condition, references[i] if references else None)
            tokens.append(flat)
            x = flat.transpose(1, 2).unflatten(2, x.shape[2:])
        return x, tokens
