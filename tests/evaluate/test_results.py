import json
import math
from pathlib import Path

import pytest

from mien.errors import MienError
from mien.evaluate.conditions import Conditions
from mien.evaluate.results import Measure, Results, Row


@pytest.fixture
def results() -> Results:
    rows = (
        Row("self", "a", "a", 9, {"PSNR": Measure(25.0, 20.0, math.inf), "AKD": Measure(2, 4, 1)}),
        Row("self", "b", "b", 9, {"PSNR": Measure(math.nan, 20.0, 40.0)}),
        Row("views", "a", "", 15, {"yaw slope": Measure(0.9, 0.0, 1.0)}),
    )
    return Results(rows, Conditions("mien eval", "abc", "123", {"cores": "2"}), {"LPIPS": "why"})


def test_saved_and_loaded(results: Results, tmp_path: Path) -> None:
    results.save(tmp_path / "r.json")
    loaded = Results.load(tmp_path / "r.json")
    assert loaded.conditions == results.conditions
    assert loaded.missing == results.missing
    assert [row.case for row in loaded.rows] == [row.case for row in results.rows]
    assert loaded.rows[0].measures["AKD"] == Measure(2, 4, 1)
    assert math.isnan(loaded.rows[1].measures["PSNR"].value)


def test_other_programs_can_read_it(results: Results, tmp_path: Path) -> None:
    results.save(tmp_path / "r.json")

    def refuse(constant: str) -> None:
        pytest.fail(f"{constant} is not JSON")

    content = json.loads((tmp_path / "r.json").read_text(), parse_constant=refuse)
    assert content["conditions"]["commit"] == "abc"
    first = content["rows"][0]["measures"]
    assert first["PSNR"] == {"value": 25.0, "floor": 20.0, "ceiling": None}


def test_by_protocol_and_metric(results: Results) -> None:
    assert results.protocols() == ["self", "views"]
    assert results.metrics("self") == ["PSNR", "AKD"]
    assert results.of("self", "AKD") == {("self", "a", "a"): Measure(2, 4, 1)}


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"version": 1}', '{"version": 1, "rows": 3}'])
def test_other_files_are_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "r.json").write_text(content)
    with pytest.raises(MienError, match=r"r\.json is no JSON file of mien eval"):
        Results.load(tmp_path / "r.json")


def test_a_missing_file_and_another_version_are_said(tmp_path: Path) -> None:
    with pytest.raises(MienError, match="is no JSON file of mien eval"):
        Results.load(tmp_path / "nothing.json")
    (tmp_path / "r.json").write_text('{"version": 99}')
    with pytest.raises(MienError, match="layout version 99"):
        Results.load(tmp_path / "r.json")


def test_conditions_hash_the_weights(tmp_path: Path) -> None:
    (tmp_path / "w").write_bytes(b"abc")
    here = Conditions.here(tmp_path / "w")
    assert here.weights == "ba7816bf8f01cfea"
    assert here.command
    assert int(here.machine["cores"]) >= 1
    assert Conditions.here().weights == ""
