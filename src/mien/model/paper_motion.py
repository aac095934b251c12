"""The `paper` motion encoder: a face crop to a latent of 512 numbers (paper, section 3).

It is the encoder of the diffusion animator X-NeMo, kept frozen: a face-landmark hourglass
(Bulat & Tzimiropoulos 2017) with attention between its parts, read out through one 28×28 map.

Axis legend: B batch, C channels, H W pixels, G = 28 side of the token grid.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mien.errors import MienError

CROP = 224
"""Side in pixels of the face crop the network sees."""

MARGIN = 1.1
"""The crop is this many times the longer side of the detector's face box."""

LATENT = 512
"""Width of a motion latent."""

GRID = 28
"""G: side of the grid on which tokens attend, and of the map that becomes the latent."""

WIDTH = 1024
"""Channels of a token."""


def crop_edges(
    box: tuple[float, float, float, float], width: int, height: int
) -> tuple[int, int, int, int]:
    """Where to cut a frame, given the box of a face in it.

    The box grows to a square by `MARGIN`; if that leaves the frame, the box is kept as found,
    oblong. Sides become even, then the box is moved inside the frame.

    Args:
        box: left, top, right, bottom in pixels, from the face detector; may leave the frame.
        width: of the frame in pixels.
        height: of the frame in pixels.

    Returns:
        left, top, right, bottom in pixels; the last two are exclusive, as in a slice.

    Raises:
        MienError: the box holds no pixels of the frame.
    """
    left, top, right, bottom = (max(edge, 0.0) for edge in box)
    x, y = (left + right) / 2, (top + bottom) / 2
    half = MARGIN * max(right - left, bottom - top) / 2
    if min(x, y) >= half and x + half <= width - 1 and y + half <= height - 1:
        left, top, right, bottom = x - half, y - half, x + half, y + half
    left, right = _shift(x, _even(right - left), width)
    top, bottom = _shift(y, _even(bottom - top), height)
    # Only a box longer than the frame still leaves it here.
    edges = (max(int(left), 0), max(int(top), 0), min(int(right), width), min(int(bottom), height))
    if edges[0] >= edges[2] or edges[1] >= edges[3]:
        raise MienError(
            f"The face box {box} holds no pixels of the {width}×{height} frame; "
            "use a frame that shows the face larger."
        )
    return edges


def _even(side: float) -> int:
    """The nearest whole number, or the even one below it."""
    return round(side) // 2 * 2


def _shift(centre: float, side: int, limit: int) -> tuple[float, float]:
    """Both ends of a `side` around `centre`, moved into [0, limit − 1]."""
    low, high = centre - side / 2, centre + side / 2
    move = max(-low, 0.0) + min(limit - 1 - high, 0.0)
    return low + move, high + move


def crop_face(frame: Tensor, box: tuple[float, float, float, float]) -> Tensor:
    """Cut a face out of frames (*B, C, H, W) as the encoder wants it: (*B, C, 224, 224).

    The cut is stretched to a square, bilinear, without antialiasing. Errors as `crop_edges`.
    """
    left, top, right, bottom = crop_edges(box, frame.shape[-1], frame.shape[-2])
    cut = frame[..., top:bottom, left:right]
    batch = cut.reshape(-1, *cut.shape[-3:])
    face = F.interpolate(batch, size=(CROP, CROP), mode="bilinear", align_corners=False)
    return face.reshape(*frame.shape[:-2], CROP, CROP)


def to_bytes(frame: Tensor) -> Tensor:
    """Frames in [-1, 1] as uint8, the way the published encoder gets its pictures.

    It cuts: of the 256 levels that `v / 127.5 - 1` makes, 63 come back one lower.
    """
    return ((frame / 2 + 0.5) * 255).to(torch.uint8)


def crop_middle(frame: Tensor) -> Tensor:
    """What the encoder is shown of a frame (C, H, W) in which no face is found: (C, 224, 224)."""

    def resized(image: Tensor, side: int) -> Tensor:
        return F.interpolate(
            image, size=(side, side), mode="bilinear", align_corners=False, antialias=True
        )

    return resized(resized(frame[None], 256)[..., 35:223, 32:220], CROP)[0]


def position_code(positions: Tensor, width: int) -> Tensor:
    """Sines, then cosines, of whole numbers (*B) at `width`/2 wavelengths: (*B, width) float32."""
    steps = torch.arange(0, width, 2, dtype=torch.float64, device=positions.device)
    phase = positions.double()[..., None] * 10000.0 ** (-steps / width)
    return torch.cat([phase.sin(), phase.cos()], -1).float()


class PaperMotionEncoder(nn.Module):
    """The whole motion encoder; 61.7 M parameters. It is meant to run in eval mode."""

    whole_box: Tensor
    position: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 64, 7, stride=2, padding=3)
        self.stem_norm = nn.BatchNorm2d(64)
        self.fine = MultiScaleBlock(64, 128)
        self.fine_attention = GridAttention(128, patch=4)
        self.coarse = nn.Sequential(MultiScaleBlock(128, 128), MultiScaleBlock(128, 256))
        self.coarse_attention = GridAttention(256, patch=2)
        self.hourglass = Hourglass(256, levels=4)
        self.top = nn.Sequential(
            MultiScaleBlock(256, 256), nn.Conv2d(256, 256, 1), nn.BatchNorm2d(256)
        )
        self.top_attention = GridAttention(256, patch=2)
        self.maps = nn.Sequential(nn.ReLU(), nn.Conv2d(256, 68, 1), nn.BatchNorm2d(68), nn.ReLU())
        self.map = nn.Conv2d(68, 1, 3, stride=2, padding=1)
        self.latent = nn.Linear(GRID * GRID, LATENT)
        self.box = nn.Sequential(nn.Linear(3, 64), nn.ReLU(), nn.Linear(64, 64))
        self.out = nn.Linear(LATENT + 64, LATENT)
        # The network was built to be told where the crop lies: (0, 0, 1) says it is everything.
        self.register_buffer("whole_box", torch.tensor([0.0, 0.0, 1.0]), persistent=False)
        self.register_buffer("position", position_code(torch.arange(32), 16)[None])

    def forward(self, face: Tensor) -> Tensor:
        """Face crops (B, 3, 224, 224) in [-1, 1], as `crop_face` cuts them, to (B, 512)."""
        x = F.relu(self.stem_norm(self.stem(face)))
        x = F.max_pool2d(self.fine_attention(self.fine(x)), 2)
        x = self.coarse_attention(self.coarse(x))
        x = self.top_attention(self.top(self.hourglass(x)))
        latent = self.latent(F.relu(self.map(self.maps(x)).flatten(1)))
        box = self.box(self.whole_box).expand(len(latent), -1)
        return self.out(torch.cat([latent, box], -1)) + self.position.flatten(1)


