from pathlib import Path

import pytest

from mien.commands import bench, eval
from mien.errors import MienError
from mien.evaluate.conditions import Conditions
from mien.evaluate.results import Measure, Results, Row


def save(path: Path, value: float) -> Path:
    rows = tuple(
        Row("self", f"case {i}", "d", 9, {"SSIM": Measure(value + i / 100, 0.0, 1.0)})
        for i in range(5)
    )
    Results(rows, Conditions("", "", "", {})).save(path)
    return path


def test_eval_compares(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pair = save(tmp_path / "a.json", 0.5), save(tmp_path / "b.json", 0.6)
    eval.run(eval.Command(compare=pair))
    last = capsys.readouterr().out.splitlines()[-1].split()
    assert last[:5] == ["self", "SSIM", "0.520", "0.620", "+0.100"]
    assert last[-1] == "better"


def test_eval_asks_for_data() -> None:
    with pytest.raises(MienError, match="mien eval --data FOLDER"):
        eval.run(eval.Command())


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ({"cases": 0}, "--cases is 0"),
        ({"frames": -3}, "--frames is -3"),
        ({"size": 100}, "--size is 100; it must be a multiple of 4, at least 192"),
    ],
)
def test_eval_refuses_nonsense(tmp_path: Path, option: dict, said: str) -> None:
    with pytest.raises(MienError, match=said):
        eval.run(eval.Command(data=tmp_path, **option))


def test_eval_says_what_weights_are_missing(tmp_path: Path) -> None:
    with pytest.raises(MienError, match=r"none\.safetensors"):
        eval.run(eval.Command(data=tmp_path, weights=tmp_path / "none.safetensors"))


def test_bench_looks_at_its_output_first(tmp_path: Path) -> None:
    with pytest.raises(MienError, match="does not exist; make it"):
        bench.run(bench.Command(photo=tmp_path / "p.jpg", json=tmp_path / "no" / "b.json"))
