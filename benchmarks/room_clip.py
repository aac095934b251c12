"""A room that carries a real clip: bits on the wire, and what a viewer sees over a bad link.

    python benchmarks/room_clip.py CLIP --avatar me.mien

Both ends are the page's own code, run by node (`npm ci` in `web/` first); the server is a real one
on this machine. The wire is read from the kernel (Linux). Losses and delays are then made up: TCP
repeats what is lost, but a page must bear packets that are missing, late or out of order.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import multiprocessing
import socket
import struct
import subprocess
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation
from websockets.asyncio.client import connect

import mien
from mien import pipeline
from mien.serve.protocol import PACKETS_PER_SECOND, ROOM_PATH
from mien.serve.site import LOOPBACK
from mien.structures import Camera, Motion, rigid_inverse
from serve_rooms import host

DISPLAY = 60.0
"""Pictures a second that a viewer's page shows."""

SETTLED = 1.5
"""Seconds after which a page knows its link."""

HEADERS = 52
"""Bytes of IPv4's and TCP's headers, with TCP's timestamps."""

PICTURES = 24
"""How many moments are drawn and compared."""


class Link(NamedTuple):
    """How a network treats packets: share lost, and delays in milliseconds."""

    loss: float
    delay: float
    jitter: float


LINKS = {
    "a clean link": Link(0.0, 50.0, 0.0),
    "5 % loss, 100 ms jitter": Link(0.05, 50.0, 100.0),
}


