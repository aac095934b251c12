"""What guests of a room say, for tests that play them."""

import contextlib
import dataclasses
import json
from collections.abc import Iterator

import numpy as np
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from mien.serve.packets import Packet, encode_packet
from mien.serve.protocol import ROOM_PATH, Asset, Manifest, Networks, Range
from mien.serve.rooms import REFUSED, Room
from mien.serve.site import LOOPBACK

LATENT = 8
RANGE = Range(0, [0.0] * LATENT, [1.0] * LATENT)


def empty_room() -> Room:
    """A room that shows nothing that could be fetched."""
    asset = Asset("/avatar/x.mien", "me", 1)
    return Room(Manifest(asset, Networks(asset, "base", 0.1, "", ""), []), LATENT)


@contextlib.contextmanager
def join(port: int, token: object, silent: bool = False) -> Iterator[ClientConnection]:
    """Connect to the room on a port, and unless silent say a token."""
    url = f"ws://{LOOPBACK}:{port}{ROOM_PATH}"
    with connect(url, open_timeout=10, close_timeout=2) as socket:
        if not silent:
            socket.send(json.dumps({"token": token}))
        yield socket


def packet(sequence: int, range_: Range = RANGE) -> bytes:
    """A motion packet whose latents tell its number."""
    zero = np.zeros(3, np.float32)
    latent = np.full(LATENT, sequence / 1000, np.float32)
    return encode_packet(Packet(range_.id, sequence, sequence, zero, zero, latent), range_)


def say(range_: Range) -> str:
    """A range as it is sent."""
    return json.dumps(dataclasses.asdict(range_))


def sent_away(socket: ClientConnection) -> bool:
    """Whether the server ends the connection for breaking a rule."""
    try:
        while True:
            socket.recv(timeout=10)
    except ConnectionClosed as error:
        return error.rcvd is not None and error.rcvd.code in (REFUSED, 1009)
