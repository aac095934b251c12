"""Motion encoders of the `base` preset: landmarks, or a face image, to the same latent.

Axis legend: B batch, D latent, H W pixels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mien.structures import LANDMARKS

# Corner pairs, lids and iris of each eye in MediaPipe's mesh: (outer, inner, upper, lower, iris).
EYES = ((33, 133, 159, 145, 468), (263, 362, 386, 374, 473))

FACE_BOX = (0.25, 0.27, 0.75, 0.77)
"""Left, top, right, bottom of the face in a portrait's wide framing, in units of image size."""


def eye_signals(landmarks: Tensor) -> Tensor:
    """(*B, 6): for each eye, iris left–right and up–down of the middle, and how far it is open.

    All in units of the eye's own width. The mesh has hundreds of points and the irises move a few
    hundredths of a unit; said apart, gaze and lids are not drowned.

    Args:
        landmarks: (*B, 478, 3) canonical.
    """
    signals = []
    for outer, inner, upper, lower, iris in EYES:
        middle = (landmarks[..., outer, :] + landmarks[..., inner, :]) / 2
        width = (landmarks[..., outer, :] - landmarks[..., inner, :]).norm(dim=-1).clamp_min(1e-4)
        gaze = (landmarks[..., iris, :2] - middle[..., :2]) / width[..., None]
        opening = (landmarks[..., upper, 1] - landmarks[..., lower, 1]) / width
        signals += [gaze, opening[..., None]]
    return torch.cat(signals, -1)


class LandmarkMotion(nn.Module):
    """Pose-free landmarks to a motion latent: a small MLP that runs in microseconds.

    Args:
        latent: D.
        hidden: widths of the two hidden layers.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, latent: int, hidden: tuple[int, int] = (512, 256)) -> None:
        super().__init__()
        inputs = LANDMARKS * 3 + 6
        # Statistics of the training data, set once before training and kept with the weights.
        self.register_buffer("mean", torch.zeros(inputs))
        self.register_buffer("deviation", torch.ones(inputs))
        self.net = nn.Sequential(
            nn.Linear(inputs, hidden[0]),
            nn.SiLU(),
            nn.Linear(hidden[0], hidden[1]),
            nn.SiLU(),
            nn.Linear(hidden[1], latent),
        )

    @staticmethod
    def signals(landmarks: Tensor) -> Tensor:
        """(*B, 1440) raw inputs of (*B, 478, 3) canonical landmarks."""
        return torch.cat([landmarks.flatten(-2), eye_signals(landmarks)], -1)

    def fit_statistics(self, landmarks: Tensor) -> None:
        """Set mean and deviation from training landmarks (T, 478, 3)."""
        signals = self.signals(landmarks)
        self.mean.copy_(signals.mean(0))
        self.deviation.copy_(signals.std(0).clamp_min(1e-4))

    def forward(self, landmarks: Tensor) -> Tensor:
        """(*B, 478, 3) canonical landmarks to (*B, D)."""
        return self.net((self.signals(landmarks) - self.mean) / self.deviation)


class ImageMotion(nn.Module):
    """A levelled face image to the same latent, for drivers whose landmarks miss something.

    Args:
        latent: D.
        width: channels of the first stage; each further stage doubles them up to eightfold.
    """

    SIDE = 128

    def __init__(self, latent: int, width: int = 32) -> None:
        super().__init__()
        widths = (width, 2 * width, 4 * width, 4 * width, 8 * width)
        stages: list[nn.Module] = []
        inputs = 3
        for outputs in widths:
            stages += [
                nn.Conv2d(inputs, outputs, 3, stride=2, padding=1),
                nn.GroupNorm(8, outputs),
                nn.SiLU(),
                nn.Conv2d(outputs, outputs, 3, padding=1),
                nn.GroupNorm(8, outputs),
                nn.SiLU(),
            ]
            inputs = outputs
        self.stages = nn.Sequential(*stages)
        # Keep the coarse layout: where in the face a thing happens is what expression means.
        self.head = nn.Linear(widths[-1] * 16, latent)

    @classmethod
    def crop(cls, image: Tensor) -> Tensor:
        """The face of wide portraits (B, 3, S, S), as (B, 3, 128, 128)."""
        side = image.shape[-1]
        left, top, right, bottom = (round(edge * side) for edge in FACE_BOX)
        face = image[..., top:bottom, left:right]
        return F.interpolate(
            face, size=(cls.SIDE, cls.SIDE), mode="bilinear", antialias=True, align_corners=False
        )

    def forward(self, image: Tensor) -> Tensor:
        """Portraits (B, 3, S, S) in [0, 1] to (B, D)."""
        return self.head(self.stages(self.crop(image) * 2.0 - 1.0).flatten(1))
