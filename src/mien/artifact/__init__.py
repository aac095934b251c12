"""Mien's files: avatars, motion takes and weights, and exports to other people's viewers.

Everything Mien reads back is safetensors with a schema version, so loading never runs code; what
is malformed is refused with a `MienError`. Everything is written whole or not at all.
"""

from mien.artifact.avatar import load_avatar, save_avatar
from mien.artifact.baked import Baked, is_baked, load_baked, read_any_avatar, save_baked
from mien.artifact.motion import load_motion, save_motion
from mien.artifact.ply import save_ply
from mien.artifact.spz import save_spz
from mien.artifact.weights import Weights, read_weights, write_weights

__all__ = [
    "Baked",
    "Weights",
    "is_baked",
    "load_avatar",
    "load_baked",
    "load_motion",
    "read_any_avatar",
    "read_weights",
    "save_avatar",
    "save_baked",
    "save_motion",
    "save_ply",
    "save_spz",
    "write_weights",
]
