"""`mien motion`: a video to a driving take, and takes to ARKit's coefficients and back."""

# No `from __future__ import annotations`: tyro reads the annotations.

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from mien.commands.common import Device, check_output, chosen_device


@dataclass(frozen=True)
class Command:
    """Turn a video into a driving take that any avatar can perform.

    Takes are .motion files, or tables (.csv) of ARKit's 52 coefficients and the head's pose, which
    other programs read and write; tables of the Live Link Face app are read too. A table says what
    a face does only as far as those coefficients can.

    Args:
        video: whom to follow; or a take, to turn it into the other kind.
        output: the file to write, .motion or .csv.
        face: which face, if the first frame shows several: 0 is the leftmost; without, the
            largest.
        device: where to compute.
        weights: weights file; without, the ones that come with Mien.
    """

    video: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="VIDEO")]
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    face: int | None = None
    device: Device = "auto"
    weights: Path | None = None


def run(command: Command) -> None:
    """Follow the driver, and say what was written."""
    from mien.files import check_readable

    check_readable(command.video)
    check_output(command.output, (".motion", ".csv"), command.video)

    from mien import presets
    from mien.artifact import save_motion
    from mien.commands.arkit import save_arkit
    from mien.commands.driving import read_driver

    network = presets.load_network(command.weights, chosen_device(command.device))
    take = read_driver(command.video, network, face=command.face)
    if command.output.suffix.lower() == ".csv":
        save_arkit(command.output, take)
    else:
        save_motion(command.output, take)
    print(f"{command.output}: {len(take)} frames, {take.fps:g} a second")
