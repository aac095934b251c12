"""A face before the browser's camera moves the avatar, and nothing leaves the machine."""

import json
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
from browser import drive, served
from pictures import picture, psnr
from PIL import Image, ImageOps
from stand_in import avatar_of, base_network

from mien.artifact import save_avatar
from mien.model.network import Network
from mien.preprocess.take import track
from mien.serve.view import View, application

TILT = 12.0
"""Degrees that the face before the camera tilts to either side."""


def stream() -> list[Image.Image]:
    """The astronaut before a camera, tilting to and fro."""
    photo = Image.fromarray(skimage.data.astronaut()[:300, 60:400]).resize((680, 600))
    angles = TILT * np.sin(np.linspace(0, 2 * np.pi, 40, endpoint=False))
    return [photo.rotate(a, Image.Resampling.BICUBIC).crop((20, 60, 660, 540)) for a in angles]


@pytest.fixture(scope="module")
def seen(tmp_path_factory) -> tuple[Path, dict, str, Network]:
    """A folder with pictures, the report, the page's URL and the networks."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("webcam")
    network = base_network()
    save_avatar(folder / "me.mien", avatar_of(network, 32))
    with (folder / "camera.mjpeg").open("wb") as file:
        for frame in stream():
            frame.save(file, "JPEG", quality=90)
    with served(application(View(folder / "me.mien"), network, folder)) as url:
        drive("webcam.mjs", url + "/", folder / "camera.mjpeg", folder / "seen")
    report = json.loads((folder / "seen" / "report.json").read_text())
    return folder / "seen", report, url, network


@pytest.mark.slow
def test_the_face_is_followed(seen):
    folder, report, _, _ = seen
    rolls = [np.degrees(np.arctan2(s["rotation"][3], s["rotation"][0])) for s in report["samples"]]
    assert max(rolls) - min(rolls) > TILT / 2
    assert max(abs(np.array(rolls) - np.median(rolls))) < 3 * TILT
    depths = [s["translation"][2] for s in report["samples"]]
    assert 2.3 < min(depths) < max(depths) < 3.1
    assert psnr(picture(folder, "driven"), picture(folder, "before")) < 35


@pytest.mark.slow
def test_the_avatar_is_told_what_python_would_tell_it(seen):
    _, report, _, network = seen
    told = np.median([sample["latent"] for sample in report["samples"]], 0)
    # The page shows a mirror.
    frames = [(i / 25, np.asarray(ImageOps.mirror(f))) for i, f in enumerate(stream()[::8])]
    latents = network.motion(torch.from_numpy(track(frames, 25.0).landmarks)).numpy()
    wanted = np.median(latents, 0)
    assert np.corrcoef(told, wanted)[0, 1] > 0.95


@pytest.mark.slow
def test_a_camera_that_is_not_allowed_is_said(seen):
    _, report, _, _ = seen
    assert "not allowed" in report["refusal"]
    assert "start again" in report["refusal"]


@pytest.mark.slow
def test_nothing_leaves_the_machine(seen):
    _, report, url, _ = seen
    assert "nothing leaves this machine" in report["promise"]
    assert all(r.startswith((url, "blob:", "data:")) for r in report["requested"])
    assert report["stopped"]
