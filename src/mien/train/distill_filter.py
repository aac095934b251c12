"""Which of the teacher's pictures may teach, and what they show.

Two networks that are there anyway judge whether a picture reaches the expression and keeps the
person: the reader that the teacher learned with, and the student's encoder. So it runs wherever the
teacher runs. `examine` is the second look of instruments that had no part in the training, where
they are installed. They say what a picture does show, and that is then its label: what the teacher
was told and did not do need not be thrown away.

Axis legend: D drivers of one photo, G photos of a gallery, S signals, E embedding.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from mien.artifact import read_weights, write_weights
from mien.errors import MienError
from mien.model import instantiate
from mien.model.encoder import Encoder
from mien.model.motion import LandmarkMotion
from mien.structures import Camera
from mien.train.batches import expression
from mien.train.reader import Reader, face_crop

READER = "reader.safetensors"
"""The file beside a teacher's weights that holds the reader it learned with."""

FOLLOWS = 0.5
"""Least correlation of what is read with what was asked."""

ENOUGH = 0.4
"""Least share of the motion asked for that is made: half an expression teaches flatness."""

SAME_PERSON = 0.45
"""Most distance of dlib's descriptors; 0.6 is its authors' bound, 0.25 the median of one person."""

FACE_SIDE = 256
"""Side at which faces are embedded, in pixels."""

LAYOUT = 4
"""Cells a side in which an embedding says what it sees: eyes, nose and mouth have their places."""

ASTRAY = 0.02
"""Most that landmarks lie from where the photo's camera has them, on average, in units of image
size: the head must not have turned."""

VIEW_NUMBERS = 2
"""Numbers at the end of what a reader says that are of the view, not of expression."""


@dataclass(frozen=True)
class Look:
    """What instruments see in pictures (T, H, W, 3); NaN where they find no face.

    Args:
        landmarks: (T, 478, 3) canonical.
        places: (T, 478, 2) where they are seen, in units of image size.
        people: (T, 128) face descriptors.
    """

    landmarks: NDArray[np.floating]
    places: NDArray[np.floating]
    people: NDArray[np.floating]


Examiner = Callable[[NDArray[np.uint8]], Look]
"""Looks at pictures (T, H, W, 3)."""


@dataclass(frozen=True)
class Findings:
    """What a second look at the pictures of one photo finds; NaN without a face.

    Args:
        landmarks: (D, 478, 3) canonical, of what is shown.
        follows: (D,) correlation with what was asked.
        distance: (D,) of descriptors from the photo's.
        astray: (D,) see `ASTRAY`.
    """

    landmarks: NDArray[np.floating]
    follows: NDArray[np.floating]
    distance: NDArray[np.floating]
    astray: NDArray[np.floating]

    @property
    def passed(self) -> NDArray[np.bool_]:
        """(D,) whether each shows that person, turned as the photo is."""
        return (self.distance <= SAME_PERSON) & (self.astray <= ASTRAY)


def save_reader(reader: Reader, path: Path, licence: str) -> None:
    """Write a reader's weights."""
    write_weights(path, reader.state_dict(), preset="reader", licence=licence)


def load_reader(teacher: Path) -> Reader:
    """The reader beside a teacher's weights, ready to use.

    Raises:
        MienError: it is missing, damaged, or something else.
    """
    path = teacher.with_name(READER)
    if not path.is_file():
        raise MienError(
            f"There is no {READER} beside {teacher}, which is to judge the teacher's pictures; "
            "`mien teach` writes both: bring it along."
        )
    weights, reader = read_weights(path), Reader()
    try:
        if weights.preset != "reader":
            raise RuntimeError(f"they are of the preset '{weights.preset}'")
        reader.load_state_dict(weights.state)
    except RuntimeError as error:
        raise MienError(
            f"{path} holds no reader of this version; train the teacher anew with `mien teach`."
        ) from error
    return reader.eval().requires_grad_(False)


