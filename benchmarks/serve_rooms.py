"""How a room carries many viewers: delay of packets, memory, and what one slow viewer costs.

    python benchmarks/serve_rooms.py --viewers 200 --seconds 60

The server and all viewers run on this machine, in two processes. One more viewer never reads.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
import multiprocessing
import os
import time
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import uvicorn
from starlette.routing import WebSocketRoute
from websockets.asyncio.client import connect

from mien.serve.packets import Packet, encode_packet
from mien.serve.protocol import (
    PACKETS_PER_SECOND,
    ROOM_PATH,
    Asset,
    Manifest,
    Networks,
    Range,
)
from mien.serve.rooms import Room
from mien.serve.site import LOOPBACK, Shelf, bind, server_config, site

LATENT = 64
RANGE = Range(0, [0.0] * LATENT, [1.0] * LATENT)


def host(pipe: Connection) -> None:
    """Serve a room; tells its port and tokens."""
    asset = Asset("/avatar/x.mien", "me", 1)
    room = Room(Manifest(asset, Networks(asset, "base", 0.1, "", ""), []), LATENT)
    listener = bind(LOOPBACK, 0)
    pipe.send((listener.getsockname()[1], room.driver_token, room.viewer_token))
    app = site(Shelf(), LOOPBACK, WebSocketRoute(ROOM_PATH, room.serve))
    uvicorn.Server(server_config(app)).run(sockets=[listener])


async def watch(url: str, token: str, delays: list[float]) -> None:
    """Take packets in and note how late each is, in milliseconds."""
    async with connect(url, compression=None) as socket:
        await socket.send(json.dumps({"token": token}))
        async for message in socket:
            if isinstance(message, bytes):
                sent = int.from_bytes(message[4:8], "little")
                delays.append((now_ms() - sent) % 2**32)


async def never_read(url: str, token: str) -> None:
    """Join, then leave the connection full."""
    async with connect(url, max_queue=1, compression=None) as socket:
        await socket.send(json.dumps({"token": token}))
        await asyncio.Event().wait()


async def drive(url: str, token: str, seconds: float) -> int:
    """Send packets at the nominal rate; gives how many."""
    zero, count = np.zeros(3, np.float32), 0
    async with connect(url, compression=None) as socket:
        await socket.send(json.dumps({"token": token}))
        await socket.recv()
        await socket.send(json.dumps(dataclasses.asdict(RANGE)))
        start = time.monotonic()
        while time.monotonic() - start < seconds:
            latent = np.full(LATENT, np.sin(count / 10), np.float32)
            packet = Packet(0, count % 65_536, now_ms(), zero, zero, latent)
            await socket.send(encode_packet(packet, RANGE))
            count += 1
            await asyncio.sleep(max(0.0, start + count / PACKETS_PER_SECOND - time.monotonic()))
    return count


def now_ms() -> int:
    return int(time.monotonic() * 1000) % 2**32


def resident_mib(pid: int) -> float:
    """Memory of a process (Linux)."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4096 / 2**20


def cpu_seconds(pid: int) -> float:
    """Time that a process has computed for (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def measure(viewers: int, seconds: float, pid: int, address: tuple[int, str, str]) -> None:
    port, driver_token, viewer_token = address
    url = f"ws://{LOOPBACK}:{port}{ROOM_PATH}"
    delays: list[float] = []
    tasks = [asyncio.create_task(watch(url, viewer_token, delays)) for _ in range(viewers)]
    tasks.append(asyncio.create_task(never_read(url, viewer_token)))
    await asyncio.sleep(2 + viewers / 100)
    await drive(url, driver_token, 3)
    await asyncio.sleep(0.5)
    delays.clear()
    before, busy, start = resident_mib(pid), cpu_seconds(pid), time.monotonic()
    sent = await drive(url, driver_token, seconds)
    share = (cpu_seconds(pid) - busy) / (time.monotonic() - start)
    await asyncio.sleep(1)
    got = len(delays) / (sent * viewers)
    middle, late, last = np.percentile(delays, [50, 99, 100])
    print(f"{viewers} viewers, {sent} packets in {seconds:g} s, {got:.2%} of them seen")
    print(f"delay: median {middle:.0f} ms, 99th percentile {late:.0f} ms, longest {last:.0f} ms")
    print(
        f"server: {before:.0f} MiB before, {resident_mib(pid):.0f} MiB after; {share:.0%} of a "
        f"core (the machine's load, of {os.cpu_count()} cores: {os.getloadavg()[0]:.1f})"
    )
    for task in tasks:
        task.cancel()


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure a room with many viewers.")
    parser.add_argument("--viewers", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=60)
    args = parser.parse_args()
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.Process(target=host, args=(theirs,), daemon=True)
    server.start()
    asyncio.run(measure(args.viewers, args.seconds, server.pid or 0, ours.recv()))
    server.terminate()


if __name__ == "__main__":
    main()
