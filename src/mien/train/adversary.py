"""The adversary: two discriminators that learn what gives renders away, and what they ask for.

One looks at whole views, also at such as no camera took: of people seen from the side, whose true
picture nobody has. The other looks at mouths and eyes alone, at the frames' own resolution. Both
are patch discriminators and not told the view: what they judge is texture and outline, and a head
that is turned must look as real as any.

Axis legend: B sources, T = 2B targets, U turned views, C channels, H W pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mien.structures import TensorRecord
from mien.train.batches import Batch
from mien.train.losses import feature_distance
from mien.train.reader import crop

DETAILS = (
    ((13, 14, 78, 308), 0.085),
    ((33, 133, 159, 145), 0.05),
    ((263, 362, 386, 374), 0.05),
)
"""Mouth and eyes: landmarks round each, and half the side of its crop in canonical units."""

DETAIL_SIDE = 96
"""Side of those crops in pixels: a mouth's in 448² frames."""

WEIGHTS = {
    "matching": 0.05,
    "detail_matching": 0.05,
    "adversarial": 0.01,
    "detail_adversarial": 0.01,
    "turned_adversarial": 0.01,
}
"""Weights of the terms of `please`; docs/training.md says why."""


@dataclass(frozen=True)
class Views(TensorRecord):
    """What the student drew.

    Args:
        picture: (T, 3, V, V) a batch's targets.
        turned: (U, 3, V, V) some of its avatars from elsewhere; none unless they are to be judged.
    """

    picture: Tensor
    turned: Tensor


class Discriminator(nn.Module):
    """A spectrally normalised patch discriminator that also hands out its features.

    Matching its features on the true picture serves as the perceptual distance: it needs no
    downloaded network and attends to what still gives renders away.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        normed = nn.utils.parametrizations.spectral_norm
        widths = (3, width, 2 * width, 4 * width, 8 * width)
        self.stages = nn.ModuleList(
            nn.Sequential(normed(nn.Conv2d(a, b, 4, stride=2, padding=1)), nn.LeakyReLU(0.2))
            for a, b in pairwise(widths)
        )
        self.score = normed(nn.Conv2d(widths[-1], 1, 3, padding=1))

    def forward(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        """(B, 3, H, W) in [0, 1] to patch scores (B, 1, H/16, W/16) and each stage's features."""
        features = []
        x = image * 2.0 - 1.0
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return self.score(x), features


Opinion = tuple[Tensor, list[Tensor]]
"""Scores and features of some pictures."""


class Judge(nn.Module):
    """Both discriminators, as one module that DDP can wrap."""

    def __init__(self) -> None:
        super().__init__()
        self.views = Discriminator(48)
        # Its pictures are small and alike: it can be smaller.
        self.details = Discriminator(32)

    def forward(self, views: Tensor, details: Tensor) -> tuple[Opinion, Opinion]:
        """What each says of views (·, 3, V, V) and of details (·, 3, 96, 96)."""
        return self.views(views), self.details(details)


def details(batch: Batch, pictures: Tensor) -> Tensor:
    """(3B, 3, 96, 96) mouths and eyes of a batch's windows, the targets at full resolution.

    Args:
        batch: says where they are.
        pictures: (T, 3, V, V) its targets, or renders of them.
    """
    window = slice(len(batch.source), None)
    camera, landmarks = batch.target_camera[window], batch.target_landmarks[window]
    return torch.cat(
        [
            crop(pictures[window], camera, landmarks, part, radius, DETAIL_SIDE)
            for part, radius in DETAILS
        ]
    )


def please(judge: Judge, batch: Batch, views: Views) -> dict[str, Tensor]:
    """What the student is asked for by a judge that learns nothing here; terms as in `WEIGHTS`."""
    count = len(views.picture)
    judge.requires_grad_(False)
    shown = torch.cat([views.picture, views.turned])
    (score, features), (detail_score, detail_features) = judge(shown, details(batch, views.picture))
    with torch.no_grad():
        (_, truth), (_, detail_truth) = judge(batch.target, details(batch, batch.target))
    judge.requires_grad_(True)
    return {
        "matching": feature_distance(truth, [part[:count] for part in features]),
        "detail_matching": feature_distance(detail_truth, detail_features),
        "adversarial": -score[:count].float().mean(),
        "detail_adversarial": -detail_score.float().mean(),
        "turned_adversarial": -score[count:].float().mean(),
    }


def judging(judge: nn.Module, batch: Batch, views: Views) -> Tensor:
    """The judge's own loss, a scalar.

    Turned views count as much as all others together: they are few, and nothing else says how
    they should look.
    """
    views, count = views.map(Tensor.detach), len(views.picture)
    shown = torch.cat([batch.target, views.picture, views.turned])
    near = torch.cat([details(batch, batch.target), details(batch, views.picture)])
    (scores, _), (detail_scores, _) = judge(shown, near)
    real, fake, turned = scores.float().split([count, count, len(views.turned)])
    detail_real, detail_fake = detail_scores.float().chunk(2)
    made = 0.5 * (_hinge(-fake) + _hinge(-turned))
    return _hinge(real) + made + _hinge(detail_real) + _hinge(-detail_fake)


def _hinge(scores: Tensor) -> Tensor:
    """How far scores are from being at least 1, on average."""
    return F.relu(1.0 - scores).mean()
