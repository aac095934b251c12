from pathlib import Path

import pytest

from mien.data.splits import Item
from mien.errors import MienError
from mien.evaluate import gallery, run
from mien.evaluate.cases import Cases
from mien.evaluate.results import Results
from mien.evaluate.run import Evaluation, evaluate, make_folder

from .puppets import INSTRUMENTS, follow, puppeteer, scene


def item(number: int) -> Item:
    return Item(Path(f"{number}.jpg"), "portraits/congress", f"person {number}")


@pytest.fixture
def small_world(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Two people instead of the research data; returns the clips read, as they are read."""
    read = []

    def clip(path: Path, size: int, limit: int):
        read.append(path)
        if path.stem == "3":
            raise MienError("3.jpg shows no face.")
        return scene(int(path.stem), limit)

    cases = Cases((item(1), item(3)), ((item(2), item(1)), (item(4), item(1))), (item(2),))
    monkeypatch.setattr(run, "choose_cases", lambda folder, limit: cases)
    monkeypatch.setattr(run, "instruments", lambda: (INSTRUMENTS, {"LPIPS": "no weights"}))
    monkeypatch.setattr(run, "clip_scene", clip)
    monkeypatch.setattr(run, "photo_scene", lambda path, size: scene(int(path.stem), 1))
    monkeypatch.setattr(gallery, "film", lambda *_: b"film")
    return read


def test_an_evaluation_from_end_to_end(small_world: list[Path], tmp_path: Path) -> None:
    task = Evaluation(tmp_path, tmp_path / "new" / "report", frames=20)
    results = evaluate(puppeteer(follow(0.9)), task)
    assert [row.case for row in results.rows] == [
        ("self", "person 1", "person 1"),
        ("cross", "person 2", "person 1"),
        ("cross", "person 4", "person 1"),
        ("views", "person 2", ""),
    ]
    assert results.missing == {"LPIPS": "no weights", "self: 3": "3.jpg shows no face."}
    assert [row.case for row in Results.load(task.output / "results.json").rows] == [
        row.case for row in results.rows
    ]
    page = (task.output / "index.html").read_text()
    assert page.count("data:image/jpeg") == 4
    assert page.count("data:video/mp4") == 2


def test_a_driver_of_several_photos_is_read_once(small_world: list[Path], tmp_path: Path) -> None:
    evaluate(puppeteer(follow(0.9)), Evaluation(tmp_path, tmp_path, frames=8))
    assert [path.stem for path in small_world] == ["1", "3"]


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MienError, match=r"folder .*file/report cannot be made"):
        make_folder(tmp_path / "file" / "report")
