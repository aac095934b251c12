import base64
import json
import re

import pytest
import torch
from stand_in import avatar_of, baked_of, small_network

from mien.artifact import save_baked
from mien.errors import MienError
from mien.serve.export_html import export_html


@pytest.fixture(scope="module")
def page(served, tmp_path_factory):
    network, folder = served
    path = tmp_path_factory.mktemp("page") / "me.html"
    export_html(path, folder / "me.mien", network, [folder / "hello.motion"])
    return path.read_text(encoding="utf-8")


def test_the_page_carries_everything(page, served):
    _, folder = served
    carried = re.search(r'id="manifest">(.*?)</script>', page, re.DOTALL)
    assert carried
    manifest = json.loads(carried[1])
    kept = {
        folder / "me.mien": manifest["avatar"],
        folder / "hello.motion": manifest["takes"][0],
    }
    for path, asset in kept.items():
        kind, text = asset["url"].split(",")
        assert kind == "data:application/octet-stream;base64"
        assert base64.b64decode(text) == path.read_bytes()


def test_the_page_reaches_for_nothing(page):
    assert "default-src 'none'" in page
    assert not re.search(r"<(script|link)[^>]+(src|href)=\"(?!data:)", page)


def test_an_unwritable_place_is_said(served, tmp_path):
    network, folder = served
    with pytest.raises(MienError, match="does not exist"):
        export_html(tmp_path / "nowhere" / "me.html", folder / "me.mien", network)


def test_a_baked_avatar_is_carried_too(tmp_path):
    torch.manual_seed(0)
    network = small_network()
    save_baked(tmp_path / "me.mien", baked_of(network, avatar_of(network, grid=8)))
    export_html(tmp_path / "me.html", tmp_path / "me.mien", network)
    content = base64.b64encode((tmp_path / "me.mien").read_bytes()).decode()
    assert content in (tmp_path / "me.html").read_text(encoding="utf-8")


def test_a_baked_avatar_of_other_weights_is_refused(tmp_path):
    torch.manual_seed(0)
    network, other = small_network(), small_network()
    save_baked(tmp_path / "me.mien", baked_of(network, avatar_of(network, grid=8)))
    with pytest.raises(MienError, match="other weights"):
        export_html(tmp_path / "me.html", tmp_path / "me.mien", other)
    assert not (tmp_path / "me.html").exists()
