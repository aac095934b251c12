"""Networks, an avatar and a take to serve in tests: untrained, but everything moves."""

import skimage.data
import torch
from torch import Tensor

from mien import presets
from mien.model.encoder import EncoderConfig
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
    batch = portrait().map(lambda t: t[None])
    latent = network.motion(batch.landmarks)
    avatar = network.encode(batch.image, batch.alpha, batch.camera, latent, grid)
    return prune(avatar[0], network.decoder)


def take_of(network: Network, frames: int = 6) -> Motion:
    """A mouth that opens while the head turns."""
    controls = load_controls()
    faces = torch.stack([controls.landmarks({"jawOpen": t / frames}) for t in range(frames)])
    cameras = Camera.orbit(torch.linspace(-0.3, 0.3, frames))
    times = torch.arange(frames, dtype=torch.float64) / 25
    preset = network.config.preset
    return Motion(network.motion(faces), cameras.cam_from_world, times, 25.0, preset)


def latent_of(
    network: Network, controls: Controls, avatar: Avatar, values: dict[str, float]
) -> Tensor:
    """What the page's sliders ask of an avatar (see `mien.serve.controls`)."""
    driving = network.motion(controls.landmarks(values))
    return avatar.source_latent + driving - network.motion(controls.neutral)
