"""`mien export`: an avatar for other people's tools."""

# No `from __future__ import annotations`: tyro reads the annotations.

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from mien.commands.common import Device, check_output, check_size, chosen_device, progress_bar

if TYPE_CHECKING:
    from mien.api import Head

SUFFIXES = (".ply", ".spz", ".html", ".mp4", ".mov", ".mkv")


@dataclass(frozen=True)
class Command:
    """Write an avatar for splat viewers, as a web page that needs no server, or as a turntable.

    Splat viewers and the turntable show the photo's own expression; the page moves.

    Args:
        avatar: the avatar file (.mien), baked or not.
        output: .ply or .spz for splat viewers; .html for a page; .mp4, .mov or .mkv for a
            turntable.
        background: of the turntable: a colour's name or #rrggbb.
        size: of the turntable: pixels of a side.
        device: where to compute.
        weights: weights file; without, the ones that come with Mien.
    """

    avatar: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="AVATAR")]
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    background: str = "#2a2c30"
    size: int = 512
    device: Device = "auto"
    weights: Path | None = None


def run(command: Command) -> None:
    """Export, and say what was written."""
    check_output(command.output, SUFFIXES, command.avatar)
    check_size(command.size)

    from mien import api, artifact, presets

    network = presets.load_network(command.weights, chosen_device(command.device))
    head = api.load(command.avatar, network=network)
    suffix = command.output.suffix.lower()
    if suffix in (".ply", ".spz"):
        save = artifact.save_ply if suffix == ".ply" else artifact.save_spz
        save(command.output, head.animate().gaussians)
        print(f"{command.output}: {len(head)} Gaussians")
    elif suffix == ".html":
        from mien.serve.export_html import export_html

        export_html(command.output, command.avatar, network)
        print(f"{command.output}: open it in a browser")
    else:
        _turntable(command, head)


def _turntable(command: Command, head: "Head") -> None:
    """One swing of a camera around the head."""
    from mien.commands.animate import performed
    from mien.commands.background import colour
    from mien.commands.driving import held
    from mien.pipeline import Direction
    from mien.preprocess.video import write_video
    from mien.structures import Camera

    avatar, front = head.avatar, Camera.orbit().cam_from_world
    take = held(avatar.source_latent, front, avatar.preset)
    frames = performed(
        head.network,
        avatar,
        take,
        Direction(pose="orbit"),
        command.size,
        colour(command.background),
    )
    with progress_bar() as bar:
        arrays = (frame.numpy() for frame in frames)
        watched = bar.track(arrays, total=len(take), description="turning")
        write_video(command.output, watched, fps=take.fps)
    print(f"{command.output}: {len(take)} frames, {take.fps:g} a second")
