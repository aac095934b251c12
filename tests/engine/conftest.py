"""An avatar that is cheap to make and moves as real ones do."""

from pathlib import Path

import pytest

from mien import pipeline, presets
from mien.model.network import Network
from mien.preprocess.photo import portrait
from mien.structures import Avatar

PHOTO = Path(__file__).resolve().parents[2] / "examples" / "astronaut.jpg"


@pytest.fixture(scope="package")
def network() -> Network:
    """The shipped networks."""
    return presets.load_network()


@pytest.fixture(scope="package")
def avatar(network: Network) -> Avatar:
    """Of 48² + 24² Gaussians at most."""
    return pipeline.encode(network, portrait(PHOTO, fov=network.config.fov), 48)
