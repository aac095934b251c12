"""Playing avatars on a processor, baked or not, in real time.

    latent ─ Folded, or Unpacked ─► Gaussians ─ CpuSplatter ─► frame ─ ahead ─► whoever encodes it

Axis legend: N Gaussians, K bases, A = 13 attributes, C channels, H hidden, D latent.
"""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Generator, Iterable, Iterator
from typing import Protocol, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mien.artifact.baked import ATTRIBUTES, Baked
from mien.errors import MienError
from mien.model.decoder import RAW, attributes
from mien.model.matching import motion_weights
from mien.model.network import Network
from mien.pipeline import Direction, Performer, directed, finished
from mien.render.cpu import CpuSplatter
from mien.structures import Avatar, Gaussians, Motion

Item = TypeVar("Item")

PART = 4096
"""Gaussians that go through the networks at once: what is in between stays in the cache."""

LARGEST_LOG_SCALE = 30.0
"""Scales stay between e^-30 and e^30."""


class Actor(Performer, Protocol):
    """What can be told what to express, frame after frame."""

    def __call__(self, latent: Tensor) -> Gaussians:
        """Gaussians (N), told latent (D,)."""
        ...


class Folded:
    """An avatar with all that its motion does not change worked out: `Network.animate`, faster.

    The fusion's two linear layers before its softplus are one, and so are the two between its
    softplus and the decoder's; what the features add there is kept for each Gaussian.

    Args:
        network: of the avatar's preset, on the CPU.
        avatar: of one person.
        dtype: in which matrices are multiplied; `torch.bfloat16` is three times as fast.
    """

    @torch.no_grad()
    def __init__(
        self, network: Network, avatar: Avatar, dtype: torch.dtype = torch.float32
    ) -> None:
        fusion, decoder = network.fusion, network.decoder
        (into, out), (third, last) = _linears(fusion.net), _linears(decoder.net)
        self.source_latent, self.intrinsics = avatar.source_latent, avatar.intrinsics
        source, self._mapping = fusion.mapping.weight.T.chunk(2)
        self._source_share = avatar.source_latent @ source
        self._first = into.weight @ fusion.proj.weight
        self._first_bias = into.weight @ fusion.proj.bias + into.bias
        self._basis = F.layer_norm(avatar.basis, avatar.basis.shape[-1:]).to(dtype)
        still = avatar.features @ third.weight.T + third.bias
        self._still = (still + fusion.gain * (third.weight @ out.bias)).to(dtype)
        self._second = (fusion.gain * third.weight @ out.weight).T.to(dtype).contiguous()
        self._last = last.weight.T.to(dtype).contiguous()
        self._last_bias = last.bias.to(dtype)
        self._anchors = avatar.anchors

    @torch.no_grad()
    def __call__(self, latent: Tensor) -> Gaussians:
        """What the avatar looks like: Gaussians (*B, N), told latents (*B, D)."""
        dtype = self._basis.dtype
        scale, shift = (self._source_share + latent @ self._mapping).chunk(2, -1)
        first = (self._first * scale[..., None, :]).transpose(-1, -2).to(dtype)
        bias = (shift @ self._first.T + self._first_bias).to(dtype)
        first, bias = first.contiguous(), bias[..., None, :]
        raw = torch.empty(*latent.shape[:-1], len(self._basis), RAW)
        for start in range(0, len(self._basis), PART):
            part = slice(start, start + PART)
            hidden = F.softplus(self._basis[part] @ first + bias)
            hidden = F.softplus(hidden @ self._second + self._still[part])
            raw[..., part, :] = hidden @ self._last + self._last_bias
        return attributes(raw, self._anchors)


class Unpacked:
    """A baked avatar ready to be played: `express`, faster.

    Args:
        baked: on the CPU.
    """

    def __init__(self, baked: Baked) -> None:
        self.source_latent, self.intrinsics = baked.source_latent, baked.intrinsics
        self._weigh, self._rest = baked.weigh, baked.rest.reshape(-1)
        self._bases = baked.codes.float().mul_(baked.step[:, None]).flatten(1)

    @torch.no_grad()
    def __call__(self, latent: Tensor) -> Gaussians:
        """What the avatar looks like: Gaussians (N), told latent (D,)."""
        moved = torch.addmv(self._rest, self._bases.T, self._weigh(latent))
        return gaussians_of(moved.unflatten(0, (ATTRIBUTES, -1)))


