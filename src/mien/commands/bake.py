"""`mien bake`: an avatar that plays without networks."""

# No `from __future__ import annotations`: tyro reads the annotations.

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from mien.commands.common import check_output
from mien.errors import MienError

if TYPE_CHECKING:
    from torch import Tensor

    from mien.artifact import Baked
    from mien.model.network import Network
    from mien.structures import Avatar

MOST_BASES = 128

CHECKED = 32
"""Expressions by which the loss is measured."""


@dataclass(frozen=True)
class Command:
    """Bake an avatar: it plays on phones, in browsers and on slow computers, with a small loss.

    Says the loss, as the PSNR of pictures at 512² against the avatar itself over expressions that
    were not baked in.

    Args:
        avatar: the avatar file (.mien).
        output: the file to write; without, the avatar's name with .baked.mien at its end.
        bases: how many; more are truer and slower.
        take: takes (.motion) that it shall play well, beside the expressions that come with Mien.
        weights: weights file; without, the ones that come with Mien.
    """

    avatar: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="AVATAR")]
    output: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
    bases: int = 32
    take: tuple[Path, ...] = ()
    weights: Path | None = None


def run(command: Command) -> None:
    """Bake, and say what was written and what was lost."""
    output = command.output or command.avatar.with_suffix(".baked.mien")
    check_output(output, (".mien",), command.avatar, *command.take)
    if not 1 <= command.bases <= MOST_BASES:
        raise MienError(
            f"--bases {command.bases} is not possible; give a number from 1 to {MOST_BASES}."
        )

    from mien import artifact, presets
    from mien.engine.bake import bake
    from mien.model.matching import check_avatar

    if artifact.is_baked(command.avatar):
        raise MienError(f"{command.avatar} is baked already; give the avatar it was made from.")
    network, avatar = presets.load_network(command.weights), artifact.load_avatar(command.avatar)
    check_avatar(avatar, network, command.avatar)
    own = _asked(command, network, avatar)
    baked = bake(network, avatar, bases=command.bases, latents=own)
    artifact.save_baked(output, baked)
    size = output.stat().st_size / 1e6
    print(f"{output}: {len(baked)} Gaussians, {command.bases} bases, {size:.1f} MB")
    print(f"PSNR against the avatar itself: {_loss(network, avatar, baked, own)}")


def _asked(command: Command, network: "Network", avatar: "Avatar") -> "Tensor | None":
    """(T, D) latents of the takes that were given, as they are and as changes of the photo's own
    expression.
    """
    import torch

    from mien import api
    from mien.pipeline import Direction, directed

    latents = []
    for path in command.take:
        take = api.motion(path, network=network)
        change, _ = directed(avatar, take, Direction(retarget="relative"))
        latents += [take.latents, change]
    return torch.cat(latents) if latents else None


def _loss(network: "Network", avatar: "Avatar", baked: "Baked", own: "Tensor | None") -> str:
    """Median and least over expressions that are drawn afresh, and over the takes."""
    import torch

    from mien.engine.bake import draw_latents, fidelity

    rng = torch.Generator().manual_seed(1)
    drawn = draw_latents(network, avatar.source_latent, CHECKED, rng)
    tests = {"drawn expressions": drawn}
    if own is not None:
        tests["the takes"] = own[torch.linspace(0, len(own) - 1, CHECKED).long()]
    parts = []
    for name, latents in tests.items():
        ratios = fidelity(network, avatar, baked, latents)
        parts.append(f"{ratios.median():.1f} dB over {name} (worst {ratios.min():.1f})")
    return ", ".join(parts)
