"""Level face crops of made heads and of photos, with what MediaPipe sees of them, in one file.

    PYTHONPATH=src python benchmarks/realism/faces.py OUT.npz SHARD.tar [SHARD.tar ...]
    PYTHONPATH=src python benchmarks/realism/faces.py OUT.npz DATA_FOLDER [SET ...]

The other measures read these files. Shards are those of `mien synth`; DATA_FOLDER is laid out as
`mien.data.splits` says, and a SET is one of its portrait sets ("portraits/wild_colour").
Axis legend: N pictures, S side of a crop.
"""

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Self

import numpy as np
import torch
from PIL import Image

from mien.data.shards import Sample, read_shards
from mien.data.splits import survey
from mien.errors import MienError
from mien.preprocess.crop import warp
from mien.preprocess.face import eye_distance, find_faces, pick_face
from mien.preprocess.pose import fit_pose
from mien.structures import FOV_FFHQ, FOV_WIDE, LANDMARKS, Camera, focal_from_fov
from mien.synth.dataset import on_grey

SIDE = 192
"""Side of a crop in pixels; FFHQ's framing."""

SETS = ("portraits/studio", "portraits/congress", "portraits/wild_colour")

LARGEST = 480
"""Photos are shrunk to this height first, so that they are about as large as the renders."""


@dataclass(frozen=True)
class Faces:
    """Pictures of faces.

    Args:
        crops: (N, S, S, 4) u8, premultiplied; a photo's alpha is 0 beyond its border alone.
        seen: (N, 478, 2) MediaPipe's landmarks in the crop's pixels, NaN where it found no face.
        true: (N, 478, 2) where they are, NaN in photos.
        angles: (N, 2) yaw and pitch in degrees, of the camera or as far as MediaPipe can tell.
        person, source: (N,) who it is, and the set or "render".
    """

    crops: np.ndarray
    seen: np.ndarray
    true: np.ndarray
    angles: np.ndarray
    person: np.ndarray
    source: np.ndarray

    def __len__(self) -> int:
        return len(self.crops)

    def __getitem__(self, rows: np.ndarray) -> Self:
        return type(self)(*(getattr(self, f.name)[rows] for f in fields(self)))

    @classmethod
    def load(cls, paths: Iterable[Path | str]) -> Self:
        """All that some files hold."""
        parts = [dict(np.load(path)) for path in paths]
        return cls(*(np.concatenate([p[f.name] for p in parts]) for f in fields(cls)))

    @property
    def found(self) -> np.ndarray:
        """(N,) whether MediaPipe found the face."""
        return ~np.isnan(self.seen[:, 0, 0])


def crop_of(
    picture: np.ndarray, seen: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The level crop (S, S, 4), `image_from_crop` (2, 3) and (yaw, pitch) in degrees.

    Where no face was seen, the middle of the wide framing that renders have.
    """
    if seen is None:
        step = focal_from_fov(FOV_WIDE) / focal_from_fov(FOV_FFHQ) * len(picture) / SIDE
        frame = np.diag([step] * 2 + [1.0])[:2]
        frame[:, 2] = (len(picture) - step * SIDE) / 2
        return warp(picture, frame, SIDE), frame, np.full(2, np.nan)
    pose = fit_pose(seen[None])
    frame = pose.image_from_crop(SIDE, FOV_FFHQ)[0]
    return warp(picture, frame, SIDE), frame, np.degrees(pose.angles()[0, :2])


def into_crop(points: np.ndarray, frame: np.ndarray) -> np.ndarray:
    """Pixels of the picture (..., 2) to those of the crop that `frame` was cut by."""
    return (points - frame[:, 2]) @ np.linalg.inv(frame[:, :2]).T


def look(image: np.ndarray) -> np.ndarray | None:
    """(478, 3) landmarks of the largest face in a picture, or None."""
    faces = find_faces(image)
    return pick_face(faces, None, "the picture") if faces else None


def of_render(sample: Sample) -> tuple:
    """One row of `Faces` from a made head."""
    seen = look(on_grey(sample.image, sample.alpha))
    crop, frame, _ = crop_of(np.dstack([sample.image, sample.alpha]), seen)
    camera = Camera(torch.from_numpy(sample.world_from_cam), torch.from_numpy(sample.intrinsics))
    true = camera.project(torch.from_numpy(sample.landmarks))[..., :2].numpy() * len(sample.image)
    angles = np.degrees([float(a) for a in camera.angles()[:2]])
    places = np.full((LANDMARKS, 2), np.nan) if seen is None else into_crop(seen[:, :2], frame)
    return crop, places, into_crop(true, frame), angles, sample.person, "render"


def of_photo(path: Path, person: str, source: str) -> tuple | None:
    """One row of `Faces` from a photo; None where no face of a useful size is seen."""
    with Image.open(path) as file:
        file.thumbnail((10 * LARGEST, LARGEST))
        image = np.asarray(file.convert("RGB"))
    seen = look(image)
    if seen is None or eye_distance(seen) < 24:
        return None
    opaque = np.dstack([image, np.full(image.shape[:2], 255, np.uint8)])
    crop, frame, angles = crop_of(opaque, seen)
    nowhere = np.full((LANDMARKS, 2), np.nan)
    return crop, into_crop(seen[:, :2], frame), nowhere, angles, person, source


def rows(paths: list[str]) -> Iterator[tuple]:
    """Rows from shards, or from a data folder and the names of its sets."""
    if all(path.endswith(".tar") for path in paths):
        yield from map(of_render, read_shards(map(Path, paths)))
        return
    sets = paths[1:] or SETS
    for item in survey(paths[0]):
        if item.role in sets:
            row = of_photo(item.path, item.person, item.role)
            if row:
                yield row


def save(path: Path, found: Iterable[tuple]) -> None:
    """Write rows as a file that `Faces.load` reads."""
    kinds = (np.uint8, np.float32, np.float32, np.float32, np.str_, np.str_)
    columns = zip(*found, strict=True)
    arrays = [np.array(column, kind) for column, kind in zip(columns, kinds, strict=True)]
    names = [field.name for field in fields(Faces)]
    np.savez(path, **dict(zip(names, arrays, strict=True)))
    print(f"{path}: {len(arrays[0])} pictures")


def main() -> None:
    if len(sys.argv) < 3:
        raise SystemExit(__doc__)
    try:
        save(Path(sys.argv[1]), rows(sys.argv[2:]))
    except MienError as error:
        raise SystemExit(str(error)) from error


if __name__ == "__main__":
    main()
