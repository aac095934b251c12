import sys
import types

import cv2
import numpy as np
import pytest
import skimage.data
import torch
from stand_in import baked_of, small_network

from mien.artifact import load_avatar
from mien.errors import MienError
from mien.model.paper_motion import PaperMotionEncoder
from mien.serve import virtual_camera
from mien.serve.live import Live, run
from mien.serve.virtual_camera import SIZE, Puppet, show


class Wall:
    """A camera that keeps what it is shown."""

    device = "the wall"

    def __init__(self, **options: object) -> None:
        self.options = options
        self.shown: list[np.ndarray] = []
        self.waited = 0

    def __enter__(self) -> "Wall":
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def send(self, frame: np.ndarray) -> None:
        self.shown.append(frame.copy())

    def sleep_until_next_frame(self) -> None:
        self.waited += 1


class Webcam:
    """OpenCV's `VideoCapture` of a person who nods once, then the plug is pulled."""

    def __init__(self, number: int) -> None:
        face = cv2.cvtColor(skimage.data.astronaut()[0:300, 60:400], cv2.COLOR_RGB2BGR)
        self.frames = [face, face[:, 20:]] if number == 0 else []
        self.released = False

    def read(self) -> tuple[bool, np.ndarray | None]:
        return (True, self.frames.pop(0)) if self.frames else (False, None)

    def release(self) -> None:
        self.released = True


@pytest.fixture
def puppet(served):
    network, folder = served
    with Puppet(network, load_avatar(folder / "me.mien")) as puppet:
        yield puppet


def test_the_avatar_follows_the_face(puppet):
    astronaut = skimage.data.astronaut()[0:300, 60:400]
    nobody = np.zeros_like(astronaut)
    wall = Wall()
    frames = [nobody, astronaut, nobody, np.ascontiguousarray(astronaut[:, 40:])]
    show(puppet, list(enumerate(frames)), wall)
    before, first, held, moved = wall.shown
    assert all(picture.shape == (SIZE, SIZE, 3) for picture in wall.shown)
    assert wall.waited == 4
    assert before.max() > 0
    assert (before != first).any()
    assert (held == first).all()
    middles = [float(np.argwhere(picture.sum(2) > 30)[:, 1].mean()) for picture in (first, moved)]
    assert middles[1] < middles[0] - 10


def test_a_baked_avatar_follows_too(served):
    network, folder = served
    baked = baked_of(network, load_avatar(folder / "me.mien"))
    astronaut = skimage.data.astronaut()[0:300, 60:400]
    with Puppet(network, baked) as puppet:
        still = puppet.follow(0.0, np.zeros_like(astronaut))
        assert (puppet.follow(1.0, astronaut) != still).any()


def test_a_webcam_becomes_a_camera(served, monkeypatch, capsys):
    network, folder = served
    walls = []
    module = types.SimpleNamespace(
        Camera=lambda **options: walls.append(Wall(**options)) or walls[0]
    )
    monkeypatch.setitem(sys.modules, "pyvirtualcam", module)
    monkeypatch.setattr("cv2.VideoCapture", Webcam)
    with pytest.raises(MienError, match="Webcam 0 gives no picture"):
        run(Live(folder / "me.mien", camera=True), network)
    (wall,) = walls
    assert wall.options == {"width": SIZE, "height": SIZE, "fps": virtual_camera.FPS}
    assert len(wall.shown) == 2
    assert "The avatar is the camera the wall (Ctrl-C ends)." in capsys.readouterr().out


def test_ctrl_c_ends_it(served, monkeypatch):
    network, folder = served

    def interrupted(number: int) -> None:
        raise KeyboardInterrupt

    module = types.SimpleNamespace(Camera=Wall)
    monkeypatch.setitem(sys.modules, "pyvirtualcam", module)
    monkeypatch.setattr("cv2.VideoCapture", interrupted)
    run(Live(folder / "me.mien", camera=True), network)


def test_the_webcam_is_given_back(monkeypatch):
    webcam = Webcam(0)
    monkeypatch.setattr("cv2.VideoCapture", lambda number: webcam)
    frames = virtual_camera.webcam_frames(0)
    assert next(frames)[1][0, 0].tolist() == skimage.data.astronaut()[0, 60].tolist()
    frames.close()
    assert webcam.released


def test_a_missing_package_is_said(served, monkeypatch):
    network, folder = served
    monkeypatch.setitem(sys.modules, "pyvirtualcam", None)
    with pytest.raises(MienError, match="pip install pyvirtualcam"):
        run(Live(folder / "me.mien", camera=True), network)


@pytest.mark.parametrize(
    ("system", "said"),
    [("linux", "v4l2loopback"), ("darwin", "OBS"), ("win32", "OBS"), ("plan9", "may not know")],
)
def test_a_missing_camera_is_said(served, monkeypatch, system, said):
    network, folder = served

    def refuse(**options: object) -> None:
        raise RuntimeError("no camera")

    monkeypatch.setitem(sys.modules, "pyvirtualcam", types.SimpleNamespace(Camera=refuse))
    monkeypatch.setattr("sys.platform", system)
    with pytest.raises(MienError, match=f"no virtual camera; .*{said}"):
        run(Live(folder / "me.mien", camera=True), network)


def test_a_room_and_a_camera_are_not_had_at_once(served):
    network, folder = served
    command = Live(folder / "me.mien", camera=True, backplane="redis://localhost")
    with pytest.raises(MienError, match="--backplane is for rooms"):
        run(command, network)


def test_a_network_that_reads_pictures_is_said(served):
    _, folder = served
    network = small_network()
    with torch.device("meta"):
        network.motion = PaperMotionEncoder()
    with pytest.raises(MienError, match="cannot be driven live"):
        Puppet(network, load_avatar(folder / "me.mien"))
