"""Batches of taught pictures: photos, and what the teacher made of them.

Axis legend: B photos, T = 2B pictures, S side of photos, V of pictures, in pixels.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from mien.data.shards import Frames
from mien.errors import MienError
from mien.model import instantiate
from mien.train import augment
from mien.train.batches import Batch, Sampler, read_rows

SUFFIX = "-taught"
"""What the take of a teacher's picture is called after its photo's."""


@dataclass(frozen=True)
class Lesson(Batch):
    """A batch of true frames, and one of taught pictures beside it; every picture of that is whole.

    Args:
        taught: B' photos with two pictures each; their landmarks, targets' and drivers' alike, are
            those the teacher was told, or those that a second look found.
    """

    taught: Batch


class TaughtSampler:
    """Draws photos and two of the pictures that the teacher made of each.

    Args:
        frames: the set that holds the photos.
        taught: the pictures, of `mien distill make`.
        partner: (478,) left–right twin of each landmark.

    Raises:
        MienError: a picture's photo is not among the frames.
    """

    def __init__(self, frames: Frames, taught: Frames, partner: Tensor) -> None:
        self.frames, self.taught = frames, taught
        self.partner = partner.to(frames.pixels.device)
        photos, pictures = _rows_of_takes(frames), _rows_of_takes(taught)
        lost = [take for take in pictures if take.removesuffix(SUFFIX) not in photos]
        if lost:
            raise MienError(
                f"Taught pictures of {len(lost)} photos, {lost[0]} for one, have no such photo in "
                "the training shards; make them again from these shards with `mien distill make`."
            )
        self._pairs = [(photos[t.removesuffix(SUFFIX)], rows) for t, rows in pictures.items()]

    def indices(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Frame numbers of photos (count,), and of pictures (2 · count,) among the taught."""
        takes = torch.randint(len(self._pairs), (count,), generator=generator).tolist()
        draws = torch.rand(3, count, generator=generator)
        photos, pictures = [], []
        for number, (one, first, second) in zip(takes, draws.T.tolist(), strict=True):
            own, made = self._pairs[number]
            at = int(first * len(made))
            photos.append(own[int(one * len(own))])
            # Another one than the first, if there is another.
            step = 1 + int(second * (len(made) - 1))
            pictures.append((made[at], made[(at + step) % len(made)]))
        return torch.tensor(photos), torch.tensor(pictures).T.flatten()

    def draw(self, count: int, view: int, generator: torch.Generator) -> Batch:
        """A batch of `count` photos and twice as many pictures, of `view`² pixels."""
        device = self.frames.pixels.device
        photos, pictures = (rows.to(device) for rows in self.indices(count, generator))
        mirrored = (torch.rand(count, generator=generator) < 0.5).to(device)
        photo = read_rows(self.frames, photos, mirrored, self.partner)
        made = read_rows(self.taught, pictures, mirrored.repeat(2), self.partner)
        recolour = augment.colour_change(count, photo.pixels)
        source, source_alpha = augment.degrade(recolour(photo.pixels, photo.alpha), photo.alpha)
        whole = recolour(made.pixels, made.alpha)
        layers = instantiate.resize(torch.cat([whole, made.alpha, made.known], 1), view)
        return Batch(
            source=source,
            source_alpha=source_alpha,
            source_camera=photo.camera,
            source_landmarks=photo.landmarks,
            target=layers[:, :3] * layers[:, 4:],
            target_alpha=layers[:, 3:4],
            target_camera=made.camera,
            target_landmarks=made.landmarks,
            driver_landmarks=made.landmarks,
            driver_image=whole,
            known=layers[:, 4:],
        )


class LessonSampler:
    """Draws true pairs and taught ones together.

    Args:
        pairs: draws the true ones.
        taught: draws the others.
        count: photos of taught pictures a batch.
    """

    def __init__(self, pairs: Sampler, taught: TaughtSampler, count: int) -> None:
        self.pairs, self.taught, self.count = pairs, taught, count

    def draw(self, count: int, view: int, generator: torch.Generator) -> Lesson:
        """A batch of `count` true sources; see `PairSampler.draw`."""
        true = self.pairs.draw(count, view, generator)
        parts = {item.name: getattr(true, item.name) for item in fields(Batch)}
        return Lesson(**parts, taught=self.taught.draw(self.count, view, generator))


def _rows_of_takes(frames: Frames) -> dict[str, list[int]]:
    """Frame numbers of each take that has any."""
    rows: dict[str, list[int]] = {}
    for row, take in enumerate(frames.take.tolist()):
        rows.setdefault(frames.takes[take], []).append(row)
    return rows
