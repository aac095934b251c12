"""The paper's whole network: the same methods as `Network`, other parts.

Axis legend: B batch (1), N Gaussians, D latent, S image side.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from mien.model.decoder import Decoder, density
from mien.model.fusion import Fusion
from mien.model.instantiate import resize
from mien.model.network import Network, NetworkConfig
from mien.model.paper_encoder import PaperEncoder
from mien.model.paper_motion import LATENT, PaperMotionEncoder
from mien.model.rays import RayDraws, instantiate_plane, instantiate_rays
from mien.structures import FOV_FFHQ, Avatar, Camera

IMAGE_SIDE = 512
"""S of the portraits that the encoder reads."""


@dataclass(frozen=True)
class PaperConfig(NetworkConfig):
    """What the paper's networks differ in; their sizes are fixed.

    Args:
        instantiation: "plane" (the authors' newer checkpoint) or "ray" (the paper's).
    """

    preset: str = "paper"
    latent: int = LATENT
    gain: float = 0.01
    instantiation: Literal["plane", "ray"] = "plane"


class PaperNetwork(Network):
    """Encoder, motion encoder, fusion and decoder of the paper.

    Its motion encoder reads pictures: crops of faces, as `paper_motion.crop_face` cuts them.
    """

    def __init__(self, config: PaperConfig) -> None:
        # It has `Network`'s methods, but none of its parts.
        nn.Module.__init__(self)
        self.config = config
        self.encoder = PaperEncoder()
        self.motion = PaperMotionEncoder()
        self.fusion = Fusion(config.latent, config.channels, config.hidden, config.gain)
        self.decoder = Decoder(config.channels, config.hidden)

    def encode(
        self, image: Tensor, alpha: Tensor, camera: Camera, source_latent: Tensor, grid: int
    ) -> Avatar:
        """A portrait to an avatar of what is dense enough.

        Args:
            image: (1, 3, S, S) in [0, 1], premultiplied.
            alpha: not read; the picture is black where nothing is.
            camera: (1,) of the portrait; the planes are canonical, so only its framing matters.
            source_latent: (1, D).
            grid: not read: the paper's number of Gaussians does not vary.
        """
        del alpha, grid
        planes = self.encoder(2.0 * resize(image, IMAGE_SIDE) - 1.0)[0]
        if self.config.instantiation == "plane":
            features, basis = instantiate_plane(planes, self._density)
        else:
            # The same points for every photo: the paper's chance, but said beforehand.
            draws = RayDraws.draw(torch.Generator().manual_seed(0)).to(planes.device)
            frontal = Camera.orbit(fov=FOV_FFHQ).to(planes.device)
            features, basis = instantiate_rays(planes, self._density, frontal, draws)
        return Avatar(
            features=features[None],
            basis=basis[None],
            source_latent=source_latent,
            intrinsics=camera.intrinsics,
            anchors=None,
            preset=self.config.preset,
        )

    def _density(self, features: Tensor) -> Tensor:
        return density(self.decoder(features), None)
