"""Baking: what an avatar's Gaussians do, over all that faces do, as a sum of a few linear bases.

A spread of expressions goes through the networks. Of each Gaussian's thirteen attributes, in the
space where they add (see `artifact.baked`), the principal components over the spread become the
bases; a small map learns from latents what weights they get. No photo or video is needed: the
spread is drawn from statistics of faces, and can be joined by takes of one's own.

Axis legend: S samples, N Gaussians, K bases, A = 13 attributes, D latent, L = 478 landmarks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mien.artifact.baked import ATTRIBUTES, Baked, LatentMap, packed_bytes
from mien.engine.play_cpu import Folded, Unpacked
from mien.errors import MienError
from mien.model.matching import motion_weights
from mien.model.motion import LandmarkMotion
from mien.model.network import Network
from mien.render import splat
from mien.render.cpu import CpuSplatter
from mien.structures import Avatar, Camera, Gaussians

SAMPLES = 320
"""Expressions whose response is decomposed."""

LESSONS = 8000
"""Expressions that the map from latents to weights is fitted to."""

WITNESSES = 256
"""Gaussians by which the right weights of a lesson are told."""

BATCH = 64
"""Lessons that are worked out at once."""

HIDDEN = 128
"""Units of the map."""

EPOCHS = 150
"""Times that the map sees each lesson."""

STRENGTHS = (0.3, 2.3)
"""Drawn expressions are between so many times as strong as usual ones: faces are mostly calm."""

VIEWS = (-0.6, -0.3, 0.0, 0.3, 0.6)
"""Yaws, in radians, from which a Gaussian may be seen."""

SEEN = 0.03
"""Pixels of a picture of 256² that a Gaussian must make up somewhere to be kept."""

FINEST = 0.01
"""The finest step of quantisation, in units of `NOTICE`: finer ones change nothing to be seen."""

NOTICE = torch.tensor(
    [1 / 250, 1 / 250, 1 / 87, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5, 4.9, 0.154, 0.154, 0.154]
)
"""How much of each attribute is as noticeable as of the others: noise of a tenth of this on any one
gives about 45 dB. Depth, the third, is half hidden from those who look at a face."""


class Spread(NamedTuple):
    """Statistics of tracked faces: who is no longer in them.

    Args:
        mean: (L, 3) canonical landmarks of the average face.
        faces: (F, L, 3) principal components of how faces differ, one standard deviation each.
        moves: (M, L, 3) those of how a face departs from its own mean while it is filmed.
    """

    mean: Tensor
    faces: Tensor
    moves: Tensor


@dataclass(frozen=True)
class Response:
    """What a spread of expressions does to an avatar, decomposed.

    Args:
        avatar: without the Gaussians that never show.
        mean: (A, N) attributes, in units of `NOTICE`.
        bases: (K, A, N) in the same units; their weights have unit variance over the spread.
        energies: (K,) how much of the variance each explains.
    """

    avatar: Avatar
    mean: Tensor
    bases: Tensor
    energies: Tensor


def load_spread() -> Spread:
    """The statistics that come with Mien, of some 180 people."""
    with np.load(Path(__file__).with_name("expressions.npz")) as data:
        return Spread(*(torch.from_numpy(data[name]).float() for name in Spread._fields))


@torch.no_grad()
def draw_latents(network: Network, source: Tensor, count: int, rng: torch.Generator) -> Tensor:
    """Latents (S, D) such as drivers give.

    Half of them are of other faces ("absolute"), half change the photo's own by what a face does
    ("relative").

    Args:
        network: whose motion encoder makes them.
        source: (D,) motion latent of the photo.
        count: S.
        rng: source of randomness, on the CPU.
    """
    spread = load_spread()
    low, high = STRENGTHS
    strength = low + (high - low) * torch.rand(count, 1, generator=rng)
    who = torch.randn(count, len(spread.faces), generator=rng)
    what = strength * torch.randn(count, len(spread.moves), generator=rng)
    still = spread.mean + torch.einsum("sf,flc->slc", who, spread.faces)
    moved = still + torch.einsum("sm,mlc->slc", what, spread.moves)
    driven = network.motion(moved)
    relative = torch.rand(count, 1, generator=rng) < 0.5
    return torch.where(relative, source + driven - network.motion(still), driven)


def bake(
    network: Network,
    avatar: Avatar,
    *,
    bases: int = 32,
    budget: int = 2_000_000,
    latents: Tensor | None = None,
    seed: int = 0,
) -> Baked:
    """An avatar that plays without networks.

    Args:
        network: of the avatar's preset, on the CPU.
        avatar: of one person.
        bases: K.
        budget: bytes that the bases may take in a file; they are quantised to fit.
        latents: (T, D) of takes that it shall play well, beside those that are drawn.
        seed: of what is drawn.

    Raises:
        MienError: the preset's latents are not made from landmarks.
    """
    if not isinstance(network.motion, LandmarkMotion):
        raise MienError(
            f"Avatars of the preset '{avatar.preset}' cannot be baked, for its latents are not "
            "made from landmarks; bake one of the preset 'base'."
        )
    rng = torch.Generator().manual_seed(seed)
    response = respond(network, avatar, bases, _samples(network, avatar, SAMPLES, latents, rng))
    lessons = _samples(network, avatar, LESSONS, latents, rng)
    answers = weights_of(network, response, lessons, rng)
    unit = NOTICE[:, None]
    codes, step = quantised(response.bases, budget)
    return Baked(
        rest=response.mean * unit,
        codes=codes,
        step=step * NOTICE,
        weigh=fit_map(lessons, answers, response.energies, rng),
        source_latent=avatar.source_latent,
        intrinsics=avatar.intrinsics,
        preset=avatar.preset,
        provenance=avatar.provenance,
        weights=motion_weights(network),
    )


@torch.no_grad()
def fidelity(
    network: Network, avatar: Avatar, baked: Baked, latents: Tensor, size: int = 512
) -> Tensor:
    """(S,) PSNR in dB of frontal pictures of a baked avatar against the unbaked one's.

    Args:
        network: of the avatar's preset, on the CPU.
        avatar: what was baked.
        baked: what came of it.
        latents: (S, D) what both express.
        size: of the pictures.
    """
    camera = replace(Camera.orbit(), intrinsics=avatar.intrinsics)
    player = Unpacked(baked)
    ratios = []
    for latent in latents:
        gaussians, _ = network.animate(avatar, latent)
        images = [splat(g, camera, (size, size)).image for g in (gaussians, player(latent))]
        error = (images[0] - images[1]).square().mean()
        ratios.append(-10 * error.clamp_min(1e-12).log10())
    return torch.stack(ratios)


def _samples(
    network: Network, avatar: Avatar, count: int, own: Tensor | None, rng: torch.Generator
) -> Tensor:
    """(count, D) latents; a third of them from `own`, if there are such."""
    drawn = draw_latents(network, avatar.source_latent, count, rng)
    if own is not None:
        third = count // 3
        drawn[:third] = own[torch.randint(len(own), (third,), generator=rng)]
    return drawn


@torch.no_grad()
def respond(network: Network, avatar: Avatar, bases: int, latents: Tensor) -> Response:
    """Decompose what latents (S, D) do to an avatar; S must exceed the number of bases."""
    avatar = kept(avatar, shown(network, avatar, latents[:: max(1, len(latents) // 8)]))
    count = len(avatar.features)
    folded = Folded(network, avatar, torch.bfloat16)
    samples = torch.empty(len(latents), ATTRIBUTES, count)
    for index, latent in enumerate(latents):
        samples[index] = attributes_of(folded(latent)) / NOTICE[:, None]
    mean = samples.mean(0)
    samples -= mean
    flat = samples.flatten(1)
    # Of a wide matrix the small Gram matrix says it all.
    variances, directions = torch.linalg.eigh((flat @ flat.T).double() / len(flat))
    variances, directions = variances.flip(0)[:bases], directions.flip(1)[:, :bases]
    root = math.sqrt(len(flat))
    found = (directions.T.float() @ flat / root).unflatten(1, (ATTRIBUTES, count))
    return Response(avatar, mean, found, (variances / variances.sum()).float())


@torch.no_grad()
def shown(network: Network, avatar: Avatar, latents: Tensor) -> Tensor:
    """(N,) the most pixels of a picture of 256² that each Gaussian makes up in any of these
    expressions (S, D) from any of `VIEWS`.
    """
    splatter = CpuSplatter()
    folded = Folded(network, avatar, torch.bfloat16)
    most = torch.zeros(len(avatar.features))
    for latent in latents:
        gaussians = folded(latent)
        for yaw in VIEWS:
            camera = replace(Camera.orbit(yaw), intrinsics=avatar.intrinsics)
            most = torch.maximum(most, splatter.shown(gaussians, camera, (256, 256)))
    return most


def kept(avatar: Avatar, pixels: Tensor) -> Avatar:
    """An avatar without Gaussians that make up fewer than `SEEN` of their `pixels` (N,)."""
    keep = pixels >= SEEN
    keep[pixels.argmax()] = True
    return chosen(avatar, keep)


def chosen(avatar: Avatar, which: Tensor) -> Avatar:
    """Some of an avatar's Gaussians, by index or mask."""
    anchors = avatar.anchors
    if anchors is not None:
        names = ("means", "colors", "scales", "density")
        anchors = replace(anchors, **{name: getattr(anchors, name)[which] for name in names})
    return replace(
        avatar, features=avatar.features[which], basis=avatar.basis[which], anchors=anchors
    )


