"""What `mien bench` times on a GPU besides: sessions, whole and by their parts.

A session's frame is one CUDA graph; its time is that of many steps, one after the other, each with
another motion. Its parts are timed in graphs of their own (see `bench_timing.in_graph`).

Axis legend: T motions, B avatars, N Gaussians, D latent.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from mien.engine.driver import Driver, landmarks, paper_crops, portraits
from mien.engine.session import Session
from mien.evaluate.bench_timing import Drawn, Stage, drawn, in_graph
from mien.model.network import Network
from mien.model.paper import PaperNetwork
from mien.model.paper_motion import CROP
from mien.pipeline import render
from mien.render import Backend, splat
from mien.structures import Avatar, Camera, Portrait

STEPS = 32
"""T: motions that a session is timed over."""

TREMBLE = 0.003
"""Canonical units by which landmarks differ from motion to motion."""

CROWDS = (1, 4, 16, 64)
"""Avatars that are animated together."""


class Act(NamedTuple):
    """Somebody to animate.

    Args:
        name: before the names of the stages.
        network: of the avatar's preset, on the GPU.
        avatar: there too.
        camera: that sees it.
        detail: its level of detail.
    """

    name: str
    network: Network
    avatar: Avatar
    camera: Camera
    detail: str = ""


class Drive(NamedTuple):
    """How an act is driven.

    Args:
        name: what is read.
        driver: the session's; None for latents.
        inputs: (T, *shape), pinned, as a program that follows a face would have them.
        latents: (T, D) that the plain network makes of them.
    """

    name: str
    driver: Driver | None
    inputs: Tensor
    latents: Tensor


def act_stages(
    act: Act, drives: list[Drive], size: int, rivals: tuple[Backend, ...] = ()
) -> Iterator[Stage]:
    """Frames and their parts; `rivals` draw the same Gaussians."""
    count = len(act.avatar.features)
    stage = partial(Stage, size=size, detail=act.detail, gaussians=count)
    for drive in drives:
        session = Session(act.network, [act.avatar], act.camera, size, drive.driver)
        motions = drive.inputs[:, None]
        seen = _checked(act, session, motions, drive.latents)
        name = f"{act.name}frame, driven by {drive.name}"
        yield stage(name, run=_steps(session, motions), drawn=seen)
    session = Session(act.network, [act.avatar], act.camera, size)
    for name, run in _parts(session, drives[-1].latents[:1]):
        yield stage(f"{act.name}graph: {name}", run=run)
    plain = partial(render, act.network, act.avatar, drives[-1].latents[0], act.camera, size)
    yield stage(f"{act.name}uncaptured, float32: animate and splat", run=plain)
    gaussians, _ = act.network.animate(act.avatar, drives[-1].latents[0])
    for backend in ("auto", *rivals):
        draw = partial(
            splat, gaussians, act.camera, (size, size),
            antialiased=act.network.config.antialiased, backend=backend,
        )  # fmt: skip
        seen = drawn(gaussians, act.camera, draw())
        name = "Mien" if backend == "auto" else backend
        yield stage(f"{act.name}uncaptured: splat by {name}", run=draw, drawn=seen)


def encoder_stages(name: str, drives: list[Drive], device: torch.device) -> Iterator[Stage]:
    """What drives a session to latents; `name` stands before the names of the stages."""
    for drive in drives:
        if drive.driver is not None:
            encode = in_graph(partial(drive.driver.encode, drive.inputs[:1].to(device)))
            yield Stage(f"{name}graph: {drive.name} → latent", 0, "", 0, encode)


def crowd_stages(act: Act, drive: Drive, size: int) -> Iterator[Stage]:
    """Frames of more and more avatars, each with motions of its own; `drive` is by latents."""
    count = len(act.avatar.features)
    for crowd in CROWDS:
        session = Session(act.network, [act.avatar] * crowd, act.camera, size)
        # Everyone is a few motions behind the one before.
        motions = torch.stack([drive.inputs.roll(7 * k, 0) for k in range(crowd)], 1).pin_memory()
        seen = _checked(act, session, motions, drive.latents)
        run = _steps(session, motions)
        name = f"{act.name}frames of many avatars"
        yield Stage(name, size, act.detail, count, run, avatars=crowd, drawn=seen)


def drives_of(network: Network, portrait: Portrait) -> list[Drive]:
    """What a network's avatars can be driven by, latents last."""
    device = portrait.image.device
    if isinstance(network, PaperNetwork):
        crops = torch.rand(STEPS, 3, CROP, CROP, device=device) * 2 - 1
        latents = torch.cat([network.motion(crop[None]) for crop in crops])
        encoder = Drive("pictures", paper_crops(network.motion), _pinned(crops), latents)
        return [encoder, Drive("latents", None, _pinned(latents), latents)]
    points = portrait.landmarks
    faces = points + TREMBLE * torch.randn(STEPS, *points.shape, device=device)
    latents = network.motion(faces)
    light = torch.linspace(0.8, 1.0, STEPS, device=device)[:, None, None, None]
    pictures = light * portrait.image
    side = pictures.shape[-1]
    of_pictures = torch.cat([network.motion_image(picture[None]) for picture in pictures])
    image = portraits(network.motion_image, side)
    return [
        Drive("pictures", image, _pinned(pictures), of_pictures),
        Drive("landmarks", landmarks(network.motion), _pinned(faces), latents),
        Drive("latents", None, _pinned(latents), latents),
    ]


def _pinned(values: Tensor) -> Tensor:
    return values.cpu().pin_memory()


def _steps(session: Session, inputs: Tensor) -> Callable[[], int]:
    """Steps through inputs (T, B, *shape), as one thing to time."""

    def run() -> int:
        for motion in inputs:
            session.step(motion)
        return len(inputs)

    return run


def _parts(session: Session, latents: Tensor) -> Iterator[tuple[str, Callable[[], int]]]:
    """The graph's two great parts, for latents (B, D)."""
    from mien.engine import motion_kernel
    from mien.render.triton_splat import splat_bounded

    animate = partial(motion_kernel.animate, session.cast, session.layers, latents)
    yield "fusion and decode", in_graph(animate)
    size, capacity = (session.size, session.size), session.capacity
    draw = partial(splat_bounded, animate(), session.camera, size, capacity)
    yield "splat", in_graph(draw)


def _checked(act: Act, session: Session, motions: Tensor, latents: Tensor) -> Drawn:
    """What a session draws of all its avatars, and how far from the plain path, at the worst.

    Every motion is made once, so that from here on there is room for it.

    Args:
        act: whose avatars they all are.
        session: theirs.
        motions: (T, B, *shape).
        latents: (T, D) what the plain network makes of the first avatar's.
    """
    for motion in motions:
        session.step(motion)
        session.refit()
    worst = math.inf
    for index in (0, STEPS // 2):
        image = session.step(motions[index]).image[0]
        plain = render(act.network, act.avatar, latents[index], act.camera, session.size)
        error = (image - plain.image).square().mean().clamp_min(1e-12).item()
        worst = min(worst, -10 * math.log10(error))
    gaussians, _ = act.network.animate(act.avatar, latents[STEPS // 2])
    one = drawn(gaussians, act.camera, plain)
    number = motions.shape[1] * one.gaussians
    return replace(one, gaussians=number, pairs=session.pairs(), psnr=worst)
