"""`mien prepare`."""

from mien.train.prepare import Prepare as Command
from mien.train.prepare import prepare

__all__ = ["Command", "run"]


def run(command: Command) -> None:
    """Make the shards, and say which."""
    for path in prepare(command):
        print(path)
