"""The whole trainable network of a preset: one method per arrow of `pipeline.py`.

Axis legend: B batch, N Gaussians, C feature channels, D latent, S image side.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mien.model import instantiate
from mien.model.decoder import DENSITY_FLOOR, Decoder, attributes, density
from mien.model.encoder import Encoder, EncoderConfig
from mien.model.fusion import Fusion
from mien.model.motion import ImageMotion, LandmarkMotion
from mien.structures import FOV_WIDE, Avatar, Camera, Gaussians


@dataclass(frozen=True)
class NetworkConfig:
    """Sizes of a `base`-like network.

    Args:
        preset: the name that avatars and takes made with it carry.
        latent: D of a motion latent.
        channels: C of features and of the motion basis.
        hidden: width of the hidden layers below the encoder.
        gain: factor on Δf (see `Fusion`).
        encoder: sizes of the encoder.
        fov: framing in degrees of the portraits it encodes, and of its avatars.
        antialiased: whether its Gaussians are meant for an antialiased splatter.
    """

    preset: str = "base"
    latent: int = 64
    channels: int = 48
    hidden: int = 96
    gain: float = 0.1
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    fov: float = FOV_WIDE
    antialiased: bool = False


class Network(nn.Module):
    """Encoder, motion encoders, fusion and decoder of a *pixel* preset."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config.encoder)
        self.motion = LandmarkMotion(config.latent)
        self.motion_image = ImageMotion(config.latent)
        self.fusion = Fusion(config.latent, config.channels, config.hidden, config.gain)
        self.decoder = Decoder(config.channels, config.hidden)
        # Start from the anchors: the first pictures are the photo on a plane, not noise.
        last = self.decoder.net[-1]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.bias)
        last.weight.data.mul_(0.1)

    def encode(
        self, image: Tensor, alpha: Tensor, camera: Camera, source_latent: Tensor, grid: int
    ) -> Avatar:
        """Portraits to avatars.

        Args:
            image: (B, 3, S, S) in [0, 1], premultiplied.
            alpha: (B, 1, S, S).
            camera: (B,) cameras of the portraits.
            source_latent: (B, D) motion latents of the portraits.
            grid: side of the grid of Gaussians (see `instantiate.pixel`).
        """
        size = self.config.encoder.size
        image, alpha = instantiate.resize(image, size), instantiate.resize(alpha, size)
        front, back = self.encoder(image, alpha, camera)
        features, basis, anchors = instantiate.pixel(front, back, image, alpha, camera, grid)
        return Avatar(
            features, basis, source_latent, camera.intrinsics, anchors, self.config.preset
        )

    def animate(self, avatar: Avatar, latent: Tensor) -> tuple[Gaussians, Tensor]:
        """Avatars told what to express: Gaussians, and the Δf (*B, N, C) that made them so.

        Args:
            avatar: of (*B,).
            latent: (*B, D) driving motion latent.
        """
        delta = self.fusion(avatar.basis, avatar.source_latent, latent)
        return attributes(self.decoder(avatar.features + delta), avatar.anchors), delta


@torch.no_grad()
def prune(avatar: Avatar, alpha: Tensor, camera: Camera, decoder: Decoder) -> Avatar:
    """An unbatched avatar without the Gaussians that are invisible when unanimated, and without
    those that start where the photo shows nobody: what they draw is made up, beyond a photo's
    border mostly, and nothing in training says what it should be.

    Args:
        avatar: without anchors nothing starts anywhere, and only what is invisible goes.
        alpha: (1, S, S) of the portrait it was made of.
        camera: that portrait's.
        decoder: the network's.
    """
    keep = density(decoder(avatar.features), avatar.anchors) >= DENSITY_FLOOR
    anchors = avatar.anchors
    if anchors is not None:
        where = 2.0 * camera.project(anchors.means) - 1.0
        shown = F.grid_sample(
            instantiate.shows_somebody(alpha[None]),
            where[None, None],
            "nearest",
            align_corners=False,
        )
        keep &= shown.flatten() > 0.0
        anchors = replace(
            anchors,
            means=anchors.means[keep],
            colors=anchors.colors[keep],
            scales=anchors.scales[keep],
            density=anchors.density[keep],
        )
    return replace(
        avatar, features=avatar.features[keep], basis=avatar.basis[keep], anchors=anchors
    )
