"""The `paper` encoder: a portrait to a triplane (paper, section 3; after Trevithick et al. 2023).

A dilated ResNet sees the whole face, a shallow branch keeps its detail, and a transformer joins
both. All weights are effective ones: `import_paper` folds the published gains into them.

Axis legend: B batch, C channels, H W pixels of the current grid, S image side.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PLANES = 3
"""Planes of a triplane."""

PLANE_CHANNELS = 96
"""Channels of a plane: 48 of features, then 48 of motion basis."""

WIDTH = 1024
"""Channels of the transformer blocks."""

# Colour statistics of ImageNet, for images in [0, 1].
IMAGE_MEAN = (0.485, 0.456, 0.406)
IMAGE_DEVIATION = (0.229, 0.224, 0.225)


class PaperEncoder(nn.Module):
    """The whole encoder; 54.0 M parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = Backbone()
        self.context = AtrousPyramid()
        self.low = LowBranch()
        self.high = HighBranch()
        self.join = Join()

    def forward(self, image: Tensor) -> Tensor:
        """Portraits to triplanes.

        Args:
            image: (B, 3, S, S) in [-1, 1], background −1; S is a multiple of 16, 512 in the paper.

        Returns:
            (B, 3, 96, S/2, S/2) planes. Which axes each spans: see `rays.read_triplane`.
        """
        shallow, deep = self.backbone(image)
        planes = self.join(self.low(self.context(deep)), self.high(shallow))
        return planes.unflatten(1, (PLANES, PLANE_CHANNELS))


class Backbone(nn.Module):
    """ResNet-18's layout on colour and coordinates, dilated from the third stage on.

    It has no normalisation layers and no biases. The published encoder divides inputs brighter
    than 1 by 255; images in range never meet that, so it is left out.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(IMAGE_MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer(
            "deviation", torch.tensor(IMAGE_DEVIATION).view(3, 1, 1), persistent=False
        )
        self.stem = nn.Conv2d(5, 64, 7, stride=2, padding=3, bias=False)
        self.stages = nn.Sequential(
            nn.Sequential(ResidualBlock(64, 64), ResidualBlock(64, 64)),
            nn.Sequential(ResidualBlock(64, 128, stride=2), ResidualBlock(128, 128)),
            nn.Sequential(ResidualBlock(128, 256, dilation=2), ResidualBlock(256, 256, dilation=2)),
            nn.Sequential(ResidualBlock(256, 512, dilation=4), ResidualBlock(512, 512, dilation=4)),
        )

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, S, S) in [-1, 1] to shallow (B, 64, S/2, S/2) and deep (B, 512, S/8, S/8)."""
        colour = (image * 0.5 + 0.5 - self.mean) / self.deviation
        shallow = F.relu(self.stem(torch.cat([colour, coordinates(image)], 1)))
        return shallow, self.stages(F.max_pool2d(shallow, 3, stride=2, padding=1))


def coordinates(image: Tensor) -> Tensor:
    """(B, 2, H, W): column, then row of each pixel's centre, from −1 to 1 across `image`."""
    batch, _, height, width = image.shape
    columns = (2 * torch.arange(width, device=image.device) + 1) / width - 1.0
    rows = (2 * torch.arange(height, device=image.device) + 1) / height - 1.0
    grid = torch.stack(torch.meshgrid(columns, rows, indexing="xy"))
    return grid.to(image.dtype).expand(batch, 2, height, width)


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions and a shortcut. Unlike torchvision's, `dilation` is of both."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        around = {"padding": dilation, "dilation": dilation, "bias": False}
        self.conv_1 = nn.Conv2d(inputs, outputs, 3, stride=stride, **around)
        self.conv_2 = nn.Conv2d(outputs, outputs, 3, **around)
        self.shortcut = (
            nn.Identity()
            if inputs == outputs
            else nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, outputs, H/stride, W/stride)."""
        return F.relu(self.conv_2(F.relu(self.conv_1(x))) + self.shortcut(x))


class AtrousPyramid(nn.Module):
    """Context at five reaches: a point, three dilations, the whole image (Chen et al. 2017)."""

    def __init__(self) -> None:
        super().__init__()
        self.point = nn.Conv2d(512, 256, 1, bias=False)
        self.dilated = nn.ModuleList(
            nn.Conv2d(512, 256, 3, padding=reach, dilation=reach, bias=False)
            for reach in (12, 24, 36)
        )
        self.whole = nn.Conv2d(512, 256, 1, bias=False)
        self.merge = nn.Conv2d(5 * 256, 256, 1, bias=False)
        self.out = nn.Conv2d(256, 256, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 512, H, W) to (B, 256, H, W)."""
        whole = self.whole(x.mean((2, 3), keepdim=True)).expand(-1, -1, *x.shape[2:])
        reaches = [self.point(x), *(conv(x) for conv in self.dilated), whole]
        return F.relu(self.out(F.relu(self.merge(F.relu(torch.cat(reaches, 1))))))