def page(job: dict[str, Any]) -> list[Any]:
    """What the page's own code makes of a job (see `room_clip.mjs`)."""
    script = Path(__file__).with_suffix(".mjs")
    done = subprocess.run(
        ["node", script], input=json.dumps(job), capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def sent_frames(take: Motion) -> list[dict[str, Any]]:
    """What a driver's page says of a take: now and then the newest frame."""
    period = 1.0 / min(PACKETS_PER_SECOND, take.fps)
    times = np.arange(0.0, float(take.times[-1] - take.times[0]), period)
    newest = np.searchsorted((take.times - take.times[0]).numpy(), times + 1e-6, "right") - 1
    return [
        {
            "milliseconds": round(1000 * seconds),
            "latent": take.latents[index].tolist(),
            "rotation": take.cam_from_head[index, :3, :3].flatten().tolist(),
            "translation": take.cam_from_head[index, :3, 3].tolist(),
        }
        for seconds, index in zip(times, newest.tolist(), strict=True)
    ]


async def measure_wire(messages: list[dict[str, Any]], address: tuple[int, str, str]) -> None:
    """Send messages through a room in real time; prints what reached a viewer."""
    port, driver_token, viewer_token = address
    url = f"ws://{LOOPBACK}:{port}{ROOM_PATH}"
    async with (
        connect(url, compression=None) as viewer,
        connect(url, compression=None) as driver,
    ):
        for guest, token in ((viewer, viewer_token), (driver, driver_token)):
            await guest.send(json.dumps({"token": token}))
            await guest.recv()
        before, start = received(viewer), time.monotonic()
        payload = 0
        for index, message in enumerate(messages):
            for part in [json.dumps(message["range"])] if message["range"] else []:
                await driver.send(part)
                payload += len(await viewer.recv())
            await driver.send(base64.b64decode(message["packet"]))
            payload += len(await viewer.recv())
            due = start + (index + 1) / PACKETS_PER_SECOND
            await asyncio.sleep(max(0.0, due - time.monotonic()))
        seconds = time.monotonic() - start
        stream, segments = (now - then for now, then in zip(received(viewer), before, strict=True))
    ranges = sum(message["range"] is not None for message in messages)
    print(f"{len(messages)} packets and {ranges} ranges in {seconds:.1f} s; kbit/s to a viewer:")
    for size, what in (
        (payload, "packets and ranges"),
        (stream, "with WebSocket's framing"),
        (stream + HEADERS * segments, f"with TCP/IP's headers ({segments} segments)"),
    ):
        print(f"  {size * 8 / seconds / 1000:5.1f} {what}")


def received(guest: Any) -> tuple[int, int]:
    """Bytes and segments that a connection has received, by `struct tcp_info` of Linux."""
    connection = guest.transport.get_extra_info("socket")
    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
    (size,) = struct.unpack_from("<Q", info, 128)
    (segments,) = struct.unpack_from("<I", info, 140)
    return size, segments


def watched(messages: list[dict[str, Any]], frames: list[dict[str, Any]], link: Link) -> list[Any]:
    """What a viewer's page shows, `DISPLAY` times a second, once it knows its link."""
    chance = np.random.default_rng(0)
    known, arrivals = None, []
    for message, frame in zip(messages, frames, strict=True):
        known = message["range"] or known
        lost, late = chance.random(2)
        if lost >= link.loss:
            at = frame["milliseconds"] + link.delay + link.jitter * late
            # Ranges are never lost: the socket is reliable, and they are few.
            arrivals.append({"at": at, "range": known, "packet": message["packet"]})
    arrivals.sort(key=lambda arrival: arrival["at"])
    first, last = arrivals[0]["at"] + 1000 * SETTLED, frames[-1]["milliseconds"]
    times = np.arange(first - 1000 * SETTLED, last, 1000 / DISPLAY)
    return page({"arrivals": arrivals, "times": times.tolist()})[int(SETTLED * DISPLAY) :]


def local(frames: list[dict[str, Any]], shown: NDArray) -> tuple[NDArray, NDArray]:
    """The take at these milliseconds: latents (M, D), cam_from_head (M, 4, 4)."""
    at = np.array([frame["milliseconds"] for frame in frames])
    high = np.clip(np.searchsorted(at, shown), 1, len(at) - 1)
    part = np.clip((shown - at[high - 1]) / (at[high] - at[high - 1]), 0.0, 1.0)[:, None]

    def mixed(name: str) -> NDArray:
        rows = np.array([frame[name] for frame in frames])
        return (1 - part) * rows[high - 1] + part * rows[high]

    left, _, right = np.linalg.svd(mixed("rotation").reshape(-1, 3, 3))
    poses = np.tile(np.eye(4), (len(shown), 1, 1))
    poses[:, :3, :3], poses[:, :3, 3] = left @ right, mixed("translation")
    return mixed("latent"), poses


def judge(name: str, moments: list[Any], frames: list[dict[str, Any]], head: mien.Head) -> None:
    """Print how evenly a viewer's page moves, and how like local play its pictures are."""
    shown = np.array([moment["shown"] for moment in moments])
    latents = np.array([moment["latent"] for moment in moments])
    # SciPy has the real part last, and normalises.
    quats = np.roll([moment["quat"] for moment in moments], -1, axis=1)
    poses = np.tile(np.eye(4), (len(moments), 1, 1))
    poses[:, :3, :3] = Rotation.from_quat(quats).as_matrix()
    poses[:, :3, 3] = [moment["translation"] for moment in moments]
    same, same_poses = local(frames, shown)
    steady, _ = local(frames, shown[0] + np.arange(len(shown)) * 1000 / DISPLAY)
    steps = np.diff(shown)
    frozen = np.split(steps, np.flatnonzero(steps > 1.0))
    psnrs = []
    for index in np.linspace(0, len(moments) - 1, PICTURES).astype(int):
        seen = draw(head, latents[index], poses[index])
        psnrs.append(psnr(seen, draw(head, same[index], same_poses[index])))
    print(f"{name}:")
    print(f"  pictures against local play: {np.mean(psnrs):.1f} dB, least {min(psnrs):.1f} dB")
    print(
        f"  the driver's time goes on by {steps.mean():.1f} ± {steps.std():.1f} ms a picture, at "
        f"most {steps.max():.0f} ms; longest freeze "
        f"{(max(map(len, frozen)) - 1) * 1000 / DISPLAY:.0f} ms"
    )
    print(f"  jerkiness {jerk(latents) / jerk(steady):.2f} times local play's")
    print(f"  shown {np.median([m['delay'] for m in moments]):.0f} ms after the earliest arrival")


def jerk(latents: NDArray) -> float:
    """RMS second difference of latents (M, D) from picture to picture."""
    return float(np.sqrt(np.square(np.diff(latents, 2, axis=0)).mean()))


def draw(head: mien.Head, latent: NDArray, cam_from_head: NDArray) -> torch.Tensor:
    """A picture (3, 512, 512) in 8-bit steps."""
    pose = rigid_inverse(torch.from_numpy(cam_from_head).float())
    camera = Camera(pose, head.avatar.intrinsics)
    told = torch.from_numpy(latent).float()
    image = pipeline.render(head.network, head.avatar, told, camera, 512).image
    return (image.clamp(0, 1) * 255).round() / 255


def psnr(a: torch.Tensor, b: torch.Tensor) -> float:
    """Decibels; 99 for equal pictures."""
    return min(99.0, -10 * float((a - b).square().mean().clamp_min(1e-12).log10()))


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure a room that carries a real clip.")
    parser.add_argument("clip", type=Path, help="a video, or a `.motion` take")
    parser.add_argument("--avatar", type=Path, required=True, help="a `.mien` file, or a photo")
    args = parser.parse_args()
    is_file = args.avatar.suffix == ".mien"
    head = mien.load(args.avatar) if is_file else mien.encode(args.avatar)
    frames = sent_frames(mien.motion(args.clip, network=head.network))
    messages = page({"frames": frames})
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.Process(target=host, args=(theirs,), daemon=True)
    server.start()
    asyncio.run(measure_wire(messages, ours.recv()))
    server.terminate()
    for name, link in LINKS.items():
        judge(name, watched(messages, frames, link), frames, head)


if __name__ == "__main__":
    main()
