"""Made-up frames, and how to train on them in a moment, for tests of training."""

from dataclasses import replace

import torch

from mien.data.shards import Frames
from mien.structures import LANDMARKS, Camera
from mien.train.animate import AnimateConfig

PARTNER = torch.arange(LANDMARKS)

CONFIG = AnimateConfig(
    steps=4,
    batch=1,
    view=48,
    grids=(8,),
    warmup=1,
    backend="reference",
    compile=False,
    log_every=2,
    save_every=2,
)


def make_frames(side: int, count: int = 8) -> Frames:
    """Two takes of a coloured disc whose lower half brightens with the mouth's landmarks."""
    generator = torch.Generator().manual_seed(0)
    ticks = (torch.arange(side) + 0.5) / side - 0.5
    disc = (ticks[:, None] ** 2 + ticks[None] ** 2 < 0.3**2).float()
    openness = torch.rand(count, generator=generator)
    pixels = torch.zeros(count, 4, side, side)
    pixels[:, 0] = 0.8 * disc
    pixels[:, 1] = 0.3 * disc
    pixels[:, 2, side // 2 :] = openness[:, None, None] * disc[side // 2 :]
    pixels[:, 3] = disc
    landmarks = 0.1 * torch.randn(1, LANDMARKS, 3, generator=generator).repeat(count, 1, 1)
    landmarks[:, 14, 1] -= 0.1 * openness
    return Frames(
        pixels=(pixels * 255).to(torch.uint8),
        landmarks=landmarks,
        camera=Camera.orbit(torch.linspace(-0.1, 0.1, count)),
        inside=torch.tensor([[0.0, 0], [1, 0], [1, 1], [0, 1]]).repeat(count, 1, 1),
        take=torch.arange(count) % 2,
        takes=("a", "b"),
        people=("a", "b"),
    )


def taught_frames(side: int = 32) -> Frames:
    """Four brightened pictures of each take's people, as if a teacher had made them."""
    frames = make_frames(side)
    return replace(
        frames,
        pixels=frames.pixels + (frames.pixels[:, 3:] > 0) * 30,
        takes=("a-taught", "b-taught"),
    )
