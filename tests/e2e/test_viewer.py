"""The page in a real browser, its pictures against those of `mien.render`."""

import json

import numpy as np
import pytest
import torch
from browser import drive, served
from pictures import drawn, picture, psnr, rendered
from PIL import Image
from stand_in import avatar_of, baked_of, base_network, latent_of, take_of

from mien.artifact import load_avatar, save_avatar, save_motion
from mien.artifact.baked import load_baked, save_baked
from mien.engine.play_cpu import express
from mien.serve.controls import load_controls
from mien.serve.view import View, application
from mien.structures import Camera

SMILE = {
    f"{name}{side}": value
    for name, value in {"mouthSmile": 0.8, "cheekSquint": 0.4, "eyeSquint": 0.2}.items()
    for side in ("Left", "Right")
}

GRID = 64
"""Few enough Gaussians for a browser that draws on a shared CPU."""


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """What the browser saw (a folder), and what it was shown."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("viewer")
    network = base_network()
    save_avatar(folder / "me.mien", avatar_of(network, GRID))
    save_motion(folder / "hello.motion", take_of(network))
    avatar = load_avatar(folder / "me.mien")
    save_baked(folder / "baked.mien", baked_of(network, avatar))
    command = View(folder / "me.mien", take=(folder / "hello.motion",))
    with served(application(command, network, folder)) as url:
        files = [folder / "baked.mien", folder / "hello.motion"]
        drive("viewer.mjs", url + "/", *files, folder / "seen")
    return folder / "seen", network, avatar


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "values"), [("neutral", {}), ("jaw_open", {"jawOpen": 1.0}), ("smile_turned", SMILE)]
)
def test_the_page_draws_what_mien_draws(seen, name, values):
    folder, network, avatar = seen
    report = json.loads((folder / "report.json").read_text())
    yaw = report["view"]["yaw"] if name == "smile_turned" else 0.0
    latent = latent_of(network, load_controls(), avatar, values)
    wanted = rendered(network, avatar, latent, Camera.orbit(yaw), report["side"])
    assert psnr(picture(folder, name), wanted) > 35


@pytest.mark.slow
def test_a_slider_changes_the_same_pixels(seen):
    folder, network, avatar = seen
    side = json.loads((folder / "report.json").read_text())["side"]
    controls = load_controls()
    still, opened = (
        rendered(network, avatar, latent_of(network, controls, avatar, v), Camera.orbit(), side)
        for v in ({}, {"jawOpen": 1.0})
    )
    change = picture(folder, "jaw_open") - picture(folder, "neutral")
    assert psnr(still, opened) < 30
    correlation = np.corrcoef(change.ravel(), (opened - still).ravel())[0, 1]
    assert correlation > 0.98


@pytest.mark.slow
def test_reset_brings_the_picture_back(seen):
    folder, *_ = seen
    assert psnr(picture(folder, "reset"), picture(folder, "neutral")) > 60


@pytest.mark.slow
def test_a_take_is_played_to_its_end(seen):
    folder, network, avatar = seen
    side = json.loads((folder / "report.json").read_text())["side"]
    take = take_of(network)
    camera = Camera.orbit(0.3)
    wanted = rendered(network, avatar, take.latents[-1], camera, side)
    assert psnr(picture(folder, "take_end"), wanted) > 35


@pytest.mark.slow
def test_the_saved_picture_is_the_one_on_the_page(seen):
    folder, *_ = seen
    saved = Image.open(folder / "saved.png")
    assert saved.size == (1024, 1024)
    assert np.asarray(saved.convert("RGB")).std() > 10


@pytest.mark.slow
def test_without_float_textures_a_worker_decodes_the_same(seen):
    folder, *_ = seen
    # Blended in eight bits, so not quite the same.
    assert psnr(picture(folder, "neutral_by_worker"), picture(folder, "neutral")) > 35


@pytest.mark.slow
def test_a_take_that_is_dropped_is_played(seen):
    folder, *_ = seen
    assert psnr(picture(folder, "dropped_take_end"), picture(folder, "take_end")) > 50


@pytest.mark.slow
def test_a_recording_is_a_video(seen):
    folder, *_ = seen
    content = (folder / "recorded.webm").read_bytes()
    assert content[:4] == bytes.fromhex("1a45dfa3")
    assert len(content) > 1000


@pytest.mark.slow
@pytest.mark.parametrize("name", ["baked", "baked_jaw_open"])
def test_a_baked_avatar_looks_as_mien_plays_it(seen, name):
    folder, _, avatar = seen
    report = json.loads((folder / "report.json").read_text())
    latent = avatar.source_latent if name == "baked" else torch.tensor(report["bakedLatent"])
    gaussians = express(load_baked(folder.parent / "baked.mien"), latent)
    wanted = drawn(gaussians, Camera.orbit(), report["side"])
    assert psnr(picture(folder, name), wanted) > 35


@pytest.mark.slow
def test_a_baked_avatar_moves(seen):
    folder, *_ = seen
    assert psnr(picture(folder, "baked"), picture(folder, "baked_jaw_open")) < 35


@pytest.mark.slow
def test_without_float_textures_a_worker_plays_baked_avatars(seen):
    folder, *_ = seen
    assert psnr(picture(folder, "baked_by_worker"), picture(folder, "baked")) > 35
