"""An avatar that is cheap to make and moves as real ones do."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mien import pipeline, presets
from mien.engine.bake import load_spread
from mien.model.network import Network
from mien.structures import Avatar, Camera, Portrait

PHOTO = Path(__file__).resolve().parents[2] / "examples" / "astronaut.jpg"


@pytest.fixture(scope="package")
def network() -> Network:
    """The shipped networks."""
    return presets.load_network()


@pytest.fixture(scope="package")
def avatar(network: Network) -> Avatar:
    """Of 48² + 24² Gaussians at most, of a photo that is roughly a portrait."""
    picture = Image.open(PHOTO).convert("RGB").crop((64, 0, 384, 320)).resize((512, 512))
    image = torch.from_numpy(np.array(picture)).permute(2, 0, 1) / 255
    portrait = Portrait(
        image, torch.ones(1, 512, 512), Camera.orbit(), load_spread().mean, torch.eye(3)[:2]
    )
    return pipeline.encode(network, portrait, 48)
