"""The real instruments: face mesh, identity network, video codec, and the readers of scenes."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mien.errors import MienError
from mien.evaluate.cache import Arrays, Cache
from mien.evaluate.metrics import image as metrics
from mien.evaluate.metrics.features import feature_distance
from mien.evaluate.metrics.identity import descriptor, networks
from mien.evaluate.takes import Floats, Frames, Instruments, Scene, Track, frames_of
from mien.model.encoder import Encoder
from mien.preprocess.crop import warp
from mien.preprocess.face import FaceTracker
from mien.preprocess.photo import crop_portrait, portrait, read_photo
from mien.preprocess.pose import canonical_landmarks, fit_pose
from mien.preprocess.video import Video, write_video
from mien.structures import LANDMARKS, Camera, Portrait

CODEC_FPS = 25.0
"""Frame rate of the clips that pass through the codec; it hardly bears on their quality."""

START = 10
"""Frames left out at a clip's beginning: some begin in a fade, and the first one is a source."""

NOTHING_KEPT = Cache()
"""Every scene is cut anew."""

PICTURES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "PSNR": metrics.psnr,
    "SSIM": metrics.ssim,
    "MS-SSIM": metrics.ms_ssim,
    "FLIP": metrics.flip,
    "LPIPS": metrics.lpips,
}
"""Picture metrics by the names that tables give them."""


def instruments(ruler: Encoder) -> tuple[Instruments, dict[str, str]]:
    """All that this machine can measure with, and why it lacks the rest (metric → reason).

    Args:
        ruler: the encoder in whose features pictures are compared.

    Raises:
        MienError: dlib or its models are not installed; without identity nothing is judged.
    """
    networks()
    trial = torch.zeros(1, 3, 192, 192)
    usable, missing = {}, {}
    for name, measure in {**PICTURES, "features": feature_distance(ruler)}.items():
        try:
            measure(trial, trial)
            usable[name] = measure
        except MienError as error:
            missing[name] = str(error)
    return Instruments(track_face, descriptor, through_codec, usable), missing


def detect(images: Iterable[Frames]) -> Floats:
    """The largest face of each picture (H, W, 3): (T, 478, 3) x, y, z in pixels, NaN if none."""
    nobody = np.full((LANDMARKS, 3), np.nan)
    with FaceTracker() as tracker:
        found = [tracker.track(image) for image in images]
    return np.array([nobody if face is None else face for face in found]).reshape(-1, *nobody.shape)


def track_face(images: Iterable[Frames]) -> Track:
    """Detect the face in each picture and take its pose off."""
    landmarks = detect(images)
    seen = np.isfinite(landmarks).all((1, 2))
    points = np.full(landmarks.shape, np.nan)
    angles = np.full((len(landmarks), 3), np.nan)
    if seen.any():
        pose = fit_pose(landmarks[seen])
        points[seen] = canonical_landmarks(landmarks[seen], pose)
        angles[seen] = np.rad2deg(pose.angles())
    return Track(points, angles, landmarks[..., :2])


def through_codec(frames: Frames) -> Frames:
    """Frames as they come back from the video file that a user would get."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "take.mp4"
        write_video(path, frames, fps=CODEC_FPS)
        return np.stack([image for _, image in Video(path)])


def clip_scene(path: Path, size: int, limit: int, keep: Cache = NOTHING_KEPT) -> Scene:
    """`limit` frames of a clip, from `START` on, in the output framing.

    Frames without a face are left out.

    Args:
        path: of the clip.
        size: pixels of the frames' sides.
        limit: most frames.
        keep: where the found and cut frames are kept.

    Raises:
        MienError: the clip cannot be read, or shows a face in less than two frames.
    """
    images = [image for _, image in itertools.islice(Video(path), START, START + limit)]

    def cut() -> Arrays:
        landmarks = detect(images)
        seen = np.flatnonzero(np.isfinite(landmarks).all((1, 2)))
        if len(seen) < 2:
            raise MienError(
                f"{path} shows no face, or less than two frames of one, in {len(images)} frames "
                f"from frame {START} on: leave it out."
            )
        portraits = [crop_portrait(images[i], landmarks[i], size) for i in seen]
        return {"seen": seen, **_cut([images[i] for i in seen], portraits)}

    arrays = keep(("clip", path, size, limit, START), cut)
    return _scene(path.stem, [images[i] for i in arrays["seen"]], arrays)


def photo_scene(path: Path, size: int) -> Scene:
    """A photo in the output framing.

    Raises:
        MienError: it cannot be read or shows no usable face.
    """
    image = read_photo(path).image
    return _scene(path.stem, [image], _cut([image], [portrait(path, size)]))


def _cut(images: list[Frames], portraits: list[Portrait]) -> Arrays:
    known = [
        warp(np.ones(image.shape[:2], np.float32), p.image_from_crop.numpy(), p.image.shape[-1])
        for image, p in zip(images, portraits, strict=True)
    ]
    inside = torch.from_numpy(np.stack(known)) > 0.99
    alpha = torch.cat([p.alpha for p in portraits]) * inside
    return {
        "crops": frames_of(torch.stack([p.image for p in portraits]) * inside[:, None]),
        "alpha": alpha.mul(255).round().byte().numpy(),
        "known": inside.numpy(),
        "world_from_cam": torch.stack([p.camera.world_from_cam for p in portraits]).numpy(),
        "intrinsics": torch.stack([p.camera.intrinsics for p in portraits]).numpy(),
    }


def _scene(name: str, images: list[Frames], arrays: Arrays) -> Scene:
    camera = (torch.from_numpy(arrays[key]) for key in ("world_from_cam", "intrinsics"))
    alpha, known = torch.from_numpy(arrays["alpha"]), torch.from_numpy(arrays["known"])
    return Scene(name, images, arrays["crops"], alpha.float() / 255, known, Camera(*camera))