def actor(network: Network, avatar: Avatar | Baked) -> Actor:
    """The fastest way to play an avatar on this processor.

    Args:
        network: of the avatar's preset, on the CPU; a baked one needs none of it.
        avatar: of one person, of either kind; a baked one may be on any device.
    """
    if isinstance(avatar, Baked):
        return Unpacked(avatar.to("cpu"))
    return Folded(network, avatar, torch.bfloat16)


def play(
    actor: Actor,
    take: Motion,
    direction: Direction,
    size: int,
    background: Tensor | None = None,
    *,
    see_through: bool = False,
    antialiased: bool = False,
) -> Iterator[Tensor]:
    """`pipeline.play` on a processor: some frames are made ahead, in a thread, while the caller
    works on those before.

    Args:
        actor: see `actor`.
        take, direction, size, background, see_through: as for `pipeline.play`.
        antialiased: how the avatar is meant to be drawn (see `render.splat`).
    """
    latents, cameras = directed(actor, take, direction)
    splatter = CpuSplatter()

    def frames() -> Iterator[Tensor]:
        for index in range(len(take)):
            frame = splatter.render(
                actor(latents[index]), cameras[index], (size, size), antialiased=antialiased
            )
            yield finished(frame, background, see_through=see_through)

    return ahead(frames())


def ahead(items: Iterable[Item], count: int = 4) -> Generator[Item, None, None]:
    """The same items, made by a thread that keeps up to `count` of them ready.

    What making them raises is raised here. Whoever stops early, by `close` or by dropping the
    iterator, stops the thread.
    """
    ready: queue.Queue[tuple[bool, object]] = queue.Queue(count)
    stopped = threading.Event()

    def put(last: bool, item: object) -> bool:
        """Wait for room; False once nobody wants more."""
        while not stopped.is_set():
            try:
                ready.put((last, item), timeout=0.05)
                return True
            except queue.Full:
                continue
        return False

    def make() -> None:
        try:
            for item in items:
                if not put(False, item):
                    return
            put(True, None)
        except BaseException as error:
            put(True, error)

    thread = threading.Thread(target=make, name="ahead", daemon=True)
    thread.start()
    try:
        while True:
            last, item = ready.get()
            if not last:
                yield item  # pyright: ignore[reportReturnType]
            elif isinstance(item, BaseException):
                raise item
            else:
                return
    finally:
        stopped.set()
        thread.join()


def check_baked(baked: Baked, network: Network, name: str | os.PathLike[str]) -> None:
    """Make sure that a network makes the latents that a baked avatar takes.

    Raises:
        MienError: it was baked with another motion encoder.
    """
    if (baked.preset, baked.weights) != (network.config.preset, motion_weights(network)):
        raise MienError(
            f"{name} was baked with other weights (preset '{baked.preset}'); bake its photo's "
            "avatar again, or pass the weights that made it with --weights."
        )


def gaussians_of(attributes: Tensor) -> Gaussians:
    """What attributes (A, N) in the space where they add look like: Gaussians (N)."""
    means, scales, turns, opacities, colors = attributes.T.split([3, 3, 3, 1, 3], -1)
    angles = turns.norm(dim=-1, keepdim=True)
    # sin(t/2)/t, which is half of sinc, has no hole at zero.
    axes = turns * torch.sinc(angles / (2 * torch.pi)) / 2
    return Gaussians(
        means=means,
        quats=torch.cat([torch.cos(angles / 2), axes], -1),
        scales=scales.clamp(-LARGEST_LOG_SCALE, LARGEST_LOG_SCALE).exp(),
        opacities=torch.sigmoid(opacities[:, 0]),
        colors=colors.clamp(0, 1),
    )


def express(baked: Baked, latent: Tensor) -> Gaussians:
    """The plain way to play a baked avatar: Gaussians (N) told latent (D,)."""
    weights = baked.weigh(latent)
    moved = torch.einsum("k,kan->an", weights, baked.codes.float())
    return gaussians_of(baked.rest + baked.step[:, None] * moved)


def _linears(net: nn.Sequential) -> tuple[nn.Linear, nn.Linear]:
    first, last = net[0], net[-1]
    assert isinstance(first, nn.Linear)
    assert isinstance(last, nn.Linear)
    return first, last
