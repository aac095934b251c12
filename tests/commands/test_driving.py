import threading

import numpy as np
import pytest
import torch
from PIL import Image

from mien.commands.driving import held, is_picture, read_driver, smoothed
from mien.errors import MienError
from mien.model.network import Network
from mien.preprocess.video import write_video
from mien.presets import tiny
from mien.structures import Camera, Motion


@pytest.fixture
def shaky():
    generator = torch.Generator().manual_seed(0)
    angles = 0.3 * torch.sin(torch.arange(100) / 10) + 0.02 * torch.randn(100, generator=generator)
    return Motion(
        latents=torch.randn(100, 8, generator=generator),
        cam_from_head=Camera.orbit(angles).cam_from_world,
        times=torch.arange(100).double() / 25,
        fps=25.0,
        preset="tiny",
    )


def test_a_video_without_a_face_is_refused_and_no_thread_stays(tmp_path):
    network = Network(tiny()).eval().requires_grad_(False)
    grey = [np.full((64, 64, 3), 99, np.uint8)] * 12
    write_video(tmp_path / "grey.mp4", grey, fps=25)
    with pytest.raises(MienError, match=r"grey\.mp4"):
        read_driver(tmp_path / "grey.mp4", network)
    assert "ahead" not in {thread.name for thread in threading.enumerate()}


def test_smoothing_quiets_expressions_and_poses(shaky):
    calm = smoothed(shaky, 1.0)
    for name in ("latents", "cam_from_head"):
        before, after = getattr(shaky, name), getattr(calm, name)
        assert after.dtype == before.dtype
        assert after.diff(dim=0).std() < 0.7 * before.diff(dim=0).std()


def test_smoothed_poses_are_rotations(shaky):
    turns = smoothed(shaky, 1.0).cam_from_head[:, :3, :3]
    eye = torch.eye(3).expand(len(turns), 3, 3)
    torch.testing.assert_close(turns @ turns.transpose(1, 2), eye, atol=1e-5, rtol=0)
    assert (torch.linalg.det(turns) > 0).all()


def test_no_smoothing_changes_nothing(shaky):
    assert smoothed(shaky, 0.0) is shaky


def test_an_expression_is_held():
    latent, pose = torch.randn(8), Camera.orbit(0.2).cam_from_world
    take = held(latent, pose, "tiny")
    assert (take.latents == latent).all()
    assert (take.cam_from_head == pose).all()
    assert float(take.times[-1] + 1 / take.fps) == pytest.approx(6.0)


def test_pictures_are_told_from_films(tmp_path):
    frames = [Image.fromarray(np.full((8, 8, 3), v, np.uint8)) for v in (0, 99, 200)]
    for name, options in (
        ("still.png", {}),
        ("still.gif", {}),
        ("film.gif", {"save_all": True, "append_images": frames[1:]}),
    ):
        frames[0].save(tmp_path / name, **options)
    (tmp_path / "text.png").write_text("no picture")
    found = {path.name: is_picture(path) for path in tmp_path.iterdir()}
    assert found == {
        "still.png": True,
        "still.gif": True,
        "film.gif": False,
        "text.png": False,
    }