def agreement(said: Tensor, asked: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """How well, and how far, faces change as they are asked to.

    A face's own shape must not count, so all is measured from the mean over its drivers.

    Args:
        said, asked: (D, S) signals of one photo driven by D drivers.
        weights: (S,) what each counts.

    Returns:
        (D,) correlations and (D,) shares of the asked motion that are made; 0 where nothing is
        asked, as with a single driver.
    """
    said, asked = said - said.mean(0), asked - asked.mean(0)
    both = (weights * said * asked).sum(1)
    one, other = ((weights * part.square()).sum(1) for part in (said, asked))
    return both / (one * other).sqrt().clamp_min(1e-4), both / other.clamp_min(1e-6)


@torch.no_grad()
def read_expression(reader: Reader, pictures: Tensor, camera: Camera, landmarks: Tensor) -> Tensor:
    """(D, S) what is read off pictures (D, 3, V, V) about where landmarks (D, 478, 3) lie."""
    said, _ = reader(face_crop(pictures, camera, landmarks))
    return said[:, :-VIEW_NUMBERS].float()


def asked_expression(
    reader: Reader, motion: LandmarkMotion, landmarks: Tensor, means: Tensor, camera: Camera
) -> Tensor:
    """(D, S) how far drivers (D, 478, 3) are from the mean faces of their takes (D, 478, 3).

    The shape of the driver's own face would else pass for expression.
    """
    own, mean = (reader.truth(part, motion, camera) for part in (landmarks, means))
    return (own - mean)[:, :-VIEW_NUMBERS]


@torch.no_grad()
def embed(encoder: Encoder, faces: Tensor) -> Tensor:
    """(B, E) what the student's encoder sees in faces (B, 3, any, any), on a coarse grid."""
    faces = instantiate.resize(faces, FACE_SIDE)
    pixels = F.pixel_unshuffle(torch.cat([2.0 * faces - 1.0, torch.ones_like(faces[:, :1])], 1), 2)
    x = encoder.stem(torch.cat([pixels, torch.zeros_like(pixels[:, :4])], 1))
    parts = []
    for down in encoder.down:
        x = down(x)
        parts.append(F.adaptive_avg_pool2d(x, LAYOUT).flatten(1))
    return torch.cat(parts, 1)


def same_person(made: Tensor, gallery: Tensor, own: Tensor, driver: Tensor) -> Tensor:
    """(D,) whether pictures are nearer to their own photo than to any other, and to the driver.

    Every number counts by how much it tells these people apart.

    Args:
        made: (D, E) embedded pictures.
        gallery: (G, E) embedded photos.
        own: (D,) which of them each picture was made of.
        driver: (D, E) embedded pictures of the drivers.
    """
    people = torch.cat([gallery, driver])
    mean, deviation = people.mean(0), people.std(0).clamp_min(1e-6)
    made, gallery, driver = (
        F.normalize((part - mean) / deviation, dim=1) for part in (made, gallery, driver)
    )
    distances = torch.cdist(made, gallery)
    theirs = (made - driver).norm(dim=1)
    return (distances.argmin(1) == own) & (distances.gather(1, own[:, None])[:, 0] < theirs)


def examine(
    examiner: Examiner,
    photo: NDArray[np.uint8],
    made: NDArray[np.uint8],
    asked: Tensor,
    camera: Camera,
) -> Findings:
    """A second look at the pictures made of one photo, by instruments of their own.

    Args:
        examiner: the instruments.
        photo: (H, W, 3).
        made: (D, H', W', 3) of it.
        asked: (D, 39) `batches.expression` of the drivers, less that of their mean faces.
        camera: the photo's.
    """
    own, look = examiner(photo[None]), examiner(made)
    follows, astray = np.full((2, len(made)), np.nan)
    found = np.isfinite(look.landmarks).all((1, 2))
    if found.any():
        landmarks = torch.from_numpy(look.landmarks[found]).float()
        said = expression(landmarks)
        follows[found] = agreement(said, asked[found], torch.ones(said.shape[1]))[0].numpy()
        expected = camera.project(landmarks).numpy()
        astray[found] = np.linalg.norm(look.places[found] - expected, axis=-1).mean(1)
    distance = np.linalg.norm(look.people - own.people, axis=1)
    return Findings(look.landmarks, follows, distance, astray)
