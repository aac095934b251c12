"""The SPZ decodes to the Gaussians that went in, within what its bytes can hold."""

import gzip
import math
import struct
from pathlib import Path

import pytest
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

from mien.artifact import save_ply, save_spz
from mien.errors import MienError
from mien.structures import Gaussians


def some_gaussians(count: int = 400) -> Gaussians:
    quats = torch.nn.functional.normalize(torch.randn(count, 4), dim=-1)
    quats[:4] = torch.eye(4)
    quats[4:8] = -torch.eye(4)
    quats[8] = 0.5
    return Gaussians(
        means=torch.randn(count, 3) * 0.5,
        quats=quats,
        scales=torch.rand(count, 3) * 0.02 + 1e-4,
        opacities=torch.linspace(0, 1, count),
        colors=torch.rand(count, 3) * 1.1 - 0.05,
    )


def fixed_point(data: bytes, bits: int) -> float:
    value = data[0] | data[1] << 8 | data[2] << 16
    return (value - (1 << 24) if value >= 1 << 23 else value) / (1 << bits)


def smallest_three(word: int) -> list[float]:
    """wxyz of the 32 bits."""
    largest = word >> 30
    xyzw = [0.0] * 4
    for axis in reversed([a for a in range(4) if a != largest]):
        size = (word & 511) / 511 * math.sqrt(0.5)
        xyzw[axis] = -size if word & 512 else size
        word >>= 10
    xyzw[largest] = math.sqrt(max(0.0, 1 - sum(v * v for v in xyzw)))
    return [xyzw[3], *xyzw[:3]]


def read_spz(path: Path) -> Gaussians:
    """A plain decoder, one number at a time, after the format's description."""
    data = gzip.decompress(path.read_bytes())
    magic, version, count, degree, bits, flags, reserved = struct.unpack("<IIIBBBB", data[:16])
    assert data[:4] == b"NGSP"
    assert (magic, version, degree, flags, reserved) == (0x5053474E, 3, 0, 0, 0)
    sizes = {"positions": 9, "alphas": 1, "colors": 3, "scales": 3, "rotations": 4}
    parts, start = {}, 16
    for name, size in sizes.items():
        parts[name] = data[start : start + size * count]
        start += size * count
    assert start == len(data)

    def table(values: list[float], width: int) -> Tensor:
        return torch.tensor(values).reshape(count, width)

    positions = parts["positions"]
    words = struct.unpack(f"<{count}I", parts["rotations"])
    harmonics = [(byte / 255 - 0.5) / 0.15 for byte in parts["colors"]]
    return Gaussians(
        means=table(
            [fixed_point(positions[i : i + 3], bits) for i in range(0, len(positions), 3)], 3
        ),
        quats=torch.tensor([smallest_three(word) for word in words]),
        scales=table([math.exp(byte / 16 - 10) for byte in parts["scales"]], 3),
        opacities=torch.tensor([byte / 255 for byte in parts["alphas"]]),
        colors=table([value * 0.28209479177387814 + 0.5 for value in harmonics], 3),
    )


def degrees_between(quats: Tensor, others: Tensor) -> Tensor:
    def rotations(wxyz: Tensor) -> Rotation:
        return Rotation.from_quat(wxyz.double().roll(-1, -1).numpy())

    return torch.from_numpy((rotations(quats).inv() * rotations(others)).magnitude()).rad2deg()


def test_the_gaussians_come_back(tmp_path: Path) -> None:
    true = some_gaussians()
    save_spz(tmp_path / "me.spz", true)
    found = read_spz(tmp_path / "me.spz")
    assert (found.means - true.means).abs().max() <= 0.5 / 16_384 + 1e-6
    assert (found.opacities - true.opacities).abs().max() <= 0.5 / 255 + 1e-6
    assert (found.colors - true.colors).abs().max() <= 0.5 / 255 / 0.15 * 0.2821 + 1e-6
    assert (found.scales / true.scales).log().abs().max() <= 0.5 / 16 + 1e-4
    assert degrees_between(true.quats, found.quats).max() < 0.25


def test_what_is_out_of_range_is_held_at_its_ends(tmp_path: Path) -> None:
    gaussians = Gaussians(
        means=torch.tensor([[1e6, -1e6, 0.0]]),
        quats=torch.tensor([[1.0, 0, 0, 0]]),
        scales=torch.tensor([[1e-9, 0.0, 1e9]]),
        opacities=torch.tensor([2.0]),
        colors=torch.tensor([[-9.0, 9.0, 0.5]]),
    )
    save_spz(tmp_path / "me.spz", gaussians)
    found = read_spz(tmp_path / "me.spz")
    limit = (2**23 - 1) / 2**14
    torch.testing.assert_close(found.means, torch.tensor([[limit, -limit, 0.0]]))
    assert found.opacities.tolist() == [1.0]
    assert found.scales.log()[0].tolist() == pytest.approx([-10.0, -10.0, 255 / 16 - 10])
    assert found.colors[0].tolist() == pytest.approx([-0.44, 1.44, 0.5], abs=0.01)


def test_it_is_much_smaller_than_the_ply(tmp_path: Path) -> None:
    gaussians = some_gaussians(20_000)
    save_spz(tmp_path / "me.spz", gaussians)
    save_ply(tmp_path / "me.ply", gaussians)
    sizes = [(tmp_path / name).stat().st_size for name in ("me.spz", "me.ply")]
    assert sizes[0] * 3.5 < sizes[1]


def test_the_same_gaussians_make_the_same_file_that_says_it_is_synthetic(tmp_path: Path) -> None:
    gaussians = some_gaussians()
    save_spz(tmp_path / "a.spz", gaussians)
    save_spz(tmp_path / "b.spz", gaussians)
    content = (tmp_path / "a.spz").read_bytes()
    assert content == (tmp_path / "b.spz").read_bytes()
    assert b"synthetic" in content[:64]


def test_batches_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="one frame"):
        save_spz(tmp_path / "me.spz", some_gaussians().map(lambda t: t[None]))


def test_a_missing_folder_is_a_plain_error(tmp_path: Path) -> None:
    with pytest.raises(MienError, match="does not exist; make it"):
        save_spz(tmp_path / "missing" / "me.spz", some_gaussians())
