"""Made-up shards, and a teacher that knows nothing, for tests of distillation."""

from pathlib import Path

import numpy as np
import pytest
import torch
from made_frames import make_frames

from mien.artifact import write_weights
from mien.data.shards import Sample, write_shards
from mien.teacher.animator import PRESET
from mien.teacher.network import FlowConfig, FlowNetwork
from mien.train import distill_filter
from mien.train.distill_filter import READER, save_reader
from mien.train.reader import Reader

TEACHER = FlowConfig(side=32, widths=(16, 32), depths=(1, 1), latent=8, condition=32)


def write_photos_and_takes(folder: Path, photos: int = 3, known: float = 1.0) -> None:
    """`photos` people with one picture each, and two who were filmed, in front of both.

    Of every frame's width the share `known` holds a picture.
    """
    frames = make_frames(32, 12)
    waves = np.sin(np.outer(np.arange(len(frames)), np.arange(1434))).reshape(-1, 478, 3)
    names = [f"still{i}" if i < photos else f"clip{i % 2}" for i in range(len(frames))]
    samples = [
        Sample(
            key=f"sample-{i}",
            person=f"person of {name}",
            take=name,
            image=frames.pixels[i, :3].permute(1, 2, 0).numpy(),
            alpha=frames.pixels[i, 3].numpy(),
            # Far enough from each other that every frame is worth taking.
            landmarks=frames.landmarks[i].numpy() + 0.05 * waves[i],
            world_from_cam=frames.camera.world_from_cam[i].numpy(),
            intrinsics=frames.camera.intrinsics[i].numpy(),
            inside=frames.inside[i].numpy() * (known, 1.0),
        )
        for i, name in enumerate(names)
    ]
    write_shards(samples, folder, "train")


def write_teacher(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / "weights.safetensors"
    write_weights(path, FlowNetwork(TEACHER).state_dict(), preset=PRESET, licence="of a test")
    save_reader(Reader(), folder / READER, "of a test")
    return path


def keep_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a teacher that knows nothing makes, let it pass."""
    monkeypatch.setattr(distill_filter, "FOLLOWS", -1.1)
    monkeypatch.setattr(distill_filter, "ENOUGH", -99.0)
    monkeypatch.setattr(
        distill_filter, "same_person", lambda made, *_: torch.ones(len(made), dtype=torch.bool)
    )
