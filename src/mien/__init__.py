"""Mien: one portrait photo becomes a 3D Gaussian head that makes anyone's expressions.

import mien

head = mien.encode("photo.jpg")
take = mien.motion("driving.mp4")
frame = head.animate(take.latents[0]).render(mien.Camera.orbit(yaw=0.3))
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mien.api import Head, Posed, encode, load, motion
    from mien.errors import MienError
    from mien.structures import Camera

__all__ = ["Camera", "Head", "MienError", "Posed", "encode", "load", "motion"]

_HOMES = {"Camera": "mien.structures", "MienError": "mien.errors"}


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is asked for: `import mien` alone costs nothing."""
    if name not in __all__:
        raise AttributeError(f"module 'mien' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(_HOMES.get(name, "mien.api")), name)
