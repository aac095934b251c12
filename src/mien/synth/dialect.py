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

from mien.preprocess.pose import canonical
from mien.structures import LANDMARKS

_ROUNDS = 4


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


def _high() -> np.ndarray:
    """(478,) whether a landmark lies on a brow or above."""
    height = canonical().points[:, 1]
    return height >= height[[46, 53, 52, 65, 55, 276, 283, 282, 295, 285]].min()


def learn(
    true: np.ndarray,
    said: np.ndarray,
    coefficients: np.ndarray,
    views: np.ndarray,
    ridge: float = 4.0,
) -> Dialect:
    """Ridge regression of what MediaPipe said (n, 478, 3) against the truth (n, 478, 3).

    What only comes of the view is told apart and left out. From the brows up, the sixth of the
    pictures that fit a landmark worst is left out too: where hair hides a brow, MediaPipe guesses.

    Args:
        coefficients: (n, 53); views: (n, 2) yaw and pitch.
        ridge: weight against using a coefficient, in pictures.
    """
    count = coefficients.shape[1]
    design = np.concatenate([coefficients, views, np.ones((len(views), 1))], 1)
    penalty = np.diag([ridge] * count + [1e-6] * 3)
    wanted = said - true

    kept = np.ones(wanted.shape[:2], bool)
    tables = np.zeros((count + 3, LANDMARKS, 3))
    for _ in range(_ROUNDS):
        for i in range(LANDMARKS):
            rows = design[kept[:, i]]
            tables[:, i] = np.linalg.solve(rows.T @ rows + penalty, rows.T @ wanted[kept[:, i], i])
        miss = np.linalg.norm(wanted - np.tensordot(design, tables, 1), axis=2)
        kept = (miss <= np.quantile(miss, 5 / 6, axis=0)) | ~_high()
    return Dialect(tables[-1], tables[:count])


def settle(
    known: Dialect,
    true: np.ndarray,
    said: np.ndarray,
    coefficients: np.ndarray,
    views: np.ndarray,
) -> Dialect:
    """The dialect with its offsets learnt again, for when faces rest in another way than before.

    Takes fewer pictures than `learn`, which takes the same arguments.
    """
    told = np.stack([known.said(*pair) for pair in zip(true, coefficients, strict=True)])
    rest = learn(told, said, coefficients[:, :0], views)
    return Dialect(known.offset + rest.offset, known.gain)


def listen(
    facekit: Path, people: range, faces: int = 6, size: int = 256
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Draw near-frontal pictures and let MediaPipe look at them: what `learn` takes, and who.

    Faces that MediaPipe does not find are left out.
    """
    import dataclasses

    from mien.errors import MienError
    from mien.preprocess.face import find_face
    from mien.preprocess.pose import canonical_landmarks, fit_pose
    from mien.structures import FOV_FFHQ, Camera
    from mien.synth.expression import sample_expression
    from mien.synth.rig import load_rig
    from mien.synth.studio import Studio, sample_scene, sample_torso

    studio = Studio(load_rig(facekit), size, supersample=1)
    found = []
    for seed in people:
        rng = np.random.default_rng([seed, 3])
        studio.enter(studio.maker.make(seed))
        scene = dataclasses.replace(sample_scene(rng), noise=(0.0, 0.0), blur=0.0)
        for _ in range(faces):
            face = sample_expression(rng)
            truth = studio.pose(face, scene, sample_torso(rng))
            view = np.radians(rng.uniform([-22, -12], [22, 12]))
            camera = Camera.orbit(*view.tolist(), fov=FOV_FFHQ)
            picture = studio.shoot(camera, scene, 0, dense=False)
            rest = 255 - picture.alpha[..., None].astype(int)
            image = np.minimum(picture.image + rest * 3 // 8, 255).astype(np.uint8)
            try:
                seen = find_face(image, None, f"person {seed}")[None]
            except MienError:
                continue
            said = canonical_landmarks(seen, fit_pose(seen))[0]
            found.append((truth.landmarks, said, face, view, seed))
    true, said, used, views, who = (np.stack(column) for column in zip(*found, strict=True))
    return true, said, used, views, who


def main() -> None:
    """Learn the dialect from the FaceKit folder named on the command line, and keep it.

    If the word `offsets` follows, the gains stay.
    """
    again = sys.argv[2:] == ["offsets"]
    true, said, used, views, _ = listen(Path(sys.argv[1]), range(36 if again else 72))
    lesson = true, said, used, views
    found = settle(load_dialect(), *lesson) if again else learn(*lesson)
    path = Path(__file__).with_name("dialect.npz")
    np.savez_compressed(
        path, offset=found.offset.astype(np.float16), gain=found.gain.astype(np.float16)
    )


if __name__ == "__main__":
    main()
