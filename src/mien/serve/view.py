"""`mien view`: one avatar in the browser, served to this machine alone.

The server hands out files, and encodes photos that are posted: the page decodes and draws.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from mien.model.network import Network
from mien.serve.protocol import ENCODE_PATH, MANIFEST_PATH
from mien.serve.site import Serving, Shelf, is_loopback, opened, publish, serve, site
from mien.serve.uploads import Uploads, encode_photo


@dataclass(frozen=True)
class View(Serving):
    """Show an avatar in the browser."""


def run(command: View, network: Network) -> None:
    """Serve until Ctrl-C.

    Args:
        command: what the person asked for.
        network: the networks of `command.weights`.

    Raises:
        MienError: a file cannot be used, presets do not match, or the address is taken.
    """
    with opened(command) as (listener, url, folder):
        app = application(command, network, folder)
        print(f"The avatar is shown at {url}/ (Ctrl-C ends).", flush=True)
        if not is_loopback(command.host):
            print(
                f"Every machine that reaches {command.host} can fetch it, and have photos encoded, "
                "without a password."
            )
        serve(app, listener, open_at=f"{url}/" if command.browser else None)


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
    uploads = Uploads(partial(encode_photo, network=network))

    async def describe(_: Request) -> Response:
        return JSONResponse(manifest, headers={"cache-control": "no-store"})

    return site(
        shelf,
        command.host,
        Route(MANIFEST_PATH, describe),
        Route(ENCODE_PATH, uploads.post, methods=["POST"]),
    )