class PatchEmbedding(nn.Module):
    """Halves the grid into normalised tokens, which stay on it, channels last."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(inputs, WIDTH, 3, stride=2, padding=1)
        self.norm = nn.LayerNorm(WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, 2H, 2W) to (B, H, W, 1024)."""
        return self.norm(self.proj(x).permute(0, 2, 3, 1))


class TransformerBlock(nn.Module):
    """SegFormer's block (Xie et al. 2021): attention and an MLP that looks at its neighbours.

    Args:
        heads: of the attention.
        reduction: keys and values come from a grid this many times coarser.
    """

    def __init__(self, heads: int, reduction: int) -> None:
        super().__init__()
        self.norm_1 = nn.LayerNorm(WIDTH)
        self.attention = Attention(heads, reduction)
        self.norm_2 = nn.LayerNorm(WIDTH)
        self.mlp = ConvMLP()

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, 1024) to the same."""
        x = x + self.attention(self.norm_1(x))
        return x + self.mlp(self.norm_2(x))


class Attention(nn.Module):
    """Multi-head attention of a grid of tokens on itself, or on a coarser copy of itself."""

    def __init__(self, heads: int, reduction: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(WIDTH, WIDTH)
        self.key_value = nn.Linear(WIDTH, 2 * WIDTH)
        self.reduce = Reduction(reduction) if reduction > 1 else nn.Identity()
        self.out = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, 1024) to the same."""
        key, value = self.key_value(self.reduce(x)).chunk(2, -1)
        attended = F.scaled_dot_product_attention(
            self._split(self.query(x)), self._split(key), self._split(value)
        )
        return self.out(attended.transpose(1, 2).reshape(x.shape))

    def _split(self, x: Tensor) -> Tensor:
        """(B, H, W, 1024) to (B, heads, H·W, 1024/heads)."""
        return x.flatten(1, 2).unflatten(-1, (self.heads, -1)).transpose(1, 2)


class Reduction(nn.Module):
    """A coarser, normalised copy of a grid of tokens."""

    def __init__(self, factor: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(WIDTH, WIDTH, factor, stride=factor)
        self.norm = nn.LayerNorm(WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, 1024) to (B, H/factor, W/factor, 1024)."""
        return self.norm(self.conv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1))


class ConvMLP(nn.Module):
    """Two linear layers around a depthwise 3×3 convolution, which tells tokens where they are."""

    def __init__(self) -> None:
        super().__init__()
        self.widen = nn.Linear(WIDTH, 2 * WIDTH)
        self.depthwise = nn.Conv2d(2 * WIDTH, 2 * WIDTH, 3, padding=1, groups=2 * WIDTH)
        self.narrow = nn.Linear(2 * WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, 1024) to the same."""
        hidden = self.depthwise(self.widen(x).permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return self.narrow(F.gelu(hidden))


def conv3(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    """A 3×3 convolution with a bias that keeps the grid, or shrinks it by `stride`."""
    return nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1)


def enlarge(x: Tensor) -> Tensor:
    """(B, C, H, W) to (B, C, 2H, 2W), bilinear between the *centres* of the corner pixels."""
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)


def tokens_to_pixels(x: Tensor) -> Tensor:
    """(B, H, W, 4C) tokens to (B, C, 2H, 2W)."""
    return F.pixel_shuffle(x.permute(0, 3, 1, 2), 2)


class LowBranch(nn.Module):
    """Deep features, refined by two transformer blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = PatchEmbedding(256)
        self.blocks = nn.Sequential(*(TransformerBlock(heads=4, reduction=1) for _ in range(2)))
        self.conv = conv3(256, 128)
        self.out = conv3(128, 128)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 256, H, W) to (B, 128, 2H, 2W)."""
        x = tokens_to_pixels(self.blocks(self.embed(x)))
        return self.out(F.leaky_relu(self.conv(enlarge(x))))


class HighBranch(nn.Module):
    """Shallow features, kept near the pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.ModuleList([conv3(64, 128, stride=2), *(conv3(128, 128) for _ in range(4))])
        self.out = conv3(128, 128)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 64, 2H, 2W) to (B, 128, H, W)."""
        for conv in self.convs:
            x = F.leaky_relu(conv(x))
        return self.out(x)


class Join(nn.Module):
    """Both branches to the channels of the three planes."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = conv3(256, 256)
        self.embed = PatchEmbedding(256)
        self.block = TransformerBlock(heads=2, reduction=2)
        self.conv = conv3(256, 256)
        self.fine_convs = nn.ModuleList(
            [conv3(256, 128), conv3(128, 128), conv3(128, PLANES * PLANE_CHANNELS)]
        )
        self.out = conv3(PLANES * PLANE_CHANNELS, PLANES * PLANE_CHANNELS)

    def forward(self, low: Tensor, high: Tensor) -> Tensor:
        """Low and high, each (B, 128, H, W), to (B, 288, 2H, 2W)."""
        x = self.block(self.embed(self.mix(torch.cat([low, high], 1))))
        x = enlarge(F.leaky_relu(self.conv(tokens_to_pixels(x))))
        for conv in self.fine_convs:
            x = F.leaky_relu(conv(x))
        return self.out(x)