class MultiScaleBlock(nn.Module):
    """Three pre-activated 3×3 convolutions in a row, whose outputs are laid side by side."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        half, quarter = outputs // 2, outputs // 4
        self.norm_1 = nn.BatchNorm2d(inputs)
        self.conv_1 = nn.Conv2d(inputs, half, 3, padding=1, bias=False)
        self.norm_2 = nn.BatchNorm2d(half)
        self.conv_2 = nn.Conv2d(half, quarter, 3, padding=1, bias=False)
        self.norm_3 = nn.BatchNorm2d(quarter)
        self.conv_3 = nn.Conv2d(quarter, quarter, 3, padding=1, bias=False)
        self.shortcut = nn.Identity()
        if inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.BatchNorm2d(inputs), nn.ReLU(), nn.Conv2d(inputs, outputs, 1, bias=False)
            )

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, outputs, H, W)."""
        first = self.conv_1(F.relu(self.norm_1(x)))
        second = self.conv_2(F.relu(self.norm_2(first)))
        third = self.conv_3(F.relu(self.norm_3(second)))
        return torch.cat([first, second, third], 1) + self.shortcut(x)


class Hourglass(nn.Module):
    """Blocks at ever coarser grids, and back; each grid keeps a path of its own.

    Args:
        channels: C.
        levels: how many times the grid is halved.
    """

    def __init__(self, channels: int, levels: int) -> None:
        super().__init__()

        def blocks() -> nn.ModuleList:
            return nn.ModuleList(MultiScaleBlock(channels, channels) for _ in range(levels))

        # Finest grid first.
        self.skip, self.down, self.up = blocks(), blocks(), blocks()
        self.bottom = MultiScaleBlock(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same; sides need not be even."""
        skips = []
        for skip, down in zip(self.skip, self.down, strict=True):
            skips.append(skip(x))
            x = down(F.max_pool2d(x, 2))
        x = self.bottom(x)
        for up, skip in zip(reversed(self.up), reversed(skips), strict=True):
            size = skip.shape[2:]
            x = skip + F.interpolate(up(x), size=size, mode="bilinear", align_corners=False)
        return x


class GridAttention(nn.Module):
    """A transformer block on patches of an image: what far parts of the face do together.

    Args:
        channels: C.
        patch: side in pixels of a token; the image is G·patch on a side.
    """

    position: Tensor

    def __init__(self, channels: int, patch: int) -> None:
        super().__init__()
        self.patch = patch
        self.norm = nn.GroupNorm(32, channels, eps=1e-6)
        self.embed = nn.Conv2d(channels, WIDTH, patch, stride=patch)
        self.attention_norm = nn.LayerNorm(WIDTH)
        self.attention = SelfAttention(heads=8)
        self.mlp_norm = nn.LayerNorm(WIDTH)
        self.mlp = GatedMLP()
        self.out = nn.Linear(WIDTH // patch**2, channels)
        code = position_code(torch.arange(GRID), WIDTH // 2)
        rows, columns = code[:, None].expand(-1, GRID, -1), code[None].expand(GRID, -1, -1)
        grid = torch.cat([columns, rows], -1).flatten(0, 1)
        self.register_buffer("position", grid, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, G·patch, G·patch) to the same."""
        tokens = self.embed(self.norm(x)).flatten(2).transpose(1, 2) + self.position
        tokens = tokens + self.attention(self.attention_norm(tokens))
        tokens = tokens + self.mlp(self.mlp_norm(tokens))
        # A token's channels are the pixels of its patch, row by row, each with its own channels.
        pixels = self.out(tokens.unflatten(-1, (self.patch, self.patch, -1)))
        pixels = pixels.unflatten(1, (GRID, GRID)).permute(0, 5, 1, 3, 2, 4)
        return x + pixels.reshape(x.shape)


class SelfAttention(nn.Module):
    """Multi-head attention of tokens on themselves; query, key and value in one product."""

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query_key_value = nn.Linear(WIDTH, 3 * WIDTH, bias=False)
        self.out = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        """(B, G², 1024) to the same."""
        heads = self.query_key_value(x).unflatten(-1, (3, self.heads, -1))
        query, key, value = heads.permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(query, key, value)
        return self.out(attended.transpose(1, 2).flatten(2))


class GatedMLP(nn.Module):
    """Two linear layers; half of the hidden channels gate the other half (Shazeer 2020)."""

    def __init__(self) -> None:
        super().__init__()
        self.widen = nn.Linear(WIDTH, 8 * WIDTH)
        self.narrow = nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        """(B, G², 1024) to the same."""
        value, gate = self.widen(x).chunk(2, -1)
        return self.narrow(value * F.gelu(gate))
