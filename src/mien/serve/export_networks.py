"""What the page needs of a preset's networks, in one small file of weights.

Beside the state of fusion, decoder and landmark motion encoder, under their own names, it holds
`controls.neutral` (478·3,) and `controls.shapes` (K·478·3,) (see `mien.serve.controls`), and the
head that poses are fitted to: `face.points` (478·3,), `face.rigid` (R,) and `face.pitch_gain` (1,)
(see `mien.preprocess.pose.Canonical`). They are flat so that they stay in half precision.
"""

from __future__ import annotations

import os

import torch
from torch import Tensor

from mien.artifact import write_weights
from mien.model.network import Network
from mien.preprocess.pose import canonical
from mien.serve.controls import load_controls

PARTS = ("fusion.", "decoder.", "motion.")


def export_networks(network: Network, path: str | os.PathLike[str]) -> None:
    """Write the networks that the page runs; about 1.1 MB for `base`.

    Args:
        network: of a *pixel* preset, on any device.
        path: of the file to write, a `mien.weights` file of bytes and half precision.

    Raises:
        MienError: it cannot be written there.
    """
    state = {name: value for name, value in network.state_dict().items() if name.startswith(PARTS)}
    neutral, shapes = load_controls()
    state |= {"controls.neutral": neutral.flatten(), "controls.shapes": shapes.flatten()}
    state |= _face()
    licence = "as the weights it was made of"
    write_weights(path, state, preset=network.config.preset, licence=licence, int8=True)


def _face() -> dict[str, Tensor]:
    """What the page fits poses to; half precision holds the numbers of landmarks exactly."""
    face = canonical()
    return {
        "face.points": torch.from_numpy(face.points).flatten(),
        "face.rigid": torch.from_numpy(face.rigid).float(),
        "face.pitch_gain": torch.tensor([face.pitch_gain]),
    }
