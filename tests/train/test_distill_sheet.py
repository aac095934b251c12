"""`mien distill sheet`."""

from pathlib import Path

import numpy as np
import pytest
from made_shards import TEACHER, write_photos_and_takes, write_teacher
from PIL import Image

from mien.errors import MienError
from mien.train.distill_filter import Look
from mien.train.distill_sheet import Sheet, draw_sheet


def sheet_of(folder: Path, **changes: int) -> Sheet:
    write_photos_and_takes(folder)
    (folder / "train-0000.tar").rename(folder / "heldout-0000.tar")
    teacher = write_teacher(folder / "teacher")
    return Sheet(folder, teacher, folder / "sheet.png", steps=1, network=TEACHER, **changes)


def test_photos_by_drivers_and_their_figures(tmp_path: Path) -> None:
    def examiner(pictures: np.ndarray) -> Look:
        count = len(pictures)
        people = np.zeros((count, 128))
        people[:, 0] = 0.3 * (count > 1)
        return Look(np.full((count, 478, 3), np.nan), np.full((count, 478, 2), np.nan), people)

    rows = draw_sheet(sheet_of(tmp_path, photos=2, drivers=3), examiner)
    assert len(rows) == 2
    for row in rows:
        assert row["seconds a picture"] > 0.0
        assert row["identity distance"] == pytest.approx(0.3)
        assert np.isnan(row["correlation"])
    with Image.open(tmp_path / "sheet.png") as picture:
        # Photo, three drivers and the figures; a row of drivers above.
        assert picture.size == (5 * 32, 3 * 32)
        pixels = np.array(picture)
    assert pixels[32:64, 128:].max() > 100
    assert pixels[:32, 128:].max() == 0


def test_without_instruments_there_is_the_time_alone(tmp_path: Path) -> None:
    (row,) = draw_sheet(sheet_of(tmp_path, photos=1, drivers=2), None)
    assert list(row) == ["seconds a picture"]


def test_no_heldout_shards_are_said(tmp_path: Path) -> None:
    command = sheet_of(tmp_path)
    (tmp_path / "heldout-0000.tar").unlink()
    with pytest.raises(MienError, match="mien prepare"):
        draw_sheet(command, None)
    assert not command.out.exists()
