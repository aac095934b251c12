"""`mien synth`."""

from mien.commands.common import progress_bar
from mien.synth.dataset import SynthConfig as Command
from mien.synth.dataset import generate

__all__ = ["Command", "run"]


def run(command: Command) -> None:
    """Make the shards, and say which."""
    with progress_bar() as bar:
        task = bar.add_task("drawing", total=command.count)
        paths = generate(command, lambda done, total: bar.update(task, completed=done, total=total))
    for path in paths:
        print(path)
