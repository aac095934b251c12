"""What the distillation asks of a teacher, and the two kinds of teachers there are.

Axis legend: B batch, D latent, S side in pixels.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor

from mien.artifact import read_weights
from mien.errors import MienError
from mien.model import instantiate
from mien.structures import Camera, Portrait
from mien.teacher.flow import sample
from mien.teacher.network import CHANNELS, FlowConfig, FlowNetwork

PRESET = "teacher"
"""The preset that files of its weights carry."""


class Teacher(Protocol):
    """Makes a photo move like a driver. Portraits come in batches: every tensor has a leading B."""

    def animate(
        self,
        source: Portrait,
        driving: Portrait,
        *,
        steps: int = 6,
        guidance: float = 1.5,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """The people of `source` with the expressions, and from the cameras, of `driving`.

        Args:
            source: who.
            driving: what their faces do. Teachers of Mien's own read landmarks and camera only.
            steps: of the sampler.
            guidance: 1 draws what the network says; more exaggerates what the driver changes.
            generator: of the noise, on the portraits' device.

        Returns:
            (B, 3, S, S) in [0, 1]; on black where the teacher knows no background.
        """
        ...


class FlowTeacher:
    """Mien's own teacher: a `FlowNetwork` and its sampler.

    Args:
        network: trained; on the device to work on.
    """

    def __init__(self, network: FlowNetwork) -> None:
        self.network = network.eval()

    def animate(
        self,
        source: Portrait,
        driving: Portrait,
        *,
        steps: int = 6,
        guidance: float = 1.5,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """See `Teacher.animate`."""
        photo = torch.cat([source.image, source.alpha], 1)
        with torch.no_grad():
            own, latent = (self.network.motion(who.landmarks) for who in (source, driving))
        pictures = self.pictures(
            photo,
            source.camera,
            own,
            latent,
            driving.camera,
            steps=steps,
            guidance=guidance,
            generator=generator,
        )
        return pictures[:, :3]

    @torch.no_grad()
    def pictures(
        self,
        photo: Tensor,
        photo_camera: Camera,
        photo_latent: Tensor,
        latent: Tensor,
        camera: Camera,
        *,
        steps: int = 6,
        guidance: float = 1.5,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Photos told a motion, seen by a camera.

        Args:
            photo: (B, 4, any, any) premultiplied RGB and alpha in [0, 1].
            photo_camera: (B,) that see the photos.
            photo_latent: (B, D) the photos' own motion.
            latent: (B, D) driving motion.
            camera: (B,) to see them by.
            steps, guidance, generator: see `Teacher.animate`.

        Returns:
            (B, 4, S, S) premultiplied RGB and alpha in [0, 1].
        """
        network, side, device = self.network, self.network.config.side, photo.device
        on_gpu = device.type == "cuda"
        photo = instantiate.resize(photo, side) * 2.0 - 1.0
        noise = torch.randn(len(photo), CHANNELS, side, side, device=device, generator=generator)
        anything = network.no_motion.expand_as(latent)
        with torch.autocast(device.type, torch.bfloat16, enabled=on_gpu):
            reference = network.read(photo, photo_camera, photo_latent)

        def denoise(noisy: Tensor, level: float) -> Tensor:
            levels = torch.full((len(noisy),), level, device=device)
            with torch.autocast(device.type, torch.bfloat16, enabled=on_gpu):
                clean = network(noisy, levels, reference, latent, camera).float()
                if guidance == 1.0:
                    return clean
                plain = network(noisy, levels, reference, anything, camera).float()
            return plain + guidance * (clean - plain)

        return (sample(denoise, noise, steps) * 0.5 + 0.5).clamp(0.0, 1.0)


class PipelineTeacher:
    """Any animator that is called like a pipeline of diffusers.

    It gets the photo and the driving picture as (B, 3, S, S) tensors in [0, 1], and the usual
    `num_inference_steps`, `guidance_scale`, `generator` and `output_type="pt"`; its result has
    `images`. Load it as its authors say; its weights and their licence are the caller's affair.

    Args:
        pipeline: the loaded pipeline.
        source: name of its argument for the photo.
        driving: name of its argument for the driving picture.
    """

    def __init__(
        self, pipeline: Callable[..., Any], source: str = "image", driving: str = "driving_image"
    ) -> None:
        self.pipeline = pipeline
        self.names = (source, driving)

    def animate(
        self,
        source: Portrait,
        driving: Portrait,
        *,
        steps: int = 6,
        guidance: float = 1.5,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """See `Teacher.animate`.

        Raises:
            MienError: what comes back is not one RGB picture a photo.
        """
        with torch.no_grad():
            result = self.pipeline(
                **dict(zip(self.names, (source.image, driving.image), strict=True)),
                num_inference_steps=steps,
                guidance_scale=guidance,
                generator=generator,
                output_type="pt",
            )
        images = getattr(result, "images", None)
        count = len(source.image)
        if not isinstance(images, Tensor) or images.shape[:-2] != (count, 3):
            got = tuple(images.shape) if isinstance(images, Tensor) else type(images).__name__
            raise MienError(
                f"The teacher {type(self.pipeline).__name__} gave {got} as `images`, not a tensor "
                f"({count}, 3, S, S); wrap it so that it obeys `output_type='pt'`."
            )
        return images.clamp(0.0, 1.0)


def load(
    path: str | os.PathLike[str],
    config: FlowConfig | None = None,
    device: torch.device | str = "cpu",
) -> FlowTeacher:
    """A trained teacher.

    Args:
        path: weights that `mien teach` wrote.
        config: sizes they were trained at; None takes the usual ones.
        device: where to put it.

    Raises:
        MienError: the file is missing, damaged, or holds something else.
    """
    weights = read_weights(path)
    network = FlowNetwork(config or FlowConfig())
    try:
        if weights.preset != PRESET:
            raise RuntimeError(f"they are of the preset '{weights.preset}'")
        network.load_state_dict(weights.state)
    except RuntimeError as error:
        raise MienError(
            f"The weights {path} are not those of a teacher of this size; give what `mien teach` "
            "wrote, and the sizes it was given."
        ) from error
    return FlowTeacher(network.requires_grad_(False).to(device))
