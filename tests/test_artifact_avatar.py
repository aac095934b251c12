"""Avatars survive their file within known errors, and bad files are refused."""

import dataclasses
import json
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from mien.artifact import load_avatar, save_avatar
from mien.artifact.avatar import CHANNELS
from mien.errors import MienError
from mien.structures import Anchors, Avatar, intrinsics_from_fov
from safe_files import FLIPS, flipped, rewrite

DISTRIBUTIONS: dict[str, Callable[[tuple[int, int]], Tensor]] = {
    "normal": torch.randn,
    "uniform": torch.rand,
    "shifted and scaled": lambda s: torch.randn(s) * torch.logspace(-4, 4, s[1]) + 7.0,
    "laplace": torch.distributions.Laplace(0.0, 1.0).sample,  # type: ignore[dict-item]
    "student t, 3 degrees": torch.distributions.StudentT(3.0).sample,  # type: ignore[dict-item]
    "softplus": lambda s: torch.nn.functional.softplus(2 * torch.randn(s)),
}


def an_avatar(count: int = 500, *, anchored: bool = True, draw=torch.randn, **changes) -> Avatar:
    anchors = Anchors(
        means=torch.randn(count, 3) * torch.tensor([0.3, 0.4, 0.2]),
        colors=torch.rand(count, 3),
        scales=torch.rand(count) * 0.02 + 0.001,
        density=torch.randn(count) * 4,
        axes=torch.linalg.qr(torch.randn(3, 3)).Q,
    )
    avatar = Avatar(
        features=draw((count, CHANNELS)),
        basis=draw((count, CHANNELS)),
        source_latent=torch.randn(64),
        intrinsics=intrinsics_from_fov(23.28).clone(),
        anchors=anchors if anchored else None,
        preset="base",
        provenance={"consent": "stated by the subject", "origin": "ein Foto ☺"},
        weights="0123456789abcdef" * 2,
    )
    return dataclasses.replace(avatar, **changes)


def snr(true: Tensor, found: Tensor) -> Tensor:
    """(C,) decibels, of each channel's deviation over its error."""
    error = (true - found).double().square().mean(0)
    return 10 * torch.log10(true.double().var(0, correction=0) / error)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "me.mien"
    save_avatar(path, an_avatar())
    return path


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_features_and_basis_keep_40_decibels_whatever_their_distribution(
    tmp_path: Path, name: str
) -> None:
    avatar = an_avatar(20_000, draw=DISTRIBUTIONS[name])
    save_avatar(tmp_path / "me.mien", avatar)
    loaded = load_avatar(tmp_path / "me.mien")
    for field in ("features", "basis"):
        true, found = getattr(avatar, field), getattr(loaded, field)
        assert found.dtype == torch.float32
        assert snr(true, found).min() > 40.0
        # Half a step of 1/32 deviation, wherever in the tails.
        bound = true.std(0) / 32 * 0.502 + true.abs().amax(0) * 1e-6
        assert ((found - true).abs() <= bound).all()


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_40_000_gaussians_fit_4_megabytes(tmp_path: Path, name: str) -> None:
    path = tmp_path / "me.mien"
    save_avatar(path, an_avatar(40_000, draw=DISTRIBUTIONS[name]))
    assert path.stat().st_size <= 4_000_000


def test_everything_else_comes_back(tmp_path: Path) -> None:
    avatar = an_avatar()
    save_avatar(tmp_path / "me.mien", avatar)
    loaded = load_avatar(tmp_path / "me.mien")
    assert loaded.preset == "base"
    assert loaded.provenance.items() >= avatar.provenance.items()
    assert torch.equal(loaded.source_latent, avatar.source_latent)
    assert torch.equal(loaded.intrinsics, avatar.intrinsics)
    assert avatar.anchors is not None
    assert loaded.anchors is not None
    true, found = avatar.anchors, loaded.anchors
    extent = true.means.amax(0) - true.means.amin(0)
    assert ((found.means - true.means).abs() <= extent * (0.5 / 65_535) + 1e-6).all()
    assert (found.colors - true.colors).abs().max() <= 0.5 / 255 + 1e-6
    assert (found.scales / true.scales - 1).abs().max() <= 2.0**-8
    assert (found.density - true.density).abs().max() <= 2.0**-8
    assert torch.equal(found.axes, true.axes)


def test_an_avatar_without_anchors_comes_back_without(tmp_path: Path) -> None:
    save_avatar(tmp_path / "me.mien", an_avatar(anchored=False))
    assert load_avatar(tmp_path / "me.mien").anchors is None


def test_constant_channels_and_a_single_gaussian_come_back_exactly(tmp_path: Path) -> None:
    for count in (1, 10):
        avatar = an_avatar(count, draw=lambda size: torch.full(size, 0.3))
        save_avatar(tmp_path / "me.mien", avatar)
        assert torch.equal(load_avatar(tmp_path / "me.mien").features, avatar.features)


def test_half_precision_avatars_can_be_saved(tmp_path: Path) -> None:
    save_avatar(tmp_path / "me.mien", an_avatar().to(torch.float16))
    assert load_avatar(tmp_path / "me.mien").features.dtype == torch.float32


def test_saving_what_was_loaded_loses_next_to_nothing_more(saved: Path) -> None:
    first = load_avatar(saved)
    save_avatar(saved, first)
    second = load_avatar(saved)
    assert snr(first.features, second.features).min() > 40.0
    assert second.provenance == first.provenance


def test_provenance_says_that_avatars_are_synthetic_and_consent_unknown(tmp_path: Path) -> None:
    save_avatar(tmp_path / "me.mien", an_avatar(provenance={}))
    found = load_avatar(tmp_path / "me.mien").provenance
    assert found["synthetic"] == "true"
    assert found["consent"] == "not stated"
    assert found["tool"].startswith("mien ")


