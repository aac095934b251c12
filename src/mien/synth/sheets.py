"""Contact sheets that show what the synthetic heads look like.

`python -m mien.synth.sheets FACEKIT OUT` writes `identities.png`, `expressions.png`, `views.png`
and `closeups.png`, each at most 400 kB.
"""

from __future__ import annotations

import dataclasses
import io
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from mien.structures import Camera
from mien.synth.dataset import on_grey
from mien.synth.expression import MOODS, blend, gaze, sample_expression
from mien.synth.rig import load_rig
from mien.synth.studio import Scene, Studio, sample_scene, sample_torso

LIMIT = 400_000
"""Bytes that a sheet may take."""

_STILL = np.array([1.0, 0.0, 0.0, 0.0])


def identities(studio: Studio, count: int = 64, first: int = 0) -> list[np.ndarray]:
    """`count` people, each with a face, a light and a camera near the front of their own."""
    pictures = []
    for seed in range(first, first + count):
        rng = np.random.default_rng([seed, 3])
        studio.enter(studio.maker.make(seed))
        scene = sample_scene(rng)
        studio.pose(0.7 * sample_expression(rng), scene, sample_torso(rng))
        camera = Camera.orbit(rng.normal(0, 0.35), rng.normal(0, 0.1))
        pictures.append(_photograph(studio, camera, scene))
    return pictures


def expressions(studio: Studio, seed: int) -> list[np.ndarray]:
    """One person making twelve faces."""
    faces = [blend(MOODS[m]) for m in ("calm", "smile", "grin", "laugh", "surprise", "angry")]
    faces += [blend(MOODS[m]) for m in ("kiss", "disgust", "shout")]
    faces += [gaze(0.8, 0.2), gaze(-0.8, -0.4), blend({"eyeBlink": 1.0})]
    scene = _enter(studio, seed)
    pictures = []
    for face in faces:
        studio.pose(face, scene, _STILL)
        pictures.append(_photograph(studio, Camera.orbit(0.12, 0.0, fov=17.5), scene))
    return pictures


def views(studio: Studio, seed: int) -> list[np.ndarray]:
    """One face from nine sides."""
    scene = _enter(studio, seed)
    studio.pose(0.7 * blend(MOODS["grin"]), scene, _STILL)
    angles = [(yaw, pitch) for pitch in (25, 0, -25) for yaw in (-75, 0, 75)]
    return [
        _photograph(studio, Camera.orbit(*np.radians(angle)), scene)  # type: ignore[arg-type]
        for angle in angles
    ]


_EYE, _MOUTH, _CROWN = (33, 133, 468), (61, 291, 13, 14), (10,)


def closeups(studio: Studio) -> list[np.ndarray]:
    """Two faces that fill the picture, hair, an eye, teeth and a tongue."""
    smile, aside = 0.5 * blend(MOODS["grin"]), gaze(0.5, 0.1)
    pictures = []
    for seed, face, out, turn, where, factor in (
        (300, smile, 0.0, 0.25, None, 1.0),
        (303, smile, 0.0, 0.25, None, 1.0),
        (302, smile, 0.0, 0.7, _CROWN, 1.8),
        (301, aside, 0.0, 0.1, _EYE, 5.0),
        (318, blend(MOODS["laugh"]), 0.0, 0.2, _MOUTH, 3.0),
        (401, blend({"jawOpen": 0.4}), 0.9, 0.2, _MOUTH, 3.0),
    ):
        scene = _enter(studio, seed)
        truth = studio.pose(face, scene, _STILL, out, 0.3)
        camera = Camera.orbit(turn, 0.0, fov=15.0)
        if where:
            middle = torch.from_numpy(truth.landmarks[list(where)].mean(0, keepdims=True))
            camera = camera.zoomed(camera.project(middle)[0], factor)
        pictures.append(_photograph(studio, camera, scene))
    return pictures


def _enter(studio: Studio, seed: int) -> Scene:
    studio.enter(studio.maker.make(seed))
    scene = sample_scene(np.random.default_rng([seed, 3]))
    return dataclasses.replace(scene, blur=0.0, balance=(1.0, 1.0, 1.0))


def _photograph(studio: Studio, camera: Camera, scene: Scene) -> np.ndarray:
    picture = studio.shoot(camera, scene, 0)
    return on_grey(picture.image, picture.alpha)


def write(pictures: list[np.ndarray], path: Path, columns: int) -> None:
    """Pictures side by side as a PNG of 256 colours, shrunk until it is within `LIMIT`."""
    rows = [np.hstack(pictures[i : i + columns]) for i in range(0, len(pictures), columns)]
    sheet = Image.fromarray(np.vstack(rows))
    while True:
        buffer = io.BytesIO()
        sheet.quantize(256, dither=Image.Dither.FLOYDSTEINBERG).save(buffer, "PNG", optimize=True)
        if len(buffer.getvalue()) <= LIMIT:
            break
        sheet = sheet.resize(
            (sheet.width * 9 // 10, sheet.height * 9 // 10), Image.Resampling.LANCZOS
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(buffer.getvalue())


def main(facekit: Path, out: Path) -> None:
    """Write all sheets."""
    rig = load_rig(facekit)
    studio = Studio(rig, 192)
    write(expressions(studio, 502), out / "expressions.png", 4)
    write(views(studio, 513), out / "views.png", 3)
    write(identities(studio), out / "identities.png", 8)
    studio.renderer.close()
    studio = Studio(rig, 512)
    write(closeups(studio), out / "closeups.png", 3)
    studio.renderer.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
