"""`mien prepare`: photos and clips to training shards, labelled once.

Axis legend: T frames, H W pixels.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from mien.data.shards import Sample, write_shards
from mien.data.splits import Item, content_hash, survey
from mien.errors import MienError
from mien.model.motion import eye_signals
from mien.preprocess.crop import warp
from mien.preprocess.face import FaceTracker, find_face
from mien.preprocess.matte import Matter, foreground
from mien.preprocess.photo import read_photo
from mien.preprocess.pose import HeadPose, canonical_landmarks, fit_pose
from mien.preprocess.video import Video

RESIDUAL_LIMIT = 0.02
"""Frames whose pose fits worse than this (canonical units) are left out: a wrong or hidden face."""


@dataclass(frozen=True)
class Prepare:
    """Make training shards from the research data.

    Args:
        data: folder of the research data (see `mien.data.splits`).
        out: folder for the shards.
        part: which people: those to train on, or the held-out ones.
        size: side of the stored crops in pixels.
        per_clip: at most so many frames a clip, chosen to differ most.
        rate: frames a second looked at.
        clean: leave out all that is not free for any use, products included.
        workers: processes.
    """

    data: Path
    out: Path
    part: Literal["train", "heldout"] = "train"
    size: int = 448
    per_clip: int = 40
    rate: float = 12.5
    clean: bool = False
    workers: int = 2


def prepare(command: Prepare) -> list[Path]:
    """Carry out `mien prepare`; returns the shards.

    Raises:
        MienError: the data folder lacks a set, or holds nothing for this part.
    """
    items = [i for i in survey(command.data) if i.held_out == (command.part == "heldout")]
    if command.clean:
        items = [item for item in items if item.clean]
    if not items:
        raise MienError(f"{command.data} holds nothing for the part '{command.part}'.")
    # Fresh processes: MediaPipe does not survive a fork.
    with ProcessPoolExecutor(command.workers, get_context("spawn")) as pool:
        batches = pool.map(partial(label, command=command), items, chunksize=4)
        samples = (sample for batch in batches for sample in batch)
        return write_shards(samples, command.out, command.part)


def label(item: Item, command: Prepare) -> list[Sample]:
    """All samples of one photo or clip; none where no face is found."""
    still = item.path.suffix != ".mp4"
    try:
        frames = _still(item.path) if still else _clip(item.path, command.rate)
    except MienError:
        return []
    if not frames:
        return []
    landmarks = np.stack([points for _, points in frames])
    pose = fit_pose(landmarks)
    shape = canonical_landmarks(landmarks, pose)
    good = np.flatnonzero(pose.residual < RESIDUAL_LIMIT)
    chosen = good[spread(signals(shape[good], pose[good]), command.per_clip)]
    images = [frames[i][0] for i in chosen]
    return list(_samples(item, images, landmarks[chosen], shape[chosen], pose[chosen], command))


def _still(path: Path) -> list[tuple[NDArray, NDArray]]:
    image = read_photo(path).image
    return [(image, find_face(image, None, str(path)))]


def _clip(path: Path, rate: float) -> list[tuple[NDArray, NDArray]]:
    frames = []
    due = 0.0
    with FaceTracker() as tracker:
        for time, image in Video(path):
            if time + 1e-3 < due:
                continue
            due += 1.0 / rate
            points = tracker.track(image)
            if points is not None:
                frames.append((image, points))
    return frames


def signals(landmarks: NDArray, pose: HeadPose) -> NDArray:
    """(T, 34) what makes frames differ: mouth and brow points, eyes and gaze, head pose.

    Each in units in which a visible change is about 1.
    """
    moving = (13, 14, 61, 291, 17, 152, 70, 300)
    eyes = eye_signals(torch.from_numpy(landmarks)).numpy()
    parts = [landmarks[:, moving].reshape(len(landmarks), -1) / 0.01, eyes / 0.06]
    return np.concatenate([*parts, pose.angles() / 0.15], 1)


def spread(points: NDArray, count: int) -> NDArray[np.intp]:
    """At most `count` rows of (T, D) that lie far apart (farthest-point sampling), in order.

    Stops early when everything left is within 1 of a chosen row: near duplicates teach nothing.
    """
    if not len(points):
        return np.zeros(0, np.intp)
    chosen = [0]
    nearest = np.linalg.norm(points - points[0], axis=1)
    while len(chosen) < count and nearest.max() > 1.0:
        chosen.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, np.linalg.norm(points - points[chosen[-1]], axis=1))
    return np.sort(np.array(chosen, np.intp))


def _samples(
    item: Item,
    images: list[NDArray],
    landmarks: NDArray,
    shape: NDArray,
    pose: HeadPose,
    command: Prepare,
) -> Iterator[Sample]:
    """Crop and matte chosen frames: landmarks in their pixels, `shape` the canonical ones."""
    camera, name, size = pose.camera(), content_hash(item.path), command.size
    crops = pose.image_from_crop(size)
    with Matter() as matter:
        for index, (image, image_from_crop) in enumerate(zip(images, crops, strict=True)):
            turn, shift = np.linalg.inv(image_from_crop[:, :2]), image_from_crop[:, 2]
            height, width = image.shape[:2]
            corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float64)
            crop = warp(image, image_from_crop, size, mirrored=True)
            # What lies beyond the photo's border is unknown, whatever the matte makes of it.
            known = warp(np.full((height, width), 255, np.uint8), image_from_crop, size) > 250
            alpha = matter(crop, (landmarks[index, :, :2] - shift) @ turn.T) * known
            colors = foreground(crop, alpha) * alpha[..., None]
            yield Sample(
                key=f"{name}-{index:03d}",
                person=item.person,
                take=name,
                image=(colors * 255 + 0.5).astype(np.uint8),
                alpha=(alpha * 255 + 0.5).astype(np.uint8),
                landmarks=shape[index],
                world_from_cam=camera.world_from_cam[index].numpy(),
                intrinsics=camera.intrinsics[index].numpy(),
                inside=(corners - shift) @ turn.T / size,
            )
