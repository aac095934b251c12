"""`mien live`: an avatar that others watch move, in a room that a link leads to.

The driver's browser sends motion, a few tens of kilobits a second; viewers fetch the avatar once.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from starlette.applications import Starlette
from starlette.routing import Route, WebSocketRoute

from mien.errors import MienError
from mien.model.network import Network
from mien.serve.protocol import ENCODE_PATH, ROOM_PATH
from mien.serve.rooms import Room
from mien.serve.site import Serving, Shelf, is_loopback, opened, publish, serve, site
from mien.serve.uploads import Uploads, encode_photo


@dataclass(frozen=True)
class Live(Serving):
    """Drive an avatar before others, who join with a link, or as a camera of this machine.

    Args:
        backplane: address of a Redis server, `redis://…`, through which servers of the same avatar
            hold one room together.
        camera: be a virtual camera that video calls can choose, driven by a webcam, and no room.
        webcam: number of the webcam that drives the virtual camera.
    """

    port: int = 8766
    backplane: str | None = None
    camera: bool = False
    webcam: int = 0


def run(command: Live, network: Network) -> None:
    """Serve until Ctrl-C.

    Args:
        command: what the person asked for.
        network: the networks of `command.weights`.

    Raises:
        MienError: a file cannot be used, presets do not match, the address is taken, Redis does not
            answer, or there is no webcam or virtual camera.
    """
    if command.camera:
        if command.backplane is not None:
            raise MienError("--backplane is for rooms, and --camera makes none; leave one out.")
        from mien.serve import virtual_camera

        virtual_camera.run(command.avatar, network, command.webcam)
        return
    with opened(command) as (listener, url, folder):
        app, room = application(command, network, folder)
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
        MienError: a file cannot be used or is of another preset than the networks, or Redis does
            not answer.
    """
    shelf = Shelf()
    manifest = publish(shelf, command.avatar, command.take, network, folder)
    room = Room(manifest, network.config.latent)
    if command.backplane is not None:
        _meet(room, command.backplane)
    uploads = Uploads(partial(encode_photo, network=network), room.driver_token)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with room.joined():
            yield

    routes = (
        WebSocketRoute(ROOM_PATH, room.serve),
        Route(ENCODE_PATH, uploads.post, methods=["POST"]),
    )
    return site(shelf, command.host, *routes, lifespan=lifespan), room


def _meet(room: Room, url: str) -> None:
    """Make a room one with those of the same avatar and networks at other servers."""
    try:
        from mien.serve.backplane import RedisBackplane, common_tokens
    except ModuleNotFoundError as error:
        raise MienError(
            "--backplane needs the Redis client; install it with `pip install 'mien[redis]'`."
        ) from error
    shown = room.manifest.avatar.url + room.manifest.networks.file.url
    name = hashlib.sha256(shown.encode()).hexdigest()[:32]
    room.driver_token, room.viewer_token = common_tokens(
        url, name, room.driver_token, room.viewer_token
    )
    room.backplane = RedisBackplane(url, name)
