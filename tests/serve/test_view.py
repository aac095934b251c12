import hashlib
import json
import re
import socket
from dataclasses import replace

import pytest
import torch
from servers import Client, running
from stand_in import small_network, take_of

from mien.artifact import load_motion, save_motion
from mien.errors import MienError
from mien.presets import build, paper
from mien.serve.controls import load_controls
from mien.serve.site import LOOPBACK, Shelf, bind, publish
from mien.serve.view import View, application, run


@pytest.fixture(scope="module")
def client(served, tmp_path_factory):
    network, folder = served
    command = View(folder / "me.mien", take=(folder / "hello.motion",))
    with running(application(command, network, tmp_path_factory.mktemp("exported"))) as port:
        yield Client(port)


def test_the_page_is_served_and_loads_nothing_from_elsewhere(client):
    page = client.get("/")
    assert page.status == 200
    assert "<canvas" in page.text
    assert not re.search(r"(src|href)=\"(https?:)?//", page.text)
    for name in re.findall(r"(?:src|href)=\"\./([^\"]+)\"", page.text):
        assert client.get(f"/{name}").status == 200


def test_every_answer_is_guarded(client):
    for path in ("/", "/manifest.json", "/nothing"):
        headers = client.get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"


def test_the_manifest_leads_to_the_files(client, served):
    network, folder = served
    manifest = json.loads(client.get("/manifest.json").text)
    avatar = client.get(manifest["avatar"]["url"])
    assert avatar.content == (folder / "me.mien").read_bytes()
    assert manifest["avatar"]["name"] == "me"
    assert manifest["avatar"]["bytes"] == len(avatar.content)
    assert hashlib.sha256(avatar.content).hexdigest() in manifest["avatar"]["url"]
    assert "immutable" in avatar.headers["cache-control"]
    assert manifest["networks"]["preset"] == network.config.preset
    assert manifest["networks"]["gain"] == network.config.gain
    weights = client.get(manifest["networks"]["file"]["url"])
    assert len(weights.content) == manifest["networks"]["file"]["bytes"]
    take = client.get(manifest["takes"][0]["url"])
    assert take.content == (folder / "hello.motion").read_bytes()


@pytest.mark.parametrize(
    "path",
    [
        "/avatar/me.mien",
        "/avatar/..%2f..%2fetc%2fpasswd",
        "/..%2f..%2fview.py",
        "/../view.py",
        "/%2e%2e/view.py",
        "/static/../view.py",
        "//etc/passwd",
        "/..\\view.py",
        "/take/" + "0" * 64 + ".motion",
        "/index.html%00.js",
    ],
)
def test_nothing_else_is_handed_out(client, path):
    answer = client.get(path)
    assert answer.status == 404
    assert "root:" not in answer.text
    assert "import" not in answer.text


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_nothing_can_be_changed(client, method):
    assert client.get("/manifest.json", method).status == 405


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8765", "127.0.0.1.evil.example"])
def test_other_names_for_this_machine_are_refused(client, host):
    assert client.get("/manifest.json", host=host).status == 400


def test_localhost_is_this_machine(client):
    assert client.get("/manifest.json", host="localhost:8765").status == 200


def test_a_missing_avatar_is_said(served, tmp_path):
    network, folder = served
    with pytest.raises(MienError, match="does not exist"):
        application(View(folder / "nobody.mien"), network, tmp_path)


def test_a_foreign_preset_is_said(served, tmp_path):
    network, folder = served
    other = small_network()
    other.config = type(network.config)(preset="other")
    with pytest.raises(MienError, match=r"'stand-in' .*, but the weights are of 'other'"):
        application(View(folder / "me.mien"), other, tmp_path)


def test_other_weights_are_said(served, tmp_path):
    _, folder = served
    torch.manual_seed(1)
    with pytest.raises(MienError, match="made with other weights; encode the photo again"):
        application(View(folder / "me.mien"), small_network(), tmp_path)


def test_a_take_of_other_weights_is_served_anew(served, tmp_path):
    network, folder = served
    faces = load_controls().landmarks({"jawOpen": 0.5})[None]
    old = replace(take_of(network)[:1], landmarks=faces, weights="0" * 32)
    save_motion(tmp_path / "old.motion", old)
    made, shelf = tmp_path / "made", Shelf()
    made.mkdir()
    manifest = publish(shelf, folder / "me.mien", [tmp_path / "old.motion"], network, made)
    anew = load_motion(made / "0" / "old.motion")
    torch.testing.assert_close(anew.latents, network.motion(faces), atol=1e-2, rtol=1e-2)
    assert manifest.takes[0].name == "old"


def test_a_taken_port_is_said():
    with socket.create_server((LOOPBACK, 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(MienError, match=f"Port {port} .* --port"):
            bind(LOOPBACK, port)


@pytest.mark.parametrize("port", [-1, 65_536])
def test_an_impossible_port_is_said(port):
    with pytest.raises(MienError, match="no port"):
        bind(LOOPBACK, port)


def test_a_foreign_address_is_said():
    with pytest.raises(MienError, match=r"'no\.such\.host\.invalid' is no address"):
        bind("no.such.host.invalid", 0)


def test_run_serves_and_says_where(served, monkeypatch, capsys):
    network, folder = served
    opened, seen = [], {}
    monkeypatch.setattr("webbrowser.open", opened.append)

    def serve_briefly(server, sockets):
        seen["address"] = sockets[0].getsockname()

    monkeypatch.setattr("uvicorn.Server.run", serve_briefly)
    run(View(folder / "me.mien", port=0), network)
    host, port = seen["address"]
    assert host == LOOPBACK
    assert opened == [f"http://{LOOPBACK}:{port}/"]
    assert opened[0] in capsys.readouterr().out


def test_an_open_address_is_said_plainly(served, monkeypatch, capsys):
    network, folder = served
    monkeypatch.setattr("uvicorn.Server.run", lambda server, sockets: None)
    run(View(folder / "me.mien", host="0.0.0.0", port=0, browser=False), network)
    assert "Every machine that reaches 0.0.0.0 can fetch it" in capsys.readouterr().out


def test_weights_that_read_pictures_are_not_for_the_page(served, tmp_path):
    _, folder = served
    with torch.device("meta"):
        network = build(paper())
    with pytest.raises(MienError, match="cannot run weights of the preset 'paper'"):
        application(View(folder / "me.mien"), network, tmp_path)
