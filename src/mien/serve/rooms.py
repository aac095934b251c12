"""A room: one driver's motion, handed on to any number of viewers, none of whom slows another.

A page first says its token; a wrong one, a malformed message or a flood ends its connection, is
logged once, and disturbs nobody else. Servers that share a backplane hold one room together.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import hmac
import json
import logging
import secrets
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import NoReturn, Protocol

from starlette.websockets import WebSocket, WebSocketDisconnect

from mien.serve.packets import PacketError, check_packet
from mien.serve.protocol import PACKETS_PER_SECOND, Manifest, Range, Welcome
from mien.serve.site import MAX_MESSAGE

log = logging.getLogger(__name__)

MAX_GUESTS = 1024
"""The most connections a room holds."""

QUEUE = 8
"""Packets that wait for a slow viewer; the oldest are dropped."""

JOIN_SECONDS = 10.0
"""How long a connection may keep its token to itself."""

BURST = 4 * PACKETS_PER_SECOND
"""Messages a driver may send in a second before it counts as a flood."""

LARGEST = 1e6
"""No latent comes near."""

REFUSED = 1008
"""WebSocket's code for "policy violation"."""


class RefusedError(Exception):
    """The guest broke a rule; says which."""


class Outlet(Protocol):
    """Where what waits in a mailbox goes: a viewer's socket, or a backplane."""

    async def send_text(self, data: str) -> None:
        """Send a range."""
        ...

    async def send_bytes(self, data: bytes) -> None:
        """Send a packet."""
        ...


class Backplane(Outlet, Protocol):
    """What joins the rooms of several servers (see `mien.serve.backplane`)."""

    async def listen(self, take: Callable[[str | bytes], None]) -> NoReturn:
        """Give `take` what the other servers' driver sends, until cancelled."""
        ...

    def driving(self) -> contextlib.AbstractAsyncContextManager[bool]:
        """Hold the only driver's place of all servers; says whether it was free."""
        ...

    async def close(self) -> None:
        """Hang up."""
        ...


class Mailbox:
    """What waits for one viewer: the range, and the last `QUEUE` packets that need it."""

    def __init__(self) -> None:
        self._range: str | None = None
        self._packets: deque[bytes] = deque(maxlen=QUEUE)
        self._filled = asyncio.Event()

    def put(self, message: str | bytes) -> None:
        """Add a range (text) or a packet; packets before a new range are of no use any more."""
        if isinstance(message, str):
            self._range = message
            self._packets.clear()
        else:
            self._packets.append(message)
        self._filled.set()

    async def send_to(self, socket: Outlet) -> None:
        """Send what comes in, until cancelled."""
        while True:
            await self._filled.wait()
            self._filled.clear()
            while self._range is not None or self._packets:
                if self._range is not None:
                    text, self._range = self._range, None
                    await socket.send_text(text)
                else:
                    await socket.send_bytes(self._packets.popleft())


