"""Gradients of splats to gradients of Gaussians on a GPU: the adjoint of `triton_project`.

Axis legend: B cameras, N Gaussians a camera, M = B·N.
"""

# Triton comes with torch's GPU builds only, and its kernels' launch syntax has no types.
# pyright: reportMissingImports=false, reportIndexIssue=false

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from mien.render.reference import BLUR
from mien.render.triton_project import (
    BLOCK,
    blocks,
    dot3,
    guarded,
    jacobian_rows,
    load3,
    load_camera,
    load_quaternion,
    rotation,
)
from mien.structures import Camera, Gaussians

MOMENTS = 10
"""Numbers a splat that blending returns as gradient. With v = ∂L/∂ln α and w = ∂L/∂(colour), summed
over pixels at (x, y) from the splat's centre: v, vx, vy, vxx, vxy, vyy; w's red, green, blue,
depth."""

_BLUR = tl.constexpr(BLUR)
_MOMENTS = tl.constexpr(MOMENTS)


@triton.jit
def store3(base, index, mask, x, y, z):
    """Three consecutive numbers of row `index`."""
    at = base + index * 3
    tl.store(at, x, mask)
    tl.store(at + 1, y, mask)
    tl.store(at + 2, z, mask)


@triton.jit(do_not_specialize=["N", "width", "height"])
def project_backward_kernel(
    means, quats, scales, opacities, world_from_cam, intrinsics, counts, moments,
    grad_means, grad_quats, grad_scales, grad_opacities, grad_colors,
    N, width, height,
    ANTIALIASED: tl.constexpr, SIZE: tl.constexpr,
):  # fmt: skip
    """Write a block of Gaussians' gradients."""
    camera = tl.program_id(1)
    local = tl.program_id(0) * SIZE + tl.arange(0, SIZE)
    mask = local < N
    index = camera * N + local
    seen = mask & (tl.load(counts + index, mask, 0) > 0)

    right, down, ahead, position, fx, fy, cx, cy = load_camera(
        world_from_cam, intrinsics, camera, width, height
    )
    px, py, pz = load3(means, index, seen)
    offset = (px - position[0], py - position[1], pz - position[2])
    rz = 1 / tl.where(seen, dot3(offset, ahead), 1.0)
    ray_x = dot3(offset, right) * rz
    ray_y = dot3(offset, down) * rz
    guarded_x = guarded(ray_x, fx, cx, width)
    guarded_y = guarded(ray_y, fy, cy, height)
    row_x, row_y = jacobian_rows(right, down, ahead, fx, fy, guarded_x, guarded_y, rz)
    q, shrink = load_quaternion(quats, index, seen)
    first, second, third = rotation(q)
    s = load3(scales, index, seen)
    # Of the unit axes of the Gaussian in the picture: dir_x[j] scaled by s[j] is u[j].
    dir_x = (dot3(row_x, first), dot3(row_x, second), dot3(row_x, third))
    dir_y = (dot3(row_y, first), dot3(row_y, second), dot3(row_y, third))
    u = (dir_x[0] * s[0], dir_x[1] * s[1], dir_x[2] * s[2])
    v = (dir_y[0] * s[0], dir_y[1] * s[1], dir_y[2] * s[2])
    sharp_xx = dot3(u, u)
    sharp_yy = dot3(v, v)
    xy = dot3(u, v)
    xx = sharp_xx + _BLUR
    yy = sharp_yy + _BLUR
    rdet = 1 / tl.where(seen, xx * yy - xy * xy, 1.0)
    a = yy * rdet
    b = -xy * rdet
    c = xx * rdet

    at = moments + index * _MOMENTS
    m = tl.load(at, seen, 0.0)
    mx = tl.load(at + 1, seen, 0.0)
    my = tl.load(at + 2, seen, 0.0)
    mxx = tl.load(at + 3, seen, 0.0)
    mxy = tl.load(at + 4, seen, 0.0)
    myy = tl.load(at + 5, seen, 0.0)
    grad_z = tl.load(at + 9, seen, 0.0)

    # ln α = ln o − ½(a x² + 2b xy + c y²): the gradients of its parts.
    d_opacity = m / tl.maximum(tl.load(opacities + index, seen, 1.0).to(tl.float32), 1e-12)
    d_x = a * mx + b * my
    d_y = b * mx + c * my
    # The conic is the covariance's inverse: ∂L/∂Σ = −Σ⁻¹ (∂L/∂Σ⁻¹) Σ⁻¹, with ∂L/∂Σ⁻¹ = −½ moments.
    ax = a * mxx + b * mxy
    ay = a * mxy + b * myy
    bx = b * mxx + c * mxy
    by = b * mxy + c * myy
    d_xx = 0.5 * (ax * a + ay * b)
    d_yy = 0.5 * (bx * b + by * c)
    d_xy = ax * b + ay * c
    if ANTIALIASED:
        # ln o holds ½ ln(det of the sharp covariance) − ½ ln(det of the blurred one).
        rsharp = 1 / tl.maximum(sharp_xx * sharp_yy - xy * xy, 1e-12 * (xx * yy - xy * xy))
        rsharp = tl.where(seen, rsharp, 0.0)
        d_xx += 0.5 * m * (sharp_yy * rsharp - yy * rdet)
        d_yy += 0.5 * m * (sharp_xx * rsharp - xx * rdet)
        d_xy -= m * xy * (rsharp - rdet)

    d_u = (
        2 * d_xx * u[0] + d_xy * v[0],
        2 * d_xx * u[1] + d_xy * v[1],
        2 * d_xx * u[2] + d_xy * v[2],
    )
    d_v = (
        2 * d_yy * v[0] + d_xy * u[0],
        2 * d_yy * v[1] + d_xy * u[1],
        2 * d_yy * v[2] + d_xy * u[2],
    )
    store3(
        grad_scales, index, mask,
        d_u[0] * dir_x[0] + d_v[0] * dir_y[0],
        d_u[1] * dir_x[1] + d_v[1] * dir_y[1],
        d_u[2] * dir_x[2] + d_v[2] * dir_y[2],
    )  # fmt: skip
    e = (d_u[0] * s[0], d_u[1] * s[1], d_u[2] * s[2])
    f = (d_v[0] * s[0], d_v[1] * s[1], d_v[2] * s[2])

    # ∂L/∂(rotation matrix), row by row.
    r00 = row_x[0] * e[0] + row_y[0] * f[0]
    r01 = row_x[0] * e[1] + row_y[0] * f[1]
    r02 = row_x[0] * e[2] + row_y[0] * f[2]
    r10 = row_x[1] * e[0] + row_y[1] * f[0]
    r11 = row_x[1] * e[1] + row_y[1] * f[1]
    r12 = row_x[1] * e[2] + row_y[1] * f[2]
    r20 = row_x[2] * e[0] + row_y[2] * f[0]
    r21 = row_x[2] * e[1] + row_y[2] * f[1]
    r22 = row_x[2] * e[2] + row_y[2] * f[2]
    qw, qx, qy, qz = q
    d_qw = 2 * (qx * (r21 - r12) + qy * (r02 - r20) + qz * (r10 - r01))
    d_qx = 2 * (qw * (r21 - r12) + qy * (r01 + r10) + qz * (r02 + r20) - 2 * qx * (r11 + r22))
    d_qy = 2 * (qw * (r02 - r20) + qx * (r01 + r10) + qz * (r12 + r21) - 2 * qy * (r00 + r22))
    d_qz = 2 * (qw * (r10 - r01) + qx * (r02 + r20) + qy * (r12 + r21) - 2 * qz * (r00 + r11))
    radial = d_qw * qw + d_qx * qx + d_qy * qy + d_qz * qz
    at = grad_quats + index * 4
    tl.store(at, (d_qw - radial * qw) * shrink, mask)
    tl.store(at + 1, (d_qx - radial * qx) * shrink, mask)
    tl.store(at + 2, (d_qy - radial * qy) * shrink, mask)
    tl.store(at + 3, (d_qz - radial * qz) * shrink, mask)

    # ∂L/∂(Jacobian row) along the camera's axes.
    d_row_x = (
        e[0] * first[0] + e[1] * second[0] + e[2] * third[0],
        e[0] * first[1] + e[1] * second[1] + e[2] * third[1],
        e[0] * first[2] + e[1] * second[2] + e[2] * third[2],
    )
    d_row_y = (
        f[0] * first[0] + f[1] * second[0] + f[2] * third[0],
        f[0] * first[1] + f[1] * second[1] + f[2] * third[1],
        f[0] * first[2] + f[1] * second[2] + f[2] * third[2],
    )
    d_jx = dot3(d_row_x, right)
    d_jy = dot3(d_row_y, down)
    d_kx = dot3(d_row_x, ahead)
    d_ky = dot3(d_row_y, ahead)
    # Rows are (f/z)·axis − (f/z)·ray·ahead; pixels f·ray + centre; rays (x/z, y/z).
    step_x = fx * rz
    step_y = fy * rz
    d_ray_x = fx * d_x - tl.where(guarded_x == ray_x, step_x * d_kx, 0.0)
    d_ray_y = fy * d_y - tl.where(guarded_y == ray_y, step_y * d_ky, 0.0)
    d_z = grad_z - rz * (
        step_x * (d_jx - guarded_x * d_kx)
        + step_y * (d_jy - guarded_y * d_ky)
        + d_ray_x * ray_x
        + d_ray_y * ray_y
    )
    d_ray_x *= rz
    d_ray_y *= rz
    store3(
        grad_means, index, mask,
        d_ray_x * right[0] + d_ray_y * down[0] + d_z * ahead[0],
        d_ray_x * right[1] + d_ray_y * down[1] + d_z * ahead[1],
        d_ray_x * right[2] + d_ray_y * down[2] + d_z * ahead[2],
    )  # fmt: skip
    at = moments + index * _MOMENTS
    red, green, blue = (
        tl.load(at + 6, seen, 0.0),
        tl.load(at + 7, seen, 0.0),
        tl.load(at + 8, seen, 0.0),
    )
    store3(grad_colors, index, mask, red, green, blue)
    tl.store(grad_opacities + index, d_opacity, mask)


def project_backward(
    gaussians: Gaussians,
    camera: Camera,
    size: tuple[int, int],
    counts: Tensor,
    moments: Tensor,
    *,
    antialiased: bool,
) -> Gaussians:
    """Gradients (B, N) in float32 from `moments` (M, MOMENTS); `counts` (M,) are the splats'."""
    batch, number = gaussians.means.shape[:2]
    grads = gaussians.map(lambda t: torch.empty_like(t, dtype=torch.float32))
    project_backward_kernel[(blocks(number, BLOCK), batch)](
        gaussians.means, gaussians.quats, gaussians.scales, gaussians.opacities,
        camera.world_from_cam, camera.intrinsics, counts, moments,
        grads.means, grads.quats, grads.scales, grads.opacities, grads.colors,
        number, size[1], size[0], ANTIALIASED=antialiased, SIZE=BLOCK,
    )  # fmt: skip
    return grads
