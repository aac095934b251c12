"""Portraits of people who do not exist, as photographers take them: from the front, smiling.

    PYTHONPATH=src python benchmarks/realism/portraits.py OUT.npz FACEKIT [--count 300]

`mien synth` makes faces do all that faces can; most photographs show a small part of that. So that
`judge.py` judges looks and not habits, these do what people do before a camera. OUT is a file of
`faces.py`.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from faces import of_render, save

from mien.data.shards import Sample
from mien.structures import FOV_FFHQ, Camera
from mien.synth.dataset import INSIDE
from mien.synth.dialect import load_dialect
from mien.synth.expression import MOODS, blend, sample_faces
from mien.synth.rig import ARKIT, load_rig
from mien.synth.studio import Studio, sample_scene, sample_torso

SIDE = 288

FACES = {"calm": 0.35, "smile": 0.25, "grin": 0.3, "laugh": 0.1}
"""Moods by how often they are photographed."""


def before_a_camera(rng: np.random.Generator) -> np.ndarray:
    """(53,) coefficients of a face that is being photographed."""
    mood = str(rng.choice(list(FACES), p=list(FACES.values())))
    face = rng.uniform(0.5, 1.1) * blend(MOODS[mood])
    chance = 0.35 * sample_faces(rng, 1)[0]
    chance[[i for i, name in enumerate(ARKIT) if name.startswith("eyeBlink")]] = 0.0
    return np.clip(face + chance, 0, 1)


def portraits(studio: Studio, seeds: range) -> Iterator[Sample]:
    """One picture of each person."""
    for seed in seeds:
        rng = np.random.default_rng([seed, 6])
        studio.enter(studio.maker.make(seed))
        scene = sample_scene(rng)
        truth = studio.pose(before_a_camera(rng), scene, sample_torso(rng))
        yaw, pitch = rng.normal(0, [0.18, 0.1])
        camera = Camera.orbit(float(yaw), float(pitch), fov=FOV_FFHQ)
        picture = studio.shoot(camera, scene, seed, dense=False)
        yield Sample(
            key=str(seed),
            person=f"synth-{seed:08d}",
            take=f"synth-{seed:08d}",
            image=picture.image,
            alpha=picture.alpha,
            landmarks=truth.landmarks,
            world_from_cam=camera.world_from_cam.numpy(),
            intrinsics=camera.intrinsics.numpy(),
            inside=INSIDE,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("facekit", type=Path)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=60_000_000)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    studio = Studio(load_rig(arguments.facekit), SIDE, supersample=1, dialect=load_dialect())
    seeds = range(arguments.seed, arguments.seed + arguments.count)
    save(arguments.out, map(of_render, portraits(studio, seeds)))


if __name__ == "__main__":
    main()
