"""`mien view`: one avatar in the browser, served to this machine alone.

The server only hands out files: the page decodes and draws, nothing about the person leaves it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from mien.model.network import Network
from mien.serve.protocol import MANIFEST_PATH
from mien.serve.site import LOOPBACK, Shelf, bind, is_loopback, publish, serve, site, url_of


@dataclass(frozen=True)
class View:
    """Show an avatar in the browser.

    Args:
        avatar: a `.mien` file.
        take: `.motion` files that can be played in the page.
        weights: the networks' weights; the ones that come with Mien without.
        port: to serve the page on; 0 takes a free one.
        host: address to serve on; anything but 127.0.0.1 lets other machines fetch the avatar.
        browser: open the page once it is up.
    """

    avatar: Annotated[Path, tyro.conf.Positional]
    take: tuple[Path, ...] = ()
    weights: Path | None = None
    port: int = 8765
    host: str = LOOPBACK
    browser: bool = True


def run(command: View, network: Network) -> None:
    """Serve until Ctrl-C.

    Args:
        command: what the person asked for.
        network: the networks of `command.weights`.

    Raises:
        MienError: a file cannot be used, presets do not match, or the address is taken.
    """
    listener = bind(command.host, command.port)
    with contextlib.closing(listener), tempfile.TemporaryDirectory(prefix="mien-") as folder:
        app = application(command, network, Path(folder))
        url = url_of(command.host, listener) + "/"
        print(f"The avatar is shown at {url} (Ctrl-C ends).", flush=True)
        if not is_loopback(command.host):
            print(f"Every machine that reaches {command.host} can fetch it, without a password.")
        serve(app, listener, open_at=url if command.browser else None)


def application(command: View, network: Network, folder: Path) -> Starlette:
    """The web application for one avatar.

    Args:
        command: what to show.
        network: its networks.
        folder: an empty one that outlives the application.

    Raises:
        MienError: a file cannot be used or is of another preset than the networks.
    """
    shelf = Shelf()
    manifest = dataclasses.asdict(publish(shelf, command.avatar, command.take, network, folder))

    async def describe(_: Request) -> Response:
        return JSONResponse(manifest, headers={"cache-control": "no-store"})

    return site(shelf, command.host, Route(MANIFEST_PATH, describe))
