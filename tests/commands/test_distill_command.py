"""`mien distill`: its words, and the instruments it brings."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mien import cli
from mien.commands import distill


def test_a_missing_teacher_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    words = ["--data", str(tmp_path), "--teacher", str(tmp_path / "t.safetensors")]
    assert cli.main(["distill", "make", *words, "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("mien: The weights cannot be loaded")
    assert error.count("\n") == 1


def test_a_sheet_without_a_place_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    words = ["--data", str(tmp_path), "--teacher", str(tmp_path / "t.safetensors")]
    assert cli.main(["distill", "sheet", *words, "--out", str(tmp_path / "no" / "x.jpg")]) == 2
    assert "does not exist" in capsys.readouterr().err


def test_without_instruments_check_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distill, "instruments", lambda: None)
    words = ["--data", str(tmp_path), "--teacher", str(tmp_path), "--out", str(tmp_path)]
    assert cli.main(["distill", "make", *words, "--check"]) == 2
    assert 'pip install "mien[eval]"' in capsys.readouterr().err


def test_the_tasks_are_told() -> None:
    words = [sys.executable, "-m", "mien", "distill", "--help"]
    told = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert "make" in told
    assert "sheet" in told


def test_instruments_find_the_same_face_twice_and_none_in_nothing(shared_data: Path) -> None:
    pytest.importorskip("dlib")
    from mien.preprocess.photo import read_photo

    photo = read_photo(sorted((shared_data / "portraits" / "congress").glob("*.jpg"))[0]).image
    side = min(photo.shape[:2])
    photo = photo[:side, :side]
    examiner = distill.instruments()
    assert examiner is not None
    look = examiner(np.stack([photo, photo[:, ::-1], np.zeros_like(photo)]))
    assert np.isfinite(look.landmarks).all((1, 2)).tolist() == [True, True, False]
    assert np.linalg.norm(look.people[0] - look.people[1]) < 0.45
    assert np.isnan(look.people[2]).all()
    left, right = look.places[:2].mean(1)
    np.testing.assert_allclose([right[0], right[1]], [1 - left[0], left[1]], atol=0.02)
