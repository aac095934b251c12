import importlib.util

import pytest
import torch
from torch import Tensor
from torchmetrics.functional import image as reference

from mien.errors import MienError
from mien.evaluate import extras
from mien.evaluate.metrics.image import (
    flip,
    lpips,
    mask_iou,
    ms_ssim,
    psnr,
    sharpness,
    ssim,
)


@pytest.fixture
def pair() -> tuple[Tensor, Tensor]:
    truth = torch.nn.functional.interpolate(torch.rand(3, 3, 24, 24), size=192, mode="bicubic")
    truth = truth.clamp(0, 1)
    noise = torch.tensor([0.02, 0.1, 0.3])[:, None, None, None] * torch.randn_like(truth)
    return (truth + noise).clamp(0, 1), truth


def test_psnr_by_hand() -> None:
    truth = torch.zeros(2, 3, 4, 4)
    image = truth.clone()
    image[0] += 0.1
    image[1, 0, 0, 0] = 1.0  # one of 48 values is off by one
    assert torch.allclose(psnr(image, truth), torch.tensor([20.0, 16.8124]), atol=1e-3)
    assert psnr(truth, truth).isinf().all()


def test_psnr_is_torchmetrics(pair: tuple[Tensor, Tensor]) -> None:
    expected = reference.peak_signal_noise_ratio(
        *pair, data_range=1.0, reduction="none", dim=(1, 2, 3)
    )
    assert torch.allclose(psnr(*pair), expected, atol=1e-4)


@pytest.mark.parametrize(("measure", "better"), [(psnr, 1), (ssim, 1), (ms_ssim, 1), (flip, -1)])
def test_more_noise_is_worse_picture_by_picture(measure, better, pair) -> None:
    values = better * measure(*pair)
    assert values.shape == (3,)
    assert values[0] > values[1] > values[2]


@pytest.mark.parametrize(("measure", "perfect"), [(ssim, 1), (ms_ssim, 1), (flip, 0)])
def test_equal_pictures_are_perfect(measure, perfect, pair) -> None:
    assert torch.allclose(measure(pair[1], pair[1]), torch.full((3,), float(perfect)), atol=1e-5)


@pytest.mark.parametrize(("measure", "better"), [(psnr, 1), (ssim, 1), (ms_ssim, 1), (flip, -1)])
def test_shuffled_pictures_score_worse(measure, better, pair) -> None:
    image, truth = pair
    assert (better * measure(image, truth) > better * measure(image.roll(1, 0), truth)).all()


def test_flip_of_black_and_white_is_nearly_one() -> None:
    black, white = torch.zeros(1, 3, 32, 32), torch.ones(1, 3, 32, 32)
    assert flip(black, white).item() > 0.9


def test_lpips_says_what_is_missing(monkeypatch: pytest.MonkeyPatch, pair) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MienError, match="LPIPS needs torchvision"):
        lpips(*pair)


def test_mask_iou_by_hand() -> None:
    alpha, truth = torch.zeros(3, 1, 4, 4), torch.zeros(3, 1, 4, 4)
    alpha[0, :, :2] = 0.9
    truth[0, :, 1:3] = 0.8  # rows 0,1 against 1,2: one of three
    alpha[1] = truth[1] = 1.0
    assert torch.allclose(mask_iou(alpha, truth), torch.tensor([1 / 3, 1.0, 1.0]))


def test_sharpness_by_hand() -> None:
    image = torch.zeros(1, 3, 8, 8)
    image[..., 4] = 1.0  # a line: Laplacian -2 on it, 1 on each side
    mask = torch.ones(1, 1, 8, 8)
    assert sharpness(image, mask).item() == pytest.approx((6 / 6) ** 0.5, rel=1e-5)
    mask[..., 2:] = 0
    assert sharpness(image, mask).item() == 0.0


def test_blur_halves_sharpness_or_more() -> None:
    image = torch.rand(2, 3, 32, 32)
    mask = torch.ones(2, 1, 32, 32)
    blurred = torch.nn.functional.avg_pool2d(image, 3, 1, 1)
    assert (sharpness(blurred, mask) < 0.5 * sharpness(image, mask)).all()


def test_a_missing_package_is_named() -> None:
    with pytest.raises(MienError, match=r'no_such_thing.*pip install "mien\[eval\]"'):
        extras.require("no_such_thing")
