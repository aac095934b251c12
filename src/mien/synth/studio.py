"""Where people who do not exist are photographed: pose, light, camera, and the labels' truth."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from mien.preprocess.pose import canonical
from mien.structures import FOV_WIDE, RADIUS, Camera
from mien.synth.dialect import Dialect
from mien.synth.landmarks import to_canonical
from mien.synth.light import Light, harmonics, sample_light, sphere
from mien.synth.person import Maker, Person
from mien.synth.render_gl import Renderer
from mien.synth.rig import ARKIT, Rig, gaze_rotation
from mien.synth.scene import Picture, Pose, Skin, View
from mien.synth.tongue import tongue

_DIRECTIONS = 32  # from which light is followed to the skin
_AWAY = 0.6, 2.0  # nearest and farthest camera, in `RADIUS`
_LIPS = "UpperUp_L", "UpperUp_R", "LowerDown_L", "LowerDown_R"
_FACE = torch.tensor([[0.0, 0.0, 0.2]])  # about where a face is, canonical


@dataclass(frozen=True)
class Truth:
    """What is true of a pose, whatever camera sees it.

    Args:
        landmarks: (478, 3) canonical, of the posed surface, irises turned with the eyes, in the
            studio's dialect.
        landmarks68: (68, 3) canonical, Multi-PIE.
        arkit: (53,) coefficients.
        tongue: how far it is out, 0 to 1.
    """

    landmarks: np.ndarray
    landmarks68: np.ndarray
    arkit: np.ndarray
    tongue: float = 0.0


@dataclass(frozen=True)
class Scene:
    """What a take shares: light, exposure, sensor."""

    light: Light
    gain: float
    blur: float
    noise: tuple[float, float]
    balance: tuple[float, float, float]


def sample_scene(rng: np.random.Generator) -> Scene:
    """A random place and a random camera's temper."""
    amount = rng.gamma(1.2, 0.004) * (rng.random() < 0.5)
    balance = np.exp(rng.normal(0, [0.05, 0.02, 0.07]))
    return Scene(
        light=sample_light(rng),
        gain=float(np.exp(rng.normal(0.25, 0.2))),
        blur=float(rng.choice([0.0, rng.uniform(0.2, 0.9)], p=[0.6, 0.4])),
        noise=(0.3 * amount, amount),
        balance=(float(balance[0]), float(balance[1]), float(balance[2])),
    )


def sample_camera(rng: np.random.Generator, fov: float = FOV_WIDE) -> Camera:
    """A level camera on the sphere.

    Half of them within 25° of yaw, the rest evenly up to 75°; pitch mostly within 25°, some 30°.
    """
    far = rng.choice([-1, 1]) * rng.uniform(25, 75)
    yaw = rng.uniform(-25, 25) if rng.random() < 0.5 else far
    pitch = rng.normal(0, 8) if rng.random() < 0.5 else rng.uniform(-25, 25)
    yaw, pitch = np.radians(yaw), np.radians(np.clip(pitch, -30, 30))
    return Camera.orbit(float(yaw), float(pitch), fov=fov, radius=RADIUS)


def sample_distance(rng: np.random.Generator) -> float:
    """How far the camera stands, in `RADIUS`: 1 for four people in five."""
    away = np.exp(rng.uniform(*np.log(_AWAY)))
    return float(away) if rng.random() < 0.2 else 1.0


def from_afar(camera: Camera, away: float) -> Camera:
    """A camera `away` times as far from the head, with a lens that shows the face as large.

    Arm's length makes noses large, a long lens flattens. Portraits are cropped as if all were
    photographed from `RADIUS`, so `camera` is what a photo taken by this one would be given.
    """
    world = camera.world_from_cam.clone()
    world[:3, 3] *= away
    moved = Camera(world, camera.intrinsics)
    deep = [(_FACE @ c.cam_from_world[2, :3] + c.cam_from_world[2, 3]) for c in (moved, camera)]
    return moved.zoomed(torch.tensor([0.5, 0.5]), float(deep[0] / deep[1]))


