"""Decoding by a compute shader, in browsers that have WebGPU."""

import json
import subprocess

import pytest
import torch
from browser import drive, served
from pictures import picture, psnr, rendered
from stand_in import avatar_of, base_network, latent_of
from test_page_from_disk import SURPRISE

from mien.artifact import load_avatar, save_avatar
from mien.serve.controls import load_controls
from mien.serve.view import View, application
from mien.structures import Camera


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """A folder with what the browser drew, the report, and what Mien draws."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("webgpu")
    network = base_network()
    save_avatar(folder / "me.mien", avatar_of(network, 48))
    report = {"adapter": True}
    try:
        with served(application(View(folder / "me.mien"), network, folder)) as url:
            drive("webgpu.mjs", url + "/", folder / "seen")
    except subprocess.CalledProcessError:
        report = json.loads((folder / "seen" / "report.json").read_text())
        if report["adapter"]:
            raise
        pytest.skip("this browser has no WebGPU")
    report = json.loads((folder / "seen" / "report.json").read_text())
    avatar = load_avatar(folder / "me.mien")
    latent = latent_of(network, load_controls(), avatar, SURPRISE)
    wanted = rendered(network, avatar, latent, Camera.orbit(), report["side"])
    return folder / "seen", report, wanted


@pytest.mark.slow
def test_a_compute_shader_draws_what_mien_draws(seen):
    folder, report, wanted = seen
    assert report["engine"] == "WebGPU"
    assert psnr(picture(folder, "surprise"), wanted) > 45


@pytest.mark.slow
def test_webgl_takes_over_when_the_device_is_lost(seen):
    folder, _, wanted = seen
    assert psnr(picture(folder, "lost"), wanted) > 45
