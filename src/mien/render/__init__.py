"""Gaussians to pictures: one function, several backends that give the same picture."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Literal

import torch
from torch import Tensor

from mien.structures import Camera, Gaussians, Rendered

MODULES = {"reference": "reference", "cpu": "cpu", "gsplat": "gsplat", "triton": "triton_splat"}

Backend = Literal["auto", "reference", "cpu", "gsplat", "triton"]


def splat(
    gaussians: Gaussians,
    camera: Camera,
    size: tuple[int, int],
    *,
    antialiased: bool = False,
    backend: Backend = "auto",
) -> Rendered:
    """Draw Gaussians as a pinhole camera sees them.

    Kerbl et al. 2023 with the cut-offs of gsplat 1.5.3; `mien.render.reference` says what is
    computed, every backend gives that. Computed in float32; float64 by the reference alone.

    Args:
        gaussians: (N) or a batch (B, N).
        camera: one, or a batch (B) as long as that of the Gaussians, one picture each.
        size: (H, W) of the picture in pixels.
        antialiased: fade splats of less than a pixel rather than let them grow too heavy.
        backend: "reference": plain PyTorch, any device, gradients to everything; "cpu": real time
            on a processor, gradients of the image to the colours alone; "triton": CUDA, gradients
            to the Gaussians; "gsplat": CUDA, gradients to the Gaussians and the camera's pose.
            "auto" takes the first of "triton", "gsplat", "reference" on CUDA, and elsewhere "cpu"
            unless it lacks gradients that are wanted.

    Returns:
        Over black; over another background it is `image + (1 - alpha) * background`.

    Raises:
        MienError: the backend asked for is not installed.
        ValueError: shapes do not match, or gradients are asked of a backend that has none.
    """
    single = gaussians.means.ndim == 2
    if single:
        gaussians, camera = gaussians.map(_unsqueeze), camera.map(_unsqueeze)
    _check(gaussians, camera, size)
    if gaussians.means.dtype != torch.float64:
        gaussians = gaussians.to(torch.float32)
    camera = camera.to(gaussians.means.device).to(gaussians.means.dtype)
    if backend == "auto":
        backend = _best_backend(gaussians, camera)
    constants = {"cpu": (*_geometry(gaussians), *_values(camera)), "triton": _values(camera)}
    if _differentiable(*constants.get(backend, ())):
        raise ValueError(f"no gradients to these from {backend!r}: use 'reference' or no_grad()")
    draw = import_module(f"mien.render.{MODULES[backend]}").splat
    with torch.autocast(gaussians.means.device.type, enabled=False):
        rendered = draw(gaussians, camera, size, antialiased=antialiased)
    return rendered[0] if single else rendered


def _best_backend(gaussians: Gaussians, camera: Camera) -> Backend:
    """The fastest backend that can draw these Gaussians here."""
    if gaussians.means.dtype == torch.float64:
        return "reference"
    if gaussians.means.is_cuda and find_spec("triton") and not _differentiable(*_values(camera)):
        return "triton"
    if gaussians.means.is_cuda and find_spec("gsplat"):
        return "gsplat"
    on_cpu = gaussians.means.device.type == "cpu"
    if on_cpu and not _differentiable(*_geometry(gaussians), *_values(camera)):
        return "cpu"
    return "reference"


def _values(record: Gaussians | Camera) -> tuple[Tensor, ...]:
    return tuple(vars(record).values())


def _geometry(gaussians: Gaussians) -> tuple[Tensor, ...]:
    """All but the colours, in which a picture is linear."""
    return tuple(value for name, value in vars(gaussians).items() if name != "colors")


def _differentiable(*tensors: Tensor) -> bool:
    """Whether anybody may ask for gradients."""
    return torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)


def _unsqueeze(value: Tensor) -> Tensor:
    return value[None]


def _check(gaussians: Gaussians, camera: Camera, size: tuple[int, int]) -> None:
    """Raise ValueError unless all are for the same batch and the same number of Gaussians."""
    batch, count = gaussians.means.shape[:2]
    shapes = {"means": (3,), "quats": (4,), "scales": (3,), "opacities": (), "colors": (3,)}
    expected = {name: (batch, count, *shape) for name, shape in shapes.items()}
    expected |= {"world_from_cam": (batch, 4, 4), "intrinsics": (batch, 3, 3)}
    for name, value in (vars(gaussians) | vars(camera)).items():
        if value.shape != expected[name]:
            raise ValueError(f"{name} is {tuple(value.shape)}, expected {expected[name]}")
    if batch < 1 or min(size) < 1:
        raise ValueError(f"nothing to draw: {batch} pictures of {size[0]} × {size[1]} pixels")
