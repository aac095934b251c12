import importlib
import os
import subprocess
import sys
import types
from dataclasses import dataclass

import pytest

from mien import cli
from mien.errors import MienError


@dataclass(frozen=True)
class Command:
    """A command for tests.

    Args:
        number: any.
    """

    number: int = 0


@pytest.fixture
def command(monkeypatch):
    """Make `mien probe` do what a test says."""

    def install(run):
        module = types.ModuleType("mien.commands.probe")
        module.Command, module.run = Command, run
        monkeypatch.setitem(cli.COMMANDS, "probe", "for tests")
        monkeypatch.setitem(sys.modules, "mien.commands.probe", module)

    return install


def raising(error):
    def run(command):
        raise error

    return run


def mien(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "mien", *arguments], capture_output=True, text=True, **options
    )


def test_a_command_gets_its_options(command):
    seen = []
    command(seen.append)
    assert cli.main(["probe", "--number", "3", "-v"]) == 0
    assert seen == [Command(number=3)]


def test_what_a_command_returns_is_the_exit_code(command):
    command(lambda options: 1)
    assert cli.main(["probe"]) == 1


def test_a_user_error_is_one_line(command, capsys):
    command(raising(MienError("The photo is blue; make it red.")))
    assert cli.main(["probe"]) == 2
    assert capsys.readouterr() == ("", "mien: The photo is blue; make it red.\n")


def test_verbose_shows_where_it_came_from(command, capsys):
    command(raising(MienError("The photo is blue.")))
    assert cli.main(["probe", "-v"]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_ctrl_c_is_one_line(command, capsys):
    command(raising(KeyboardInterrupt()))
    assert cli.main(["probe"]) == 130
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("mien: stopped")
    assert err.count("\n") == 1


def test_a_defect_keeps_its_traceback(command):
    command(raising(ZeroDivisionError()))
    with pytest.raises(ZeroDivisionError):
        cli.main(["probe"])


def test_help_lists_every_command(capsys):
    assert cli.main(["--help"]) == 0
    out = capsys.readouterr().out
    assert [name for name in cli.COMMANDS if f"  {name} " not in out] == []


def test_no_command_is_an_error(capsys):
    assert cli.main([]) == 2


def test_an_unknown_command_gets_a_hint(capsys):
    assert cli.main(["animat"]) == 2
    assert "did you mean `mien animate`?" in capsys.readouterr().err


def test_wrong_options_are_named(command, capsys):
    command(lambda options: None)
    assert cli.main(["probe", "--number", "three"]) == 2
    assert "--number" in capsys.readouterr().err


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_explains_itself(name, capsys):
    assert cli.main([name, "--help"]) == 0
    assert f"mien {name}" in capsys.readouterr().out
    assert callable(importlib.import_module(f"mien.commands.{name}").run)


HEAVY = ("torch", "numpy", "cv2", "mediapipe", "av", "numba", "scipy")


@pytest.mark.parametrize("arguments", [["--help"], ["animate", "--help"], ["encode", "--help"]])
def test_help_imports_nothing_heavy(arguments):
    program = (
        "import sys\nfrom mien.cli import main\nmain(sys.argv[2:])\n"
        "print('HEAVY', *(name for name in sys.argv[1].split(',') if name in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, ",".join(HEAVY), *arguments],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "HEAVY"


def test_python_m_mien():
    done = mien("nonsense")
    assert done.returncode == 2
    assert done.stderr == "mien: There is no command 'nonsense'; `mien --help` lists them.\n"


@pytest.mark.parametrize("arguments", [["--help"], ["animate", "--help"]])
def test_a_reader_that_leaves_is_no_error(arguments):
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "mien", *arguments], stdout=writing, stderr=subprocess.PIPE
    )
    os.close(writing)
    assert done.stderr == b""


def test_a_terminal_without_ticks_is_no_error():
    program = (
        "import types, sys\nfrom mien import cli\nimport test_cli as t\n"
        "probe = types.ModuleType('probe')\nprobe.Command = t.Command\n"
        "probe.run = lambda options: print('✓')\ncli.COMMANDS['probe'] = ''\n"
        "sys.modules['mien.commands.probe'] = probe\nsys.exit(cli.main(['probe']))"
    )
    environment = {
        **os.environ,
        "PYTHONIOENCODING": "ascii",
        "PYTHONPATH": os.pathsep.join([os.path.dirname(__file__), *sys.path]),
    }
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True)
    assert (done.returncode, done.stdout) == (0, b"?\n")
