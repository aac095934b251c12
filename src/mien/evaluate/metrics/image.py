"""How far one picture is from another, picture by picture.

Axis legend: B pictures, H W pixels. Pictures are float RGB in [0, 1], (B, 3, H, W); each function
gives one number per picture, (B,).
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import torch
from torch import Tensor

from mien.errors import MienError
from mien.evaluate.extras import require

LUMA = (0.299, 0.587, 0.114)
"""Weights of R, G and B in brightness (ITU-R BT.601)."""

LPIPS_WEIGHTS = "alexnet-owt-7be5be79.pth"
"""The file of torchvision's weights that LPIPS stands on."""


def psnr(image: Tensor, truth: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB; infinite for equal pictures."""
    return -10.0 * (image - truth).square().flatten(1).mean(1).log10()


def ssim(image: Tensor, truth: Tensor) -> Tensor:
    """Structural similarity (Wang et al. 2004), 1 for equal pictures; by torchmetrics.

    Raises:
        MienError: torchmetrics is not installed.
    """
    measure = require("torchmetrics.functional.image").structural_similarity_index_measure
    return measure(image, truth, data_range=1.0, reduction="none")


def ms_ssim(image: Tensor, truth: Tensor) -> Tensor:
    """Multi-scale structural similarity (Wang et al. 2003); pictures of 161 pixels and more.

    Raises:
        MienError: torchmetrics is not installed.
    """
    module = require("torchmetrics.functional.image")
    measure = module.multiscale_structural_similarity_index_measure
    return measure(image, truth, data_range=1.0, reduction="none")


def flip(image: Tensor, truth: Tensor) -> Tensor:
    """Mean FLIP (Andersson et al. 2020): what an eye sees flipping between the two; 0 to 1.

    Pictures are halved first, as if seen on a coarser screen: it costs a quarter.

    Raises:
        MienError: flip-evaluator is not installed.
    """
    evaluate = require("flip_evaluator").evaluate
    halves = (torch.nn.functional.avg_pool2d(picture, 2) for picture in (truth, image))
    pairs = zip(*(_rows_last(half) for half in halves), strict=True)
    return torch.tensor([evaluate(t, i, "LDR", applyMagma=False)[1] for t, i in pairs])


def _rows_last(images: Tensor):
    return images.clamp(0, 1).permute(0, 2, 3, 1).contiguous().float().cpu().numpy()


def lpips(image: Tensor, truth: Tensor) -> Tensor:
    """Learned perceptual distance (Zhang et al. 2018, AlexNet); 0 for equal pictures.

    Nothing is fetched: torchvision and its weights must be on the machine.

    Raises:
        MienError: torchvision, torchmetrics or the weights are missing.
    """
    weights = Path(torch.hub.get_dir()) / "checkpoints" / LPIPS_WEIGHTS
    if importlib.util.find_spec("torchvision") is None or not weights.is_file():
        raise MienError(
            f"LPIPS needs torchvision and its AlexNet weights in {weights}; "
            "install both to have this row."
        )
    module = require("torchmetrics.functional.image")
    measure = module.learned_perceptual_image_patch_similarity
    pairs = zip(image.clamp(0, 1).split(1), truth.clamp(0, 1).split(1), strict=True)
    return torch.stack([measure(i, t, net_type="alex", normalize=True) for i, t in pairs])


def mask_iou(alpha: Tensor, truth: Tensor) -> Tensor:
    """Intersection over union of two mattes (B, 1, H, W), cut at one half; 1 if both are empty."""
    a, b = alpha.flatten(1) > 0.5, truth.flatten(1) > 0.5
    union = (a | b).sum(1)
    return torch.where(union > 0, (a & b).sum(1) / union.clamp(min=1), 1.0)


def sharpness(image: Tensor, mask: Tensor) -> Tensor:
    """Root mean square of the Laplacian of brightness inside a mask.

    It speaks only as a ratio of two pictures of the same scale and noise: a blurred picture has
    less, and so does a smoother skin.

    Args:
        image: (B, 3, H, W).
        mask: (B, 1, H, W), where to look; its edge should lie inside what is looked at.
    """
    luma = (image * image.new_tensor(LUMA)[:, None, None]).sum(1, keepdim=True)
    kernel = image.new_tensor([[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]])
    edges = torch.nn.functional.conv2d(luma, kernel[None, None])
    inside = mask[..., 1:-1, 1:-1]
    energy = (edges.square() * inside).flatten(1).sum(1) / inside.flatten(1).sum(1)
    return energy.sqrt()