def attributes_of(gaussians: Gaussians) -> Tensor:
    """(*B, A, N) attributes of Gaussians (*B, N) in the space where they add."""
    quats = torch.where(gaussians.quats[..., :1] < 0, -gaussians.quats, gaussians.quats)
    axes = quats[..., 1:]
    sine = axes.norm(dim=-1, keepdim=True)
    # As the angle goes to nothing, so does its ratio to the half angle's sine: to 2.
    turn = torch.where(
        sine > 1e-6, 2 * torch.atan2(sine, quats[..., :1]) / sine.clamp_min(1e-6), 2.0
    )
    opacities = torch.logit(gaussians.opacities, 1e-4)[..., None]
    scales = gaussians.scales.clamp_min(1e-6).log()
    parts = [gaussians.means, scales, turn * axes, opacities, gaussians.colors]
    return torch.cat(parts, -1).transpose(-1, -2)


@torch.no_grad()
def weights_of(
    network: Network, response: Response, latents: Tensor, rng: torch.Generator
) -> Tensor:
    """Weights (S, K) that bring the bases closest to what latents (S, D) ask, by least squares
    over some Gaussians: to decode all would take as long as everything else together.
    """
    count = response.mean.shape[1]
    some = torch.randperm(count, generator=rng)[:WITNESSES]
    folded = Folded(network, chosen(response.avatar, some), torch.bfloat16)
    bases = response.bases[..., some].flatten(1)
    asked = torch.cat([attributes_of(folded(part)) for part in latents.split(BATCH)])
    off = (asked / NOTICE[:, None] - response.mean[:, some]).flatten(1)
    normal = bases @ bases.T
    # A trace of what the weights cost each keeps those steady that the witnesses hardly see.
    normal += 1e-4 * normal.diagonal().mean() * torch.eye(len(bases))
    return torch.linalg.solve(normal, bases @ off.T).T


