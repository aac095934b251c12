"""Named configurations, and the weights that belong to them."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import torch

from mien.artifact import read_weights
from mien.errors import MienError
from mien.model.network import Network, NetworkConfig
from mien.model.paper import PaperConfig, PaperNetwork
from mien.structures import FOV_FFHQ

DETAIL = {"fast": 96, "balanced": 160, "high": 256}
"""Grid side of the front layer for each level of detail: 12k, 32k and 82k Gaussians at most."""


def base() -> NetworkConfig:
    """What ships: a small U-Net, *pixel* instantiation, 64-number motion latents."""
    return NetworkConfig()


def tiny() -> NetworkConfig:
    """The same network at a size for tests: it learns nothing worth seeing, but quickly."""
    from mien.model.encoder import EncoderConfig

    return NetworkConfig(
        preset="tiny",
        latent=8,
        hidden=16,
        encoder=EncoderConfig(size=64, widths=(8, 16, 16, 16), back_level=1),
    )


def paper() -> PaperConfig:
    """The paper's network, *plane* instantiation: what the authors' newer checkpoint is for."""
    return PaperConfig()


def paper_ray() -> PaperConfig:
    """The paper's network as in the paper: *ray* instantiation, FFHQ's framing, antialiased."""
    return PaperConfig(preset="paper-ray", instantiation="ray", fov=FOV_FFHQ, antialiased=True)


PRESETS = {"base": base, "tiny": tiny, "paper": paper, "paper-ray": paper_ray}


def build(config: NetworkConfig) -> Network:
    """The network of a configuration, untrained."""
    return PaperNetwork(config) if isinstance(config, PaperConfig) else Network(config)


def shipped_weights(preset: str = "base") -> Path:
    """Where the weights that come with Mien lie."""
    return Path(str(files("mien") / "weights" / f"{preset}.safetensors"))


def load_network(path: Path | None = None, device: torch.device | str = "cpu") -> Network:
    """A network with weights, ready to use.

    Args:
        path: a weights file; None takes the shipped `base` ones.
        device: where to put it.

    Raises:
        MienError: the file is missing, damaged, or of an unknown or different preset.
    """
    path = path or shipped_weights()
    weights, preset, _ = read_weights(path)
    if preset not in PRESETS:
        known = ", ".join(PRESETS)
        raise MienError(
            f"The weights {path} are for the preset '{preset}', which this version does not know "
            f"(it knows {known}); install a newer Mien."
        )
    network = build(PRESETS[preset]())
    try:
        network.load_state_dict(weights, assign=True)
    except RuntimeError as error:
        raise MienError(
            f"The weights {path} do not fit the preset '{preset}': they were made by another "
            "version of Mien; get the ones that belong to this version."
        ) from error
    return network.eval().requires_grad_(False).to(device)
