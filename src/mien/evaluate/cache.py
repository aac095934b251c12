"""What of an evaluation does not depend on the model, kept from one to the next."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien.data.splits import content_hash
from mien.files import atomic_output

Arrays = dict[str, NDArray]


@dataclass(frozen=True)
class Cache:
    """Arrays on disk by what they were made from, the code that makes them included.

    Args:
        folder: where; None keeps nothing.
    """

    folder: Path | None = None

    def __call__(self, parts: tuple[object, ...], make: Callable[[], Arrays]) -> Arrays:
        """The arrays that `make` would make.

        Args:
            parts: all that they depend on; of paths the content counts.
            make: called if they are not there yet.

        Raises:
            MienError: the folder cannot be written to.
        """
        if self.folder is None:
            return make()
        said = (content_hash(part) if isinstance(part, Path) else part for part in parts)
        made = code(FACES + HEADS) if "synthetic" in parts else code(FACES)
        key = hashlib.sha256(repr((made, *said)).encode()).hexdigest()[:24]
        path = self.folder / f"{key}.npz"
        try:
            with np.load(path) as archive:
                return dict(archive)
        except (OSError, ValueError, zipfile.BadZipFile):
            arrays = make()
        with atomic_output(path) as temporary:
            np.savez_compressed(temporary, **arrays)
        return arrays


FACES = (
    "preprocess",
    "evaluate/metrics",
    "evaluate/instruments.py",
    "evaluate/protocols.py",
    "evaluate/takes.py",
)
"""The code that finds, cuts and judges faces."""

HEADS = ("synth", "evaluate/synthetic.py")
"""The code that renders heads."""


@cache
def code(sources: tuple[str, ...]) -> str:
    """A hash of files and folders of Mien's code: with other code, nothing kept is used."""
    root = Path(__file__).parents[1]
    files = [file for part in sources for file in sorted([root / part, *(root / part).rglob("*")])]
    texts = [file.read_bytes() for file in files if file.suffix == ".py"]
    return hashlib.sha256(b"".join(texts)).hexdigest()[:16]
