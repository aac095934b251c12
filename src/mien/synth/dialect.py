"""What MediaPipe would say about a made face, from what is true of it.

Motion latents are made of MediaPipe's landmarks, and MediaPipe has habits: its depths are of one
average face, it halves gaze, lids and brows move less than they do. Exact points would be a foreign
language to the motion encoder, so labels are translated: by the mean difference and by how it
changes with each coefficient, learnt on renders that MediaPipe looked at (`python -m
mien.synth.dialect FACEKIT_FOLDER` makes `dialect.npz` again).
"""

from __future__ import annotations

import functools
import sys
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np

from mien.structures import LANDMARKS


@dataclass(frozen=True)
class Dialect:
    """MediaPipe's landmarks = true ones + offset + coefficients · gain, all canonical.

    Args:
        offset: (478, 3); gain: (53, 478, 3).
    """

    offset: np.ndarray
    gain: np.ndarray

    def said(self, landmarks: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
        """True landmarks (478, 3) and coefficients (53,) to landmarks as MediaPipe gives them."""
        shift = self.offset + np.tensordot(coefficients, self.gain, 1)
        return (landmarks + shift).astype(np.float32)


@functools.cache
def load_dialect() -> Dialect:
    """The dialect that comes with Mien."""
    with (
        (resources.files("mien.synth") / "dialect.npz").open("rb") as file,
        np.load(file) as archive,
    ):
        return Dialect(archive["offset"].astype(np.float32), archive["gain"].astype(np.float32))


def learn(
    true: np.ndarray, said: np.ndarray, coefficients: np.ndarray, ridge: float = 4.0
) -> Dialect:
    """Ridge regression of what MediaPipe said (n, 478, 3) against the truth (n, 478, 3).

    Args:
        coefficients: (n, 53); ridge: weight against using a coefficient, in pictures.
    """
    design = np.concatenate([coefficients, np.ones((len(coefficients), 1))], 1)
    penalty = np.diag([ridge] * coefficients.shape[1] + [1e-6])
    wanted = (said - true).reshape(len(true), -1)
    solution = np.linalg.solve(design.T @ design + penalty, design.T @ wanted)
    tables = solution.reshape(-1, LANDMARKS, 3)
    return Dialect(tables[-1], tables[:-1])


def listen(facekit: Path, people: int = 40, faces: int = 8, size: int = 288) -> Dialect:
    """Draw near-frontal pictures, let MediaPipe look at them, and learn its dialect.

    Faces that MediaPipe does not find are left out.
    """
    import dataclasses

    from mien.errors import MienError
    from mien.preprocess.face import find_face
    from mien.preprocess.pose import canonical_landmarks, fit_pose
    from mien.structures import Camera
    from mien.synth.expression import sample_expression
    from mien.synth.rig import load_rig
    from mien.synth.studio import Studio, sample_scene, sample_torso

    studio = Studio(load_rig(facekit), size, supersample=1)
    true, said, used = [], [], []
    for seed in range(people):
        rng = np.random.default_rng([seed, 3])
        studio.enter(studio.maker.make(seed))
        scene = dataclasses.replace(sample_scene(rng), noise=(0.0, 0.0), blur=0.0)
        for _ in range(faces):
            face = sample_expression(rng)
            truth = studio.pose(face, scene, sample_torso(rng))
            yaw, pitch = np.radians(rng.uniform([-22, -12], [22, 12]))
            picture = studio.shoot(Camera.orbit(yaw, pitch), scene, 0, dense=False)
            rest = 255 - picture.alpha[..., None].astype(int)
            image = np.minimum(picture.image + rest * 3 // 8, 255).astype(np.uint8)
            try:
                seen = find_face(image, None, f"person {seed}")[None]
            except MienError:
                continue
            true.append(truth.landmarks)
            said.append(canonical_landmarks(seen, fit_pose(seen))[0])
            used.append(face)
    return learn(np.stack(true), np.stack(said), np.stack(used))


def main() -> None:
    """Learn the dialect from the FaceKit folder named on the command line, and keep it."""
    found = listen(Path(sys.argv[1]))
    path = Path(__file__).with_name("dialect.npz")
    np.savez_compressed(
        path, offset=found.offset.astype(np.float16), gain=found.gain.astype(np.float16)
    )


if __name__ == "__main__":
    main()
