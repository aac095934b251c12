"""`make demo`, shortened, and the scripted take that it plays."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mien.model.motion import eye_signals
from mien.preprocess.pose import canonical
from mien.preprocess.video import Video

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def scripted(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    import scripted

    return scripted


def face(scripted, **controls):
    still = {name: np.zeros(1) for name in scripted.SCORE}
    asked = {name: np.array([float(value)]) for name, value in controls.items()}
    return scripted.landmarks(still | asked)[0]


def test_a_face_at_rest_is_the_canonical_one(scripted):
    np.testing.assert_allclose(face(scripted), canonical().points, atol=1e-6)


def test_controls_do_what_they_say(scripted):
    rest, blink = face(scripted), face(scripted, blink=1)
    opening = [2, 5]
    before, after = (eye_signals(torch.from_numpy(f))[opening] for f in (rest, blink))
    assert (after < 0.25 * before).all()
    # Image right is positive x; both irises go there.
    assert (face(scripted, gaze_x=1)[468:, 0] > rest[468:, 0] + 0.008).all()
    gap = face(scripted, jaw=1)[[13, 14], 1]
    assert gap[0] - gap[1] > 0.03
    width = {name: face(scripted, **{name: 1})[[61, 291], 0].ptp() for name in ("smile", "pucker")}
    assert width["smile"] > 1.2 * rest[[61, 291], 0].ptp() > 1.4 * width["pucker"]
    assert (face(scripted, brows=1)[[105, 334], 1] > rest[[105, 334], 1] + 0.01).all()


@pytest.mark.parametrize("control", ["blink", "gaze_x", "jaw", "smile", "pucker", "brows"])
def test_controls_keep_the_face_symmetric_or_mirror_it(scripted, control):
    mirrored = face(scripted, **{control: 1})[canonical().mirror] * (-1, 1, 1)
    other = face(scripted, **{control: -1 if control == "gaze_x" else 1})
    np.testing.assert_allclose(mirrored, other, atol=0.004)


def test_the_score_never_goes_beyond_its_keys(scripted):
    controls = scripted.score(np.linspace(0, scripted.SECONDS, 1000))
    for name, values in controls.items():
        keys = np.array([value for _, value in scripted.SCORE[name]])
        assert keys.min() - 1e-9 <= values.min()
        assert values.max() <= keys.max() + 1e-9
        assert values[0] == values[-1] == 0


def test_the_demo(scripted, weights, tmp_path, monkeypatch):
    import demo

    monkeypatch.setattr(scripted, "SECONDS", 0.2)
    words = ["demo.py", "--out", str(tmp_path / "out"), "--weights", str(weights)]
    monkeypatch.setattr(sys, "argv", words)
    assert demo.main() == 0
    assert Video(tmp_path / "out" / "out.mp4").frames == 5
    with Image.open(tmp_path / "out" / "sheet.png") as sheet:
        assert sheet.size == (6 * 256, 3 * 256)
    assert (tmp_path / "out" / "scripted.motion").is_file()


def test_the_demo_says_what_is_missing(scripted, tmp_path, monkeypatch, capsys):
    import demo

    words = ["demo.py", "--out", str(tmp_path), "--weights", str(tmp_path / "none")]
    monkeypatch.setattr(sys, "argv", words)
    assert demo.main() == 2
    assert "The weights cannot be loaded" in capsys.readouterr().err
