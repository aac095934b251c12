"""The `base` encoder: a posed portrait to planes of features, at the speed of a small U-Net.

Axis legend: B batch, C channels, H W pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mien.structures import Camera


@dataclass(frozen=True)
class EncoderConfig:
    """Sizes of the `base` encoder.

    Args:
        size: side of the input in pixels; it is folded 2×2 into channels at once.
        widths: channels at size/2, size/4, …; the last level also attends.
        plane: channels of each output plane (features, then basis).
        back_level: how many times the back plane is coarser than the front one, as a power of 2.
    """

    size: int = 512
    widths: tuple[int, ...] = (48, 96, 192, 320, 384)
    plane: int = 96
    back_level: int = 2


class ResidualBlock(nn.Module):
    """Pre-activation residual block with group normalisation; (B, C, H, W) to the same."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm_1 = nn.GroupNorm(8, channels)
        self.conv_1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm_2 = nn.GroupNorm(8, channels)
        self.conv_2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C, H, W)."""
        y = self.conv_1(F.silu(self.norm_1(x)))
        return x + self.conv_2(F.silu(self.norm_2(y)))


class SelfAttention(nn.Module):
    """Multi-head self-attention over pixels; (B, C, H, W) to the same."""

    def __init__(self, channels: int, heads: int = 8) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.GroupNorm(8, channels)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C, H, W)."""
        b, c, h, w = x.shape
        qkv = self.qkv(self.norm(x)).reshape(b, 3, self.heads, c // self.heads, h * w)
        query, key, value = qkv.transpose(-1, -2).unbind(1)
        attended = F.scaled_dot_product_attention(query, key, value)
        return x + self.out(attended.transpose(-1, -2).reshape(b, c, h, w))


class Encoder(nn.Module):
    """A U-Net from a posed portrait to a front and a back plane.

    The front plane has a pixel for every 2×2 of the portrait: it becomes the Gaussians that the
    photo shows. The back plane is read from a coarser decoder level: what the photo hides.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        widths = config.widths
        self.stem = nn.Conv2d(16 + 4, widths[0], 3, padding=1)
        self.down = nn.ModuleList(
            nn.Sequential(ResidualBlock(a), nn.Conv2d(a, b, 3, stride=2, padding=1))
            for a, b in pairwise(widths)
        )
        self.middle = nn.Sequential(
            *(m for _ in range(2) for m in (ResidualBlock(widths[-1]), SelfAttention(widths[-1])))
        )
        pairs = list(pairwise(widths))[::-1]
        self.merge = nn.ModuleList(nn.Conv2d(b, a, 1) for a, b in pairs)
        self.up = nn.ModuleList(nn.Sequential(ResidualBlock(a), ResidualBlock(a)) for a, _ in pairs)
        back_width = widths[config.back_level]
        self.front_head = nn.Conv2d(widths[0], config.plane, 1)
        self.back_head = nn.Sequential(
            ResidualBlock(back_width), nn.Conv2d(back_width, config.plane, 1)
        )

    def forward(self, image: Tensor, alpha: Tensor, camera: Camera) -> tuple[Tensor, Tensor]:
        """Posed portraits to planes.

        Args:
            image: (B, 3, S, S) in [0, 1], premultiplied; S is `config.size`.
            alpha: (B, 1, S, S) in [0, 1].
            camera: (B,) the cameras of the portraits; their yaw and pitch are inputs.

        Returns:
            front (B, plane, S/2, S/2) and back (B, plane, S/2^(1+back_level), same).
        """
        x = self.stem(torch.cat([self._pixels(image, alpha), self._place(image, camera)], 1))
        skips = []
        for down in self.down:
            skips.append(x)
            x = down(x)
        x = self.middle(x)
        back = x
        for level, (merge, up) in enumerate(zip(self.merge, self.up, strict=True)):
            x = up(F.interpolate(merge(x), scale_factor=2.0) + skips.pop())
            if level == len(self.up) - 1 - self.config.back_level:
                back = self.back_head(x)
        return self.front_head(x), back

    @staticmethod
    def _pixels(image: Tensor, alpha: Tensor) -> Tensor:
        return F.pixel_unshuffle(torch.cat([image * 2.0 - 1.0, alpha], 1), 2)

    def _place(self, image: Tensor, camera: Camera) -> Tensor:
        """(B, 4, S/2, S/2): pixel coordinates in [-1, 1], and where the camera stands."""
        b, side = image.shape[0], self.config.size // 2
        ticks = (torch.arange(side, device=image.device) + 0.5) * (2.0 / side) - 1.0
        rows, columns = torch.meshgrid(ticks, ticks, indexing="ij")
        grid = torch.stack([columns, rows]).expand(b, 2, side, side)
        back = -camera.world_from_cam[:, :3, 2]
        stand = back[:, :2, None, None].expand(b, 2, side, side)
        return torch.cat([grid, stand], 1).to(image.dtype)
