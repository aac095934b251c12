"""Avatars and takes, and the weights that are to read them.

A latent means what the weights that made it mean by it: others, though of the same preset, would
read something else. So files say which weights made them, by a fingerprint. A take also keeps the
landmarks it was made of, and is made anew where its latents do not fit: it outlives weights.

Axis legend: D latent.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace

import torch
from torch import Tensor, nn

from mien.errors import MienError
from mien.model.network import Network
from mien.model.paper import PaperNetwork
from mien.structures import Avatar, Motion

StrPath = str | os.PathLike[str]


def fingerprint(*modules: nn.Module) -> str:
    """32 hexadecimal digits that say which weights these are: of every name, shape and number."""
    digest = hashlib.sha256()
    for module in modules:
        for name, value in module.state_dict().items():
            digest.update(f"{name} {tuple(value.shape)}\0".encode())
            digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()[:32]


def motion_weights(network: Network) -> str:
    """The fingerprint of what makes latents."""
    return fingerprint(network.motion)


def avatar_weights(network: Network) -> str:
    """The fingerprint of what reads an avatar: motion encoder, fusion and decoder."""
    return fingerprint(network.motion, network.fusion, network.decoder)


def check_avatar(avatar: Avatar, network: Network, name: StrPath) -> None:
    """Make sure that a network can read an avatar.

    Args:
        avatar: as read from a file.
        network: what is to animate it.
        name: what messages call it.

    Raises:
        MienError: it was made with another preset or with other weights.
    """
    _check_preset(avatar.preset, avatar.source_latent, network, name)
    if avatar.weights != avatar_weights(network):
        known = "with other weights" if avatar.weights else "before avatars said by which weights"
        raise MienError(
            f"{name} was made {known}; encode the photo again, or pass the weights that made it "
            "with --weights."
        )


def matched(take: Motion, network: Network, name: StrPath) -> Motion:
    """A take whose latents are the network's: as it is, or made anew from its landmarks.

    Args:
        take: as read from a file.
        network: what is to perform it.
        name: what messages call it.

    Raises:
        MienError: its latents are of another preset or of other weights, and it has no landmarks,
            or the network reads pictures, which no take keeps.
    """
    weights = motion_weights(network)
    if (take.preset, take.weights) == (network.config.preset, weights):
        return take
    if take.landmarks is None or isinstance(network, PaperNetwork):
        _check_preset(take.preset, take.latents, network, name)
        known = "with other weights" if take.weights else "before takes said by which weights"
        raise MienError(
            f"{name} was made {known}, and keeps nothing that these could make it anew from; track "
            "the video again with `mien motion`, or pass the weights that made it with --weights."
        )
    with torch.no_grad():
        device = next(network.parameters()).device
        latents = network.motion(take.landmarks.to(device)).cpu()
    return replace(take, latents=latents, preset=network.config.preset, weights=weights)


def _check_preset(preset: str, latent: Tensor, network: Network, name: StrPath) -> None:
    """Make sure that latents (..., D) are of the network's preset."""
    config = network.config
    if (preset, latent.shape[-1]) != (config.preset, config.latent):
        raise MienError(
            f"{name} was made with the preset '{preset}' ({latent.shape[-1]} numbers a latent), "
            f"but the weights are of '{config.preset}' ({config.latent}); make it again with "
            "these weights, or give the others with --weights."
        )
