"""`mien live`."""

from mien.serve.live import Live as Command

__all__ = ["Command", "run"]


def run(command: Command) -> None:
    """Serve until Ctrl-C."""
    from mien import presets
    from mien.serve import live

    live.run(command, presets.load_network(command.weights))