@dataclass
class Room:
    """What all guests of one room share.

    Args:
        manifest: what they are shown.
        latent: D of its motion.
        driver_token, viewer_token: secrets that links carry.
    """

    manifest: Manifest
    latent: int
    driver_token: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    viewer_token: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    guests: int = 0
    driven: bool = False
    range: str | None = None
    last: bytes | None = None
    mailboxes: set[Mailbox] = field(default_factory=set)
    backplane: Backplane | None = None

    @contextlib.asynccontextmanager
    async def joined(self) -> AsyncIterator[None]:
        """Exchange motion with the other servers of the backplane, if there is one."""
        if self.backplane is None:
            yield
            return
        outgoing, known, trouble = Mailbox(), None, False

        def take(message: str | bytes) -> None:
            nonlocal known, trouble
            try:
                known, message = self._checked(message, known)
                self._hand_on(message, self.mailboxes - {outgoing})
            except RefusedError as error:
                if not trouble:
                    log.warning("The backplane carries what is left out here: %s", error)
                trouble = True

        self.mailboxes.add(outgoing)
        tasks = [
            asyncio.create_task(outgoing.send_to(self.backplane)),
            asyncio.create_task(self.backplane.listen(take)),
        ]
        try:
            yield
        finally:
            self.mailboxes.discard(outgoing)
            await _cancel(*tasks)
            await self.backplane.close()

    async def serve(self, socket: WebSocket) -> None:
        """Talk to one guest until it leaves or is sent away."""
        if self.guests >= MAX_GUESTS:
            await socket.close(REFUSED)
            return
        self.guests += 1
        try:
            await socket.accept()
            async with asyncio.timeout(JOIN_SECONDS):
                role = self._role(await _receive(socket))
            if role == "driver":
                await self._drive(socket)
            else:
                await self._watch(socket)
        except (RefusedError, TimeoutError) as error:
            log.warning("A guest was sent away: %s", error or "it never said its token")
            await _close(socket)
        except (WebSocketDisconnect, OSError):
            pass
        finally:
            self.guests -= 1

    def _role(self, message: str | bytes) -> str:
        token = _fields(message).get("token")
        if not isinstance(token, str):
            raise RefusedError("its first message was no token")
        for role, secret in (("driver", self.driver_token), ("viewer", self.viewer_token)):
            if hmac.compare_digest(token.encode(errors="replace"), secret.encode()):
                return role
        raise RefusedError("its token is wrong")

    async def _drive(self, socket: WebSocket) -> None:
        elsewhere = contextlib.nullcontext(True)
        if self.driven:
            raise RefusedError("the room has a driver already")
        self.driven = True
        try:
            async with self.backplane.driving() if self.backplane else elsewhere as free:
                if not free:
                    raise RefusedError("the room has a driver already, at another server")
                await self._welcome(socket, "driver", f"/#{self.viewer_token}")
                await self._hear(socket)
        finally:
            self.driven = False

    async def _hear(self, socket: WebSocket) -> None:
        """Hand on what the driver sends, until it breaks a rule."""
        known: int | None = None
        opened, count = time.monotonic(), 0
        while True:
            message = await _receive(socket)
            count += 1
            if time.monotonic() - opened > 1.0:
                opened, count = time.monotonic(), 1
            if count > BURST:
                raise RefusedError("it sent too much")
            known, message = self._checked(message, known)
            self._hand_on(message, self.mailboxes)

    def _hand_on(self, message: str | bytes, mailboxes: set[Mailbox]) -> None:
        if isinstance(message, str):
            self.range, self.last = message, None
        else:
            self.last = message
        for mailbox in mailboxes:
            mailbox.put(message)

    async def _watch(self, socket: WebSocket) -> None:
        await self._welcome(socket, "viewer", "")
        mailbox = Mailbox()
        for message in (self.range, self.last):
            if message is not None:
                mailbox.put(message)
        self.mailboxes.add(mailbox)
        sender = asyncio.create_task(mailbox.send_to(socket))
        try:
            await _receive(socket)
            raise RefusedError("a viewer has nothing to say")
        finally:
            self.mailboxes.discard(mailbox)
            await _cancel(sender)

    async def _welcome(self, socket: WebSocket, role: str, link: str) -> None:
        await socket.send_json(dataclasses.asdict(Welcome(role, self.manifest, link)))

    def _checked(self, message: str | bytes, known: int | None) -> tuple[int | None, str | bytes]:
        """The range that is in force after a message, and the message as it is handed on.

        Raises:
            RefusedError: it is malformed, or a packet needs another range than `known`.
        """
        if isinstance(message, str):
            return self._check_range(message)
        self._check_packet(message, known)
        return known, message

    def _check_range(self, message: str) -> tuple[int, str]:
        """A range's number, and its text as it is handed on."""
        fields = _fields(message)
        number = fields.get("id")
        if type(number) is not int or not 0 <= number <= 255:
            raise RefusedError("its range has no number")
        rows: list[list[float]] = []
        for name in ("centre", "span"):
            row = fields.get(name)
            if not isinstance(row, list) or len(row) != self.latent:
                raise RefusedError(f"its range's {name} is malformed")
            if not all(type(v) in (int, float) and abs(v) < LARGEST for v in row):
                raise RefusedError(f"its range's {name} holds what is no number")
            rows.append([float(value) for value in row])
        if min(rows[1]) <= 0:
            raise RefusedError("its range's span is not positive")
        fields = dataclasses.asdict(Range(number, *rows))
        return number, json.dumps(fields, separators=(",", ":"))

    def _check_packet(self, message: bytes, known: int | None) -> None:
        try:
            number = check_packet(message, self.latent)
        except PacketError as error:
            raise RefusedError(f"its packet is malformed: {error}") from error
        if number != known:
            raise RefusedError("its packet needs a range that was not said")


async def _receive(socket: WebSocket) -> str | bytes:
    """The next message, of at most `MAX_MESSAGE` bytes."""
    message = await socket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code", 1000))
    content = message.get("text")
    content = message.get("bytes") if content is None else content
    if content is None or len(content) > MAX_MESSAGE:
        raise RefusedError("its message is too long")
    return content


def _fields(message: str | bytes) -> dict[str, object]:
    try:
        fields = json.loads(message) if isinstance(message, str) else None
    except (ValueError, RecursionError) as error:
        raise RefusedError("its message is no JSON") from error
    if not isinstance(fields, dict):
        raise RefusedError("its message is no record")
    return fields


async def _cancel(*tasks: asyncio.Task[object]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _close(socket: WebSocket) -> None:
    # It may have left first.
    with contextlib.suppress(RuntimeError, OSError, WebSocketDisconnect):
        await socket.close(REFUSED)