def sample_tongue(rng: np.random.Generator, face: np.ndarray) -> tuple[np.ndarray, float, float]:
    """A face (53,), how far its tongue is out and to which side; one in twenty shows it."""
    out, side = rng.uniform(0.3, 1.0), rng.uniform(-1, 1)
    if rng.random() > 0.05:
        return face, 0.0, 0.0
    face = face.copy()
    for name in ("mouthPress_L", "mouthPress_R", "mouthClose", "mouthPucker", "mouthFunnel",
                 "mouthRollLower", "mouthShrugLower", "cheekPuff_L", "cheekPuff_R"):  # fmt: skip
        face[ARKIT.index(name)] = 0.0
    jaw = ARKIT.index("jawOpen")
    face[jaw] = max(face[jaw], rng.uniform(0.25, 0.5))
    return face, float(out), float(side)


def sample_torso(rng: np.random.Generator) -> np.ndarray:
    """(4,) axis and angle by which the torso is turned against the head."""
    turn = np.radians(rng.normal(0, [5.0, 12.0, 4.0]).clip(-30, 30))
    angle = float(np.linalg.norm(turn))
    return np.append(turn / (angle + 1e-9), angle)


class Studio:
    """Photographs people of one rig; holds the OpenGL context.

    Args:
        rig: the head; size: pixels a side; supersample, device: see `Renderer`.
        dialect: in which the 478 landmarks are said; none says where they are.
    """

    def __init__(
        self,
        rig: Rig,
        size: int,
        supersample: int = 2,
        device: int = 0,
        dialect: Dialect | None = None,
    ) -> None:
        self.rig, self.maker, self.dialect = rig, Maker(rig), dialect
        self.draw = rig.draw_vertex.numpy()
        part = np.zeros(len(self.draw))
        part[rig.draw_triangles.numpy().ravel()] = np.repeat(rig.parts.numpy(), 3)
        rest = self.maker.rest[self.draw]
        lid = _lids(rig)[self.draw]
        self.skin = Skin(rest, rig.draw_uv.numpy(), part, lid, rig.draw_triangles.numpy())
        self.renderer = Renderer(self.skin, size, supersample, device)
        self.corners, self.weights = self.maker.corners, self.maker.weights
        self.directions = sphere(_DIRECTIONS).astype(np.float32)
        self.basis = harmonics(self.directions)
        self.visible = self._head_visibility()
        self.lip = int(rig.landmarks68[66])  # the lower one's inner edge
        self.blinks = [ARKIT.index("eyeBlink_L"), ARKIT.index("eyeBlink_R")]
        self.person: Person | None = None

    def _head_visibility(self) -> np.ndarray:
        normals = self.maker.normals[self.draw]
        naked = {"collar": (-99.0, 0.0, 1.0)}
        still = np.array([1.0, 0.0, 0.0, 0.0])
        light = sample_light(np.random.default_rng(0))
        rest = self.maker.rest[self.draw]
        pose = Pose(rest, normals, np.ones_like(normals), light, still, naked)
        return self.renderer.visibility(pose, self.directions)

    def enter(self, person: Person) -> None:
        """The person sits down: what stays with the skull goes to the GPU."""
        self.person = person
        self.renderer.load(person.face_map, person.cover, person.strands, person.solids)

    def pose(
        self,
        coefficients: np.ndarray,
        scene: Scene,
        torso: np.ndarray,
        out: float = 0.0,
        side: float = 0.0,
    ) -> Truth:
        """The person makes a face (53,) in this light, until the next pose.

        Args:
            torso: (4,) axis and angle by which the torso is turned against the head.
            out: how far the tongue is out of the open mouth, 0 to 1; side: whereto, -1 to 1.
        """
        person = self.person
        if person is None:
            raise ValueError("nobody has entered the studio")
        face = torch.tensor(coefficients[None], dtype=torch.float32)
        face[:, self.blinks] *= 1 - person.lids  # these lids have less far to go
        posed = self.rig.pose(person.neutral[None], face)
        vertices = posed[0].numpy().astype(np.float64)
        normals = self.rig.normals(posed)[0].numpy()[self.draw]
        # OpenGL reads columns first, so that these bytes are the inverse turns.
        turns = np.stack([gaze_rotation(face, side)[0].numpy() for side in (0, 1)])
        uniforms = dict(person.uniforms) | {
            "eye_from_head": turns.astype("f4").tobytes(),
            "mouth_open": _mouth_open(coefficients),
            "seed": person.seed & 0xFFFFFFFF,
            **_creases(person.seed, coefficients),
        }
        solids = [tongue(vertices[self.lip], out, side)] if out > 0 else []
        strands = [rooted.posed(vertices) for rooted in person.rooted]
        exposure = self._exposure(normals, scene.light) * person.under_hair[:, None]
        place = posed[0].numpy()[self.draw]
        self.renderer.pose(
            Pose(place, normals, exposure, scene.light, torso, uniforms, strands, solids)
        )
        points = (vertices[self.corners] * self.weights[..., None]).sum(1)
        marks = vertices[self.rig.landmarks68.numpy()]
        landmarks = to_canonical(points)
        if self.dialect:
            landmarks = self.dialect.said(landmarks, coefficients)
        return Truth(landmarks, to_canonical(marks), coefficients, out)

    def shoot(self, camera: Camera, scene: Scene, seed: int, dense: bool = True) -> Picture:
        """Photograph the pose taken last; depth, parts and normals only if `dense`.

        Depth is in canonical units.
        """
        return self.expose(camera, scene, seed, dense)()

    def expose(
        self, camera: Camera, scene: Scene, seed: int, dense: bool = True
    ) -> Callable[[], Picture]:
        """What `shoot` photographs, without waiting for it.

        Returns what fetches the picture, to be called once; the next pose may be taken before.
        """
        if self.person is None:
            raise ValueError("nobody has entered the studio")
        view = View(
            cam_from_head=cam_from_centimetres(camera),
            intrinsics=camera.intrinsics.numpy().astype(np.float64),
            gain=scene.gain * self.person.exposure,
            blur=scene.blur,
            noise=scene.noise,
            balance=scene.balance,
            seed=seed & 0xFFFFFFFF,
        )
        exposed = self.renderer.expose(view, dense)
        scale = np.float32(canonical().facekit_scale)

        def fetch() -> Picture:
            picture = exposed()
            return dataclasses.replace(picture, depth=picture.depth * scale)

        return fetch

    def _exposure(self, normals: np.ndarray, light: Light) -> np.ndarray:
        """Share (R, 3) of the surroundings' light that the head itself lets through."""
        facing = self.directions @ normals.T
        np.maximum(facing, 0, out=facing)
        radiance = np.clip(self.basis @ light.sh, 0, None).astype(np.float32).T
        whole = radiance @ facing
        arriving = radiance @ np.multiply(facing, self.visible, out=facing)
        return np.clip(arriving / np.maximum(whole, 1e-4), 0.03, 1.0).T


