"""Mien itself as the thing that is measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch

from mien.errors import MienError
from mien.evaluate.live import Performer
from mien.evaluate.protocols import Reenactor
from mien.evaluate.takes import Frames, frames_of
from mien.model.encoder import Encoder
from mien.model.network import Network
from mien.model.paper import PaperNetwork
from mien.pipeline import Direction, device_of, directed, encode, motion, render
from mien.preprocess.face import FaceTracker
from mien.preprocess.photo import portrait
from mien.preprocess.pose import canonical_landmarks, fit_pose
from mien.structures import Camera, Rendered

FPS = 25.0
"""Frame rate that drivers are taken to have; without smoothing nothing depends on it."""


@dataclass(frozen=True)
class Subject:
    """What is measured, and the ruler that is held to it.

    Args:
        reenact: animates a photo by frames that are all there.
        perform: animates it by frames as they come.
        ruler: the encoder in whose features pictures are compared; the same for all subjects.
    """

    reenact: Reenactor
    perform: Performer
    ruler: Encoder


def mien_reenactor(network: Network, grid: int) -> Reenactor:
    """The pipeline that users get, with its default direction.

    Args:
        network: a preset's networks with weights.
        grid: level of detail (see `presets.DETAIL`).
    """

    def reenact(
        source: Frames, drivers: Sequence[Frames], cameras: Camera, size: int
    ) -> Iterator[Rendered]:
        avatar = encode(network, portrait(source, fov=network.config.fov), grid)
        times = (index / FPS for index in range(len(drivers)))
        take = motion(network, zip(times, drivers, strict=True), FPS)
        latents, _ = directed(avatar, take, Direction())
        cameras = cameras.to(latents.device)
        for index in range(len(drivers)):
            yield render(network, avatar, latents[index], cameras[index], size).to("cpu")

    return reenact


def mien_performer(network: Network, grid: int) -> Performer:
    """The same, frame by frame: find the face, take its pose off, animate, draw.

    A frame without a face repeats the picture before it.

    Args:
        network: a preset's networks with weights, driven by landmarks.
        grid: level of detail.
    """

    def perform(source: Frames, size: int) -> Callable[[Frames], Frames]:
        if isinstance(network, PaperNetwork):
            raise MienError("Live is measured of presets that landmarks drive, such as base.")
        avatar = encode(network, portrait(source, fov=network.config.fov), grid)
        device, tracker = device_of(network), FaceTracker()
        shown = frames_of(torch.zeros(1, 3, size, size))[0]

        @torch.no_grad()
        def step(frame: Frames) -> Frames:
            nonlocal shown
            landmarks = tracker.track(frame)
            if landmarks is not None:
                pose = fit_pose(landmarks[None])
                points = torch.from_numpy(canonical_landmarks(landmarks[None], pose)).to(device)
                camera = pose.camera(network.config.fov)[0].to(device)
                picture = render(network, avatar, network.motion(points)[0], camera, size)
                shown = frames_of(picture.image[None])[0]
            return shown

        return step

    return perform
