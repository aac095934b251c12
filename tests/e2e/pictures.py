"""Pictures that a browser saved, and the same ones drawn by Mien."""

from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from mien.model.network import Network
from mien.render import splat
from mien.structures import Avatar, Camera, Gaussians


def picture(folder: Path, name: str) -> np.ndarray:
    """(S, S, 3) in [0, 1]."""
    return np.asarray(Image.open(folder / f"{name}.png").convert("RGB"), np.float64) / 255


def rendered(
    network: Network, avatar: Avatar, latent: Tensor, camera: Camera, side: int
) -> np.ndarray:
    """(S, S, 3) in [0, 1], by Mien itself."""
    gaussians, _ = network.animate(avatar, latent)
    return drawn(gaussians, camera, side)


def drawn(gaussians: Gaussians, camera: Camera, side: int) -> np.ndarray:
    """(S, S, 3) in [0, 1], of what an avatar has become."""
    image = splat(gaussians, camera, (side, side)).image
    return image.clamp(0, 1).permute(1, 2, 0).double().numpy()


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(-10 * np.log10(np.square(a - b).mean() + 1e-12))
