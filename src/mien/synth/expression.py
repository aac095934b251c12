"""Faces people make: ARKit coefficients drawn at random, as real motion would have them.

A made-up face is a mood, plus what the mouth says, plus where the eyes look, plus a little of
everything; then one side moves more than the other. Coefficients are in the order of `rig.ARKIT`.
"""

from __future__ import annotations

import numpy as np

from mien.synth.natural import load_natural
from mien.synth.rig import ARKIT

MOODS: dict[str, dict[str, float]] = {
    "smile": {"mouthSmile": 0.8, "cheekSquint": 0.5, "eyeSquint": 0.25, "mouthDimple": 0.2},
    "grin": {"mouthSmile": 0.9, "mouthUpperUp": 0.5, "mouthLowerDown": 0.35, "cheekSquint": 0.6,
             "eyeSquint": 0.3, "jawOpen": 0.08},
    "laugh": {"mouthSmile": 0.95, "mouthUpperUp": 0.6, "mouthLowerDown": 0.4, "jawOpen": 0.38,
              "cheekSquint": 0.8, "eyeSquint": 0.5, "eyeBlink": 0.2},
    "sad": {"browInnerUp": 0.8, "mouthFrown": 0.6, "mouthShrugLower": 0.35, "eyeSquint": 0.2},
    "angry": {"browDown": 0.9, "noseSneer": 0.35, "mouthPress": 0.4, "eyeSquint": 0.35},
    "disgust": {"noseSneer": 0.8, "mouthUpperUp": 0.45, "browDown": 0.5, "cheekSquint": 0.4},
    "surprise": {"browInnerUp": 0.8, "browOuterUp": 0.8, "eyeWide": 0.7, "jawOpen": 0.35},
    "fear": {"browInnerUp": 0.9, "eyeWide": 0.8, "mouthStretch": 0.5, "jawOpen": 0.15},
    "doubt": {"browOuterUp": 0.6, "mouthLeft": 0.4, "mouthPress": 0.3},
    "shout": {"jawOpen": 0.8, "mouthUpperUp": 0.4, "mouthLowerDown": 0.5, "browDown": 0.5,
              "mouthStretch": 0.3, "eyeSquint": 0.3},
    "scream": {"jawOpen": 0.95, "browInnerUp": 0.6, "eyeWide": 0.5, "mouthStretch": 0.4},
    "kiss": {"mouthPucker": 0.95, "mouthFunnel": 0.2},
    "puff": {"cheekPuff": 0.9, "mouthPress": 0.4, "mouthPucker": 0.25},
    "calm": {},
}  # fmt: skip
"""Both sides' coefficients by the name without _L and _R."""

VISEMES: tuple[dict[str, float], ...] = (
    {"jawOpen": 0.45, "mouthLowerDown": 0.2, "mouthUpperUp": 0.1},  # a
    {"jawOpen": 0.22, "mouthStretch": 0.3, "mouthLowerDown": 0.3, "mouthUpperUp": 0.15},  # e
    {"jawOpen": 0.12, "mouthSmile": 0.3, "mouthStretch": 0.25, "mouthLowerDown": 0.3},  # i
    {"jawOpen": 0.3, "mouthFunnel": 0.55, "mouthPucker": 0.25},  # o
    {"jawOpen": 0.15, "mouthPucker": 0.75, "mouthFunnel": 0.2},  # u
    {"mouthPress": 0.5, "mouthRollLower": 0.25, "mouthRollUpper": 0.2},  # m b p
    {"jawOpen": 0.06, "mouthRollLower": 0.45, "mouthUpperUp": 0.25},  # f v
    {"jawOpen": 0.08, "mouthStretch": 0.15, "mouthLowerDown": 0.4, "mouthUpperUp": 0.2},  # s z
    {"jawOpen": 0.1, "mouthFunnel": 0.6, "mouthUpperUp": 0.2, "mouthLowerDown": 0.25},  # sh
    {"jawOpen": 0.2, "mouthLowerDown": 0.25, "mouthShrugUpper": 0.15},  # l n t
)
"""Mouth shapes of speech."""

_BROWS: tuple[dict[str, float], ...] = (
    {"browInnerUp": 0.9, "browOuterUp": 0.9},
    {"browInnerUp": 0.9},
    {"browOuterUp": 0.9},
    {"browDown": 1.0},
)
_MOUTHS: tuple[dict[str, float], ...] = (
    {"jawOpen": 0.9},
    {"jawOpen": 0.6, "mouthSmile": 0.5},
    {"mouthSmile": 1.0, "cheekSquint": 0.4},
    {"mouthPucker": 1.0},
    {"mouthFunnel": 0.9, "jawOpen": 0.2},
    {"mouthFrown": 0.8, "mouthShrugLower": 0.4},
    {"jawOpen": 0.1, "mouthUpperUp": 0.7, "mouthLowerDown": 0.7},
    {"mouthRollLower": 0.7, "mouthRollUpper": 0.7, "mouthPress": 0.4},
    {"mouthStretch": 0.9, "jawOpen": 0.15},
)
# What brows and mouths do on their own, to their ends.

_GAZE = ("eyeLookIn", "eyeLookOut", "eyeLookUp", "eyeLookDown")


def blend(parts: dict[str, float], side: float = 0.0) -> np.ndarray:
    """(53,) coefficients from names with or without _L and _R.

    Args:
        side: -1 the right half only, 1 the left half only, 0 both alike.
    """
    result = np.zeros(len(ARKIT))
    share = {"_L": min(1.0, 1.0 + side), "_R": min(1.0, 1.0 - side)}
    for index, name in enumerate(ARKIT):
        if name in parts:
            result[index] += parts[name]
        elif name[:-2] in parts and name[-2:] in share:
            result[index] += parts[name[:-2]] * share[name[-2:]]
    return result


