"""`mien weights`: other people's published weights for Mien's engine, and our own as they ship."""

# No `from __future__ import annotations`: tyro reads the annotations.

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from mien.commands.common import check_output
from mien.errors import MienError
from mien.files import check_readable

LICENCE = "NVIDIA Source Code License (non-commercial), and its motion encoder's origins' terms"


@dataclass(frozen=True)
class Import:
    """Convert a published checkpoint into a file that `--weights` takes.

    Nothing is downloaded, and loading the checkpoint runs no code from it. Its authors' terms hold
    for the converted file too; they are said when it is made.

    Args:
        checkpoint: the published file, as it was downloaded.
        from_: whose it is: `instant-gaussian-avatar`, the paper's authors' release.
        output: the file to write.
        instantiation: how Gaussians are made: `plane` for ckpt.pth, `ray` for ckpt-legacy.pth;
            without, the checkpoint's name says which. The files cannot be told apart otherwise.
    """

    checkpoint: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="CHECKPOINT")]
    from_: Annotated[Literal["instant-gaussian-avatar"], tyro.conf.arg(name="from")]
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    instantiation: Literal["plane", "ray"] | None = None


@dataclass(frozen=True)
class Pack:
    """Store a student's weights as they ship, as bytes; of several students their mean.

    Students that went on from the same weights in different ways lie near each other, and their
    mean has much of what each is better at.

    Args:
        students: files of weights that `mien train` wrote.
        output: the file to write.
    """

    students: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="WEIGHTS")]
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])]


@dataclass(frozen=True)
class Command:
    """Convert files of weights.

    Args:
        action: what to do.
    """

    action: Annotated[
        Annotated[Import, tyro.conf.subcommand("import")]
        | Annotated[Pack, tyro.conf.subcommand("pack")],
        tyro.conf.arg(name=""),
    ]


def run(command: Command) -> None:
    """Convert, and say what was written and under which terms."""
    if isinstance(command.action, Pack):
        _pack(command.action)
    else:
        _import(command.action)


def _pack(command: Pack) -> None:
    if not command.students:
        raise MienError("There is nothing to pack; name the weights that `mien train` wrote.")
    check_output(command.output, (".safetensors",), *command.students)

    from mien.artifact.weights import mean_weights, read_weights, write_weights

    mean = mean_weights([(str(path), read_weights(path)) for path in command.students])
    write_weights(command.output, mean.state, preset=mean.preset, licence=mean.licence, int8=True)
    print(f"{command.output}: preset {mean.preset}, {mean.licence}")


def _import(command: Import) -> None:
    check_readable(command.checkpoint)
    check_output(command.output, (".safetensors",), command.checkpoint)

    from mien import presets
    from mien.artifact import write_weights
    from mien.model.import_paper import LICENCE_NOTICE, import_state_dict, read_checkpoint

    state = import_state_dict(*read_checkpoint(command.checkpoint))
    ray = command.instantiation == "ray" or (
        command.instantiation is None and "legacy" in command.checkpoint.name.lower()
    )
    preset = (presets.paper_ray if ray else presets.paper)().preset
    write_weights(command.output, state, preset=preset, licence=LICENCE, exact=True)
    print(LICENCE_NOTICE, file=sys.stderr)
    print(f"{command.output}: preset {preset}, {len(state)} tensors")