def _creases(seed: int, face: np.ndarray) -> dict[str, Any]:
    """How deep the skin of this person furrows in this face (53,), by the shader's names."""
    depth = np.random.default_rng([seed, 5]).uniform(0.4, 1.2)

    def pull(**share: float) -> tuple[float, float]:
        left, right = (
            sum(w * face[ARKIT.index(name + tag)] for name, w in share.items())
            for tag in ("_L", "_R")
        )
        return depth * float(min(left, 1.0)), depth * float(min(right, 1.0))

    return {
        "brows_up": pull(browInnerUp=0.6, browOuterUp=0.6),
        "squint": pull(cheekSquint=0.6, eyeSquint=0.4, mouthSmile=0.3, eyeBlink=0.15),
        "frown": float(np.mean(pull(browDown=0.9, noseSneer=0.3))),
    }


def _mouth_open(face: np.ndarray) -> float:
    """How far light gets into the mouth in this face (53,), 0 to 1: jaw and lips let it in."""
    lips = sum(face[ARKIT.index(f"mouth{name}")] for name in _LIPS) / 4
    return float(min(1.0, 2.0 * face[ARKIT.index("jawOpen")] + lips))


def _lids(rig: Rig) -> np.ndarray:
    """(V,) how much of an upper lid's hidden skin a vertex is, by how far a blink moves it."""
    blink = rig.expression[[ARKIT.index("eyeBlink_L"), ARKIT.index("eyeBlink_R")]]
    far = blink.reshape(2, -1, 3).norm(dim=-1).sum(0).numpy()
    return np.clip((far - 0.25) / 0.45, 0, 1)


def cam_from_centimetres(camera: Camera) -> np.ndarray:
    """(4, 4) from FaceKit's axes in cm to the camera's in cm."""
    frame = canonical()
    view = camera.cam_from_world.numpy().astype(np.float64)
    result = np.eye(4)
    result[:3, :3] = view[:3, :3]
    result[:3, 3] = view[:3, 3] / frame.facekit_scale - view[:3, :3] @ frame.facekit_offset
    return result