def gaze(yaw: float, pitch: float) -> np.ndarray:
    """(53,) coefficients of eyes that both turn; lids follow by FaceKit's own shapes.

    Args:
        yaw: -1 to 1, positive to the person's left; pitch: -1 to 1, positive up.
    """
    parts = {
        "eyeLookOut_L": max(yaw, 0.0),
        "eyeLookIn_R": max(yaw, 0.0),
        "eyeLookIn_L": max(-yaw, 0.0),
        "eyeLookOut_R": max(-yaw, 0.0),
        "eyeLookUp": max(pitch, 0.0),
        "eyeLookDown": max(-pitch, 0.0),
    }
    return blend(parts)


def sample_faces(rng: np.random.Generator, count: int) -> np.ndarray:
    """(count, 53) faces of one person.

    About two in five are from one take that moves as filmed people do, a second apart, somewhat
    exaggerated; the rest are made up, each alone, so that extremes are seen too.
    """
    take = load_natural().sample(rng, count, rate=1.0) * rng.uniform(0.9, 1.5)
    faces = []
    for natural in take:
        face = compatible(natural)
        if rng.random() < 0.4:
            faces.append(look(face, rng) if rng.random() < 0.5 else face)
        else:
            faces.append(sample_expression(rng))
    return np.stack(faces)


def sample_expression(rng: np.random.Generator) -> np.ndarray:
    """(53,) coefficients in [0, 1] of one random face."""
    face = np.zeros(len(ARKIT))
    if rng.random() < 0.6:
        mood = str(rng.choice(list(MOODS)))
        face += rng.beta(2.0, 1.6) * blend(MOODS[mood], _side(rng))
    if rng.random() < 0.45:
        first, second = rng.choice(len(VISEMES), 2)
        amount = rng.uniform(0.3, 1.25)
        mix = rng.random()
        face += amount * (mix * blend(VISEMES[first]) + (1 - mix) * blend(VISEMES[second]))
    for name in (_BROWS, _MOUTHS):
        if rng.random() < 0.3:
            face += rng.uniform(0.4, 1.1) * blend(name[rng.integers(len(name))], _side(rng))
    few = rng.random(len(ARKIT)) < 0.06
    face += few * rng.beta(1.2, 2.2, len(ARKIT)) + np.abs(rng.normal(0, 0.02, len(ARKIT)))
    if rng.random() < 0.08:  # one muscle to its end
        face[rng.integers(len(ARKIT))] = 1.0
    return look(face, rng)


def _side(rng: np.random.Generator) -> float:
    """How one-sided a face is, in [-1, 1] (see `blend`): mostly hardly."""
    side = rng.uniform(-1, 1) if rng.random() < 0.2 else rng.normal(0, 0.12)
    return float(np.clip(side, -1, 1))


def look(face: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Give a face (53,) eyes that look anywhere and are closed now and then."""
    face = face.copy()
    for name in _GAZE:
        for tag in ("_L", "_R"):
            face[ARKIT.index(name + tag)] = 0.0
    wide = rng.random() < 0.6
    yaw = rng.uniform(-0.92, 0.92) if wide else rng.normal(0, 0.25)
    pitch = rng.uniform(-0.75, 0.85) if wide else rng.normal(-0.04, 0.18)
    face += gaze(float(np.clip(yaw, -1, 1)), float(np.clip(pitch, -1, 1)))
    chance = rng.random()
    if chance < 0.14:
        face += blend({"eyeBlink": rng.uniform(0.9, 1.0)})
    elif chance < 0.28:
        side = float(np.clip(rng.normal(0, 0.2), -1, 1))
        face += blend({"eyeBlink": rng.uniform(0.05, 0.75)}, side)
    elif chance < 0.31:
        face += blend({"eyeBlink": 0.95, "cheekSquint": 0.4}, float(rng.choice([-1, 1])))
    return compatible(face)


def compatible(face: np.ndarray) -> np.ndarray:
    """A face (53,) in [0, 1], without what cannot be together."""
    face = np.clip(face, 0, 1)

    def limit(rival: str, name: str, floor: float = 0.0) -> None:
        for tag in ("", "_L", "_R"):
            if name + tag in ARKIT:
                first = ARKIT.index(name + tag)
                other = ARKIT.index(rival + tag) if rival + tag in ARKIT else ARKIT.index(rival)
                face[first] = min(face[first], max(1 - face[other], floor))

    # A whole brow goes up hardly farther than one of its ends.
    for tag in ("_L", "_R"):
        ends = [ARKIT.index(f"brow{end}Up{tag}") for end in ("Inner", "Outer")]
        face[ends] *= min(1.0, 1.2 / max(face[ends].sum(), 1e-6))
    limit("eyeBlink", "eyeWide")
    limit("eyeBlink", "eyeSquint", 0.2)
    limit("browDown", "browOuterUp", 0.1)
    limit("mouthPucker", "mouthSmile", 0.1)
    limit("mouthPucker", "mouthStretch", 0.1)
    limit("jawOpen", "mouthPress")
    limit("jawOpen", "cheekPuff")
    limit("jawOpen", "mouthClose", 0.1)
    # A lid that is down hides the rest of the way by itself.
    for tag in ("_L", "_R"):
        blink, down = ARKIT.index("eyeBlink" + tag), ARKIT.index("eyeLookDown" + tag)
        face[blink] = min(face[blink], 1 - 0.35 * face[down])
    close = ARKIT.index("mouthClose")
    face[close] = min(face[close], face[ARKIT.index("jawOpen")])
    return face
