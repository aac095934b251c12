"""The PLY holds what splat viewers expect, turned so that the head stands upright in them."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

from mien.artifact import save_ply
from mien.errors import MienError
from mien.structures import Gaussians

HALF_TURN = torch.diag(torch.tensor([-1.0, -1.0, 1.0]))
"""How SuperSplat turns a PLY that it opens: by 180° about z."""


def some_gaussians(count: int = 300) -> Gaussians:
    return Gaussians(
        means=torch.randn(count, 3) * 0.3,
        quats=torch.nn.functional.normalize(torch.randn(count, 4), dim=-1),
        scales=torch.rand(count, 3) * 0.02 + 1e-4,
        opacities=torch.linspace(0, 1, count),
        colors=torch.rand(count, 3) * 1.1 - 0.05,
    )


def covariances(quats: Tensor, scales: Tensor) -> Tensor:
    """(N, 3, 3) of wxyz quaternions."""
    axes = torch.from_numpy(Rotation.from_quat(quats.roll(-1, -1).numpy()).as_matrix()).float()
    return axes @ torch.diag_embed(scales**2) @ axes.transpose(1, 2)


def read_ply(path: Path) -> dict[str, np.ndarray]:
    """What a viewer makes of the file: its columns by name."""
    header, body = path.read_bytes().split(b"end_header\n", 1)
    lines = header.decode("ascii").splitlines()
    assert lines[:2] == ["ply", "format binary_little_endian 1.0"]
    (count,) = (int(line.split()[2]) for line in lines if line.startswith("element vertex "))
    names = [line.split()[2] for line in lines if line.startswith("property float ")]
    rows = np.frombuffer(body, "<f4").reshape(count, len(names))
    return {name: rows[:, index] for index, name in enumerate(names)}


def columns(table: dict[str, np.ndarray], *names: str) -> Tensor:
    return torch.from_numpy(np.stack([table[name] for name in names], -1))


def test_a_viewer_reads_the_gaussians_back(tmp_path: Path) -> None:
    gaussians = some_gaussians()
    save_ply(tmp_path / "me.ply", gaussians)
    table = read_ply(tmp_path / "me.ply")
    names = ["x", "y", "z", "nx", "ny", "nz", *(f"f_dc_{i}" for i in range(3)), "opacity"]
    names += [f"scale_{i}" for i in range(3)] + [f"rot_{i}" for i in range(4)]
    assert list(table) == names
    means = columns(table, "x", "y", "z") @ HALF_TURN.T
    torch.testing.assert_close(means, gaussians.means)
    assert not columns(table, "nx", "ny", "nz").any()
    colors = columns(table, "f_dc_0", "f_dc_1", "f_dc_2") * 0.28209479177387814 + 0.5
    torch.testing.assert_close(colors, gaussians.colors)
    opacities = columns(table, "opacity")[:, 0]
    assert opacities.isfinite().all()
    torch.testing.assert_close(opacities.sigmoid(), gaussians.opacities, atol=2e-6, rtol=0)
    scales = columns(table, "scale_0", "scale_1", "scale_2").exp()
    torch.testing.assert_close(scales, gaussians.scales)
    quats = columns(table, "rot_0", "rot_1", "rot_2", "rot_3")
    torch.testing.assert_close(
        HALF_TURN @ covariances(quats, scales) @ HALF_TURN.T,
        covariances(gaussians.quats, gaussians.scales),
        atol=1e-8,
        rtol=1e-4,
    )


def test_the_file_says_that_the_head_is_synthetic(tmp_path: Path) -> None:
    save_ply(tmp_path / "me.ply", some_gaussians())
    assert b"\ncomment A synthetic head" in (tmp_path / "me.ply").read_bytes()


@pytest.mark.parametrize(
    "gaussians",
    [
        some_gaussians()[:0],
        some_gaussians().map(lambda t: t[None]),
        dataclasses.replace(some_gaussians(), colors=torch.full((300, 3), torch.nan)),
    ],
)
def test_gaussians_that_viewers_could_not_show_are_not_written(
    tmp_path: Path, gaussians: Gaussians
) -> None:
    with pytest.raises(ValueError, match=r"."):
        save_ply(tmp_path / "me.ply", gaussians)
    assert not list(tmp_path.iterdir())


def test_a_missing_folder_is_a_plain_error(tmp_path: Path) -> None:
    with pytest.raises(MienError, match="does not exist; make it"):
        save_ply(tmp_path / "missing" / "me.ply", some_gaussians())