def fit_map(
    latents: Tensor, weights: Tensor, importance: Tensor, rng: torch.Generator
) -> LatentMap:
    """Learn weights (S, K) from latents (S, D): by least squares, and SiLU units for the rest.

    Args:
        latents: of the lessons.
        weights: the right answers.
        importance: (K,) of errors in each.
        rng: source of randomness.
    """
    mean, deviation = latents.mean(0), latents.std(0).clamp_min(1e-6)
    inputs = (latents - mean) / deviation
    ones = F.pad(inputs, (0, 1), value=1.0)
    normal = ones.T @ ones + 1e-2 * torch.eye(ones.shape[1])
    straight = torch.linalg.solve(normal, ones.T @ weights)
    linear, bias = straight[:-1].T.clone(), straight[-1].clone()
    size, width = inputs.shape[1], weights.shape[1]
    hidden = torch.empty(HIDDEN, size).uniform_(-1, 1, generator=rng) / math.sqrt(size)
    shift = torch.empty(HIDDEN).uniform_(-1, 1, generator=rng) / math.sqrt(size)
    fitted = LatentMap(hidden, shift, torch.zeros(width, HIDDEN), bias, linear)
    parameters = [nn.Parameter(value) for value in vars(fitted).values()]
    fitted = LatentMap(*parameters)
    batch = min(1024, len(inputs))
    steps = max(1, EPOCHS * len(inputs) // batch)
    optimiser = torch.optim.AdamW(parameters, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 5e-3, total_steps=steps)
    for _ in range(steps):
        some = torch.randint(len(inputs), (batch,), generator=rng)
        errors = (fitted(inputs[some]) - weights[some]).square()
        optimiser.zero_grad()
        (errors @ importance).mean().backward()
        optimiser.step()
        schedule.step()
    # The map takes latents as they are: what standardises them goes into its first layers.
    fitted = fitted.map(torch.detach)
    first, linear = fitted.hidden_weight / deviation, fitted.linear / deviation
    return replace(
        fitted,
        hidden_weight=first,
        hidden_bias=fitted.hidden_bias - first @ mean,
        linear=linear,
        out_bias=fitted.out_bias - linear @ mean,
    )


def quantised(bases: Tensor, budget: int) -> tuple[Tensor, float]:
    """Bases (K, A, N) as int16 codes and their step: the finest that fits `budget` bytes.

    As their weights have unit variance, one step for all spends bits where they are seen.
    """
    step = max(FINEST, bases.abs().max().item() / 32_000)
    while True:
        codes = (bases / step).round().to(torch.int16)
        if packed_bytes(codes) <= budget or step > 1e3:
            return codes, step
        step *= math.sqrt(2)
