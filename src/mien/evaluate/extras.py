"""Packages that only measuring needs, imported when they are first asked for."""

from __future__ import annotations

import importlib
from types import ModuleType

from mien.errors import MienError


def require(module: str) -> ModuleType:
    """Import an optional package of the `eval` extra.

    Args:
        module: its import name, dotted if need be.

    Raises:
        MienError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise MienError(
            f"Measuring needs the package {error.name}, which is not installed: "
            'run `pip install "mien[eval]"`.'
        ) from error
