"""Faces people make: ARKit coefficients drawn at random, as real motion would have them.

A face is a mood, plus what the mouth says, plus where the eyes look, plus a little of everything;
then one side moves more than the other. Coefficients are in the order of `rig.ARKIT`.
"""

from __future__ import annotations

import numpy as np

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


def sample_expression(rng: np.random.Generator) -> np.ndarray:
    """(53,) coefficients in [0, 1] of one random face."""
    face = np.zeros(len(ARKIT))
    if rng.random() < 0.65:
        mood = str(rng.choice(list(MOODS)))
        strength = rng.beta(2.0, 1.6)
        side = rng.uniform(-1, 1) if rng.random() < 0.15 else rng.normal(0, 0.12)
        face += strength * blend(MOODS[mood], float(np.clip(side, -1, 1)))
    if rng.random() < 0.5:
        first, second = rng.choice(len(VISEMES), 2)
        amount = rng.uniform(0.3, 1.25)
        mix = rng.random()
        face += amount * (mix * blend(VISEMES[first]) + (1 - mix) * blend(VISEMES[second]))
    few = rng.random(len(ARKIT)) < 0.06
    face += few * rng.beta(1.2, 2.2, len(ARKIT)) + np.abs(rng.normal(0, 0.02, len(ARKIT)))
    if rng.random() < 0.08:  # one muscle to its end
        face[rng.integers(len(ARKIT))] = 1.0
    return finish(face, rng)


def finish(face: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Give a face its eyes, and take out what cannot be together."""
    face = face.copy()
    for name in _GAZE:
        for tag in ("_L", "_R"):
            face[ARKIT.index(name + tag)] = 0.0
    wide = rng.random() < 0.25
    yaw = rng.uniform(-1, 1) if wide else rng.normal(0, 0.22)
    pitch = rng.uniform(-0.9, 0.8) if wide else rng.normal(-0.04, 0.16)
    face += gaze(float(np.clip(yaw, -1, 1)), float(np.clip(pitch, -1, 1)))
    chance = rng.random()
    if chance < 0.07:
        face += blend({"eyeBlink": rng.uniform(0.85, 1.0)})
    elif chance < 0.2:
        face += blend(
            {"eyeBlink": rng.uniform(0.05, 0.7)}, float(np.clip(rng.normal(0, 0.2), -1, 1))
        )
    elif chance < 0.23:
        face += blend({"eyeBlink": 0.95, "cheekSquint": 0.4}, float(rng.choice([-1, 1])))
    face = np.clip(face, 0, 1)

    def limit(rival: str, name: str, floor: float = 0.0) -> None:
        for tag in ("", "_L", "_R"):
            if name + tag in ARKIT:
                first = ARKIT.index(name + tag)
                other = ARKIT.index(rival + tag) if rival + tag in ARKIT else ARKIT.index(rival)
                face[first] = min(face[first], max(1 - face[other], floor))

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
