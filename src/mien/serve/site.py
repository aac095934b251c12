"""What `mien view` and `mien live` share: a guarded site that hands out the page and some files."""

from __future__ import annotations

import contextlib
import hashlib
import ipaddress
import re
import socket
import webbrowser
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mien.artifact import load_avatar, load_motion
from mien.errors import MienError
from mien.model.network import Network
from mien.serve.export_networks import export_networks
from mien.serve.protocol import Asset, Manifest, Networks

LOOPBACK = "127.0.0.1"

HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; worker-src blob:; connect-src 'self'; "
        "img-src 'self' data: blob:; media-src 'self' blob:; style-src 'self' 'unsafe-inline'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
"""Sent with everything: the page loads nothing from elsewhere and nobody else may embed it."""


MAX_MESSAGE = 16_384
"""Bytes of the longest WebSocket message that is read."""


class Keeper(Protocol):
    """What makes files reachable for a page."""

    def add(self, kind: str, path: Path) -> Asset:
        """Offer a file; `kind` says what it is."""
        ...


class Shelf:
    """Files that may be fetched, each under its hash: who has not the link cannot guess it."""

    def __init__(self) -> None:
        self._paths: dict[str, Path] = {}

    def add(self, kind: str, path: Path) -> Asset:
        """Offer a file; `kind` is the first part of its URL."""
        content = path.read_bytes()
        suffix = path.suffix if re.fullmatch(r"\.[a-z]{1,12}", path.suffix) else ""
        url = f"/{kind}/{hashlib.sha256(content).hexdigest()}{suffix}"
        self._paths[url] = path
        return Asset(url, path.stem, len(content))

    async def hand_out(self, request: Request) -> Response:
        """Answer a request for one of the files."""
        path = self._paths.get(request.url.path)
        if path is None:
            return Response("There is no such file here.", 404, media_type="text/plain")
        cache = {"cache-control": "private, max-age=31536000, immutable"}
        return FileResponse(path, media_type="application/octet-stream", headers=cache)


def publish(
    keeper: Keeper, avatar: Path, takes: Sequence[Path], network: Network, folder: Path
) -> Manifest:
    """Offer an avatar, takes and the networks they need.

    Args:
        keeper: where they are put.
        avatar: a `.mien` file.
        takes: `.motion` files.
        network: of their preset; exported for the page.
        folder: an empty one for what is made for the page; it must outlive the keeper.

    Raises:
        MienError: a file cannot be used or is of another preset than the networks.
    """
    preset = network.config.preset
    _check_preset(avatar, load_avatar(avatar).preset, preset)
    for take in takes:
        _check_preset(take, load_motion(take).preset, preset)
    exported = folder / f"{preset}.safetensors"
    export_networks(network, exported)
    return Manifest(
        keeper.add("avatar", avatar),
        Networks(keeper.add("weights", exported), preset, network.config.gain),
        [keeper.add("take", take) for take in takes],
    )


def site(shelf: Shelf, host: str, *routes: BaseRoute) -> Starlette:
    """The web application: these routes, the shelf's files and the built page.

    Args:
        shelf: files that may be fetched.
        host: address it will be served on.
        routes: come first.
    """
    return Starlette(
        routes=[
            *routes,
            *(Route(f"/{kind}/{{name}}", shelf.hand_out) for kind in ("avatar", "weights", "take")),
            Mount("/", StaticFiles(packages=[("mien.serve", "static")], html=True)),
        ],
        middleware=[
            Middleware(SafeHeaders),
            Middleware(TrustedHostMiddleware, allowed_hosts=_trusted(host)),
        ],
    )


def server_config(app: Starlette) -> uvicorn.Config:
    """How every server of Mien's is run: it says little, and compresses no packets (they are)."""
    return uvicorn.Config(
        app,
        log_level="warning",
        server_header=False,
        ws_max_size=MAX_MESSAGE,
        ws_per_message_deflate=False,
    )


def serve(app: Starlette, listener: socket.socket, *, open_at: str | None) -> None:
    """Serve until Ctrl-C.

    Args:
        app: from `site`.
        listener: from `bind`.
        open_at: URL to open in the browser, if any.
    """
    if open_at is not None:
        webbrowser.open(open_at)
    config = server_config(app)
    with contextlib.suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[listener])


def bind(host: str, port: int) -> socket.socket:
    """A socket that listens on `host` and `port`.

    Raises:
        MienError: the port is taken or out of range, or the address is not this machine's.
    """
    if not 0 <= port <= 65_535:
        raise MienError(f"There is no port {port}; give one from 0 (any free one) to 65535.")
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except socket.gaierror as error:
        raise MienError(f"'{host}' is no address of this machine; leave --host out.") from error
    except OSError as error:
        raise MienError(
            f"Port {port} on {host} cannot be opened ({error.strerror}); another program may hold "
            "it, so choose another with --port, or --port 0 for any free one."
        ) from error


def url_of(host: str, listener: socket.socket) -> str:
    """Where a browser finds what is served, without a slash at the end."""
    name = f"[{host}]" if ":" in host else host
    return f"http://{name}:{listener.getsockname()[1]}"


class SafeHeaders:
    """Middleware that adds `HEADERS` to every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                extra = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
                message = {**message, "headers": [*message["headers"], *extra]}
            await send(message)

        await self.app(scope, receive, send_with_headers)


def _check_preset(path: Path, found: str, wanted: str) -> None:
    if found != wanted:
        raise MienError(
            f"{path} was made with the preset '{found}', but the weights are of '{wanted}'; give "
            "the weights it was made with (--weights), or make it again with these."
        )


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _trusted(host: str) -> list[str]:
    """Names a browser may call the server by; other sites' names that lead here are refused."""
    return ["localhost", LOOPBACK, "[::1]"] if is_loopback(host) else ["*"]
