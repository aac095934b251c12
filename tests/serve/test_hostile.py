"""Seconds of seeded nonsense: all of it is refused, and nobody else notices."""

import contextlib
import json
import logging
import random
import socket
import time

import pytest
from guests import LATENT, RANGE, empty_room, join, packet, say
from servers import Client, running
from starlette.routing import Route, WebSocketRoute
from websockets.exceptions import ConnectionClosed, InvalidMessage

from mien.serve.live import Live, application
from mien.serve.packets import check_packet
from mien.serve.protocol import ENCODE_PATH, ROOM_PATH, Range
from mien.serve.site import LOOPBACK, MAX_MESSAGE, Shelf, site
from mien.serve.uploads import Uploads

SECONDS = 2.0
"""How long each kind of nonsense goes on."""

GREETING = b"GET /room HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"


LIBRARY = (
    # uvicorn, of a WebSocket under a foreign host name, which it does answer with 400.
    "ASGI callable returned without completing handshake.",
    # uvicorn, of text that is no UTF-8; if the connection is being closed, asyncio ends it.
    "Invalid UTF-8 sequence received from client.",
    "Fatal error: protocol.data_received() call failed.",
)
"""What libraries log as errors, once a connection, when they refuse: no defects of ours."""


def mangled(chance: random.Random, content: bytes) -> bytes:
    """A few bytes changed, left out, doubled or put in."""
    content = bytearray(content)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(content) + 1)
        part = chance.randbytes(chance.choice([1, 2, 8, 300]))
        content[at : at + chance.choice([0, 1, len(part)])] = part
    return bytes(content)


def until_bored():
    """A seeded source of chance, again and again, for `SECONDS`."""
    chance, deadline = random.Random(0), time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        yield chance


@pytest.fixture
def crashes():
    """What the server reports as its own defects."""
    seen = []

    class Collect(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            message = record.getMessage()
            if record.levelno >= logging.ERROR and not message.startswith(LIBRARY):
                seen.append(message)

    yield Collect(), seen
    assert seen == []


@contextlib.contextmanager
def watched(app, room, crashes):
    """Serve a room with a driver and a viewer, who must hear each other to the end."""
    with running(app) as port, join(port, room.driver_token) as driver:
        driver.recv(timeout=10)
        with join(port, room.viewer_token) as viewer:
            viewer.recv(timeout=10)
            # The server sets its loggers up anew when it starts.
            for name in ("uvicorn.error", "asyncio", "mien"):
                logging.getLogger(name).addHandler(crashes[0])
            driver.send(say(RANGE))
            yield port
            driver.send(packet(60_000))
            while viewer.recv(timeout=10) != packet(60_000):
                pass
        for name in ("uvicorn.error", "asyncio", "mien"):
            logging.getLogger(name).removeHandler(crashes[0])


def test_bytes_that_are_no_http(served, tmp_path, crashes):
    network, folder = served
    app, room = application(Live(folder / "me.mien"), network, tmp_path)
    upload = b"POST /encode HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5\r\n\r\nhello"
    key = b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    frames = b"\x82\x85abcdhello\x81\x7f" + b"\xff" * 12
    with watched(app, room, crashes) as port:
        for chance in until_bored():
            said = mangled(chance, chance.choice([upload, GREETING + key, GREETING + key + frames]))
            with (
                socket.create_connection((LOOPBACK, port), 10) as connection,
                contextlib.suppress(ConnectionError),
            ):
                connection.sendall(said)
                if chance.random() < 0.5:
                    connection.settimeout(0.02)
                    with contextlib.suppress(TimeoutError):
                        connection.recv(1000)


def test_guests_who_say_nonsense(crashes, caplog):
    room = empty_room()
    app = site(Shelf(), LOOPBACK, WebSocketRoute(ROOM_PATH, room.serve))
    tokens = [room.driver_token, room.viewer_token, "", "x" * MAX_MESSAGE, None, 1e308, [[]]]
    guests = 0
    with caplog.at_level(logging.WARNING, "mien"), watched(app, room, crashes) as port:
        for chance in until_bored():
            said = json.dumps({"token": chance.choice(tokens)}).encode()
            guests += 1
            with (
                contextlib.suppress(ConnectionClosed, InvalidMessage),
                join(port, None, silent=True) as guest,
            ):
                guest.send(mangled(chance, said) if chance.random() < 0.7 else said, text=True)
                guest.send(chance.randbytes(chance.choice([1, 28, MAX_MESSAGE, MAX_MESSAGE + 1])))
    assert guests > 5
    assert len(caplog.records) <= guests


def test_a_driver_who_says_nonsense(crashes):
    room = empty_room()
    app = site(Shelf(), LOOPBACK, WebSocketRoute(ROOM_PATH, room.serve))
    heard = 0
    with running(app) as port, join(port, room.viewer_token) as viewer:
        viewer.recv(timeout=10)
        for chance in until_bored():
            while room.driven:
                time.sleep(0.001)
            with contextlib.suppress(ConnectionClosed), join(port, room.driver_token) as driver:
                driver.recv(timeout=10)
                driver.send(say(RANGE))
                for sequence in range(5):
                    text, data = mangled(chance, say(RANGE).encode()), packet(sequence)
                    driver.send(text if chance.random() < 0.3 else mangled(chance, data))
                    driver.send(text.decode(errors="replace"))
            with contextlib.suppress(TimeoutError):
                while True:
                    message = viewer.recv(timeout=0)
                    heard += 1
                    if isinstance(message, bytes):
                        check_packet(message, LATENT)
                    else:
                        assert len(Range(**json.loads(message)).centre) == LATENT
    assert heard > 0


def test_photos_that_are_none(served, crashes):
    from mien.serve.uploads import encode_photo

    network, _ = served
    room = empty_room()
    post = Uploads(lambda photo: encode_photo(photo, network)).post
    app = site(
        Shelf(),
        LOOPBACK,
        WebSocketRoute(ROOM_PATH, room.serve),
        Route(ENCODE_PATH, post, methods=["POST"]),
    )
    heads = [
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\1\0\0\0\1\0\x08\2\0\0\0",
        b"\xff\xd8\xff\xe0\0\x10",
    ]
    with watched(app, room, crashes) as port:
        for chance in until_bored():
            photo = mangled(chance, chance.choice(heads) + chance.randbytes(200))
            answer = Client(port).post(ENCODE_PATH, photo, content_type="image/png")
            assert answer.status in (422, 429)
            assert answer.text.endswith(".")
            assert "\n" not in answer.text
