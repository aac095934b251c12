"""What files say of themselves."""

import numpy as np
import pytest
import torch
from PIL import Image

from mien.commands.animate import write_picture
from mien.commands.marks import marks
from mien.errors import MienError
from mien.preprocess.video import write_video
from mien.watermark import marked


def a_picture() -> torch.Tensor:
    """(256, 256, 3) uint8, marked."""
    smooth = torch.linspace(0.2, 0.8, 256).expand(3, 256, 256)
    return (marked(smooth) * 255 + 0.5).to(torch.uint8).permute(1, 2, 0)


@pytest.mark.parametrize("name", ["out.png", "out.jpg"])
def test_pictures_of_ours_are_known(tmp_path, name):
    write_picture(tmp_path / name, a_picture())
    lines = list(marks(tmp_path / name))
    assert lines[0].endswith("picture")
    assert "says that it is synthetic" in lines[1]
    assert "watermark: Mien's" in lines[2]


@pytest.mark.parametrize("name", ["out.mp4", "out.mkv", "out.mov", "out.webm"])
def test_videos_of_ours_are_known(tmp_path, name):
    write_video(tmp_path / name, [a_picture().numpy()] * 3, fps=25)
    lines = list(marks(tmp_path / name))
    assert lines[0].endswith("video")
    assert "says that it is synthetic" in lines[1]
    assert "watermark: Mien's" in lines[2]


def test_a_picture_without_marks_is_not_ours(tmp_path):
    path = tmp_path / "other.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)).save(path)
    lines = list(marks(path))
    assert "does not say what made it" in lines[1]
    assert "none found" in lines[2]


def test_what_is_none_of_these_is_said(tmp_path):
    (tmp_path / "text.txt").write_text("no picture")
    with pytest.raises(MienError, match="not a video that can be read"):
        list(marks(tmp_path / "text.txt"))
