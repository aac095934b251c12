"""Baked avatars survive their file, and bad files are refused."""

import dataclasses
import zlib
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from torch import Tensor

from mien.artifact import is_baked, load_baked, read_any_avatar, save_avatar, save_baked
from mien.artifact.baked import ATTRIBUTES, Baked, LatentMap, packed_bytes
from mien.artifact.codes import LARGEST_CODE
from mien.errors import MienError
from mien.structures import Anchors, Avatar, intrinsics_from_fov
from safe_files import FLIPS, flipped, rewrite

COUNT, BASES, HIDDEN, LATENT = 300, 5, 7, 16


def a_baked(count: int = COUNT, **changes) -> Baked:
    baked = Baked(
        rest=torch.randn(ATTRIBUTES, count),
        codes=(30 * torch.randn(BASES, ATTRIBUTES, count)).to(torch.int16),
        step=torch.rand(ATTRIBUTES) * 0.01 + 1e-4,
        weigh=LatentMap(
            torch.randn(HIDDEN, LATENT),
            torch.randn(HIDDEN),
            torch.randn(BASES, HIDDEN),
            torch.randn(BASES),
            torch.randn(BASES, LATENT),
        ),
        source_latent=torch.randn(LATENT),
        intrinsics=intrinsics_from_fov(23.28).clone(),
        preset="base",
        provenance={"consent": "stated by the subject"},
        weights="0123456789abcdef" * 2,
    )
    return dataclasses.replace(baked, **changes)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "me.baked.mien"
    save_baked(path, a_baked())
    return path


def test_everything_comes_back(tmp_path: Path) -> None:
    baked = a_baked()
    baked.codes[0, 0, :4] = torch.tensor([-(2**15), LARGEST_CODE, -129, 128], dtype=torch.int16)
    save_baked(tmp_path / "me.mien", baked)
    loaded = load_baked(tmp_path / "me.mien")
    assert torch.equal(loaded.codes, baked.codes)
    extent = baked.rest.amax(1) - baked.rest.amin(1)
    assert ((loaded.rest - baked.rest).abs() <= 0.51 * extent[:, None] / 60_000 + 1e-6).all()
    for name in ("step", "source_latent", "intrinsics"):
        assert torch.equal(getattr(loaded, name), getattr(baked, name))
    for one, other in zip(vars(loaded.weigh).values(), vars(baked.weigh).values(), strict=True):
        assert torch.equal(one, other)
    assert (loaded.preset, loaded.weights) == (baked.preset, baked.weights)
    assert loaded.provenance.items() >= baked.provenance.items()
    assert loaded.provenance["synthetic"] == "true"
    assert len(loaded) == COUNT


def test_it_does_not_matter_how_codes_lie_in_memory(tmp_path: Path) -> None:
    baked = a_baked()
    turned = baked.codes.permute(2, 0, 1).contiguous().permute(1, 2, 0)
    assert not turned.is_contiguous()
    save_baked(tmp_path / "me.mien", dataclasses.replace(baked, codes=turned))
    assert torch.equal(load_baked(tmp_path / "me.mien").codes, baked.codes)
    assert packed_bytes(turned) == packed_bytes(baked.codes)


def test_an_attribute_that_all_share_comes_back(tmp_path: Path) -> None:
    rest = torch.randn(ATTRIBUTES, COUNT)
    rest[9] = 1.25
    save_baked(tmp_path / "me.mien", a_baked(rest=rest))
    assert torch.equal(load_baked(tmp_path / "me.mien").rest[9], rest[9])


def test_small_codes_take_little_room(tmp_path: Path) -> None:
    codes = torch.randn(32, ATTRIBUTES, 16_000).round().to(torch.int16)
    weigh = LatentMap(*(torch.randn(s) for s in ((8, 16), (8,), (32, 8), (32,), (32, 16))))
    path = tmp_path / "me.mien"
    save_baked(path, a_baked(16_000, codes=codes, weigh=weigh))
    assert path.stat().st_size < 2_500_000


def test_either_kind_of_avatar_is_read(tmp_path: Path, saved: Path) -> None:
    anchors = Anchors(
        torch.rand(9, 3), torch.rand(9, 3), torch.rand(9) + 1, torch.rand(9), torch.eye(3)
    )
    avatar = Avatar(
        torch.rand(9, 48), torch.rand(9, 48), torch.rand(8), torch.eye(3), anchors, "base"
    )
    save_avatar(tmp_path / "me.mien", avatar)
    assert isinstance(read_any_avatar(tmp_path / "me.mien"), Avatar)
    assert isinstance(read_any_avatar(saved), Baked)
    assert (is_baked(saved), is_baked(tmp_path / "me.mien")) == (True, False)


