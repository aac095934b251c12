"""Made-up frames for tests of training."""

import torch

from mien.data.shards import Frames
from mien.structures import LANDMARKS, Camera


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
