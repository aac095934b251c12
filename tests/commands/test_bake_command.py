"""`mien bake`: what it writes and says, and what it refuses."""

import math
from pathlib import Path

import pytest
import torch

from mien import pipeline, presets
from mien.artifact import load_baked, save_avatar, save_motion
from mien.cli import main
from mien.engine import bake as engine
from mien.engine.bake import load_spread
from mien.model.network import Network
from mien.structures import Camera, Motion, Portrait


@pytest.fixture(scope="module")
def network() -> Network:
    torch.manual_seed(0)
    return Network(presets.tiny()).eval().requires_grad_(False)


@pytest.fixture
def folder(tmp_path: Path, network: Network, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Holds me.mien and take.motion; baking is quick, on the tiny network."""
    small = {"SAMPLES": 24, "LESSONS": 100, "WITNESSES": 32, "EPOCHS": 2}
    for name, value in small.items():
        monkeypatch.setattr(engine, name, value)
    monkeypatch.setattr(presets, "load_network", lambda *_: network)
    portrait = Portrait(
        torch.rand(3, 64, 64),
        torch.ones(1, 64, 64),
        Camera.orbit(),
        load_spread().mean,
        torch.eye(3)[:2],
    )
    save_avatar(tmp_path / "me.mien", pipeline.encode(network, portrait, 16))
    faces = load_spread().mean + load_spread().moves[:5]
    take = Motion(
        network.motion(faces),
        torch.eye(4).expand(5, 4, 4),
        torch.arange(5) / 25,
        25.0,
        "tiny",
        landmarks=faces,
        weights=pipeline.motion_weights(network),
    )
    save_motion(tmp_path / "take.motion", take)
    return tmp_path


def test_says_what_is_lost(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bake", str(folder / "me.mien"), "--bases", "4"]) == 0
    baked = load_baked(folder / "me.baked.mien")
    assert baked.codes.shape[0] == 4
    said = capsys.readouterr().out
    assert f"{len(baked)} Gaussians, 4 bases" in said
    ratio = float(said.partition("avatar itself: ")[2].split()[0])
    assert math.isfinite(ratio)
    assert "drawn expressions" in said
    assert "the takes" not in said


def test_takes_are_baked_in_and_measured(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = folder / "small.mien"
    take = str(folder / "take.motion")
    arguments = ["bake", str(folder / "me.mien"), "-o", str(out), "--bases", "4", "--take", take]
    assert main(arguments) == 0
    assert load_baked(out).preset == "tiny"
    assert "over the takes" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["me.mien", "--bases", "0"], "from 1 to 128"),
        (["me.mien", "--bases", "129"], "from 1 to 128"),
        (["me.mien", "-o", "me.mien"], "would overwrite"),
        (["me.mien", "-o", "me.ply"], "must end in .mien"),
        (["nobody.mien"], "nobody.mien"),
        (["take.motion"], "mien.motion"),
    ],
)
def test_what_cannot_be_baked_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch, arguments, words: str
) -> None:
    monkeypatch.chdir(folder)
    before = sorted(folder.iterdir())
    assert main(["bake", *arguments]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert len(said.splitlines()) == 1
    assert sorted(folder.iterdir()) == before


def test_a_baked_avatar_is_not_baked_again(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bake", str(folder / "me.mien"), "--bases", "2"]) == 0
    assert main(["bake", str(folder / "me.baked.mien"), "-o", str(folder / "twice.mien")]) == 2
    assert "is baked already" in capsys.readouterr().err
    assert not (folder / "twice.mien").exists()
