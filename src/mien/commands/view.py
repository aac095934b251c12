"""`mien view`."""

from mien.serve.view import View as Command

__all__ = ["Command", "run"]


def run(command: Command) -> None:
    """Serve until Ctrl-C."""
    from mien import presets
    from mien.serve import view

    view.run(command, presets.load_network(command.weights))
