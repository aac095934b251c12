"""What a session is given each step, and how that becomes a motion latent, fast.

Axis legend: B avatars, D latent, S image side, E = 2 eyes.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mien.model.motion import EYES, ImageMotion, LandmarkMotion
from mien.model.paper_motion import CROP, PaperMotionEncoder
from mien.structures import LANDMARKS


class Driver(NamedTuple):
    """How inputs become latents.

    Args:
        shape: of one input.
        encode: inputs (B, *shape) float32 to latents (B, D) float32.
    """

    shape: tuple[int, ...]
    encode: Callable[[Tensor], Tensor]


def latents(width: int) -> Driver:
    """Driven by motion latents (D,) themselves."""
    return Driver((width,), lambda latent: latent)


@torch.no_grad()
def landmarks(encoder: LandmarkMotion) -> Driver:
    """Driven by canonical landmarks (478, 3).

    The encoder with its normalisation folded into the first layer, and what `eye_signals` computes
    point by point as one matrix: a third of the kernels.
    """
    first, _, second, _, third = encoder.net
    assert isinstance(first, nn.Linear)
    weight = (first.weight.double() / encoder.deviation).float()
    bias = first.bias - weight @ encoder.mean
    points = 3 * LANDMARKS
    eyes = _eye_matrix().to(weight)
    into = torch.cat([weight[:, :points], eyes]).T.contiguous()
    offset = torch.cat([bias, bias.new_zeros(len(eyes))])
    of_signals = weight[:, points:].T.contiguous()

    def encode(landmarks: Tensor) -> Tensor:
        hidden = torch.addmm(offset, landmarks.flatten(1), into)
        hidden, axes, signals = hidden.split([len(bias), 6, 6], -1)
        widths = axes.unflatten(-1, (2, 3)).norm(dim=-1, keepdim=True).clamp_min(1e-4)
        signals = (signals.unflatten(-1, (2, 3)) / widths).flatten(1)
        return third(F.silu(second(F.silu(torch.addmm(hidden, signals, of_signals)))))

    return Driver((LANDMARKS, 3), encode)


def _eye_matrix() -> Tensor:
    """(12, 1434): landmarks to each eye's axis, then to its signals in units of its width."""
    rows = torch.zeros(2, 2, 3, LANDMARKS, 3)
    for eye, (outer, inner, upper, lower, iris) in enumerate(EYES):
        for axis in range(3):
            rows[0, eye, axis, [outer, inner], axis] = torch.tensor([1.0, -1.0])
        for axis in range(2):
            rows[1, eye, axis, [iris, outer, inner], axis] = torch.tensor([1.0, -0.5, -0.5])
        rows[1, eye, 2, [upper, lower], 1] = torch.tensor([1.0, -1.0])
    return rows.reshape(12, -1)


def portraits(encoder: ImageMotion, size: int) -> Driver:
    """Driven by wide portraits (3, S, S) in [0, 1]."""
    return Driver((3, size, size), _fast(encoder))


def paper_crops(encoder: PaperMotionEncoder) -> Driver:
    """Driven by face crops (3, 224, 224) in [-1, 1], as the `paper` preset's encoder sees them.

    Its hundreds of small layers are compiled on a GPU, which takes a while at the first use.
    """
    return Driver((3, CROP, CROP), _fast(encoder, compiled=True))


def _fast(encoder: nn.Module, *, compiled: bool = False) -> Callable[[Tensor], Tensor]:
    """On a GPU: half precision, channels last, its small kernels fused if `compiled`. Elsewhere
    as it is."""
    if next(encoder.parameters()).device.type != "cuda":
        return encoder
    quick = copy.deepcopy(encoder).eval()
    for module in list(quick.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.BatchNorm2d):
                setattr(module, name, _Affine(child))
    quick.half().to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    run = torch.compile(quick, dynamic=False) if compiled else quick

    def encode(image: Tensor) -> Tensor:
        return run(image.half().to(memory_format=torch.channels_last)).float()

    return encode


class _Affine(nn.Module):
    """What a batch norm does in eval mode, as one kernel; torch's are four in half precision."""

    scale: Tensor
    shift: Tensor

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        super().__init__()
        mean, variance = norm.running_mean, norm.running_var
        assert mean is not None
        assert variance is not None
        scale = norm.weight / torch.sqrt(variance + norm.eps)
        self.register_buffer("scale", scale[:, None, None])
        self.register_buffer("shift", (norm.bias - mean * scale)[:, None, None])

    def forward(self, x: Tensor) -> Tensor:
        return torch.addcmul(self.shift, x, self.scale)
