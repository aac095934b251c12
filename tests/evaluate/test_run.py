from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from mien.data.splits import Item
from mien.errors import MienError
from mien.evaluate import gallery, run
from mien.evaluate.cases import Cases
from mien.evaluate.results import Results
from mien.evaluate.run import (
    Evaluation,
    Job,
    Judge,
    evaluate,
    make_folder,
    measured,
    packed,
    plan,
    unpacked,
)
from mien.evaluate.subject import Subject

from .puppets import INSTRUMENTS, follow, paint, puppeteer, read, ruler, scene


def item(number: int, role: str = "portraits/congress") -> Item:
    return Item(Path(f"{number}.jpg"), role, f"person {number}")


CASES = Cases(
    selves=(item(1, "clips"), item(3, "clips")),
    crosses=((item(2), item(1)), (item(4, "portraits/studio"), item(1))),
    views=(item(2),),
    synthetic=(7,),
    live=((item(2), item(1)),),
)


def make() -> Subject:
    """A puppet that follows, whether its drivers come together or one by one."""

    def perform(source, size):
        return lambda frame: paint(read(frame[None]), 2)[0]

    return Subject(puppeteer(follow(0.9)), perform, ruler())


@pytest.fixture
def small_world(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Puppets instead of the research data; returns the clips read, as they are read."""
    clips = []

    def clip(path: Path, size: int, limit: int, keep):
        clips.append(path)
        if path.stem == "3":
            raise MienError("3.jpg shows no face.")
        return scene(int(path.stem), limit)

    def unseen(seed, facekit, size, keep):
        raise MienError("There is no FaceKit.")

    monkeypatch.setattr(run, "choose_cases", lambda folder, limit: CASES)
    monkeypatch.setattr(run, "instruments", lambda ruler: (INSTRUMENTS, {"LPIPS": "no weights"}))
    monkeypatch.setattr(run, "clip_scene", clip)
    monkeypatch.setattr(run, "photo_scene", lambda path, size: scene(int(path.stem), 1))
    monkeypatch.setattr(run, "synthetic_scenes", unseen)
    monkeypatch.setattr(gallery, "side_by_side", lambda *_: b"film")
    return clips


def test_an_evaluation_from_end_to_end(small_world: list[Path], tmp_path: Path) -> None:
    task = Evaluation(tmp_path, tmp_path / "new" / "report", frames=20)
    results = evaluate(make, task)
    assert [row.case for row in results.rows] == [
        ("self", "person 1", "person 1"),
        ("cross", "person 2", "person 1"),
        ("cross", "person 4", "person 1"),
        ("views", "person 2", ""),
        ("live", "person 2", "person 1"),
    ]
    assert results.missing == {
        "LPIPS": "no weights",
        "self: 3": "3.jpg shows no face.",
        "synthetic: 7": "There is no FaceKit.",
    }
    loaded = Results.load(task.output / "results.json")
    assert [row.case for row in loaded.rows] == [row.case for row in results.rows]
    page = (task.output / "index.html").read_text()
    assert page.count("data:image/jpeg") == 4
    assert page.count("data:video/mp4") == 3


def test_a_driver_of_several_photos_is_read_once(small_world: list[Path], tmp_path: Path) -> None:
    evaluate(make, Evaluation(tmp_path, tmp_path, frames=8))
    assert [path.stem for path in small_world] == ["1", "3"]


def test_what_may_be_shared_is_public_and_has_no_driver() -> None:
    jobs = {str(job): job.shown for job in plan(CASES, shareable=True)}
    assert jobs == {
        "self: 1": (False, False, False),
        "self: 3": (False, False, False),
        "cross: 2": (True, False, True),
        "cross: 4": (False, False, False),
        "synthetic: 7": (True, True, True),
        "views: 2": (True, False, False),
        "live: 2": (True, False, True),
    }
    assert all(job.shown[:2] == (True, True) for job in plan(CASES, shareable=False))


def test_a_yardstick_is_kept_whole(tmp_path: Path) -> None:
    known = run.yardstick("cross", scene(2, 1), scene(1, 9), INSTRUMENTS)
    again = unpacked(packed(known))
    np.testing.assert_equal(again.bounds, known.bounds)  # an unknown figure equals itself
    assert again.sharpness == known.sharpness
    assert (again.descriptor == known.descriptor).all()
    assert (again.motion.points == known.motion.points).all()


def test_a_second_run_takes_what_the_first_has_kept(
    small_world: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for number in range(1, 5):
        Path(f"{number}.jpg").write_text(str(number))
    task = Evaluation(tmp_path, tmp_path / "report", frames=8, cache=tmp_path / "kept")
    first = evaluate(make, task)
    monkeypatch.setattr(run, "yardstick", lambda *_: pytest.fail("measured anew"))
    second = evaluate(make, task)
    for before, after in zip(first.rows[:-1], second.rows[:-1], strict=True):  # live is timed
        np.testing.assert_equal(asdict(after), asdict(before))


def test_side_by_side_comes_the_same_in_the_same_order(tmp_path: Path) -> None:
    jobs = [Job("views", tmp_path / f"{name}.jpg") for name in "abc"]
    found = {}
    for workers in (1, 2):
        task = Evaluation(tmp_path, tmp_path, size=192, workers=workers)
        found[workers] = list(measured(Judge(make(), task), make, task, jobs))
    assert [job for job, _ in found[2]] == jobs
    assert found[1] == found[2]
    assert all("does not exist" in str(reason) for _, reason in found[2])


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MienError, match=r"folder .*file/report cannot be made"):
        make_folder(tmp_path / "file" / "report")
