import numpy as np
import pytest

from mien.evaluate.metrics.signals import SIGNALS, eye_span, face_signals

PLACES = {
    33: (-2.0, 0.0),
    133: (-1.0, 0.0),
    362: (1.0, 0.0),
    263: (2.0, 0.0),
    468: (-1.5, 0.0),
    473: (1.5, 0.0),
    2: (0.0, -2.0),
    152: (0.0, -5.0),
    61: (-1.0, -3.0),
    291: (1.0, -3.0),
}
LIDS = {160: 0.2, 159: 0.2, 158: 0.2, 144: -0.2, 145: -0.2, 153: -0.2}
LIDS |= {387: 0.2, 386: 0.2, 385: 0.2, 373: -0.2, 374: -0.2, 380: -0.2}
BROWS = {70: 1.0, 63: 1.0, 105: 1.0, 66: 1.0, 107: 1.0}
BROWS |= {300: 1.0, 293: 1.0, 334: 1.0, 296: 1.0, 336: 1.0}
LIPS = {81: -2.9, 13: -2.9, 311: -2.9, 178: -3.1, 14: -3.1, 402: -3.1}


@pytest.fixture
def face() -> np.ndarray:
    """A face with the outer eye corners 4 apart, by hand."""
    points = np.zeros((478, 3))
    for index, place in PLACES.items():
        points[index, :2] = place
    for index, y in {**LIDS, **BROWS, **LIPS}.items():
        points[index, 1] = y
    for index in LIDS:
        points[index, 0] = -1.5 if index < 200 else 1.5
    return points


def signals(*faces: np.ndarray) -> dict[str, np.ndarray]:
    return dict(zip(SIGNALS, face_signals(np.stack(faces)).T, strict=True))


def test_by_hand(face: np.ndarray) -> None:
    values = signals(face)
    assert eye_span(face[None]) == pytest.approx(4.0)
    expected = {
        "mouth opening": 0.05,
        "mouth width": 0.5,
        "smile": -0.25,
        "jaw": 0.75,
        "brow right": 0.25,
        "brow left": 0.25,
        "lid right": 0.4,
        "lid left": 0.4,
        "gaze x": 0.0,
        "gaze y": 0.0,
    }
    assert {k: v[0] for k, v in values.items()} == pytest.approx(expected)


def test_a_larger_person_gives_the_same(face: np.ndarray) -> None:
    assert np.allclose(face_signals(face[None]), face_signals(3 * face[None] + 7))


@pytest.mark.parametrize(
    ("name", "indices", "move"),
    [
        ("mouth opening", (178, 14, 402), (0, -1, 0)),
        ("mouth width", (291,), (1, 0, 0)),
        ("smile", (61, 291), (0, 1, 0)),
        ("jaw", (152,), (0, -1, 0)),
        ("brow right", (70, 63, 105, 66, 107), (0, 1, 0)),
        ("brow left", (300, 293, 334, 296, 336), (0, 1, 0)),
        ("lid right", (160, 159, 158), (0, 1, 0)),
        ("lid left", (387, 386, 385), (0, 1, 0)),
        ("gaze x", (468, 473), (1, 0, 0)),
        ("gaze y", (468, 473), (0, 1, 0)),
    ],
)
def test_each_motion_raises_its_own_signal_alone(face, name, indices, move) -> None:
    moved = face.copy()
    moved[list(indices)] += 0.1 * np.array(move)
    values = signals(face, moved)
    change = {k: v[1] - v[0] for k, v in values.items()}
    assert change.pop(name) > 0.01
    assert change == pytest.approx(dict.fromkeys(change, 0.0), abs=1e-9)


def test_gaze_is_unknown_behind_shut_lids(face: np.ndarray) -> None:
    shut = face.copy()
    shut[[160, 159, 158], 1] = -0.19
    values = signals(face, shut)
    assert np.isnan(values["gaze x"]).tolist() == [False, True]
    assert values["lid right"][1] == pytest.approx(0.01)


def test_gaze_is_counted_along_a_tilted_eye(face: np.ndarray) -> None:
    turn = np.deg2rad(20)
    rotation = np.array(
        [[np.cos(turn), np.sin(turn), 0], [-np.sin(turn), np.cos(turn), 0], [0, 0, 1]]
    )
    looking = face.copy()
    looking[[468, 473], :2] += (0.2, 0.1)
    values = signals(looking @ rotation)
    assert values["gaze x"][0] == pytest.approx(0.2)
    assert values["gaze y"][0] == pytest.approx(0.1)


def test_frames_without_a_face_are_nan(face: np.ndarray) -> None:
    values = face_signals(np.stack([face, np.full_like(face, np.nan)]))
    assert np.isfinite(values[0]).all()
    assert np.isnan(values[1]).all()
    assert np.isnan(face_signals(np.full((2, 478, 3), np.nan))).all()
