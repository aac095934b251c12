from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import grid_sample, interpolate

from mien import presets
from mien.evaluate.metrics.features import feature_distance
from mien.preprocess.crop import warp
from mien.preprocess.photo import portrait


@pytest.fixture(scope="module")
def measure():
    return feature_distance(presets.load_network().encoder)


@pytest.fixture(scope="module")
def face(shared_data: Path) -> Tensor:
    photo = shared_data / "portraits" / "studio" / "p004_neutral.jpg"
    return portrait(photo, 256).image[None]


def blurred(image: Tensor, size: int) -> Tensor:
    small = interpolate(image, size=size, mode="area")
    return interpolate(small, size=image.shape[-1], mode="bicubic", antialias=True).clamp(0, 1)


def noisy(image: Tensor, sigma: float) -> Tensor:
    noise = torch.randn(image.shape, generator=torch.Generator().manual_seed(0))
    return (image + sigma * noise * (image > 0)).clamp(0, 1)


def warped(image: Tensor, pixels: float) -> Tensor:
    """Bent by a smooth random field."""
    field = torch.randn(1, 2, 6, 6, generator=torch.Generator().manual_seed(1))
    shift = interpolate(field, size=image.shape[-2:], mode="bicubic") * (2 * pixels / 256)
    grid = torch.nn.functional.affine_grid(torch.eye(2, 3)[None], [*image.shape], False)
    return grid_sample(image, grid + shift.permute(0, 2, 3, 1), align_corners=False)


def cut(image: Tensor, x: float) -> Tensor:
    """Shifted by so many pixels."""
    frame = np.array([[1.0, 0.0, x], [0.0, 1.0, 0.0]])
    pixels = warp((image[0] * 255).byte().permute(1, 2, 0).numpy(), frame, image.shape[-1])
    return torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255


@pytest.mark.parametrize(
    ("distort", "levels"),
    [
        (blurred, (128, 64, 32)),
        (noisy, (0.01, 0.04, 0.15)),
        (warped, (0.5, 2.0, 6.0)),
        (cut, (1.0, 4.0, 12.0)),
    ],
)
def test_more_of_a_distortion_is_further(measure, face: Tensor, distort, levels) -> None:
    distances = [float(measure(distort(face, level), face)) for level in levels]
    assert 0 < distances[0] < distances[1] < distances[2]


def test_an_expression_is_nearer_than_another_person(measure, shared_data: Path) -> None:
    studio = shared_data / "portraits" / "studio"
    neutral, smiling, other = (
        portrait(studio / name, 256).image[None]
        for name in ("p004_neutral.jpg", "p004_smile.jpg", "p002_neutral.jpg")
    )
    smile, stranger = float(measure(smiling, neutral)), float(measure(other, neutral))
    assert float(measure(blurred(neutral, 200), neutral)) < smile < stranger


def test_it_is_a_distance(measure, face: Tensor) -> None:
    other = noisy(face, 0.1)
    assert float(measure(face, face)) == 0.0
    assert torch.allclose(measure(face, other), measure(other, face))
    pair = measure(torch.cat([face, other]), torch.cat([face, face]))
    assert torch.allclose(pair[1:], measure(other, face), rtol=1e-3)
    assert pair.max() <= 2.0
