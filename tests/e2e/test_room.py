"""Two pages in one room: the viewer sees the driver's face."""

import json

import pytest
import torch
from browser import drive, served
from pictures import picture, psnr
from stand_in import avatar_of, base_network

from mien.artifact import save_avatar
from mien.serve.live import Live, application


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """A folder with what driver and viewer saw, and the report."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("room")
    network = base_network()
    save_avatar(folder / "me.mien", avatar_of(network, 32))
    app, room = application(Live(folder / "me.mien"), network, folder)
    with served(app) as url:
        links = [f"{url}/#{token}" for token in (room.driver_token, room.viewer_token)]
        drive("room.mjs", *links, folder / "seen")
    report = json.loads((folder / "seen" / "report.json").read_text())
    assert report["link"] == links[1]
    return folder / "seen", report


@pytest.mark.slow
def test_the_viewer_sees_the_drivers_face(seen):
    folder, _ = seen
    assert psnr(picture(folder, "viewer"), picture(folder, "driver")) > 40
    assert psnr(picture(folder, "viewer_before"), picture(folder, "driver")) < 30


@pytest.mark.slow
def test_each_page_says_what_it_is(seen):
    _, report = seen
    assert "You drive" in report["driverSees"]
    assert "You watch" in report["viewerSees"]
    assert not report["viewerHasSliders"]
