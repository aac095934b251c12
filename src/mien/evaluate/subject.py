"""Mien itself as the thing that is measured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mien.evaluate.protocols import Reenactor
from mien.evaluate.takes import Frames
from mien.model.network import Network
from mien.pipeline import Direction, directed, encode, motion, render
from mien.preprocess.photo import portrait
from mien.preprocess.take import track
from mien.structures import Camera, Rendered

FPS = 25.0
"""Frame rate that drivers are taken to have; without smoothing nothing depends on it."""


def mien_reenactor(network: Network, grid: int) -> Reenactor:
    """The pipeline that users get, with its default direction.

    Args:
        network: a preset's networks with weights.
        grid: level of detail (see `presets.DETAIL`).
    """

    def reenact(
        source: Frames, drivers: Sequence[Frames], cameras: Camera, size: int
    ) -> Iterator[Rendered]:
        avatar = encode(network, portrait(source), grid)
        times = (index / FPS for index in range(len(drivers)))
        take = motion(network, track(zip(times, drivers, strict=True), FPS))
        latents, _ = directed(avatar, take, Direction())
        cameras = cameras.to(latents.device)
        for index in range(len(drivers)):
            yield render(network, avatar, latents[index], cameras[index], size).to("cpu")

    return reenact
