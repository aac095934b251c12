"""`mien live`: an avatar that others watch move, in a room that a link leads to.

The driver's browser sends motion, a few tens of kilobits a second; viewers fetch the avatar once.
"""

from __future__ import annotations

import contextlib
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute

from mien.model.network import Network
from mien.serve.protocol import ROOM_PATH
from mien.serve.rooms import Room
from mien.serve.site import LOOPBACK, Shelf, bind, is_loopback, publish, serve, site, url_of


@dataclass(frozen=True)
class Live:
    """Drive an avatar before others, who join with a link.

    Args:
        avatar: a `.mien` file.
        take: `.motion` files that can be played in the room.
        weights: the networks' weights; the ones that come with Mien without.
        port: to serve the room on; 0 takes a free one.
        host: address to serve on; anything but 127.0.0.1 lets other machines in.
        browser: open the driver's page once it is up.
    """

    avatar: Annotated[Path, tyro.conf.Positional]
    take: tuple[Path, ...] = ()
    weights: Path | None = None
    port: int = 8766
    host: str = LOOPBACK
    browser: bool = True


def run(command: Live, network: Network) -> None:
    """Serve until Ctrl-C.

    Args:
        command: what the person asked for.
        network: the networks of `command.weights`.

    Raises:
        MienError: a file cannot be used, presets do not match, or the address is taken.
    """
    listener = bind(command.host, command.port)
    with contextlib.closing(listener), tempfile.TemporaryDirectory(prefix="mien-") as folder:
        app, room = application(command, network, Path(folder))
        url = url_of(command.host, listener)
        driver = f"{url}/#{room.driver_token}"
        print(f"Drive at {driver} (keep this link; Ctrl-C ends).")
        print(f"Others watch at {url}/#{room.viewer_token}", flush=True)
        if not is_loopback(command.host):
            print(f"Every machine that reaches {command.host} and has a link can join.")
        serve(app, listener, open_at=driver if command.browser else None)


def application(command: Live, network: Network, folder: Path) -> tuple[Starlette, Room]:
    """The web application of one room, and the room.

    Args:
        command: what to show.
        network: its networks.
        folder: an empty one that outlives the application.

    Raises:
        MienError: a file cannot be used or is of another preset than the networks.
    """
    shelf = Shelf()
    manifest = publish(shelf, command.avatar, command.take, network, folder)
    room = Room(manifest, network.config.latent)
    return site(shelf, command.host, WebSocketRoute(ROOM_PATH, room.serve)), room
