"""The command line: finds the command, and turns what goes wrong into a line and an exit code."""

# No `from __future__ import annotations`: tyro reads the annotations of a local function.

import contextlib
import difflib
import importlib
import inspect
import os
import sys
from collections.abc import Sequence
from importlib import metadata
from types import ModuleType
from typing import Annotated, Any

from mien.errors import MienError

COMMANDS = {
    "animate": "make a photo, or an avatar, move like a video, a take or a picture",
    "encode": "photo → avatar file (.mien); also many photos at once",
    "bake": "avatar → a small linear one (.mien) for phones, browsers and slow computers",
    "motion": "video → driving take (.motion) that any avatar can perform",
    "export": "avatar → PLY or SPZ for splat viewers, a web page, or a turntable video",
    "view": "avatar → the browser: orbit, sliders, takes",
    "live": "a room: one browser drives an avatar, others watch",
    "weights": "other people's published weights → a file for --weights",
    "doctor": "what this machine can do, and how to mend what it cannot",
    "prepare": "photos and clips → training shards",
    "synth": "synthetic heads → training shards",
    "train": "training shards → weights",
    "teach": "training shards → a teacher, slow and expressive, that animates in 2D",
    "distill": "photos, moved by a teacher → training shards, or a sheet to look at",
    "eval": "how good avatars of held-out people are, as a web page and JSON",
    "bench": "how fast this machine is, stage by stage",
}
"""One module of `mien.commands` each, imported only when the command is called for: it has a
dataclass `Command`, whose fields are the options, and a function `run` that carries it out."""

USER_ERROR, INTERRUPTED = 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: as in `sys.argv[1:]`, which is what None takes.

    Returns:
        The exit code: 0, or what the command says; 2 for what the user can mend, said in one line
        on stderr; 130 after Ctrl-C. Defects of Mien's own raise, with their traceback.
    """
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError):
            # Terminals that have no ✓ shall get a question mark, not a crash.
            stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    verbose = "-v" in arguments or "--verbose" in arguments
    try:
        code = _dispatch(arguments)
        sys.stdout.flush()
        return code
    except MienError as error:
        return _failed(f"mien: {error}", USER_ERROR, verbose)
    except KeyboardInterrupt:
        return _failed("mien: stopped; nothing half-written was left.", INTERRUPTED, verbose)
    except BrokenPipeError:
        # Whoever read our output has read enough. Nothing may be flushed there at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def entry() -> None:
    """What `mien` and `python -m mien` are: `main`, and out."""
    code = main()
    if code == INTERRUPTED:
        # Threads may still be computing in C++, and Python's farewell would abort them loudly. All
        # that must be tidied was tidied while the interrupt rose to `main`.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def overview() -> str:
    """What `mien --help` prints."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:{width}}  {summary}" for name, summary in COMMANDS.items()]
    return "\n".join(
        [
            "usage: mien COMMAND [OPTIONS]",
            "",
            "One portrait photo becomes a 3D head that makes anyone's expressions.",
            "",
            *lines,
            "",
            "`mien COMMAND --help` tells a command's options; `mien --version` the version.",
        ]
    )


def _dispatch(arguments: Sequence[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        print(overview())
        return 0 if arguments else USER_ERROR
    if arguments[0] == "--version":
        print(metadata.version("mien"))
        return 0
    module = _module(arguments[0])
    try:
        command = _parse(module, arguments)
    except SystemExit as shown:
        # After `--help`, or what is wrong with the options.
        return int(shown.code or 0)
    return module.run(command) or 0


def _module(name: str) -> ModuleType:
    if name not in COMMANDS:
        close = difflib.get_close_matches(name, COMMANDS, 1)
        hint = f"did you mean `mien {close[0]}`?" if close else "`mien --help` lists them."
        raise MienError(f"There is no command '{name}'; {hint}")
    return importlib.import_module(f"mien.commands.{name}")


def _parse(module: ModuleType, arguments: Sequence[str]) -> Any:
    import tyro

    # Here for the help text and so that it is accepted; `main` has looked for it already, for
    # what goes wrong while a command is imported or parsed.
    def options(
        command: Annotated[module.Command, tyro.conf.arg(name="")],  # type: ignore[name-defined]
        verbose: Annotated[bool, tyro.conf.arg(aliases=["-v"])] = False,
    ) -> Any:
        """Join a command's own options with those of every command.

        Args:
            command: its own.
            verbose: show where an error came from.
        """
        return command

    return tyro.cli(
        options,
        prog=f"mien {arguments[0]}",
        description=inspect.cleandoc(module.Command.__doc__).partition("\n\nArgs:")[0],
        args=arguments[1:],
        config=(tyro.conf.FlagCreatePairsOff, tyro.conf.HelptextFromCommentsOff),
    )


def _failed(message: str, code: int, verbose: bool) -> int:
    if verbose:
        import traceback

        traceback.print_exc()
    print(message, file=sys.stderr)
    return code
