"""Nobody in a test split is ever trained on."""

import shutil
from collections import defaultdict
from pathlib import Path

import pytest

from mien.data.splits import (
    DIVIDED,
    FRACTION,
    Item,
    content_hash,
    heldout_roles,
    heldout_text,
    is_heldout,
    survey,
)
from mien.errors import MienError


@pytest.fixture(scope="module")
def items(shared_data: Path) -> list[Item]:
    return list(survey(shared_data))


def test_the_committed_list_names_nobody() -> None:
    roles = heldout_roles()
    assert len(roles) > 100
    assert all(len(key) == 16 and int(key, 16) >= 0 for key in roles)


def test_no_person_is_on_both_sides(items: list[Item]) -> None:
    sides = defaultdict(set)
    for item in items:
        sides[item.person].add(is_heldout(item.path))
    assert all(len(side) == 1 for side in sides.values())
    assert {s for side in sides.values() for s in side} == {True, False}


def test_the_list_matches_the_data(shared_data: Path) -> None:
    committed = "".join(f"{key} {role}\n" for key, role in heldout_roles().items())
    assert heldout_text(shared_data) == committed


@pytest.mark.parametrize("role", DIVIDED)
def test_about_a_tenth_of_each_set_is_held_out(items: list[Item], role: str) -> None:
    held = {i.person: i.held_out for i in items if i.role == role}
    assert FRACTION / 2 < sum(held.values()) / len(held) < FRACTION * 2


def test_all_driving_clips_and_sources_are_held_out(shared_data: Path) -> None:
    paths = [*(shared_data / "clips").glob("*.mp4")]
    paths += (shared_data / "portraits/sources").glob("*.jpg")
    assert len(paths) == 18
    assert all(is_heldout(p) for p in paths)


def test_a_renamed_copy_is_known(shared_data: Path, tmp_path: Path) -> None:
    original = next((shared_data / "clips").glob("*.mp4"))
    copy = shutil.copyfile(original, tmp_path / "somebody_else.bin")
    assert is_heldout(copy)
    with copy.open("ab") as file:
        file.write(b"\0")
    assert not is_heldout(copy)


def test_choice_follows_the_person_alone(tmp_path: Path) -> None:
    held = [Item(tmp_path, "clips_more", f"people/P{n}").held_out for n in range(4000)]
    assert abs(sum(held) / len(held) - FRACTION) < 0.02
    again = [Item(tmp_path / "x", "clips_extra", f"people/P{n}").held_out for n in range(4000)]
    assert held == again


def test_content_hash_is_sha256(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    assert content_hash(tmp_path / "abc") == "ba7816bf8f01cfea"


def test_a_missing_set_is_said(tmp_path: Path) -> None:
    with pytest.raises(MienError, match="holds no pictures or clips"):
        list(survey(tmp_path))


def test_an_unlisted_clip_is_said(tmp_path: Path) -> None:
    for role in DIVIDED:
        (tmp_path / role).mkdir(parents=True)
        (tmp_path / role / "README.md").write_text("")
        (tmp_path / role / ("x.mp4" if role.startswith("clips") else "x.jpg")).write_bytes(b"")
    with pytest.raises(MienError, match="not listed in its README"):
        list(survey(tmp_path))


def test_clean_is_what_may_be_used_in_a_product(items: list[Item]) -> None:
    clean = [item for item in items if item.clean]
    assert {item.role for item in clean} == {"portraits/congress", "portraits/generated"}
    assert {item.path.name[:3] for item in clean if item.role == "portraits/generated"} == {"sd_"}
    assert 600 < len(clean) < 700
