"""A person who does not exist: shape, skin, eyes, hair, clothes, all from one seed."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mien.synth import beard, hair, headwear, props, skin
from mien.synth.expression import blend
from mien.synth.field import Carriage, Ground
from mien.synth.landmarks import alignment, attach_landmarks
from mien.synth.rig import ARKIT, Rig, fit_sphere
from mien.synth.roots import Surface
from mien.synth.scene import Solid, Strands

_MALE_CUTS = {
    "buzz": 2, "crew": 3, "short": 4, "fringe": 2, "side": 4, "swept": 2, "messy": 2, "curly": 1,
    "long": 0.3, "bald": 1.5, "coils": 0.0, "tail": 0.2,
}  # fmt: skip
_FEMALE_CUTS = {
    "bob": 3, "long": 3, "middle": 2.5, "wavy": 3, "curls": 2, "bangs": 1.5, "bun": 2, "tail": 2,
    "short": 0.5, "messy": 0.6, "fringe": 0.5, "buzz": 0.15, "afro": 0.0,
}  # fmt: skip
_IRISES = np.array(
    [[0.014, 0.012, 0.0125], [0.033, 0.025, 0.023], [0.068, 0.055, 0.047], [0.075, 0.080, 0.068],
     [0.080, 0.115, 0.145], [0.125, 0.155, 0.180]]
)  # fmt: skip


@dataclass(frozen=True)
class Person:
    """Everything that stays while a face moves and the camera wanders.

    Args:
        seed: what the person was made from.
        neutral: (V, 3) the face at rest, cm.
        face_map: (s, s, 4) u8 for `Renderer.load`.
        cover: (R,) hair on the skin; under_hair: (R,) share of light that hair lets through to it.
        strands: hair on the skull; solids: clothes and glasses; rooted: brows and beard.
        uniforms: the look, by the shaders' names.
        lids: how far they are down at rest, as a share of a blink.
        exposure: gain of a camera that meters the face: dark skin is let brighten, pale skin not.
    """

    seed: int
    neutral: Tensor
    face_map: np.ndarray
    cover: np.ndarray
    under_hair: np.ndarray
    strands: list[Strands]
    solids: list[Solid]
    rooted: list[beard.Rooted]
    uniforms: Mapping[str, Any]
    lids: float
    exposure: float


class Maker:
    """Makes people on one rig; holds what all of them share."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.faces = rig.faces_of("skin").numpy()
        self.rest = rig.vertices.numpy().astype(np.float64)
        self.normals = rig.normals(rig.vertices[None])[0].numpy().astype(np.float64)
        self.surface, within = np.unique(self.faces, return_inverse=True)
        self.corners, self.weights = attach_landmarks(rig)
        self.carriage = Carriage(self.rest[self.surface])
        self.ground = self._ground()
        self.face = Surface(self.rest, self.faces)
        self.scalp = Surface(self.ground.points, within.reshape(-1, 3))

    def _ground(self) -> Ground:
        """Head, then shoulders in a plain shirt; hair slides over these whatever is worn."""
        shirt = props.torso(props.Outfit("round", np.zeros((3, 3)), 1.0, 1.0))
        return Ground(
            np.concatenate([self.rest[self.surface], shirt.positions]),
            np.concatenate([self.normals[self.surface], shirt.normals]),
        )

    def make(self, seed: int) -> Person:
        """The person of this seed, always the same."""
        rng = np.random.default_rng([seed, 1])
        male, old = bool(rng.random() < 0.5), bool(rng.random() < 0.22)
        habit = _habit(rng)
        neutral = self._shape(rng, habit)
        tone = skin.sample_tone(rng)
        style = str(rng.choice(beard.STYLES, p=[0.45, 0.3, 0.15, 0.1]))
        bearded = male and rng.random() < 0.4
        face_map = skin.sample_skin(rng, tone, male, old, bearded and style != "stubble")
        color, grey = hair.pigment(rng)
        if tone[1] < 0.16:  # dark skins seldom come with fair hair
            color = color * 0.0 + np.array([0.014, 0.010, 0.008]) * rng.uniform(0.6, 2.0)
        grey = rng.uniform(0.3, 1.0) if old and rng.random() < 0.8 else grey * 0.4
        outfit = props.sample_outfit(rng)
        solid = props.torso(outfit)
        strands, cover, under_hair = self._hair(rng, male, tone, color, grey)
        solids = [solid]
        extra = np.random.default_rng([seed, 4])
        if extra.random() < 0.08:
            strands = [s for s in map(under_hat, strands) if len(s.points)]
            solids.append(headwear.sample_hat(extra, self.rest[self.surface]))
        if extra.random() < (0.04 if male else 0.35):
            solids.append(headwear.sample_earrings(extra))
        shift = self.carriage.to(neutral.numpy()[self.surface])
        for s in strands:
            s.points[..., :3] += shift(s.points[..., :3])
        solids = [
            dataclasses.replace(s, positions=s.positions + shift(s.positions)) for s in solids
        ]
        if rng.random() < (0.35 if old else 0.15):
            solids.append(props.sample_glasses(rng, self._eyes(neutral)))
        uniforms = self._look(rng, male, tone, color * (1 - grey) + 0.35 * grey)
        uniforms["collar"] = props.collar(outfit)
        uniforms |= _makeup(extra, tone) if not male and extra.random() < 0.5 else {}
        brow = self.rest[self.rig.landmarks68[17:22].numpy()]
        thick = rng.uniform(0.25, 0.75) if male else rng.uniform(0.12, 0.6)
        dull = (0.8 * color + 0.2 * color.mean()) * [1.15, 1.0, 0.88]  # skin shines through
        rooted = [beard.grow_brows(rng, self.face, brow, dull, thick)]
        if bearded:
            tint = color * np.array([1.15, 1.0, 0.9])
            rooted.append(beard.grow_beard(style, rng, self.face, tint, grey))
        return Person(
            seed,
            neutral,
            face_map,
            cover,
            under_hair,
            strands,
            solids,
            rooted,
            uniforms,
            float(habit[ARKIT.index("eyeBlink_L")]),
            1.35 * float((0.2 / tone[1]) ** 0.3),
        )

    def _shape(self, rng: np.random.Generator, habit: Tensor) -> Tensor:
        count = len(self.rig.identity)
        weights = np.clip(rng.normal(0, 0.9, count), -2.2, 2.2)
        neutral = self.rig.shape(torch.tensor(weights[None], dtype=torch.float32))[0]
        # No face is symmetric: a little of another head's odd part is added.
        other = np.clip(rng.normal(0, 1.0, count), -2, 2)
        delta = (
            self.rig.shape(torch.tensor(other[None], dtype=torch.float32))[0] - self.rig.vertices
        )
        flipped = delta[self.rig.mirror] * torch.tensor([-1.0, 1.0, 1.0])
        neutral = neutral + 0.12 * (delta - flipped)
        frame = alignment(self.corners, self.weights, neutral.numpy().astype(np.float64))
        turn, shift = torch.from_numpy(frame[:3, :3]).float(), torch.from_numpy(frame[:3, 3])
        neutral = neutral @ turn.T + shift.float()
        return neutral + (habit @ self.rig.expression).reshape(-1, 3)

    def _eyes(self, neutral: Tensor) -> np.ndarray:
        balls = [neutral[None, self.rig.faces_of(f"eye_{s}").unique()] for s in ("left", "right")]
        return torch.cat([fit_sphere(ball) for ball in balls]).numpy().astype(np.float64)

    def _hair(
        self,
        rng: np.random.Generator,
        male: bool,
        tone: np.ndarray,
        color: np.ndarray,
        grey: float,
    ) -> tuple[list[Strands], np.ndarray, np.ndarray]:
        cuts = dict(_MALE_CUTS if male else _FEMALE_CUTS)
        if tone[1] < 0.14:
            cuts |= {"coils": 4, "buzz": 3} if male else {"afro": 3, "coils": 2, "buzz": 1}
            cuts = {k: v for k, v in cuts.items() if k not in ("side", "messy", "swept")}
        names, weights = list(cuts), np.array(list(cuts.values()))
        name = str(rng.choice(names, p=weights / weights.sum()))
        recession = rng.beta(1.0, 2.2) if male else rng.uniform(-0.2, 0.2)
        crown = rng.random() * 0.9 if male and rng.random() < 0.15 else 0.0
        rest = self.rest[self.rig.draw_vertex.numpy()]
        density = hair.scalp_density(rest, recession, crown)
        if name == "bald":
            return [], density * rng.choice([0.0, 0.25]), np.ones(len(rest))
        cut = _vary(hair.CUTS[name], rng)
        points = hair.grow(cut, rng, self.ground, self.scalp, recession, crown)
        under = hair.light_beside(cut, rest, recession)
        return [hair.ribbons(points, cut, color, grey, rng)], density * 0.8, under

    def _look(
        self, rng: np.random.Generator, male: bool, tone: np.ndarray, hair_tone: np.ndarray
    ) -> dict[str, Any]:
        fair = float(np.clip((tone[1] - 0.12) / 0.3, 0, 1))
        place = rng.beta(0.9, 1.3) * 5 * fair
        iris = np.stack([np.interp(place, range(6), column) for column in _IRISES.T])
        iris = iris * rng.uniform(0.75, 1.3)
        inner = iris * rng.uniform(0.7, 1.6, 3) * [1.05, 1.0, 0.9]
        return {
            "skin_tone": tuple(tone),
            "hair_tone": tuple(hair_tone),
            "tooth_tone": tuple(np.array([0.64, 0.61, 0.55]) * rng.uniform(0.75, 1.1)),
            "iris_color": [tuple(iris), tuple(inner)],
            "eye_center": [tuple(c) for c in self.rig.eye_centers.numpy()],
            "pupil": rng.uniform(0.26, 0.5),
            "oiliness": rng.uniform(0.3, 1.0) * (1.3 - 0.3 * fair),
            "freckles": rng.uniform(0.3, 1.0) if fair > 0.5 and rng.random() < 0.12 else 0.0,
            "limbus": rng.uniform(0.5, 1.1),
            "lash_density": rng.uniform(0.9, 1.5) if male else rng.uniform(1.3, 2.4),
            "redness": rng.beta(1.2, 3.0),
            "lipstick": 0.0,
            "eyeshadow": 0.0,
        }


