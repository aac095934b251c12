"""Networks, an avatar and a take to serve in tests: untrained, but everything moves."""

from dataclasses import replace

import skimage.data
import torch
from torch import Tensor

from mien import presets
from mien.artifact.baked import Baked, LatentMap
from mien.engine.bake import attributes_of
from mien.model.encoder import EncoderConfig
from mien.model.matching import avatar_weights, motion_weights
from mien.model.motion import LandmarkMotion
from mien.model.network import Network, NetworkConfig, prune
from mien.serve.controls import NAMES, Controls, load_controls
from mien.structures import Avatar, Camera, Motion, Portrait


def small_network() -> Network:
    """A network of a few thousand parameters whose avatars still fit a `.mien` file."""
    config = NetworkConfig(
        preset="stand-in",
        latent=8,
        hidden=20,
        encoder=EncoderConfig(size=64, widths=(8, 16, 16, 16), back_level=1),
    )
    network = Network(config)
    network.motion = LandmarkMotion(config.latent, hidden=(12, 10))
    return lively(network)


def base_network() -> Network:
    """The `base` networks with random weights."""
    return lively(Network(presets.base()))


def lively(network: Network) -> Network:
    """Make random networks answer visibly to expressions."""
    controls = load_controls()
    faces = [controls.landmarks({name: 1.0}) for name in NAMES]
    network.motion.fit_statistics(torch.stack([controls.neutral, *faces]))
    # A hundredth of a unit is what landmarks move by; below it they are noise.
    torch.clamp_(network.motion.deviation, min=0.01)
    for layer, factor in ((network.motion, 8.0), (network.fusion, 40.0), (network.decoder, 2.0)):
        layer.net[-1].weight.data.mul_(factor)
    network.fusion.mapping.weight.data.mul_(3.0)
    return network.eval().requires_grad_(False)


def portrait() -> Portrait:
    """The astronaut's, cut out by an ellipse."""
    photo = torch.from_numpy(skimage.data.astronaut()[0:280, 80:360]).permute(2, 0, 1) / 255
    side = photo.shape[-1]
    y, x = torch.meshgrid(*[torch.linspace(-1, 1, side)] * 2, indexing="ij")
    alpha = (((x / 0.75) ** 2 + (y / 0.9) ** 2) < 1).float()[None]
    neutral = load_controls().neutral
    return Portrait(photo * alpha, alpha, Camera.orbit(0.1, 0.05), neutral, torch.eye(3)[:2])


def avatar_of(network: Network, grid: int) -> Avatar:
    """The astronaut as an avatar of these networks."""
    photo = portrait()
    batch = photo.map(lambda t: t[None])
    latent = network.motion(batch.landmarks)
    avatar = network.encode(batch.image, batch.alpha, batch.camera, latent, grid)
    seen = prune(avatar[0], photo.alpha, photo.camera, network.decoder)
    return replace(seen, weights=avatar_weights(network))


def baked_of(network: Network, avatar: Avatar, bases: int = 5, hidden: int = 7) -> Baked:
    """An avatar as bases that random latents ask for, weighed at random."""
    size = avatar.source_latent.shape[0]
    rest = attributes_of(network.animate(avatar, avatar.source_latent)[0]).contiguous()
    asked = [network.animate(avatar, torch.randn(size))[0] for _ in range(bases)]
    change = torch.stack([attributes_of(gaussians) - rest for gaussians in asked])
    step = (change.abs().amax((0, 2)) / 20_000).clamp_min(1e-9)
    weigh = LatentMap(
        hidden_weight=torch.randn(hidden, size) / 8,
        hidden_bias=torch.randn(hidden),
        out_weight=torch.randn(bases, hidden) / 8,
        out_bias=torch.zeros(bases),
        linear=torch.randn(bases, size) / 16,
    )
    return Baked(
        rest=rest,
        codes=(change / step[:, None]).round().to(torch.int16).contiguous(),
        step=step,
        weigh=weigh,
        source_latent=avatar.source_latent,
        intrinsics=avatar.intrinsics,
        preset=avatar.preset,
        weights=motion_weights(network),
    )


def take_of(network: Network, frames: int = 6) -> Motion:
    """A mouth that opens while the head turns."""
    controls = load_controls()
    faces = torch.stack([controls.landmarks({"jawOpen": t / frames}) for t in range(frames)])
    cameras = Camera.orbit(torch.linspace(-0.3, 0.3, frames))
    times = torch.arange(frames, dtype=torch.float64) / 25
    return Motion(
        latents=network.motion(faces),
        cam_from_head=cameras.cam_from_world,
        times=times,
        fps=25.0,
        preset=network.config.preset,
        weights=motion_weights(network),
    )


def latent_of(
    network: Network, controls: Controls, avatar: Avatar, values: dict[str, float]
) -> Tensor:
    """What the page's sliders ask of an avatar (see `mien.serve.controls`)."""
    driving = network.motion(controls.landmarks(values))
    return avatar.source_latent + driving - network.motion(controls.neutral)
