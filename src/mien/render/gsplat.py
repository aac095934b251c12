"""gsplat behind our API: the yardstick, and a training rasteriser where it is installed."""

from __future__ import annotations

import torch

from mien.errors import MienError
from mien.structures import Camera, Gaussians, Rendered


def splat(
    gaussians: Gaussians, camera: Camera, size: tuple[int, int], *, antialiased: bool = False
) -> Rendered:
    """Draw Gaussians (B, N), each batch element by its own camera (B,), with gsplat on CUDA.

    Raises:
        MienError: gsplat is not installed.
    """
    try:
        from gsplat import rasterization  # pyright: ignore
    except ImportError as error:
        raise MienError(
            "The backend 'gsplat' is not installed; install it with `pip install gsplat`, or "
            "choose the backend 'triton', which needs nothing."
        ) from error
    height, width = size
    pixels = torch.tensor([width, height, 1.0], device=camera.intrinsics.device)
    colors, alpha, _ = rasterization(
        gaussians.means,
        gaussians.quats,
        gaussians.scales,
        gaussians.opacities,
        gaussians.colors,
        camera.cam_from_world[:, None].contiguous(),
        (camera.intrinsics * pixels[:, None])[:, None].contiguous(),
        width,
        height,
        packed=False,
        render_mode="RGB+ED",
        rasterize_mode="antialiased" if antialiased else "classic",
    )
    picture = colors[:, 0].permute(0, 3, 1, 2)
    return Rendered(picture[:, :3], alpha[:, 0].permute(0, 3, 1, 2), picture[:, 3:])