def under_hat(strands: Strands) -> Strands:
    """What a hat leaves to be seen of hair: strands that start below it and stay there."""
    free = (headwear.brim(strands.points[..., :3]) < 0.0).all(1)
    return dataclasses.replace(strands, points=strands.points[free], looks=strands.looks[free])


def _makeup(rng: np.random.Generator, tone: np.ndarray) -> dict[str, Any]:
    """Lips and lids in colour; a share of the skin shows through."""
    reds = np.array([[0.42, 0.05, 0.07], [0.45, 0.12, 0.15], [0.30, 0.03, 0.08], [0.5, 0.17, 0.2]])
    shades = np.array([[0.20, 0.12, 0.09], [0.08, 0.06, 0.06], [0.22, 0.10, 0.13]])
    depth = 0.5 + 0.5 * min(1.0, tone[1] / 0.3)
    return {
        "lip_tone": tuple(reds[rng.integers(len(reds))] * depth),
        "lipstick": rng.beta(1.5, 1.5) * 0.8,
        "lid_tone": tuple(shades[rng.integers(len(shades))] * depth),
        "eyeshadow": rng.beta(1.0, 2.0) * 0.7,
    }


def _habit(rng: np.random.Generator) -> Tensor:
    """(53,) what a face at rest does all the same: lids a little down, corners of the mouth.

    FaceKit's brows rest .13 of the eyes' distance higher than those of photographed people.
    """
    inner, outer = np.clip(rng.normal([0.5, 0.7], 0.2), 0.1, 1.0)
    parts = {
        "browInnerUp": -inner,
        "browOuterUp": -outer,
        "mouthRollUpper": max(0.0, rng.normal(0.1, 0.15)),
        "mouthRollLower": max(0.0, rng.normal(0.1, 0.15)),
        "eyeBlink": rng.uniform(0.02, 0.2),
        "eyeSquint": rng.uniform(0.0, 0.25),
        "mouthFrown": max(0.0, rng.normal(0, 0.12)),
        "mouthSmile": max(0.0, rng.normal(0.03, 0.07)),
        "browDown": max(0.0, rng.normal(0, 0.12)),
    }
    return torch.tensor(blend(parts), dtype=torch.float32)


def _vary(cut: hair.Cut, rng: np.random.Generator) -> hair.Cut:
    def about(value: float, spread: float) -> float:
        return float(value * np.exp(rng.normal(0, spread)))

    return dataclasses.replace(
        cut,
        top=about(cut.top, 0.18),
        side=about(cut.side, 0.18),
        back=about(cut.back, 0.18),
        part=cut.part * float(rng.choice([-1, 1])) + rng.normal(0, 0.3),
        lift=min(about(cut.lift, 0.15), 1.0),
        curl=about(cut.curl, 0.25),
        pitch=about(cut.pitch, 0.2),
        clump=min(about(cut.clump, 0.25), 0.9),
        frizz=about(cut.frizz, 0.3),
    )
