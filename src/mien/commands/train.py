"""`mien train`, of the preset `base`."""

from mien import presets
from mien.train.run import Train as Command
from mien.train.run import run as train

__all__ = ["Command", "run"]


def run(command: Command) -> None:
    """Train as asked."""
    train(command, presets.base())
