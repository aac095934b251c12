"""MediaPipe's solutions, silent: its wheel carries the models, so nothing is downloaded."""

from __future__ import annotations

import contextlib
import os
import sys
import warnings
from collections.abc import Iterator
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep what MediaPipe's C++ side writes to stderr, and its protobuf warnings, from the user.

    It has no setting for that, so the descriptor itself points elsewhere for a moment.
    """
    sys.stderr.flush()
    saved, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(nowhere)


class Solution:
    """One of MediaPipe's solutions as a context manager that stays silent.

    It talks while it starts, which lasts until the first picture is through, and at the first face.
    """

    def __init__(self, module: str, name: str, **options: Any) -> None:
        import importlib

        with quiet():
            library = importlib.import_module(f"mediapipe.python.solutions.{module}")
            self._graph = getattr(library, name)(**options)
            self._graph.process(np.zeros((64, 64, 3), np.uint8))
        self._talkative = True

    def __call__(self, image: NDArray[np.uint8]) -> Any:
        """Run on an RGB picture (H, W, 3)."""
        image = np.ascontiguousarray(image)
        with quiet() if self._talkative else contextlib.nullcontext():
            result = self._graph.process(image)
        self._talkative = False
        return result

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._graph.close()
