from pathlib import Path

import numpy as np
from PIL import Image

from mien.synth import sheets
from mien.synth.studio import Studio


def test_a_sheet_keeps_within_its_limit(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (6, 300, 300, 3), dtype=np.uint8)
    sheets.write(list(noise), tmp_path / "sheet.png", 3)
    assert 0 < (tmp_path / "sheet.png").stat().st_size <= sheets.LIMIT
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert abs(sheet.width / sheet.height - 1.5) < 0.02


def test_every_sheet_has_its_pictures(studio: Studio) -> None:
    made = sheets.expressions(studio, 1), sheets.views(studio, 1), sheets.identities(studio, 2)
    assert [len(pictures) for pictures in made] == [12, 9, 2]
    assert all(picture.shape == (64, 64, 3) for pictures in made for picture in pictures)
