from pathlib import Path

import numpy as np
import pytest

from mien.errors import MienError
from mien.evaluate.reenactment import score, score_views
from mien.preprocess.photo import read_photo
from mien.preprocess.video import Video, write_video

FRAMES = 60


@pytest.fixture(scope="module")
def photo(shared_data: Path) -> Path:
    return shared_data / "portraits" / "studio" / "p004_neutral.jpg"


@pytest.fixture(scope="module")
def driver(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first frames of a lively clip, silent."""
    clip = Video(shared_data / "clips" / "lp_d0.mp4")
    frames = [image for _, (_, image) in zip(range(FRAMES), clip, strict=False)]
    path = tmp_path_factory.mktemp("driver") / "driver.mp4"
    write_video(path, frames, fps=clip.fps)
    return path


def test_the_driver_follows_itself_but_is_somebody_else(photo: Path, driver: Path) -> None:
    result = score(photo, driver, driver)
    assert result.frames == result.driver_frames == FRAMES
    assert result.fps == result.driver_fps
    assert result.same_sound
    assert result.face_found == 1.0
    assert result.identity > 0.6
    assert result.follows["mouth opening"] == pytest.approx(1.0)
    assert result.amount["mouth opening"] == pytest.approx(1.0)
    assert result.jitter == pytest.approx(1.0)


def test_a_still_photo_is_somebody_who_does_not_follow(
    photo: Path, driver: Path, tmp_path: Path
) -> None:
    write_video(tmp_path / "still.mp4", [read_photo(photo).image] * (FRAMES - 4), fps=10.0)
    result = score(photo, driver, tmp_path / "still.mp4")
    assert result.frames == FRAMES - 4
    assert result.fps != result.driver_fps
    assert result.identity < 0.2
    assert abs(result.follows["mouth opening"]) < 0.3
    assert result.jitter < 0.5


def test_views_that_do_not_turn(photo: Path) -> None:
    slope, identity = score_views(photo, (-30, 0, 30), [read_photo(photo).image] * 3)
    assert slope == pytest.approx(0.0, abs=0.02)
    assert list(identity) == [-30, 0, 30]
    assert max(identity.values()) < 0.1


def test_a_photo_without_a_face_is_said(photo: Path, driver: Path, tmp_path: Path) -> None:
    from PIL import Image

    Image.fromarray(np.full((256, 256, 3), 99, np.uint8)).save(tmp_path / "grey.png")
    with pytest.raises(MienError, match=r"grey\.png shows no face"):
        score_views(tmp_path / "grey.png", (0,), [read_photo(photo).image])
