"""The work of `mien distill make` as tasks of a Ray cluster, or of one machine's cores."""

from __future__ import annotations

from pathlib import Path

from mien.errors import MienError
from mien.model.encoder import Encoder
from mien.train.distill_filter import Examiner
from mien.train.distill_make import Make, make


def make_with_ray(command: Make, encoder: Encoder, examiner: Examiner | None) -> list[Path]:
    """Share `mien distill make` among `command.ray` tasks, a GPU each where the cluster has any.

    Joins the cluster of RAY_ADDRESS, or starts one on this machine. Every worker must see the same
    folders. A task that dies is tried again, and skips the shards that it made before.

    Raises:
        MienError: Ray is not installed; or what `make` raises.
    """
    try:
        import ray
        from ray.exceptions import RayTaskError
    except ModuleNotFoundError as error:
        raise MienError(
            'Ray is not installed: run `pip install "mien[ray]"`, or share the work with torchrun.'
        ) from error
    ours = not ray.is_initialized()
    if ours:
        ray.init(log_to_driver=False, include_dashboard=False)
    try:
        task = ray.remote(make)
        if ray.cluster_resources().get("GPU"):
            task = task.options(num_gpus=1)
        encoder_ref = ray.put(encoder)
        parts = [
            task.remote(command, encoder_ref, examiner, rank, command.ray)
            for rank in range(command.ray)
        ]
        return sorted(path for part in ray.get(parts) for path in part)
    except RayTaskError as error:
        if isinstance(error.cause, MienError):
            raise error.cause from error
        raise
    finally:
        if ours:
            ray.shutdown()
