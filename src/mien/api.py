"""Mien in three lines of Python: values in, values out, nothing remembered in between.

    import mien

    head = mien.encode("photo.jpg")
    take = mien.motion("driving.mp4")
    frame = head.animate(take.latents[0]).render(mien.Camera.orbit(yaw=0.3))

`pipeline` is the same with every step in sight; this only carries the network along.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from mien import artifact, pipeline, presets
from mien.artifact import Baked
from mien.engine.play_cpu import check_baked, express
from mien.errors import MienError
from mien.model.matching import check_avatar, matched
from mien.model.network import Network
from mien.preprocess.photo import portrait
from mien.preprocess.video import Video
from mien.render import splat
from mien.structures import Avatar, Camera, Gaussians, Motion, Portrait, Rendered

StrPath = str | os.PathLike[str]


@dataclass(frozen=True)
class Posed:
    """A head told what to express.

    Args:
        gaussians: of one frame, canonical.
        intrinsics: (3, 3) the framing that the avatar was made in.
        antialiased: how they are meant to be drawn (see `render.splat`).
    """

    gaussians: Gaussians
    intrinsics: Tensor
    antialiased: bool = False

    def render(self, camera: Camera | None = None, size: int = 512) -> Rendered:
        """A picture over black.

        Args:
            camera: where from and in what framing; None looks from the front in the avatar's own.
            size: pixels of a side.
        """
        if camera is None:
            camera = replace(Camera.orbit(), intrinsics=self.intrinsics)
        camera = camera.to(self.intrinsics.device)
        return splat(self.gaussians, camera, (size, size), antialiased=self.antialiased)


@dataclass(frozen=True)
class Head:
    """An avatar, and the network that can animate it.

    Args:
        network: of the avatar's preset.
        avatar: of one person, on the network's device; a baked one takes nothing of the network
            but how it is drawn.
    """

    network: Network
    avatar: Avatar | Baked

    def __len__(self) -> int:
        """How many Gaussians it has."""
        return len(self.avatar if isinstance(self.avatar, Baked) else self.avatar.features)

    def animate(self, latent: Tensor | None = None) -> Posed:
        """Tell it what to express.

        Args:
            latent: (D,) one of a take's `latents`; None keeps the photo's own expression.
        """
        own = self.avatar.source_latent
        latent = own if latent is None else latent.to(own.device)
        if isinstance(self.avatar, Baked):
            gaussians = express(self.avatar, latent)
        else:
            gaussians, _ = self.network.animate(self.avatar, latent)
        return Posed(gaussians, self.avatar.intrinsics, self.network.config.antialiased)

    def save(self, path: StrPath) -> None:
        """Write the avatar as a `.mien` file.

        Raises:
            MienError: it cannot be written there.
        """
        if isinstance(self.avatar, Baked):
            artifact.save_baked(path, self.avatar)
        else:
            artifact.save_avatar(path, self.avatar)


def encode(
    photo: StrPath | NDArray[np.uint8] | Portrait,
    *,
    network: Network | None = None,
    detail: Literal["fast", "balanced", "high"] = "balanced",
    face: int | None = None,
    provenance: Mapping[str, str] | None = None,
) -> Head:
    """A photo to a head that can be animated.

    Args:
        photo: a file, (H, W, 3) uint8 RGB, or a portrait that was cut already.
        network: what encodes and animates; None loads the weights that come with Mien.
        detail: how many Gaussians (see `presets.DETAIL`).
        face: which face, 0 is the leftmost; None takes the largest.
        provenance: what the avatar file says of where it comes from, such as `consent`.

    Raises:
        MienError: the photo cannot be used (see `preprocess.photo.portrait`), or no weights.
    """
    network = network or presets.load_network()
    if not isinstance(photo, Portrait):
        source = photo if isinstance(photo, np.ndarray) else Path(photo)
        photo = portrait(source, fov=network.config.fov, face=face)
    avatar = pipeline.encode(network, photo, presets.DETAIL[detail])
    return Head(network, replace(avatar, provenance=dict(provenance or {})))


def load(path: StrPath, *, network: Network | None = None) -> Head:
    """A `.mien` file, baked or not, to a head that can be animated.

    Raises:
        MienError: the file cannot be used, or was made with another preset or other weights.
    """
    network = network or presets.load_network()
    avatar = artifact.read_any_avatar(path)
    if isinstance(avatar, Baked):
        check_baked(avatar, network, path)
    else:
        check_avatar(avatar, network, path)
    return Head(network, avatar.to(pipeline.device_of(network)))


def motion(
    video: StrPath,
    *,
    network: Network | None = None,
    face: int | None = None,
) -> Motion:
    """A video, or a `.motion` file, to a driving take.

    Args:
        video: the file; its sound goes with the take.
        network: whose motion latents to make; None loads the weights that come with Mien.
        face: which face of a video's first frame, 0 is the leftmost; None follows the largest.

    Raises:
        MienError: the file cannot be used, is cut short, shows no face, or its latents are of
            another preset or other weights and it keeps no landmarks.
    """
    network = network or presets.load_network()
    if Path(video).suffix == ".motion":
        return matched(artifact.load_motion(video), network, video)
    frames = Video(Path(video))
    audio = str(video) if frames.has_audio else None
    take = pipeline.motion(network, frames, frames.fps, face=face, name=str(video), audio=audio)
    if frames.damage:
        raise MienError(f"{frames.damage} Save or download the video again.")
    return take
