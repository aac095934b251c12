import sys
from pathlib import Path

import pytest
import torch

from mien.artifact import save_avatar, save_motion

# `stand_in` and `viewer_fixtures` are shared by this folder's tests.
sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def served(tmp_path_factory):
    """A network, and an avatar and a take made with it."""
    from stand_in import avatar_of, small_network, take_of

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("served")
    network = small_network()
    save_avatar(folder / "me.mien", avatar_of(network, 8))
    save_motion(folder / "hello.motion", take_of(network))
    return network, folder
