from pathlib import Path

import numpy as np
import pytest
import torch

from mien.errors import MienError
from mien.evaluate import instruments as instruments_module
from mien.evaluate.cache import Cache
from mien.evaluate.instruments import (
    clip_scene,
    instruments,
    photo_scene,
    through_codec,
    track_face,
)
from mien.evaluate.metrics.image import psnr
from mien.evaluate.takes import Scene, pictures
from mien.preprocess.video import write_video

from .puppets import ruler

SIZE, FRAMES = 256, 6


@pytest.fixture(scope="module")
def scene(shared_data: Path) -> Scene:
    return clip_scene(shared_data / "clips" / "lp_d3.mp4", SIZE, FRAMES)


def test_a_clip_in_the_output_framing(scene: Scene) -> None:
    assert scene.name == "lp_d3"
    assert len(scene) == len(scene.images) == FRAMES
    assert scene.crops.shape == (FRAMES, SIZE, SIZE, 3)
    assert scene.alpha.shape == scene.known.shape == (FRAMES, SIZE, SIZE)
    assert scene.cameras.world_from_cam.shape == (FRAMES, 4, 4)
    assert scene.crops[scene.alpha.numpy() == 0].max() == 0
    assert scene.alpha[:, SIZE // 2, SIZE // 2].min() > 0.9


def test_a_clip_that_was_kept_is_the_same(
    scene: Scene, shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = shared_data / "clips" / "lp_d3.mp4"
    clip_scene(clip, SIZE, FRAMES, Cache(tmp_path))
    monkeypatch.setattr(instruments_module, "detect", lambda _: pytest.fail("looked again"))
    again = clip_scene(clip, SIZE, FRAMES, Cache(tmp_path))
    assert (again.crops == scene.crops).all()
    assert (again.alpha == scene.alpha).all()
    assert (again.cameras.world_from_cam == scene.cameras.world_from_cam).all()


def test_its_crops_are_seen_by_its_cameras(scene: Scene) -> None:
    track = track_face(scene.crops)
    assert track.found.all()
    asked = torch.stack(scene.cameras.angles(), -1).rad2deg().numpy()
    assert np.abs(track.angles - asked).max() < 3.0


def test_what_lies_beyond_the_picture_is_unknown(scene: Scene) -> None:
    assert not scene.known.all()
    assert scene.crops[~scene.known.numpy()].max() == 0
    assert scene.alpha[~scene.known].max() == 0


def test_a_photo_is_a_scene_of_one(shared_data: Path) -> None:
    scene = photo_scene(shared_data / "portraits" / "studio" / "p004_neutral.jpg", SIZE)
    assert len(scene) == 1
    assert scene.crops.shape == (1, SIZE, SIZE, 3)
    assert scene.known.all()


def test_a_frame_without_a_face_is_nan(scene: Scene) -> None:
    track = track_face([np.zeros((SIZE, SIZE, 3), np.uint8), *scene.images[:2]])
    assert track.found.tolist() == [False, True, True]
    assert np.isnan(track.angles[0]).all()
    assert track_face(np.zeros((2, SIZE, SIZE, 3), np.uint8)).found.tolist() == [False, False]


@pytest.mark.parametrize("frames", [4, 14])
def test_a_clip_that_is_short_or_without_a_face_is_said(tmp_path: Path, frames: int) -> None:
    write_video(tmp_path / "grey.mp4", [np.full((64, 64, 3), 99, np.uint8)] * frames, fps=25.0)
    with pytest.raises(MienError, match=r"grey\.mp4 shows no face"):
        clip_scene(tmp_path / "grey.mp4", SIZE, FRAMES)


def test_the_codec_keeps_frames_and_loses_a_little(scene: Scene) -> None:
    decoded = through_codec(scene.crops)
    assert decoded.shape == scene.crops.shape
    quality = psnr(pictures(decoded), pictures(scene.crops))
    assert 30 < quality.min() <= quality.max() < 60


def test_what_cannot_be_measured_has_a_reason() -> None:
    tools, missing = instruments(ruler())
    always = {"PSNR", "SSIM", "MS-SSIM", "FLIP", "features"}
    assert always <= set(tools.pictures)
    assert set(tools.pictures) | set(missing) == {*always, "LPIPS"}
    assert all("LPIPS needs torchvision" in reason for reason in missing.values())
