"""Rooms of several servers meet through Redis: motion by its pub/sub, the rest in four keys.

| under `mien:ROOM:` | holds |
| --- | --- |
| motion | the channel: 8 bytes that say which server, then a range (`{…`) or a packet |
| range | the last range, for servers that come later |
| tokens | the driver's and the viewers' token, so that links lead to any of the servers |
| driver | a lock: the server whose guest drives |

Where Redis fails, each server's own guests go on; it is logged once, and tried again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from typing import NoReturn

import redis
from redis.asyncio import Redis
from redis.asyncio.lock import Lock
from redis.exceptions import LockError, RedisError

from mien.errors import MienError

log = logging.getLogger(__name__)

NAME = 8
"""Bytes that tell servers apart."""

LEASE = 6.0
"""Seconds after which the driver's place is free again if its server says nothing."""

RETRY = 1.0
"""Seconds between attempts to reach Redis."""

TIMEOUT = 5.0
"""Seconds that Redis may take to answer."""

KEPT = 7 * 24 * 3600
"""Seconds that a room's links last after the last server of it was started."""


def common_tokens(url: str, room: str, driver: str, viewer: str) -> tuple[str, str]:
    """The driver's and the viewers' token of a room: those given, or what it has already.

    Args:
        url: of Redis, such as `redis://localhost:6379/0`.
        room: its name.
        driver, viewer: proposed.

    Raises:
        MienError: the URL is malformed, or Redis does not answer there.
    """
    key = f"mien:{room}:tokens"
    try:
        with redis.Redis.from_url(url, socket_timeout=TIMEOUT, decode_responses=True) as client:
            client.set(key, f"{driver} {viewer}", nx=True)
            client.expire(key, KEPT)
            driver, viewer = str(client.get(key)).split()
    except (RedisError, ValueError) as error:
        # The URL may hold a password, and is not repeated.
        raise MienError(
            f"Redis cannot be used at the address of --backplane ({error}); check the address, "
            "start Redis there, or leave --backplane out."
        ) from error
    return driver, viewer


class RedisBackplane:
    """One server's end of a room (see `rooms.Backplane`).

    Args:
        url: of Redis.
        room: its name.
    """

    def __init__(self, url: str, room: str) -> None:
        self._redis = Redis.from_url(url, socket_connect_timeout=TIMEOUT)
        self._name = secrets.token_bytes(NAME)
        self._key = f"mien:{room}:"
        self._reached = True

    async def send_text(self, data: str) -> None:
        """Publish a range."""
        with self._attempt():
            await self._redis.set(f"{self._key}range", data, ex=KEPT)
        await self.send_bytes(data.encode())

    async def send_bytes(self, data: bytes) -> None:
        """Publish a packet."""
        with self._attempt():
            await self._redis.publish(f"{self._key}motion", self._name + data)

    async def listen(self, take: Callable[[str | bytes], None]) -> NoReturn:
        """Give `take` what other servers publish, until cancelled."""
        while True:
            with self._attempt():
                async with self._redis.pubsub(ignore_subscribe_messages=True) as channel:
                    await channel.subscribe(f"{self._key}motion")
                    if (kept := await self._redis.get(f"{self._key}range")) is not None:
                        take(_message(kept))
                    async for said in channel.listen():
                        if not said["data"].startswith(self._name):
                            take(_message(said["data"][NAME:]))
            await asyncio.sleep(RETRY)

    async def close(self) -> None:
        """Hang up."""
        await self._redis.aclose()

    @contextlib.asynccontextmanager
    async def driving(self) -> AsyncIterator[bool]:
        """Hold the only driver's place of all servers; says whether it was free."""
        lock = self._redis.lock(
            f"{self._key}driver", timeout=LEASE, blocking=False, thread_local=False
        )
        free = True
        with self._attempt():
            free = await lock.acquire()
        renewal = asyncio.create_task(self._renew(lock))
        try:
            yield free
        finally:
            renewal.cancel()
            # It is not held where another server has the driver, or Redis has gone.
            with self._attempt(), contextlib.suppress(LockError):
                await lock.release()

    async def _renew(self, lock: Lock) -> NoReturn:
        while True:
            await asyncio.sleep(LEASE / 3)
            with self._attempt(), contextlib.suppress(LockError):
                await lock.reacquire()

    @contextlib.contextmanager
    def _attempt(self) -> Iterator[None]:
        """Try something with Redis; what goes wrong is logged when it begins to."""
        try:
            yield
            self._reached = True
        except RedisError as error:
            if self._reached:
                log.warning("Redis is out of reach, so that other servers are: %s", error)
            self._reached = False


def _message(data: str | bytes) -> str | bytes:
    """A range as text, a packet as bytes."""
    assert isinstance(data, bytes), "the client decodes nothing"
    return data.decode(errors="replace") if data.startswith(b"{") else data
