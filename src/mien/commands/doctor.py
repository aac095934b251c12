"""`mien doctor`: what this machine can do, and how to mend what it cannot."""

# No `from __future__ import annotations`: tyro reads the annotations.

import hashlib
import importlib
import importlib.util
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import tyro

from mien.commands.marks import marks
from mien.errors import MienError

ROOM = 500 * 2**20
"""Bytes that should be free: a long video and its sound fit."""

OPENCV = (
    "on a machine without a desktop `pip uninstall opencv-contrib-python` and then "
    "`pip install --no-deps opencv-contrib-python-headless==4.11.0.86`; or install libGL "
    "(Debian: `apt install libgl1 libglib2.0-0`)"
)


@dataclass(frozen=True)
class Command:
    """Look at this machine; the exit code is 0 if `mien animate` can work here, else 1.

    With a file, look at that instead: whether its metadata or an invisible watermark says that Mien
    made it, or for an avatar what its subject agreed to.

    Args:
        file: a picture, a video, an avatar or a take.
        weights: look at this file rather than at the weights that come with Mien.
    """

    file: Annotated[Path | None, tyro.conf.Positional] = None
    weights: Path | None = None


class Finding(NamedTuple):
    """One line of the report.

    Args:
        good: whether it is as it should be.
        text: what was found.
        mend: what to do about it, if it is not good and the text does not say so.
        needed: whether the main job fails without it.
    """

    good: bool
    text: str
    mend: str = ""
    needed: bool = True

    def __str__(self) -> str:
        if self.good:
            return f"✓ {self.text}"
        return f"✗ {self.text}" + (f"\n    to mend it: {self.mend}" if self.mend else "")


def run(command: Command) -> int:
    """Print the findings; returns the exit code."""
    if command.file is not None:
        for line in marks(command.file):
            print(line)
        return 0
    findings = []
    for finding in examine(command.weights):
        print(finding, flush=True)
        findings.append(finding)
    ready = all(f.good for f in findings if f.needed)
    print("Ready: `mien animate` can work here." if ready else "Not ready: see the ✗ above.")
    return 0 if ready else 1


def examine(weights: Path | None) -> Iterator[Finding]:
    """Every finding, one after the other; whatever goes wrong becomes a finding too."""
    checks: Iterable[tuple[str, Callable[[], Iterable[Finding]], str]] = (
        ("Python", _python, "install Python 3.11 or 3.12"),
        ("torch", _torch, "`pip install --force-reinstall torch`"),
        ("the CPU renderer", _cpu_renderer, "`pip install --force-reinstall numba`"),
        ("OpenCV", _opencv, OPENCV),
        ("MediaPipe", _mediapipe, "`pip install --force-reinstall mediapipe==0.10.21`"),
        ("video codecs", _codecs, "`pip install --force-reinstall av`"),
        ("weights", lambda: _weights(weights), "`pip install --force-reinstall mien`"),
        ("disk", _disk, "free some space"),
    )
    for name, check, mend in checks:
        try:
            yield from check()
        # Broken installations raise anything at all; the report must go on.
        except Exception as error:
            reason = str(error).strip().splitlines() or [type(error).__name__]
            yield Finding(False, f"{name}: {reason[0]}", mend)


def _version(package: str) -> str:
    return f"{package} {metadata.version(package)}"


def _python() -> Iterator[Finding]:
    from mien.artifact.safe import tool_version

    text = f"{tool_version()}, Python {platform.python_version()}, {platform.platform()}"
    supported = (3, 11) <= sys.version_info < (3, 13)
    yield Finding(supported, text, "install Python 3.11 or 3.12, and Mien there")


def _torch() -> Iterator[Finding]:
    import torch

    yield Finding(True, f"torch {torch.__version__}, {torch.get_num_threads()} CPU threads")
    if not torch.cuda.is_available():
        mend = "nothing, if there is none: the CPU works; else `pip install torch` built for CUDA"
        yield Finding(False, "no CUDA GPU that torch can use", mend, needed=False)
        return
    name, memory = torch.cuda.get_device_name(), torch.cuda.mem_get_info()[1]
    yield Finding(True, f"GPU: {name}, {memory >> 30} GiB, CUDA {torch.version.cuda}")
    for package, use in (("triton", "the fast renderer"), ("gsplat", "for training, optional")):
        found = importlib.util.find_spec(package) is not None
        text = f"{package} ({use})" if found else f"no {package} ({use})"
        yield Finding(found, text, f"`pip install {package}`", needed=False)


def _cpu_renderer() -> Iterator[Finding]:
    importlib.import_module("numba")
    yield Finding(True, f"{_version('numba')} (the CPU renderer)")


def _opencv() -> Iterator[Finding]:
    cv2 = importlib.import_module("cv2")
    yield Finding(True, f"OpenCV {cv2.__version__}")


def _mediapipe() -> Iterator[Finding]:
    mediapipe = importlib.import_module("mediapipe")
    meshes = Path(mediapipe.__file__ or "").parent / "modules" / "face_landmark"
    complete = any(meshes.glob("*.tflite"))
    mend = "`pip install --force-reinstall mediapipe==0.10.21`"
    yield Finding(complete, f"{_version('mediapipe')} and its face models", mend)


def _codecs() -> Iterator[Finding]:
    from av.codec.codec import Codec, UnknownCodecError

    codecs: tuple[tuple[str, Literal["r", "w"], str], ...] = (
        ("libx264", "w", "writes video"),
        ("aac", "w", "writes sound"),
        ("h264", "r", "reads video"),
    )
    for name, mode, use in codecs:
        try:
            Codec(name, mode)
            found = True
        except UnknownCodecError:
            found = False
        mend = "`pip install --force-reinstall --only-binary :all: av`"
        yield Finding(found, f"{_version('av')}: {name} {use}", mend)


def _weights(path: Path | None) -> Iterator[Finding]:
    from mien import presets
    from mien.artifact.safe import read_safe
    from mien.artifact.weights import FORMAT

    path = path or presets.shipped_weights()
    try:
        presets.load_network(path)
    except MienError as error:
        yield Finding(False, f"weights: {error}")
        return
    header = read_safe(path, FORMAT).metadata
    content = path.read_bytes()
    yield Finding(
        True,
        f"weights {path}: preset {header['preset']}, {len(content) / 2**20:.1f} MiB, "
        f"licence {header['licence']}, sha256 {hashlib.sha256(content).hexdigest()}",
    )


def _disk() -> Iterator[Finding]:
    for use, folder in (("here", Path.cwd()), ("temporary files", Path(tempfile.gettempdir()))):
        free = shutil.disk_usage(folder).free
        text = f"disk, {use} ({folder}): {free / 2**30:.1f} GiB free"
        yield Finding(free >= ROOM, text, "free some space or work on another disk", False)
