"""Photos as bad as they come."""

import io

import numpy as np
import torch
from PIL import Image

from mien.train.augment import blur, degrade, jpeg


def noise(count: int = 2, side: int = 32) -> torch.Tensor:
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(0))


def test_jpeg_of_no_step_is_the_picture_and_coarser_steps_lose_more() -> None:
    pictures = noise(3)
    out = jpeg(pictures, torch.tensor([0.0, 0.02, 0.2])[:, None, None, None])
    torch.testing.assert_close(out[0], pictures[0], atol=1e-5, rtol=0)
    errors = (out - pictures).abs().mean((1, 2, 3))
    assert 0.0 < errors[1] < errors[2]


def test_what_is_rounded_is_each_blocks_cosine_transform() -> None:
    """A wave that a real JPEG keeps whole survives here too."""
    wave = 0.5 + 0.4 * torch.cos(torch.pi / 8 * 2 * (torch.arange(16) + 0.5))
    picture = wave.expand(1, 3, 16, 16)
    out = jpeg(picture, torch.full((1, 1, 1, 1), 0.01))
    torch.testing.assert_close(out, picture, atol=6e-3, rtol=0)
    file = io.BytesIO()
    Image.fromarray((picture[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)).save(
        file, "JPEG", quality=90
    )
    decoded = np.asarray(Image.open(file)) / 255.0
    assert np.abs(decoded - picture[0].permute(1, 2, 0).numpy()).max() < 0.03


def test_blur_by_nothing_is_the_picture_and_keeps_the_mean() -> None:
    pictures = noise()
    out = blur(pictures, torch.tensor([0.0, 1.5])[:, None, None, None])
    torch.testing.assert_close(out[0], pictures[0])
    assert out[1].std() < 0.5 * pictures[1].std()
    torch.testing.assert_close(out[1].mean(), pictures[1].mean(), atol=0.01, rtol=0)


def test_degraded_portraits_stay_premultiplied_and_some_stay_whole() -> None:
    torch.manual_seed(0)
    alpha = torch.zeros(24, 1, 32, 32)
    alpha[..., 8:24, 8:24] = 1.0
    pictures = noise(24) * alpha
    bad, matte = degrade(pictures, alpha)
    assert (bad <= matte + 1e-6).all()
    assert (matte <= alpha).all()
    same = ((bad - pictures).abs().amax((1, 2, 3)) < 1e-4).sum()
    assert 0 < same < 12
