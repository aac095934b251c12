"""What every training command has around its loop: processes, shards, a board for figures."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor

from mien.data.shards import Frames, load_frames
from mien.errors import MienError


@contextmanager
def processes() -> Iterator[tuple[int, torch.device]]:
    """Rank and device of this process, alone or under torchrun; joins the others meanwhile."""
    rank, world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    device = torch.device("cpu")
    if torch.cuda.is_available():
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(device)
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.benchmark = True
    if world > 1:
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield rank, device
    finally:
        if world > 1:
            dist.destroy_process_group()


def load(folder: Path, *names: str, workers: int) -> Frames:
    """All shards NAME-*.tar of a folder, decoded by some processes.

    Raises:
        MienError: there are none.
    """
    paths = sorted(path for name in names for path in folder.glob(f"{name}-*.tar"))
    if not paths:
        raise MienError(f"No {names[0]}-*.tar in {folder}; make shards with `mien prepare` first.")
    return load_frames(paths, workers)


class Board:
    """Prints figures and keeps them and pictures for TensorBoard.

    Args:
        out: the run's folder; pictures land in it too, as JPEG.
    """

    def __init__(self, out: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.out = out
        self.began = time.monotonic()
        self.writer = SummaryWriter(str(out / "board"))

    def figures(self, step: int, figures: dict[str, float]) -> None:
        """Print and keep."""
        for name, value in figures.items():
            self.writer.add_scalar(name, value, step)
        line = " ".join(f"{name} {value:.4g}" for name, value in figures.items())
        print(f"{time.monotonic() - self.began:6.0f} s  step {step}  {line}", flush=True)

    def picture(self, step: int, name: str, picture: Tensor) -> None:
        """Keep a (3, H, W) uint8 picture."""
        from PIL import Image

        self.writer.add_image(name, picture, step)
        Image.fromarray(picture.permute(1, 2, 0).numpy()).save(self.out / f"{name}.jpg", quality=88)

    def close(self) -> None:
        """Write out what is left."""
        self.writer.close()
