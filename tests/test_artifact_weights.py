"""Weights survive their file within half precision or a byte, and bad files are refused."""

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from mien.artifact import read_weights, write_weights
from mien.errors import MienError

LABELS: dict[str, Any] = {"preset": "base", "licence": "Apache-2.0"}


def a_network() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(8, 16, 3), nn.BatchNorm2d(16), nn.ConvTranspose2d(16, 8, 2), nn.Linear(8, 5)
    )


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "base.safetensors"
    write_weights(path, a_network().state_dict(), **LABELS, int8=True)
    return path


@pytest.mark.parametrize("int8", [False, True])
def test_a_network_comes_back(tmp_path: Path, int8: bool) -> None:
    path = tmp_path / "base.safetensors"
    state = a_network().state_dict()
    write_weights(path, state, **LABELS, int8=int8)
    loaded = read_weights(path).state
    twin = a_network()
    twin.load_state_dict(loaded)
    assert loaded.keys() == state.keys()
    for name, true in state.items():
        found = loaded[name]
        assert found.dtype == (torch.float32 if true.is_floating_point() else torch.int64)
        bound = true.abs() * 2.0**-11 + 1e-7
        if int8 and true.ndim >= 2:
            largest = true.abs().flatten(1).amax(1)
            bound = largest.reshape(-1, *[1] * (true.ndim - 1)) * 0.0045
        assert ((found - true).abs() <= bound).all()


def test_bytes_halve_the_file(tmp_path: Path) -> None:
    state = {"weight": torch.randn(256, 256)}
    write_weights(tmp_path / "half", state, **LABELS)
    write_weights(tmp_path / "byte", state, **LABELS, int8=True)
    sizes = [(tmp_path / name).stat().st_size for name in ("half", "byte")]
    assert sizes[0] / sizes[1] > 1.95


def test_rows_of_zeros_and_of_tiny_numbers_come_back(tmp_path: Path) -> None:
    rows = torch.cat([torch.zeros(1, 50), torch.randn(1, 50) * 1e-7, torch.randn(1, 50) * 1e4])
    write_weights(tmp_path / "file", {"weight": rows}, **LABELS, int8=True)
    found = read_weights(tmp_path / "file").state["weight"]
    assert torch.equal(found[0], rows[0])
    assert (found - rows).abs()[1].max() <= 6e-8
    assert (found - rows).abs()[2].max() <= rows[2].abs().max() * 0.0045


def test_the_licence_travels_with_the_file(saved: Path) -> None:
    with safe_open(saved, framework="pt") as file:
        assert file.metadata()["licence"] == "Apache-2.0"
        assert file.metadata()["preset"] == "base"


@pytest.mark.parametrize(
    "state",
    [
        {"weight": torch.full((3, 3), torch.nan)},
        {"weight": torch.full((3, 3), 1e6)},
        {"weight": torch.zeros(3, 3), "weight.scale": torch.zeros(3)},
        {"weight": torch.zeros(0, 3)},
    ],
)
def test_what_could_not_be_read_back_is_not_written(tmp_path: Path, state: dict) -> None:
    with pytest.raises(ValueError, match=r"."):
        write_weights(tmp_path / "file", state, **LABELS, int8=True)
    assert not list(tmp_path.iterdir())


def test_a_parameter_may_be_called_scale(tmp_path: Path) -> None:
    state = {"norm.scale": torch.ones(4), "norm.weight": torch.ones(4, 4)}
    write_weights(tmp_path / "file", state, **LABELS, int8=True)
    assert read_weights(tmp_path / "file").state.keys() == state.keys()


def test_exact_weights_come_back_to_the_last_bit(tmp_path: Path) -> None:
    state = a_network().state_dict() | {"huge": torch.tensor([1e30])}
    write_weights(tmp_path / "file", state, **LABELS, exact=True)
    again = read_weights(tmp_path / "file").state
    assert all(torch.equal(again[name], value) for name, value in state.items())
    with pytest.raises(ValueError, match="both as bytes and exactly"):
        write_weights(tmp_path / "file", state, **LABELS, exact=True, int8=True)


def test_missing_weights_say_how_to_get_them(tmp_path: Path) -> None:
    with pytest.raises(MienError, match=r"does not exist.*pip install --force-reinstall mien"):
        read_weights(tmp_path / "base.safetensors")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t, m: t.pop("0.weight.scale"), "without a scale"),
        (lambda t, m: t.update({"0.weight": t["0.weight"].double()}), "float64 without a scale"),
        (lambda t, m: t.update({"0.weight.scale": torch.ones(16)}), "float32, where"),
        (lambda t, m: t.update({"0.weight.scale": torch.ones(15).half()}), r"shape \[15\]"),
        (lambda t, m: t["0.weight.scale"].fill_(torch.inf), "not finite"),
        (lambda t, m: t["1.running_var"].fill_(torch.nan), "not finite"),
        (lambda t, m: m.update(format="mien.avatar"), "it is a 'mien.avatar' file"),
        (lambda t, m: m.update(schema="2"), "newer version of Mien"),
    ],
)
def test_a_wrong_file_is_refused_with_the_reason(saved: Path, change, words: str) -> None:
    with safe_open(saved, framework="pt") as file:
        metadata = file.metadata()
    tensors = load_file(saved)
    change(tensors, metadata)
    save_file(tensors, saved, metadata)
    with pytest.raises(MienError, match=words):
        read_weights(saved)


@settings(
    max_examples=200,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(flips=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 7)), min_size=1, max_size=4))
def test_a_damaged_file_loads_finite_or_is_refused(saved: Path, flips) -> None:
    damaged = bytearray(saved.read_bytes())
    for place, bit in flips:
        damaged[int(place * (len(damaged) - 1))] ^= 1 << bit
    path = saved.with_name("damaged.safetensors")
    path.write_bytes(damaged)
    try:
        state = read_weights(path).state
    except MienError:
        return
    assert all(value.isfinite().all() for value in state.values())
