"""A page exported to one file works from disk and reaches for nothing else."""

import json

import pytest
import torch
from browser import drive
from pictures import picture, psnr, rendered
from stand_in import avatar_of, base_network, latent_of

from mien.artifact import load_avatar, save_avatar
from mien.serve.controls import load_controls
from mien.serve.export_html import export_html
from mien.structures import Camera

SURPRISE = {
    **{f"{name}{side}": value for name, value in (("eyeWide", 0.9), ("browOuterUp", 0.8))
       for side in ("Left", "Right")},
    "browInnerUp": 0.9,
    "jawOpen": 0.4,
}  # fmt: skip


@pytest.mark.slow
def test_a_page_from_disk_draws_what_mien_draws(tmp_path):
    torch.manual_seed(0)
    network = base_network()
    save_avatar(tmp_path / "me.mien", avatar_of(network, 48))
    export_html(tmp_path / "me.html", tmp_path / "me.mien", network)
    drive("file.mjs", tmp_path / "me.html", tmp_path / "seen")
    report = json.loads((tmp_path / "seen" / "report.json").read_text())
    assert all(url.startswith(("file:", "data:", "blob:")) for url in report["requested"])
    avatar = load_avatar(tmp_path / "me.mien")
    latent = latent_of(network, load_controls(), avatar, SURPRISE)
    wanted = rendered(network, avatar, latent, Camera.orbit(), report["side"])
    assert psnr(picture(tmp_path / "seen", "surprise"), wanted) > 35
