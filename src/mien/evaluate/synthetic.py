"""Rendered heads that no training has seen: photos of which every other view is known."""

from __future__ import annotations

import dataclasses
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from mien.errors import MienError
from mien.evaluate.cache import Arrays, Cache
from mien.evaluate.takes import Scene
from mien.structures import Camera

if TYPE_CHECKING:
    from mien.synth.studio import Studio

VIEWS = (-45, -30, -20, -10, 10, 20, 30, 45)
"""Yaws in degrees from which the truth is rendered."""

TURN = (6.0, 3.0)
"""Standard deviations in degrees of the photo's yaw and pitch."""


def synthetic_scenes(seed: int, facekit: Path, size: int, keep: Cache) -> tuple[Scene, Scene]:
    """A photo of a person on grey, and the same moment seen from `VIEWS`.

    Args:
        seed: the person (see `mien.synth.seeds`).
        facekit: folder with the FaceKit arrays.
        size: pixels of the pictures' sides.
        keep: where the pictures are kept: without a GPU they take seconds.

    Returns:
        The photo, and the true views, which it drives itself.

    Raises:
        MienError: FaceKit, moderngl or OpenGL is missing.
    """
    rig = facekit / "facekit.npz"
    if not rig.is_file():
        raise MienError(f"True novel views are rendered with FaceKit, but there is no {rig}.")
    arrays = keep(("synthetic", seed, rig, size, VIEWS), lambda: _shots(seed, facekit, size))
    alpha = torch.from_numpy(arrays["alpha"]).float() / 255
    pose = (torch.from_numpy(arrays[key]) for key in ("world_from_cam", "intrinsics"))
    images = [arrays["photo"]] * len(alpha)
    whole = Scene(f"rendered {seed}", images, arrays["crops"], alpha, alpha >= 0, Camera(*pose))
    return whole[:1], whole[1:]


def _shots(seed: int, facekit: Path, size: int) -> Arrays:
    from mien.synth.dataset import on_grey
    from mien.synth.expression import sample_expression
    from mien.synth.studio import sample_scene, sample_torso

    studio = _studio(facekit, size)
    rng = np.random.default_rng([seed, 3])
    studio.enter(studio.maker.make(seed))
    scene = dataclasses.replace(sample_scene(rng), blur=0.0, noise=(0.0, 0.0))
    studio.pose(sample_expression(rng), scene, sample_torso(rng))
    yaw, pitch = rng.normal(0, TURN)
    yaws, pitches = torch.tensor([yaw, *VIEWS]), torch.tensor([pitch] + [0.0] * len(VIEWS))
    cameras = Camera.orbit(yaws.deg2rad().float(), pitches.deg2rad().float())
    shots = [studio.shoot(cameras[i], scene, seed, dense=False) for i in range(len(yaws))]
    return {
        "photo": on_grey(shots[0].image, shots[0].alpha),
        "crops": np.stack([shot.image for shot in shots]),
        "alpha": np.stack([shot.alpha for shot in shots]),
        "world_from_cam": cameras.world_from_cam.numpy(),
        "intrinsics": cameras.intrinsics.numpy(),
    }


@cache
def _studio(facekit: Path, size: int) -> Studio:
    """The one studio of this process: it holds an OpenGL context."""
    try:
        from mien.synth.rig import load_rig
        from mien.synth.studio import Studio
    except ModuleNotFoundError as error:
        raise MienError(
            f"True novel views need the package {error.name}, which is not installed: "
            'run `pip install "mien[synth]"`.'
        ) from error
    return Studio(load_rig(facekit), size)
