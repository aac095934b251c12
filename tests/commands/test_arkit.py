"""Takes as tables of ARKit's coefficients, and back."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mien.commands.arkit import POSE, coefficients, load_arkit, save_arkit
from mien.errors import MienError
from mien.model.network import Network
from mien.model.paper import PaperNetwork
from mien.presets import build, paper, tiny
from mien.serve.controls import NAMES, load_controls
from mien.structures import Camera, Motion

FRAMES = 200


@pytest.fixture(scope="module")
def network() -> Network:
    return build(tiny()).eval().requires_grad_(False)


@pytest.fixture
def expressions() -> torch.Tensor:
    """(T, K): a few coefficients at a time."""
    return torch.rand(FRAMES, len(NAMES)) * (torch.rand(FRAMES, len(NAMES)) < 0.15)


def faces_of(expressions: torch.Tensor) -> torch.Tensor:
    controls = load_controls()
    return controls.neutral + torch.einsum("tk,klc->tlc", expressions, controls.shapes)


def a_take(expressions: torch.Tensor) -> Motion:
    count = len(expressions)
    turn = torch.linspace(-0.5, 0.5, count)
    return Motion(
        latents=torch.zeros(count, 8),
        cam_from_head=Camera.orbit(turn, 0.3 * turn, 0.2 * turn, radius=3.0).cam_from_world,
        times=torch.arange(count).double() / 30 + 5,
        fps=30.0,
        preset="tiny",
        landmarks=faces_of(expressions),
    )


def test_coefficients_are_found_on_any_face(expressions):
    someone = 0.02 * torch.randn(478, 3)
    for faces in (faces_of(expressions), faces_of(expressions) + someone):
        found = coefficients(faces)
        both = torch.stack([found.flatten(), expressions.flatten()])
        assert torch.corrcoef(both)[0, 1] > 0.97
        assert (found - expressions).abs().mean() < 0.02
        assert found.min() >= 0
        assert found.max() <= 1


def test_one_face_is_read_against_the_neutral_one():
    asked = torch.zeros(1, len(NAMES))
    asked[0, NAMES.index("jawOpen")] = 0.8
    asked[0, NAMES.index("browInnerUp")] = 0.6
    found = coefficients(faces_of(asked))
    assert (found - asked).abs().max() < 0.1


def test_a_take_comes_back_from_its_table(expressions, network, tmp_path: Path):
    take, path = a_take(expressions), tmp_path / "take.csv"
    save_arkit(path, take)
    again = load_arkit(path, network)
    assert len(again) == FRAMES
    assert again.fps == pytest.approx(30, rel=1e-3)
    torch.testing.assert_close(again.times, take.times - 5, atol=1e-5, rtol=0)
    torch.testing.assert_close(again.cam_from_head, take.cam_from_head, atol=1e-4, rtol=0)
    assert again.landmarks is not None
    torch.testing.assert_close(again.latents, network.motion(again.landmarks))
    moved = take.landmarks - take.landmarks.mean(0)
    error = again.landmarks - again.landmarks.mean(0) - moved
    assert error.square().sum() < 0.05 * moved.square().sum()


def test_the_table_is_what_other_programs_expect(expressions, tmp_path: Path):
    save_arkit(tmp_path / "take.csv", a_take(expressions[:3]))
    rows = list(csv.reader((tmp_path / "take.csv").read_text().splitlines()))
    assert rows[0][0] == "time"
    assert set(rows[0]) == {"time", "tongueOut", *NAMES, *POSE}
    assert len(rows) == 4
    assert all(float(row[rows[0].index("tongueOut")]) == 0 for row in rows[1:])


def test_tables_of_live_link_face_are_read(network, tmp_path: Path):
    path = tmp_path / "take.csv"
    path.write_text(
        "Timecode,BlendshapeCount,JawOpen,EyeBlinkLeft,HeadYaw\n"
        "10:11:12:58.500,61,0.5,0,0.3\n10:11:12:59.500,61,1.5,1,0.3\n10:11:13:00.500,61,0,0,0.3\n"
    )
    take = load_arkit(path, network)
    np.testing.assert_allclose(take.times, np.arange(3) / 60, atol=1e-6)
    controls = load_controls()
    torch.testing.assert_close(take.landmarks[0], controls.landmarks({"jawOpen": 0.5}))
    torch.testing.assert_close(
        take.landmarks[1], controls.landmarks({"jawOpen": 1.0, "eyeBlinkLeft": 1.0})
    )
    # What its angles mean is not known, so the head looks straight ahead.
    torch.testing.assert_close(take.cam_from_head[0], Camera.orbit().cam_from_world)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "its first line must name"),
        ("jawOpen,mouthClose\n1,2\n", "its first line must name"),
        ("time,feet\n1,2\n", "its first line must name"),
        ("time,jawOpen\n", "has 0 frames"),
        ("time,jawOpen\n0,1\n0,1\n", "do not increase"),
        ("time,jawOpen\n0,wide\n", "frame 0 has no number for 'jawOpen'"),
        ("time,jawOpen\n0,0\n1\n", "frame 1 has no number for 'jawOpen'"),
        ("time,jawOpen\n0,nan\n", "no number"),
        ("time,jawOpen\n0,1e30\n", "no number"),
        ("Timecode,jawOpen\nnoon,1\n", "frame 0 has no timecode"),
    ],
)
def test_what_is_no_such_table_is_said(text, said, network, tmp_path: Path):
    path = tmp_path / "take.csv"
    path.write_text(text)
    with pytest.raises(MienError, match=said):
        load_arkit(path, network)


def test_bytes_are_no_table(network, tmp_path: Path):
    (tmp_path / "take.csv").write_bytes(b"\xff\xfe\x00\x80" * 10)
    with pytest.raises(MienError, match="is no table of text"):
        load_arkit(tmp_path / "take.csv", network)


def test_latents_alone_give_no_table(expressions, tmp_path: Path):
    take = replace(a_take(expressions), landmarks=None)
    with pytest.raises(MienError, match="keeps latents alone"):
        save_arkit(tmp_path / "take.csv", take)
    assert not list(tmp_path.iterdir())


def test_a_table_is_no_picture(tmp_path: Path):
    (tmp_path / "take.csv").write_text("time,jawOpen\n0,1\n")
    with torch.device("meta"):
        network = PaperNetwork(paper())
    with pytest.raises(MienError, match="'paper', which read pictures"):
        load_arkit(tmp_path / "take.csv", network)
