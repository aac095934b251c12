from pathlib import Path

import pytest

from mien.data.splits import is_heldout
from mien.evaluate.cases import Cases, choose_cases, spread


@pytest.fixture(scope="module")
def cases(shared_data: Path) -> Cases:
    return choose_cases(shared_data)


def test_everybody_is_held_out(cases: Cases) -> None:
    items = [*cases.selves, *cases.views, *(item for pair in cases.crosses for item in pair)]
    assert len(items) > 60
    assert all(is_heldout(item.path) for item in items)


def test_nobody_drives_themselves_across(cases: Cases) -> None:
    assert all(photo.person != driver.person for photo, driver in cases.crosses)
    assert len({driver.path for _, driver in cases.crosses}) == 9


def test_each_person_is_measured_once(cases: Cases) -> None:
    for items in (cases.selves, cases.views, [photo for photo, _ in cases.crosses]):
        assert len({item.person for item in items}) == len(items)


def test_fewer_cases_are_still_spread(shared_data: Path) -> None:
    few = choose_cases(shared_data, limit=3)
    assert len(few.selves) == len(few.crosses) == len(few.views) == 3
    assert len({item.role for item in few.views}) > 1


def test_spread_by_hand() -> None:
    assert spread("abcdefgh", 2) == ["c", "g"]
    assert spread("abc", 3) == spread("abc", 9) == spread("abc", None) == ["a", "b", "c"]
