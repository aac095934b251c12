"""What networks read of faces: landmarks, or for the paper's the picture itself.

Axis legend: T frames, D latent, H W pixels.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mien.model.network import Network
from mien.model.paper import PaperNetwork
from mien.model.paper_motion import crop_face, crop_middle, to_bytes
from mien.preprocess.face_box import FaceDetector
from mien.preprocess.take import Take, fill_gaps, track
from mien.structures import Portrait

Image = NDArray[np.uint8]


def portrait_latent(network: Network, portrait: Portrait) -> Tensor:
    """(D,) what the face of a portrait expresses; everything on the network's device."""
    if not isinstance(network, PaperNetwork):
        return network.motion(portrait.landmarks[None])[0]
    # The paper's reads the portrait itself, background removed.
    with PictureReader(network) as read:
        return read(2.0 * portrait.image - 1.0)


def watch(
    network: Network,
    frames: Iterable[tuple[float, Image]],
    fps: float,
    *,
    face: int | None = None,
    name: str = "the video",
) -> tuple[Take, Tensor]:
    """Follow a driver.

    Args:
        network: whose latents to make.
        frames, fps, face, name: as for `preprocess.take.track`.

    Returns:
        The take, and its latents (T, D) on the CPU. Where no face is seen, both are interpolated.

    Raises:
        MienError: no frame has a face, or there is no such face.
    """
    if not isinstance(network, PaperNetwork):
        take = track(frames, fps, face=face, name=name)
        landmarks = torch.from_numpy(take.landmarks).to(next(network.parameters()).device)
        return take, network.motion(landmarks).cpu()
    latents = []
    with PictureReader(network) as read:

        def look(frame: Image, landmarks: NDArray | None) -> None:
            if landmarks is not None:
                picture = torch.from_numpy(frame).permute(2, 0, 1) / 127.5 - 1.0
                latents.append(read(picture, landmarks).cpu().numpy())

        take = track(frames, fps, face=face, name=name, watch=look)
    filled = fill_gaps(np.stack(latents), take.times, take.found)
    return take, torch.from_numpy(filled).float()


class PictureReader:
    """Latents of pictures, one by one, by the paper's motion encoder; a context manager."""

    def __init__(self, network: PaperNetwork) -> None:
        self._encoder = network.motion
        self._device = next(network.parameters()).device
        self._detector = FaceDetector()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: Any) -> None:
        self._detector.__exit__(*error)

    def __call__(self, picture: Tensor, landmarks: NDArray | None = None) -> Tensor:
        """(D,) what a face in a picture expresses.

        Args:
            picture: (3, H, W) in [-1, 1].
            landmarks: (478, 2 or 3) in its pixels; they say which face. None takes the surest.
        """
        levels = to_bytes(picture)
        box = self._detector(levels.permute(1, 2, 0).cpu().numpy(), landmarks)
        pixels = levels.to(self._device) / 127.5 - 1.0
        crop = crop_middle(pixels) if box is None else crop_face(pixels, box)
        return self._encoder(crop[None])[0]
