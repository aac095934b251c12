import asyncio
import contextlib
import dataclasses
import json
import logging
import time
from functools import partial

import pytest
from guests import LATENT, RANGE, empty_room, join, packet, say, sent_away
from servers import running
from starlette.routing import WebSocketRoute
from websockets.exceptions import ConnectionClosed

from mien.serve import rooms
from mien.serve.live import Live, application, run
from mien.serve.packets import decode_packet
from mien.serve.protocol import ROOM_PATH, Range
from mien.serve.rooms import Mailbox
from mien.serve.site import LOOPBACK, MAX_MESSAGE, Shelf, site


@pytest.fixture
def room():
    """A room on a server of its own: (room, connect with a token)."""
    shared = empty_room()
    with running(site(Shelf(), LOOPBACK, WebSocketRoute(ROOM_PATH, shared.serve))) as port:
        yield shared, partial(join, port)


def test_what_the_driver_does_reaches_every_viewer(room):
    shared, join = room
    with join(shared.driver_token) as driver:
        welcome = json.loads(driver.recv(timeout=10))
        assert welcome["role"] == "driver"
        assert welcome["link"] == f"/#{shared.viewer_token}"
        assert welcome["manifest"]["avatar"]["name"] == "me"
        with join(shared.viewer_token) as one, join(shared.viewer_token) as two:
            for viewer in (one, two):
                welcome = json.loads(viewer.recv(timeout=10))
                assert (welcome["role"], welcome["link"]) == ("viewer", "")
            while len(shared.mailboxes) < 2:
                time.sleep(0.01)
            driver.send(say(RANGE))
            driver.send(packet(5))
            for viewer in (one, two):
                assert Range(**json.loads(viewer.recv(timeout=10))) == RANGE
                assert decode_packet(viewer.recv(timeout=10), RANGE).sequence == 5


def test_who_comes_late_sees_the_last_face(room):
    shared, join = room
    with join(shared.driver_token) as driver:
        driver.recv(timeout=10)
        driver.send(say(RANGE))
        driver.send(packet(1))
        driver.send(packet(2))
        while shared.last != packet(2):
            time.sleep(0.01)
        with join(shared.viewer_token) as viewer:
            viewer.recv(timeout=10)
            assert Range(**json.loads(viewer.recv(timeout=10))) == RANGE
            assert viewer.recv(timeout=10) == packet(2)


@pytest.mark.parametrize("token", ["", "wrong", "\ud800", 3, None, {"a": []}])
def test_a_wrong_token_is_refused_and_logged_once(room, caplog, token):
    _, join = room
    with caplog.at_level(logging.WARNING, "mien.serve"), join(token) as socket:
        assert sent_away(socket)
    assert len(caplog.records) == 1


def test_a_second_driver_is_refused(room):
    shared, join = room
    with join(shared.driver_token) as first:
        first.recv(timeout=10)
        with join(shared.driver_token) as second:
            assert sent_away(second)
        first.send(say(RANGE))
    while shared.driven:
        time.sleep(0.01)
    with join(shared.driver_token) as again:
        assert json.loads(again.recv(timeout=10))["role"] == "driver"


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\x01",
        b"\x02" + packet(1)[1:],
        packet(1) + b"x",
        packet(1, dataclasses.replace(RANGE, id=9)),
        "{",
        "[" * 5000,
        "[]",
        "{}",
        say(dataclasses.replace(RANGE, id=256)),
        say(dataclasses.replace(RANGE, centre=[0.0])),
        say(dataclasses.replace(RANGE, span=[0.0] * LATENT)),
        say(RANGE).replace("0.0", "NaN"),
        say(RANGE).replace("0.0", "1" + "0" * 400),
        say(RANGE).replace("0.0", '"0"'),
        "x" * (MAX_MESSAGE + 1),
    ],
)
def test_a_malformed_message_ends_the_driver_and_nobody_else(room, message):
    shared, join = room
    with join(shared.viewer_token) as viewer:
        viewer.recv(timeout=10)
        with join(shared.driver_token) as driver:
            driver.recv(timeout=10)
            driver.send(say(RANGE))
            assert Range(**json.loads(viewer.recv(timeout=10))) == RANGE
            driver.send(message)
            assert sent_away(driver)
        assert viewer.ping().wait(10)


def test_a_flood_ends_the_driver(room):
    shared, join = room
    with join(shared.driver_token) as driver:
        driver.recv(timeout=10)
        driver.send(say(RANGE))
        with contextlib.suppress(ConnectionClosed):
            for sequence in range(20 * rooms.BURST):
                driver.send(packet(sequence))
        assert sent_away(driver)


def test_a_viewer_has_nothing_to_say(room):
    shared, join = room
    with join(shared.viewer_token) as viewer:
        viewer.send(packet(1))
        assert sent_away(viewer)


def test_who_keeps_the_token_back_is_sent_away(room, monkeypatch):
    shared, join = room
    monkeypatch.setattr(rooms, "JOIN_SECONDS", 0.2)
    with join(shared.viewer_token) as viewer, join(None, silent=True) as silent:
        assert sent_away(silent)
        assert viewer.ping().wait(10)
        assert shared.guests == 1


def test_a_full_room_is_closed(room, monkeypatch):
    shared, join = room
    monkeypatch.setattr(rooms, "MAX_GUESTS", 0)
    with pytest.raises(Exception, match="403"), join(shared.viewer_token):
        pass


def test_a_slow_viewer_gets_the_latest_and_always_the_range():
    class Slow:
        """A socket that takes nothing in until it is told to."""

        def __init__(self) -> None:
            self.open = asyncio.Event()
            self.got: list[str | bytes] = []

        async def send_text(self, text: str) -> None:
            await self.open.wait()
            self.got.append(text)

        send_bytes = send_text

    async def scenario() -> list[str | bytes]:
        mailbox, socket = Mailbox(), Slow()
        task = asyncio.create_task(mailbox.send_to(socket))  # type: ignore[arg-type]
        mailbox.put("old range")
        await asyncio.sleep(0)
        mailbox.put(b"lost")
        mailbox.put("range")
        for sequence in range(100):
            mailbox.put(bytes([sequence]))
        socket.open.set()
        for _ in range(50):
            await asyncio.sleep(0)
        task.cancel()
        return socket.got

    got = asyncio.run(scenario())
    assert got == ["old range", "range", *(bytes([n]) for n in range(100 - rooms.QUEUE, 100))]


def test_run_says_both_links(served, monkeypatch, capsys):
    network, folder = served
    opened = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    monkeypatch.setattr("uvicorn.Server.run", lambda server, sockets: None)
    run(Live(folder / "me.mien", port=0), network)
    said = capsys.readouterr().out
    links = [word for word in said.split() if word.startswith("http")]
    assert opened == [links[0]]
    assert links[0] != links[1]


def test_the_manifest_is_for_guests_only(served, tmp_path):
    network, folder = served
    app, _ = application(Live(folder / "me.mien"), network, tmp_path)
    assert all(getattr(route, "path", "") != "/manifest.json" for route in app.routes)
