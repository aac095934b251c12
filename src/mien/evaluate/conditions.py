"""Under what conditions a figure came about: command, commit, weights, machine."""

from __future__ import annotations

import hashlib
import os
import platform
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import torch


@dataclass(frozen=True)
class Conditions:
    """Where figures come from.

    Args:
        command: what was run.
        commit: of Mien, marked if files had changed; empty outside a checkout.
        weights: hash of the weights' content; empty if none were named.
        machine: property → value.
        ruler: hash of the weights that the metric *features* measures with; empty without it.
        size: pixels of the frames' sides; 0 where it means nothing.
    """

    command: str
    commit: str
    weights: str
    machine: dict[str, str]
    ruler: str = ""
    size: int = 0

    @staticmethod
    def here(weights: Path | None = None, ruler: Path | None = None, size: int = 0) -> Conditions:
        """Of this process on this machine."""
        command = shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
        return Conditions(command, commit(), _digest(weights), machine(), _digest(ruler), size)


def _digest(path: Path | None) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16] if path else ""


def commit() -> str:
    """The commit of the checkout that this package runs from, or nothing."""
    call = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    try:
        run = subprocess.run(call, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return run.stdout.strip()


def machine() -> dict[str, str]:
    """What bears on speed: processor, usable cores, GPU, versions."""
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {
        "processor": _processor(),
        "cores": str(len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count()),
        "gpu": ", ".join(gpus) or "none",
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
