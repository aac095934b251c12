"""Whatever can drive an avatar → `Motion`: a video, a picture, ARKit's coefficients, or a take.

Axis legend: T frames, D latent.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from mien.commands.common import progress_bar
from mien.errors import MienError

if TYPE_CHECKING:
    from torch import Tensor

    from mien.model.network import Network
    from mien.structures import Motion

HELD_FPS = 25.0
"""Frames a second of an expression that is held."""


def read_driver(path: Path, network: Network, *, face: int | None = None) -> Motion:
    """A driving take from a `.motion` file, a table, a picture or a video, with a progress bar.

    Args:
        path: the file.
        network: whose motion latents to make.
        face: which face, 0 is the leftmost; None takes the largest.

    Raises:
        MienError: the file cannot be used, is cut short, shows no face, or its latents are of
            another preset or other weights and it keeps no landmarks.
    """
    from mien import api, pipeline
    from mien.engine.play_cpu import ahead
    from mien.preprocess.video import Video

    if path.suffix == ".motion":
        take = api.motion(path, network=network)
        # A take keeps the name of its sound; the file itself may be elsewhere, or gone.
        return take if take.audio and Path(take.audio).is_file() else replace(take, audio=None)
    if path.suffix.lower() == ".csv":
        from mien.commands.arkit import load_arkit

        return load_arkit(path, network)
    if is_picture(path):
        return picture(path, network, face)
    video = Video(path)
    # The next frames are decoded while the face is sought in this one.
    with progress_bar() as bar, closing(ahead(video)) as decoded:
        frames = bar.track(decoded, total=video.frames or None, description="watching the driver")
        audio = str(path) if video.has_audio else None
        take = pipeline.motion(network, frames, video.fps, face=face, name=str(path), audio=audio)
    if video.damage:
        raise MienError(f"{video.damage} Save or download the video again.")
    return take


def is_picture(path: Path) -> bool:
    """Whether a file holds one picture, whatever its name: an animation counts as a video."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            return getattr(image, "n_frames", 1) == 1
    except (OSError, ValueError, Image.DecompressionBombError):
        return False


def picture(path: Path, network: Network, face: int | None) -> Motion:
    """The expression and pose of a picture, held."""
    import torch

    from mien.model.matching import motion_weights
    from mien.pipeline import device_of
    from mien.preprocess.photo import portrait
    from mien.watching import portrait_latent

    seen = portrait(path, face=face)
    with torch.no_grad():
        latent = portrait_latent(network, seen.to(device_of(network)))
    take = held(latent, seen.camera.cam_from_world, network.config.preset)
    landmarks = seen.landmarks.expand(len(take), -1, -1)
    return replace(take, landmarks=landmarks, weights=motion_weights(network))


def held(latent: Tensor, cam_from_head: Tensor, preset: str) -> Motion:
    """A take that holds one expression and pose for one swing of an orbiting camera.

    Args:
        latent: (D,).
        cam_from_head: (4, 4).
        preset: whose latent it is.
    """
    import torch

    from mien.pipeline import ORBIT_SECONDS
    from mien.structures import Motion

    frames = round(ORBIT_SECONDS * HELD_FPS)
    return Motion(
        latents=latent.cpu().expand(frames, -1),
        cam_from_head=cam_from_head.expand(frames, 4, 4),
        times=torch.arange(frames, dtype=torch.float64) / HELD_FPS,
        fps=HELD_FPS,
        preset=preset,
    )


def smoothed(take: Motion, amount: float) -> Motion:
    """A calmer take: expressions and poses smoothed over time, without lag.

    Args:
        take: of any length.
        amount: 0 (as it is) to 1, see `preprocess.take.smoothed`.
    """
    import numpy as np
    import torch

    from mien.preprocess.take import smoothed as smooth

    if amount == 0:
        return take
    poses = smooth(take.cam_from_head.numpy(), take.fps, amount).astype(np.float32)
    left, _, right = np.linalg.svd(poses[:, :3, :3])
    poses[:, :3, :3] = left @ right
    latents = smooth(take.latents.numpy(), take.fps, amount).astype(np.float32)
    return replace(
        take,
        latents=torch.from_numpy(latents),
        cam_from_head=torch.from_numpy(poses),
        # They are not what these latents say.
        landmarks=None,
    )
