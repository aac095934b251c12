"""The plain rasteriser: 3D Gaussian splatting in differentiable PyTorch, on any device.

What every fast backend must equal. Gaussians are projected by the local affine approximation of
Zwicker et al. 2001 (EWA splatting) and blended front to back as in Kerbl et al. 2023 (3D Gaussian
splatting); cut-offs and clamps are those of gsplat 1.5.3, so that the two agree in value and in
gradient. Pixel centres lie at +0.5.

Axis legend: B batch, N Gaussians, M Gaussians that matter (in front of the camera, visible; in a
tile), H W pixels, P pixels of a tile.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from mien.structures import Camera, Gaussians, Rendered, rotations

NEAR = 0.01
"""Gaussians whose centre is nearer to the camera's plane than this are not drawn."""

BLUR = 0.3
"""Square pixels added to the diagonal of the projected covariance: no splat is thinner."""

GUARD = 0.3
"""How far beyond the picture the projection still follows a Gaussian, in half pictures."""

ALPHA_MAX = 0.999
"""No splat hides more of what is behind it than this."""

ALPHA_MIN = 1 / 255
"""A splat is not drawn in pixels where it would hide less than this."""

TRANSMITTANCE_MIN = 1e-4
"""A pixel is finished when the next splat would leave it no more transparent than this."""

TILE = 16
"""Side in pixels of the squares that are blended at once."""

CHUNK = 512
"""Splats that are blended at once: with `TILE` it bounds the memory."""


class Splats(NamedTuple):
    """Gaussians as the picture sees them, near to far.

    Args:
        means: (M, 2) centres in pixels.
        conics: (M, 3) xx, xy, yy of the inverse covariance, per square pixel.
        opacities: (M,) in [0, 1].
        colors: (M, 3) RGB.
        depths: (M,) along the camera's z, increasing.
        radii: (M, 2) half sides in pixels of the box outside which alpha is under `ALPHA_MIN`.
    """

    means: Tensor
    conics: Tensor
    opacities: Tensor
    colors: Tensor
    depths: Tensor
    radii: Tensor


def splat(
    gaussians: Gaussians, camera: Camera, size: tuple[int, int], *, antialiased: bool = False
) -> Rendered:
    """Draw a batch, one picture after the other; see `mien.render.splat`."""
    pictures = []
    for index in range(gaussians.means.shape[0]):
        splats = project(gaussians[index], camera[index], size, antialiased=antialiased)
        pictures.append(blend(splats, size))
    weighted, alpha, depth = torch.stack(pictures).split([3, 1, 1], dim=1)
    return Rendered(weighted, alpha, depth / alpha.clamp(min=1e-10))


def project(
    gaussians: Gaussians, camera: Camera, size: tuple[int, int], *, antialiased: bool = False
) -> Splats:
    """Project Gaussians (N) by one camera; those that cannot be seen are left out.

    Args:
        gaussians: without batch axes.
        camera: without batch axes.
        size: (H, W) of the picture.
        antialiased: fade splats that `BLUR` widens, so that they keep their weight
            (Yu et al. 2024, Mip-Splatting, section 4.2).
    """
    view = camera.cam_from_world
    local = _product(gaussians.means[:, None], view[:3, :3].T)[:, 0] + view[:3, 3]
    ahead = torch.nonzero(local[:, 2] >= NEAR)[:, 0]
    ahead = ahead[local[ahead, 2].argsort(stable=True)]
    gaussians, local = gaussians[ahead], local[ahead]

    means, jacobian = _pinhole(local, camera.intrinsics, size)
    axes = _product(view[:3, :3], rotations(gaussians.quats)) * gaussians.scales[:, None]
    x, y = _product(jacobian, axes).unbind(-2)
    # The determinants, first without BLUR, are written so that needles do not cancel them out.
    xx, xy, yy = (x * x).sum(-1), (x * y).sum(-1), (y * y).sum(-1)
    sharp = torch.linalg.cross(x, y).square().sum(-1)
    det = sharp + BLUR * (xx + yy) + BLUR**2
    xx, yy = xx + BLUR, yy + BLUR
    opacities = gaussians.opacities
    if antialiased:
        # Where the ratio vanishes so does the splat; the bound keeps its square root's gradient.
        opacities = opacities * (sharp / det).clamp(min=1e-12).sqrt()

    drawn = det.isfinite() & opacities.isfinite() & (opacities >= ALPHA_MIN)
    drawn = torch.nonzero(drawn)[:, 0]
    xx, xy, yy, det, opacities = (v[drawn] for v in (xx, xy, yy, det, opacities))
    with torch.no_grad():
        extent = (2 * torch.log(opacities / ALPHA_MIN)).sqrt()
        radii = torch.ceil(extent[:, None] * torch.stack([xx, yy], -1).sqrt())
    return Splats(
        means[drawn],
        torch.stack([yy, -xy, xx], -1) / det[:, None],
        opacities,
        gaussians.colors[drawn],
        local[drawn, 2],
        radii,
    )


