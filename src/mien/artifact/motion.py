"""`.motion`: a driving take that any avatar can perform.

A take is meant to last. Latents are what one motion encoder says, and mean nothing to other
weights; so the landmarks they were made of are kept too, wherever there are some, and weights that
did not make the latents make their own (`mien.model.matching`). Steps of 1/8192 canonical unit
(0.05 mm) change latents by 0.5 % of their deviation and cost some 850 bytes a frame; the latents,
128 bytes for `base`, stay for readers without a motion encoder. Landmarks have the pose removed
but not the person: a take tells the shape of the driver's face.

Axis legend: T frames, D latent, B bytes.

| tensor | dtype, shape | holds |
| --- | --- | --- |
| latents | float16 (T, D) | expressions |
| quats | float32 (T, 4) | wxyz, unit length: the rotation of `cam_from_head` |
| translations | float32 (T, 3) | its translation, canonical units |
| times | float64 (T,) | seconds, increasing |
| landmarks.codes | uint8 (B,) | canonical landmarks, quantised and deflated (`_pack`), if known |

The header says the format, its schema, the preset, the fingerprint of the motion encoder that made
the latents (`weights`; the first takes lack it), the frames a second and, if the take has sound,
the name of the file it belongs to: the name alone, for folders tell about people.
"""

from __future__ import annotations

import os
from pathlib import PureWindowsPath

import numpy as np
import torch
from torch import Tensor

from mien.artifact.safe import Format, SafeFile, deflated, read_safe, write_safe
from mien.errors import MienError
from mien.structures import LANDMARKS, Motion

FORMAT = Format("mien.motion", 1, "motion take", "make it again with `mien motion`")

MAX_FPS = 1000.0

LANDMARK_STEPS = 8192
"""Quantisation steps of landmarks in one canonical unit; 16 bits reach ±4 units."""

MAX_TRACKED = 300_000
"""The most frames whose landmarks are kept: almost three hours, a gigabyte when inflated."""

_CODES = "landmarks.codes"


def save_motion(path: str | os.PathLike[str], motion: Motion) -> None:
    """Write a take; see this module's description for the format.

    Args:
        path: by custom ends in `.motion`.
        motion: on any device, of any float dtype. Of `audio`, only the file's name is kept, and
            not even that if it cannot be printed.

    Raises:
        MienError: it cannot be written there, or the take is too long.
        ValueError: the take is empty, misshapen, holds numbers that are not finite or that half
            precision cannot hold, its times do not increase, or its `fps` or a landmark is out of
            range.
    """
    frames = len(motion)
    shapes = {"cam_from_head": (frames, 4, 4), "times": (frames,)}
    for name, shape in shapes.items():
        if (found := tuple(getattr(motion, name).shape)) != shape:
            raise ValueError(f"{name} is {found}, not {shape}")
    latents = motion.latents.half()
    if not (frames > 0 and latents.ndim == 2 and latents.isfinite().all()):
        raise ValueError(f"latents {tuple(latents.shape)} are empty, misshapen or not finite")
    if not (motion.cam_from_head.isfinite().all() and _increase(motion.times)):
        raise ValueError("the take's poses are not finite or its times do not increase")
    if not 0 < motion.fps <= MAX_FPS:
        raise ValueError(f"{motion.fps} frames a second are none, or too many")
    fields = {
        "preset": motion.preset,
        "weights": motion.weights,
        "fps": repr(float(motion.fps)),
    }
    audio = _file_name(motion.audio or "")
    if _is_file_name(audio):
        fields["audio"] = audio
    tensors = {
        "latents": latents,
        "quats": _quats_from_rotations(motion.cam_from_head[:, :3, :3]),
        "translations": motion.cam_from_head[:, :3, 3].float(),
        "times": motion.times.double(),
    }
    if motion.landmarks is not None:
        if frames > MAX_TRACKED:
            raise MienError(
                f"{path} would hold {frames} frames, and {MAX_TRACKED} is the most; cut the video."
            )
        tensors[_CODES] = _pack(motion.landmarks, frames)
    write_safe(path, FORMAT, tensors, fields)


