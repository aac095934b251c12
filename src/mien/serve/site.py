"""What `mien view` and `mien live` share: a guarded site that hands out the page and some files."""

from __future__ import annotations

import contextlib
import hashlib
import ipaddress
import re
import socket
import tempfile
import webbrowser
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Protocol

import tyro
import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Lifespan, Message, Receive, Scope, Send

from mien.artifact import is_baked, load_avatar, load_baked, load_motion, save_motion
from mien.artifact.baked import Baked
from mien.engine.play_cpu import check_baked
from mien.errors import MienError
from mien.model.matching import avatar_weights, check_avatar, matched, motion_weights
from mien.model.network import Network
from mien.model.paper import PaperNetwork
from mien.serve.export_networks import export_networks
from mien.serve.protocol import Asset, Manifest, Networks
from mien.structures import Avatar

LOOPBACK = "127.0.0.1"

HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; worker-src 'self' blob:; connect-src 'self'; "
        "img-src 'self' data: blob:; media-src 'self' blob:; style-src 'self' 'unsafe-inline'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
"""Sent with everything: the page loads nothing from elsewhere and nobody else may embed it."""

FACE_MESH_PATH = "/face_mesh/"
FACE_MESH_POLICY = "default-src 'none'; script-src 'self' 'unsafe-eval'; connect-src 'self'"
"""For the worker that runs MediaPipe's face mesh, whose glue code makes functions of text. A worker
has the policy it came with; it reaches neither the page nor anything elsewhere."""


MAX_MESSAGE = 16_384
"""Bytes of the longest WebSocket message that is read."""


@dataclass(frozen=True)
class Serving:
    """What every command that serves a page is told.

    Args:
        avatar: a `.mien` file.
        take: `.motion` files that can be played in the page.
        weights: the networks' weights; the ones that come with Mien without.
        port: to serve on; 0 takes a free one.
        host: address to serve on; anything but 127.0.0.1 lets other machines in.
        browser: open the page once it is up.
    """

    avatar: Annotated[Path, tyro.conf.Positional]
    take: tuple[Path, ...] = ()
    weights: Path | None = None
    port: int = 8765
    host: str = LOOPBACK
    browser: bool = True


@contextlib.contextmanager
def opened(command: Serving) -> Iterator[tuple[socket.socket, str, Path]]:
    """What a server needs while it runs: a listening socket, its URL, and an empty folder.

    Raises:
        MienError: see `bind`.
    """
    listener = bind(command.host, command.port)
    with contextlib.closing(listener), tempfile.TemporaryDirectory(prefix="mien-") as folder:
        yield listener, url_of(command.host, listener), Path(folder)


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
        avatar: a `.mien` file, baked or not.
        takes: `.motion` files.
        network: of their preset; exported for the page.
        folder: an empty one for what is made for the page; it must outlive the keeper.

    Raises:
        MienError: a file cannot be used, or was made with another preset or other weights.
    """
    preset = network.config.preset
    if isinstance(network, PaperNetwork):
        raise MienError(
            f"The page cannot run weights of the preset '{preset}', which read pictures; give the "
            "avatar to `mien animate`, or encode the photo with the weights that come with Mien."
        )
    read_avatar(avatar, network)
    fitting = [_fitting(take, network, folder / str(i)) for i, take in enumerate(takes)]
    exported = folder / f"{preset}.safetensors"
    export_networks(network, exported)
    return Manifest(
        keeper.add("avatar", avatar),
        Networks(
            keeper.add("weights", exported),
            preset,
            network.config.gain,
            avatar_weights(network),
            motion_weights(network),
        ),
        [keeper.add("take", take) for take in fitting],
    )


def site(
    shelf: Shelf, host: str, *routes: BaseRoute, lifespan: Lifespan[Starlette] | None = None
) -> Starlette:
    """The web application: these routes, the shelf's files and the built page.

    Args:
        shelf: files that may be fetched.
        host: address it will be served on.
        routes: come first.
        lifespan: entered while it is served.
    """
    return Starlette(
        lifespan=lifespan,
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
    """Middleware that adds `HEADERS` to every answer; the face mesh has a policy of its own."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""

        headers = HEADERS
        if scope["type"] == "http" and scope["path"].startswith(FACE_MESH_PATH):
            headers = HEADERS | {"content-security-policy": FACE_MESH_POLICY}

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                extra = [(name.encode(), value.encode()) for name, value in headers.items()]
                message = {**message, "headers": [*message["headers"], *extra]}
            await send(message)

        await self.app(scope, receive, send_with_headers)


def read_avatar(path: Path, network: Network) -> Avatar | Baked:
    """The avatar of a file, baked or not, once it is sure that a network can drive it.

    Raises:
        MienError: the file cannot be used, or was made with another preset or other weights.
    """
    if is_baked(path):
        baked = load_baked(path)
        check_baked(baked, network, path)
        return baked
    avatar = load_avatar(path)
    check_avatar(avatar, network, path)
    return avatar


def _fitting(path: Path, network: Network, folder: Path) -> Path:
    """A take's file if its latents are the network's, else one made anew in `folder`."""
    take = load_motion(path)
    fitting = matched(take, network, path)
    if fitting is take:
        return path
    folder.mkdir()
    save_motion(folder / path.name, fitting)
    return folder / path.name


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _trusted(host: str) -> list[str]:
    """Names a browser may call the server by; other sites' names that lead here are refused."""
    return ["localhost", LOOPBACK, "[::1]"] if is_loopback(host) else ["*"]