def _pinhole(local: Tensor, intrinsics: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Pixels (M, 2) of points (M, 3) in camera axes, and the projection's Jacobian (M, 2, 3).

    Far outside the picture the affine approximation breaks down, so the Jacobian is taken at the
    nearest direction that is at most `GUARD` half pictures beyond the edge.
    """
    extent = local.new_tensor([size[1], size[0]])
    focal = intrinsics[[0, 1], [0, 1]] * extent
    centre = intrinsics[:2, 2] * extent
    inverse = 1 / local[:, 2:]
    ray = local[:, :2] * inverse
    guard = GUARD * 0.5 * extent / focal
    clamped = ray.clamp(-centre / focal - guard, (extent - centre) / focal + guard)
    step = focal * inverse
    jacobian = torch.cat([torch.diag_embed(step), -(step * clamped)[..., None]], -1)
    return ray * focal + centre, jacobian


def _product(a: Tensor, b: Tensor) -> Tensor:
    """Product of small matrices, in full precision: `@` may take shortcuts (TF32) on a GPU."""
    return (a[..., :, :, None] * b[..., None, :, :]).sum(-2)


def blend(splats: Splats, size: tuple[int, int]) -> Tensor:
    """Blend splats front to back, a band of tiles at a time.

    With gradients on, a band's intermediate values are not kept but computed again on the way
    back, so that memory stays that of one band.

    Returns:
        (5, H, W): weighted sums of red, green, blue, 1 (that is alpha) and depth.
    """
    height, width = size
    bands = []
    for top in range(0, height, TILE):
        rows = (top, min(top + TILE, height))
        band = checkpoint(
            _blend_band, splats, rows, width, use_reentrant=False, preserve_rng_state=False
        )
        bands.append(band)
    return torch.cat(bands, dim=1)


def _blend_band(splats: Splats, rows: tuple[int, int], width: int) -> Tensor:
    """A band of the picture, its last row exclusive: (5, rows, width)."""
    top, bottom = rows
    low, high = (splats.means - splats.radii).detach(), (splats.means + splats.radii).detach()
    inside = torch.nonzero((low[:, 1] < bottom) & (high[:, 1] > top))[:, 0]
    low, high = low[inside, 0], high[inside, 0]
    band = Splats(*(v[inside] for v in splats))
    tiles = []
    for left in range(0, width, TILE):
        right = min(left + TILE, width)
        touching = torch.nonzero((low < right) & (high > left))[:, 0]
        y = torch.arange(top, bottom, device=low.device) + 0.5
        x = torch.arange(left, right, device=low.device) + 0.5
        pixels = torch.cartesian_prod(y, x).flip(-1).to(low.dtype)
        tile = _blend_pixels(Splats(*(v[touching] for v in band)), pixels)
        tiles.append(tile.unflatten(0, (bottom - top, right - left)))
    return torch.cat(tiles, dim=1).movedim(-1, 0)


def _blend_pixels(splats: Splats, pixels: Tensor) -> Tensor:
    """Blend all `splats` (M) at `pixels` (P, 2): (P, 5)."""
    features = torch.cat(
        [splats.colors, torch.ones_like(splats.depths)[:, None], splats.depths[:, None]], -1
    )
    # An empty product: zeros, but with gradients (of zero) even where nothing is drawn.
    result = features.new_zeros(len(pixels), 0) @ features[:0]
    transmittance = features.new_ones(len(pixels), 1)
    for start in range(0, len(features), CHUNK):
        if transmittance.max() <= TRANSMITTANCE_MIN:
            break
        part = slice(start, start + CHUNK)
        x, y = (pixels[:, None] - splats.means[part]).unbind(-1)
        xx, xy, yy = splats.conics[part].unbind(-1)
        power = 0.5 * (xx * x * x + yy * y * y) + xy * x * y
        alpha = (splats.opacities[part] * torch.exp(-power)).clamp(max=ALPHA_MAX)
        alpha = torch.where((power >= 0) & (alpha >= ALPHA_MIN), alpha, 0)
        after = transmittance * torch.cumprod(1 - alpha, dim=-1)
        before = torch.cat([transmittance, after[:, :-1]], -1)
        # `after` never rises, so this also leaves out all that follows the one that stops.
        weights = torch.where(after > TRANSMITTANCE_MIN, alpha * before, 0)
        result = result + weights @ features[part]
        transmittance = after[:, -1:]
    return result