@pytest.mark.parametrize(
    "changes",
    [
        {"features": torch.randn(2, 500, CHANNELS)},
        {"features": torch.randn(0, CHANNELS)},
        {"basis": torch.randn(499, CHANNELS)},
        {"basis": torch.full((500, CHANNELS), torch.nan)},
        {"source_latent": torch.randn(1, 64)},
        {"source_latent": torch.randn(0)},
        {"intrinsics": torch.eye(4)},
        {"preset": "no such; name"},
        {"provenance": {"consent": True}},
        {"provenance": {"story": "x" * 70_000}},
    ],
)
def test_what_could_not_be_read_back_is_not_written(tmp_path: Path, changes: dict) -> None:
    with pytest.raises(ValueError, match=r"."):
        save_avatar(tmp_path / "me.mien", an_avatar(**changes))
    assert not list(tmp_path.iterdir())


def test_anchors_that_do_not_belong_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="means is"):
        save_avatar(tmp_path / "me.mien", an_avatar(anchors=an_avatar(499).anchors))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t, m: t.pop("basis.codes"), "lacks basis.codes"),
        (lambda t, m: t.pop("anchors.axes"), "lacks anchors.axes"),
        (lambda t, m: t.update(virus=torch.zeros(1)), "unknown tensors"),
        (lambda t, m: t.update(intrinsics=torch.eye(4)), r"shape \[4, 4\]"),
        (lambda t, m: t.update(intrinsics=torch.eye(3).double()), "float64, where"),
        (lambda t, m: t.update({"anchors.colors": t["anchors.colors"][:-1].clone()}), "shape"),
        (lambda t, m: t["source_latent"].fill_(torch.nan), "not finite"),
        (lambda t, m: t["features.step"].fill_(3e38), "features holds numbers that are not finite"),
        (lambda t, m: t["anchors.box"].mul_(3e38 / t["anchors.box"].abs().max()), "not finite"),
        (lambda t, m: t["anchors.scales"].fill_(60_000), "out of range"),
        (lambda t, m: t["basis.codes"].zero_(), "basis.codes is damaged"),
        (lambda t, m: t.update({"basis.codes": t["basis.codes"][:-9].clone()}), "does not hold"),
        (lambda t, m: t.update({"basis.codes": t["basis.codes"].to(torch.int16)}), "sequence"),
        (lambda t, m: m.update(gaussians="499"), "does not hold the 47904 bytes"),
        (lambda t, m: m.update(gaussians="4000001"), "not between 0 and"),
        (lambda t, m: m.update(gaussians="nan"), "not between 0 and"),
        (lambda t, m: m.update(gaussians="many"), "no number"),
        (lambda t, m: m.pop("gaussians"), "lacks the field 'gaussians'"),
        (lambda t, m: m.update(preset="../x"), "preset is malformed"),
        (lambda t, m: m.pop("preset"), "lacks the field 'preset'"),
        (lambda t, m: m.update(provenance="{"), "provenance is damaged"),
        (lambda t, m: m.update(provenance='{"a":' * 5000), "provenance is damaged"),
        (lambda t, m: m.update(provenance='{"consent": 1}'), "list of texts"),
        (lambda t, m: m.update(provenance="[" + " " * 70_000 + "]"), "short list"),
        (lambda t, m: m.update(schema="2"), "newer version of Mien"),
        (lambda t, m: m.update(schema="one"), "schema version is malformed"),
        (lambda t, m: m.update(format="mien.motion"), "it is a 'mien.motion' file"),
        (lambda t, m: m.clear(), "not written by Mien"),
    ],
)
def test_a_wrong_file_is_refused_with_the_reason(saved: Path, change, words: str) -> None:
    rewrite(saved, change)
    with pytest.raises(MienError, match=words) as caught:
        load_avatar(saved)
    assert str(saved) in str(caught.value)


def test_a_compression_bomb_is_not_unpacked(saved: Path) -> None:
    bomb = torch.frombuffer(bytearray(zlib.compress(bytes(50_000_000))), dtype=torch.uint8)
    rewrite(saved, lambda tensors, _: tensors.update({"features.codes": bomb}))
    with pytest.raises(MienError, match="does not hold the 48000 bytes"):
        load_avatar(saved)


@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(flips=FLIPS)
def test_a_damaged_file_loads_whole_or_is_refused(saved: Path, flips) -> None:
    """Flipped bits anywhere: either a sound avatar comes out or a `MienError`."""
    try:
        avatar = load_avatar(flipped(saved, flips))
    except MienError:
        return
    assert avatar.features.shape == avatar.basis.shape == (500, CHANNELS)
    assert avatar.source_latent.shape == (64,)

    def finite(value: Tensor) -> Tensor:
        assert value.isfinite().all()
        return value

    avatar.map(finite)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(part=st.floats(0, 1, exclude_max=True))
def test_a_truncated_file_is_refused(saved: Path, part: float) -> None:
    content = saved.read_bytes()
    path = saved.with_name("truncated.mien")
    path.write_bytes(content[: int(part * len(content))])
    with pytest.raises(MienError, match="cut short, damaged or of another kind"):
        load_avatar(path)


def test_the_header_is_readable_without_mien(saved: Path) -> None:
    content = saved.read_bytes()
    header = json.loads(content[8 : 8 + struct.unpack("<Q", content[:8])[0]])
    assert header["__metadata__"]["format"] == "mien.avatar"
    assert json.loads(header["__metadata__"]["provenance"])["synthetic"] == "true"
