"""Checkpoints: everything a run needs to go on exactly, and parts small enough to carry.

A training state is tensors and numbers only, so it is safetensors too: no file of Mien's is ever
unpickled.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from mien.errors import MienError
from mien.files import atomic_output


def flatten(tree: dict[str, Any], prefix: str = "") -> tuple[dict[str, Tensor], dict[str, Any]]:
    """A nested dict of tensors and JSON values as flat tensors and flat values."""
    tensors: dict[str, Tensor] = {}
    values: dict[str, Any] = {}
    for key, value in tree.items():
        name = f"{prefix}{key}"
        if isinstance(value, Tensor):
            tensors[name] = value.detach().cpu().contiguous()
        elif isinstance(value, dict):
            inner = flatten(value, f"{name}/")
            tensors.update(inner[0])
            values.update(inner[1])
        else:
            values[name] = value
    return tensors, values


def save(path: Path, tree: dict[str, Any]) -> None:
    """Write a nested dict of tensors and JSON values; complete or not at all."""
    tensors, values = flatten(tree)
    with atomic_output(path) as partial:
        save_file(tensors, partial, metadata={"values": json.dumps(values)})


def load(path: Path) -> dict[str, Any]:
    """Read what `save` wrote, nested again.

    Raises:
        MienError: the file is missing or damaged.
    """
    tree: dict[str, Any] = {}
    try:
        with safe_open(path, framework="pt") as file:
            flat: dict[str, Any] = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            flat |= json.loads((file.metadata() or {}).get("values", "{}"))
    except Exception as error:
        raise MienError(f"Cannot resume from {path}: {error}. Remove it to start anew.") from error
    for name, value in flat.items():
        node = tree
        *parents, leaf = name.split("/")
        for parent in parents:
            node = node.setdefault(parent, {})
        node[leaf] = value
    return tree


def split(path: Path, folder: Path, part_bytes: int = 15 << 20) -> list[Path]:
    """Cut a file into parts `NAME.00`, `NAME.01`, … of at most `part_bytes`."""
    content = path.read_bytes()
    parts = []
    for start in range(0, len(content), part_bytes):
        part = folder / f"{path.name}.{len(parts):02d}"
        part.write_bytes(content[start : start + part_bytes])
        parts.append(part)
    return parts


def join(parts: list[Path], path: Path) -> None:
    """Undo `split`; parts in any order."""
    path.write_bytes(b"".join(part.read_bytes() for part in sorted(parts)))


def optimiser_tree(optimiser: torch.optim.Optimizer) -> dict[str, Any]:
    """An optimiser's state with string keys, for `save`; its groups come from the configuration."""
    return {str(k): dict(v) for k, v in optimiser.state_dict()["state"].items()}


def restore_optimiser(optimiser: torch.optim.Optimizer, tree: dict[str, Any]) -> None:
    """Undo `optimiser_tree`."""
    state = optimiser.state_dict()
    state["state"] = {int(k): v for k, v in tree.items()}
    optimiser.load_state_dict(state)
