"""A webcam's face moves an avatar, which other programs see as a camera; nothing is sent anywhere.

    webcam ─ face mesh ─► landmarks, pose ─ 1€ filter, motion encoder ─► latent ─ splat ─► camera

Axis legend: H W pixels.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray

from mien.artifact.baked import Baked
from mien.engine.play_cpu import actor
from mien.errors import MienError
from mien.model.motion import LandmarkMotion
from mien.model.network import Network
from mien.pipeline import finished
from mien.preprocess.face import FaceTracker
from mien.preprocess.pose import HeadPose, canonical_landmarks, fit_pose, head_motion
from mien.render.cpu import CpuSplatter
from mien.serve.site import read_avatar
from mien.serve.smooth import OneEuro
from mien.structures import LANDMARKS, Avatar, Camera, rigid_inverse

Image = NDArray[np.uint8]

SIZE = 512
"""Side in pixels of what the camera shows."""

FPS = 25.0
"""Frames a second that the camera says it has; a slower machine repeats some."""

REMEDIES = {
    "linux": "load its driver with `sudo modprobe v4l2loopback` (Debian: v4l2loopback-dkms)",
    "darwin": "install OBS Studio and start its virtual camera once",
    "win32": "install OBS Studio, whose virtual camera it uses",
}
"""How each system comes by a virtual camera, by `sys.platform`."""


class Screen(Protocol):
    """What pictures are shown on: pyvirtualcam's camera, or a test's."""

    def send(self, frame: Image) -> None:
        """Show a picture (H, W, 3) RGB."""
        ...

    def sleep_until_next_frame(self) -> None:
        """Wait as long as the frame rate asks for."""
        ...


class Puppet:
    """An avatar that does what a face before a webcam does; a context manager.

    Args:
        network: a preset whose motion encoder reads landmarks, on the CPU.
        avatar: of that preset, baked or not.

    Raises:
        MienError: the network reads pictures.
    """

    def __init__(self, network: Network, avatar: Avatar | Baked) -> None:
        if not isinstance(network.motion, LandmarkMotion):
            raise MienError(
                f"The preset '{network.config.preset}' cannot be driven live; use the weights that "
                "come with Mien."
            )
        self._motion, self._antialiased = network.motion, network.config.antialiased
        self._actor, self._splatter = actor(network, avatar), CpuSplatter()
        self._tracker = FaceTracker()
        self._first: HeadPose | None = None
        self._calm = OneEuro()
        still = replace(Camera.orbit(), intrinsics=avatar.intrinsics)
        self._picture = self._draw(avatar.source_latent, still)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: Any) -> None:
        self._tracker.__exit__(*error)

    @torch.no_grad()
    def follow(self, seconds: float, frame: Image) -> Image:
        """The avatar (`SIZE`, `SIZE`, 3) over black; as it last was where no face is seen.

        Args:
            seconds: when the frame was seen; never less than before.
            frame: (H, W, 3) RGB. The head is centred where the first face was.
        """
        pixels = self._tracker.track(frame)
        if pixels is None:
            return self._picture
        pose = fit_pose(pixels[None])
        self._first = self._first or pose
        # `head_motion` refers to the middle one.
        moved = head_motion(_joined(pose, self._first))[0]
        seen = canonical_landmarks(pixels[None], pose)
        calm = self._calm.next(np.concatenate([seen.ravel(), moved[:3].ravel()]), seconds)
        landmarks = torch.from_numpy(calm[: seen.size].reshape(1, LANDMARKS, 3))
        moved[:3] = calm[seen.size :].reshape(3, 4)
        left, _, right = np.linalg.svd(moved[:3, :3])
        moved[:3, :3] = left @ right
        camera = Camera(rigid_inverse(torch.from_numpy(moved)), self._actor.intrinsics)
        self._picture = self._draw(self._motion(landmarks)[0], camera)
        return self._picture

    def _draw(self, latent: torch.Tensor, camera: Camera) -> Image:
        gaussians, sides = self._actor(latent), (SIZE, SIZE)
        frame = self._splatter.render(gaussians, camera, sides, antialiased=self._antialiased)
        return finished(frame).numpy()


def run(path: Path, network: Network, webcam: int) -> None:
    """Show an avatar that a webcam drives as a camera, until Ctrl-C.

    Args:
        path: the avatar's `.mien` file.
        network: of its preset.
        webcam: number of the webcam.

    Raises:
        MienError: the avatar cannot be used, or there is no such webcam, or no virtual camera.
    """
    with (
        Puppet(network, read_avatar(path, network)) as puppet,
        virtual_camera() as (screen, device),
        contextlib.suppress(KeyboardInterrupt),
    ):
        frames = webcam_frames(webcam)
        print(f"The avatar is the camera {device} (Ctrl-C ends).", flush=True)
        show(puppet, frames, screen)


def show(puppet: Puppet, frames: Iterable[tuple[float, Image]], screen: Screen) -> None:
    """Let the puppet follow (time, frame) pairs, as long as there are any."""
    for seconds, frame in frames:
        screen.send(puppet.follow(seconds, frame))
        screen.sleep_until_next_frame()


def webcam_frames(number: int) -> Iterator[tuple[float, Image]]:
    """What a webcam sees, (seconds, (H, W, 3) RGB), for as long as it gives pictures.

    Raises:
        MienError: there is no such webcam, or it stops.
    """
    import cv2

    webcam = cv2.VideoCapture(number)
    try:
        while True:
            seen, frame = webcam.read()
            if not seen:
                raise MienError(
                    f"Webcam {number} gives no picture; connect it, close what else uses it, or "
                    "name another with --webcam."
                )
            yield time.monotonic(), np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), np.uint8)
    finally:
        webcam.release()


@contextlib.contextmanager
def virtual_camera() -> Iterator[tuple[Screen, str]]:
    """A camera that other programs can choose, and its name.

    Raises:
        MienError: pyvirtualcam is not installed, or the system has no virtual camera.
    """
    try:
        import pyvirtualcam  # type: ignore[import-not-found]
    except ModuleNotFoundError as error:
        raise MienError(
            "--camera needs pyvirtualcam (a GPL package); `pip install pyvirtualcam` brings it."
        ) from error
    try:
        camera = pyvirtualcam.Camera(width=SIZE, height=SIZE, fps=FPS)
    except RuntimeError as error:
        remedy = REMEDIES.get(sys.platform, "this system may not know any")
        raise MienError(f"This machine has no virtual camera; {remedy}.") from error
    with camera:
        yield camera, camera.device


def _joined(*poses: HeadPose) -> HeadPose:
    fields = ("rotation", "focal", "centre", "residual")
    return HeadPose(*(np.concatenate([getattr(pose, name) for pose in poses]) for name in fields))
