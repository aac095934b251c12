"""What several commands share: the choice of a device, checks of options, progress."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mien.errors import MienError

if TYPE_CHECKING:
    import torch
    from rich.progress import Progress

Device = Literal["auto", "cpu", "cuda"]
Detail = Literal["fast", "balanced", "high"]

SIZES = (32, 4096)
"""Smallest and largest side in pixels of what is made."""


def chosen_device(name: Device) -> torch.device:
    """The device to work on; "auto" takes a CUDA GPU if there is one.

    Raises:
        MienError: CUDA is asked for, but there is none.
    """
    import torch

    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise MienError(
            "There is no CUDA GPU that torch can use; give `--device cpu`, or ask `mien doctor`."
        )
    return torch.device("cuda" if available and name != "cpu" else "cpu")


def check_size(size: int) -> None:
    """Make sure that a video can have this side.

    Raises:
        MienError: it is odd, or out of range.
    """
    low, high = SIZES
    if size % 2 or not low <= size <= high:
        raise MienError(f"--size {size} is not possible; give an even number from {low} to {high}.")


def check_output(output: Path, suffixes: tuple[str, ...], *inputs: Path) -> None:
    """Make sure, before long work begins, that its result has a place.

    Args:
        output: where to.
        suffixes: what the name may end in.
        inputs: files that must not be overwritten.

    Raises:
        MienError: it cannot be written, has another ending, or is one of the inputs.
    """
    from mien.files import check_writable

    if output.suffix.lower() not in suffixes:
        raise MienError(f"The name of {output} must end in {' or '.join(suffixes)}; change it.")
    check_writable(output)
    for path in inputs:
        if output.exists() and path.exists() and output.samefile(path):
            raise MienError(f"{output} would overwrite what it is made from; give another name.")


def progress_bar() -> Progress:
    """A bar on stderr, as a context manager; silent if that is no terminal, gone at the end."""
    from rich import progress
    from rich.console import Console

    console = Console(stderr=True)
    return progress.Progress(
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