def load_motion(path: str | os.PathLike[str]) -> Motion:
    """Read a take: float32 tensors on the CPU, but float64 for the times.

    Its `audio` is a path beside the take, where no file needs to be.

    Raises:
        MienError: the file is missing, damaged, of another kind, or of a newer version.
    """
    file = read_safe(path, FORMAT)
    tracked = _CODES in file.tensors
    file.expect("latents", "quats", "translations", "times", *([_CODES] if tracked else []))
    latents = file.tensor("latents", torch.float16, None, None)
    frames = latents.shape[0]
    times = file.tensor("times", torch.float64, frames)
    if not _increase(times):
        raise file.refusal("its times do not increase")
    return Motion(
        latents=latents.float(),
        cam_from_head=_poses(file, frames),
        times=times,
        fps=file.number("fps", MAX_FPS),
        preset=file.preset(),
        audio=_audio(file),
        landmarks=_unpack(file, frames) if tracked else None,
        weights=file.weights(),
    )


def _pack(landmarks: Tensor, frames: int) -> Tensor:
    """Quantise (T, 478, 3), take differences from frame to frame, and deflate them.

    The differences are two planes of bytes, frame by frame: low (with 128 added, so that small
    ones need no high byte), then high.
    """
    codes = (landmarks.detach().cpu().double() * LANDMARK_STEPS).round()
    if codes.shape != (frames, LANDMARKS, 3) or not (codes.abs() < 2**15).all():
        raise ValueError(f"landmarks {tuple(codes.shape)} are misshapen or out of range")
    words = codes.numpy().astype(np.int16).view(np.uint16)
    # Differences of 16-bit numbers wrap around, and so do their sums.
    steps = np.diff(words, axis=0, prepend=np.zeros_like(words[:1])) + np.uint16(128)
    return deflated(np.stack([steps & 255, steps >> 8]).astype(np.uint8).tobytes())


def _unpack(file: SafeFile, frames: int) -> Tensor:
    """The inverse of `_pack`: (T, 478, 3) float32."""
    if frames > MAX_TRACKED:
        raise file.refusal(f"it holds {frames} frames, and {MAX_TRACKED} is the most")
    shape = (2, frames, LANDMARKS, 3)
    content = file.inflated(_CODES, int(np.prod(shape)))
    low, high = np.frombuffer(content, np.uint8).reshape(shape)
    steps = (high.astype(np.uint16) << 8 | low) - np.uint16(128)
    words = np.cumsum(steps, axis=0, dtype=np.uint16).view(np.int16)
    return torch.from_numpy(words.astype(np.float32) / LANDMARK_STEPS)


def _poses(file: SafeFile, frames: int) -> Tensor:
    """(T, 4, 4) `cam_from_head`."""
    from scipy.spatial.transform import Rotation

    quats = file.tensor("quats", torch.float32, frames, 4)
    if ((quats.norm(dim=-1) - 1).abs() > 1e-3).any():
        raise file.refusal("quats holds some that are not of unit length")
    rotations = Rotation.from_quat(quats.roll(-1, dims=-1).numpy()).as_matrix()
    poses = torch.eye(4).repeat(frames, 1, 1)
    poses[:, :3, :3] = torch.from_numpy(rotations)
    poses[:, :3, 3] = file.tensor("translations", torch.float32, frames, 3)
    return poses


def _quats_from_rotations(rotations: Tensor) -> Tensor:
    """(T, 4) wxyz of (T, 3, 3)."""
    from scipy.spatial.transform import Rotation

    quats = Rotation.from_matrix(rotations.detach().cpu().double().numpy()).as_quat()
    return torch.from_numpy(np.roll(quats, 1, axis=-1)).float()


def _increase(times: Tensor) -> bool:
    return bool(times.isfinite().all() and (times.diff() > 0).all())


def _file_name(path: str) -> str:
    """The last part of a path; a Windows path takes either kind of slash."""
    return PureWindowsPath(path).name


def _is_file_name(name: str) -> bool:
    return name == _file_name(name) and name not in ("", ".", "..") and name.isprintable()


def _audio(file: SafeFile) -> str | None:
    if "audio" not in file.metadata:
        return None
    name = file.text("audio")
    if not _is_file_name(name):
        raise file.refusal("the name of its sound file is malformed")
    return str(file.path.with_name(name))
