"""PLY as the original 3D Gaussian splatting writes it, for any splat viewer."""

from __future__ import annotations

import os

import torch
from torch import Tensor

from mien.files import write_bytes
from mien.structures import Gaussians

SH_DC = 0.28209479177387814
"""The constant spherical harmonic."""

CLOSEST_OPACITY = 1e-6
"""How near to 0 and 1 opacities may come: their logits must be finite."""

_PROPERTIES = (
    *("x", "y", "z", "nx", "ny", "nz", "f_dc_0", "f_dc_1", "f_dc_2", "opacity"),
    *("scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3"),
)


def save_ply(path: str | os.PathLike[str], gaussians: Gaussians) -> None:
    """Write Gaussians as a binary PLY that 3DGS viewers open.

    Such files come from COLMAP scenes, whose y axis points down; PlayCanvas' viewers (SuperSplat)
    turn every PLY by 180° about z for that reason. So the canonical frame is turned by 180° about
    z here, x and y negated: in SuperSplat the head stands upright and looks at the first camera.
    Viewers that turn by 180° about x instead, as is customary in three.js, show it upright, from
    behind.

    Args:
        path: by custom ends in `.ply`.
        gaussians: of one frame (no batch axes).

    Raises:
        MienError: it cannot be written there.
        ValueError: the Gaussians are batched, none, or hold numbers that are not finite.
    """
    table = ply_table(gaussians)
    header = [
        "ply",
        "format binary_little_endian 1.0",
        "comment A synthetic head, made by Mien",
        f"element vertex {len(table)}",
        *(f"property float {name}" for name in _PROPERTIES),
        "end_header\n",
    ]
    write_bytes(path, "\n".join(header).encode("ascii"), table.numpy().astype("<f4").tobytes())


def ply_table(gaussians: Gaussians) -> Tensor:
    """(N, 17) float32: the rows of the PLY, in the order of its properties."""
    g = check_frame(gaussians)
    turn = torch.tensor([-1.0, -1.0, 1.0])
    w, x, y, z = g.quats.unbind(-1)
    # The product with (0, 0, 0, 1), half a turn about z.
    quats = torch.stack([-z, -y, x, w], -1)
    opacities = g.opacities.clamp(CLOSEST_OPACITY, 1 - CLOSEST_OPACITY)
    columns = [
        g.means * turn,
        torch.zeros_like(g.means),
        (g.colors - 0.5) / SH_DC,
        opacities.logit()[:, None],
        g.scales.clamp_min(1e-12).log(),
        quats,
    ]
    return torch.cat(columns, -1)


def check_frame(gaussians: Gaussians) -> Gaussians:
    """The Gaussians of one frame as float32 on the CPU.

    Raises:
        ValueError: they are batched, none, or hold numbers that are not finite.
    """
    if gaussians.means.ndim != 2 or len(gaussians.means) == 0:
        raise ValueError(f"means {tuple(gaussians.means.shape)} are not those of one frame")

    def prepared(value: Tensor) -> Tensor:
        value = value.detach().to("cpu", torch.float32)
        if not value.isfinite().all():
            raise ValueError("the Gaussians hold numbers that are not finite")
        return value

    return gaussians.map(prepared)