@pytest.mark.parametrize("content", [None, b"", b"no avatar at all"])
def test_what_is_no_avatar_is_refused_as_one(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "me.mien"
    if content is not None:
        path.write_bytes(content)
    assert not is_baked(path)
    with pytest.raises(MienError, match=r"me\.mien"):
        read_any_avatar(path)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"rest": torch.zeros(12, COUNT)}, "rest is"),
        ({"rest": torch.zeros(ATTRIBUTES, 0)}, "none, or too many"),
        ({"rest": torch.full((ATTRIBUTES, COUNT), torch.nan)}, "rest holds"),
        ({"codes": torch.zeros(BASES, ATTRIBUTES, COUNT)}, "must be int16"),
        ({"codes": torch.full((BASES, ATTRIBUTES, COUNT), 2**15 - 1, dtype=torch.int16)}, "great"),
        ({"codes": torch.zeros(BASES + 1, ATTRIBUTES, COUNT, dtype=torch.int16)}, "map.out"),
        ({"codes": torch.zeros(257, ATTRIBUTES, COUNT, dtype=torch.int16)}, "too many"),
        ({"step": torch.full((ATTRIBUTES,), torch.inf)}, "step holds"),
        ({"source_latent": torch.zeros(3)}, "map.hidden.weight is"),
        ({"intrinsics": torch.eye(4)}, "intrinsics is"),
    ],
)
def test_what_could_not_be_read_back_is_not_written(tmp_path: Path, changes, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        save_baked(tmp_path / "me.mien", a_baked(**changes))
    assert not list(tmp_path.iterdir())


LEAST_WORDS = bytes(ATTRIBUTES * COUNT) + b"\x80" * (ATTRIBUTES * COUNT)


def deflated(content: bytes) -> Tensor:
    return torch.frombuffer(bytearray(zlib.compress(content)), dtype=torch.uint8)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t, m: t.pop("map.linear"), "lacks map.linear"),
        (lambda t, m: t.update(bonus=torch.zeros(1)), "unknown tensors"),
        (lambda t, m: t.update({"map.linear": torch.zeros(BASES, 3)}), "does not fit"),
        (lambda t, m: t.update({"map.out.bias": torch.zeros(257)}), "257 bases"),
        (lambda t, m: t.update({"map.hidden.bias": torch.zeros(4097)}), "4097 units"),
        (lambda t, m: t["map.out.weight"].fill_(torch.nan), "not finite"),
        (lambda t, m: t.update({"rest.step": torch.zeros(12)}), "does not fit"),
        (lambda t, m: t["rest.step"].fill_(3e38), "rest holds numbers that are not finite"),
        (lambda t, m: t["bases.step"].fill_(3e38), "bases.step holds numbers"),
        (lambda t, m: t.update({"bases.step": t["bases.step"].half()}), "float16, where"),
        (lambda t, m: t["bases.codes"].zero_(), "bases.codes is damaged"),
        (lambda t, m: t.update({"bases.codes": t["bases.codes"][:-9].clone()}), "not hold"),
        (
            lambda t, m: t.update({"rest.codes": deflated(LEAST_WORDS)}),
            "rest.codes holds codes that are out of range",
        ),
        (lambda t, m: t.update({"rest.codes": deflated(bytes(50_000_000))}), "not hold"),
        (lambda t, m: m.update(gaussians="299"), "does not hold"),
        (lambda t, m: m.update(gaussians="4000000"), "not hold|too many"),
        (lambda t, m: m.update(gaussians="many"), "no number"),
        (lambda t, m: m.update(preset="../x"), "preset is malformed"),
        (lambda t, m: m.update(provenance="{"), "provenance is damaged"),
        (lambda t, m: m.update(schema="2"), "newer version of Mien"),
        (lambda t, m: m.update(format="mien.avatar"), "it is a 'mien.avatar' file"),
    ],
)
def test_a_wrong_file_is_refused_with_the_reason(saved: Path, change, words: str) -> None:
    rewrite(saved, change)
    with pytest.raises(MienError, match=words) as caught:
        load_baked(saved)
    assert str(saved) in str(caught.value)


def test_bases_that_would_fill_the_memory_are_refused(saved: Path) -> None:
    def change(tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
        metadata["gaussians"] = "4000000"
        tensors["map.out.bias"] = torch.zeros(256)
        tensors["map.out.weight"] = torch.zeros(256, HIDDEN)
        tensors["map.linear"] = torch.zeros(256, LATENT)

    rewrite(saved, change)
    with pytest.raises(MienError, match="256 bases of 4000000 Gaussians are too many"):
        load_baked(saved)


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(flips=FLIPS)
def test_a_damaged_file_loads_whole_or_is_refused(saved: Path, flips) -> None:
    """Flipped bits anywhere: either a sound avatar comes out or a `MienError`."""
    try:
        baked = load_baked(flipped(saved, flips))
    except MienError:
        return
    assert baked.rest.shape == (ATTRIBUTES, COUNT)
    assert baked.codes.shape == (BASES, ATTRIBUTES, COUNT)
    assert baked.rest.isfinite().all()
    assert baked.weigh(baked.source_latent).shape == (BASES,)
