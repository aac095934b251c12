import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import av
import cv2
import numpy as np
import pytest
import torch

from mien.artifact import write_weights
from mien.cli import main
from mien.model.network import Network
from mien.preprocess.photo import read_photo
from mien.preprocess.video import write_video
from mien.presets import tiny

# Helpers of this folder, and the stand-in networks of `tests/serve`.
for folder in (Path(__file__).parent, Path(__file__).parents[1] / "serve"):
    sys.path.insert(0, str(folder))

FPS = 25


class Done(NamedTuple):
    """What came of a command: exit code, and what it wrote to stdout and stderr."""

    code: int
    out: str
    err: str


@pytest.fixture
def mien(capfd) -> Callable[..., Done]:
    """The command line, as a person sees it: what C++ libraries write counts too."""

    def run(*arguments: object) -> Done:
        capfd.readouterr()
        code = main([str(argument) for argument in arguments])
        return Done(code, *capfd.readouterr())

    return run


@pytest.fixture
def refused(mien) -> Callable[..., str]:
    """A command that must fail as bad input should; gives the sentence that it said."""

    def run(*arguments: object) -> str:
        folder = Path(arguments[list(arguments).index("-o") + 1]).parent
        before = sorted(folder.iterdir()) if folder.is_dir() else None
        done = mien(*arguments)
        assert done.code == 2
        assert done.out == ""
        assert done.err.startswith("mien: ")
        assert done.err.count("\n") == 1
        assert before == (sorted(folder.iterdir()) if folder.is_dir() else None)
        return done.err

    return run


@pytest.fixture(scope="session")
def photo() -> Path:
    return Path(__file__).parents[2] / "examples" / "astronaut.jpg"


@pytest.fixture(scope="session")
def network() -> Network:
    torch.manual_seed(1)
    return Network(tiny()).eval().requires_grad_(False)


@pytest.fixture(scope="session")
def weights(network, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    write_weights(path, network.state_dict(), preset="tiny", licence="CC0")
    return path


@pytest.fixture(scope="session")
def film(photo) -> list[np.ndarray]:
    """Eight frames of the astronaut's face, which sways and breathes."""
    image = read_photo(photo).image[:240, 110:350]
    frames = []
    for turn in np.linspace(0, 2 * np.pi, 8, endpoint=False):
        sway = cv2.getRotationMatrix2D((120, 120), 4 * np.sin(turn), 1 + 0.04 * np.cos(turn))
        sway[0, 2] += 6 * np.sin(turn)
        frames.append(cv2.warpAffine(image, sway, (240, 240), borderMode=cv2.BORDER_REPLICATE))
    return frames


@pytest.fixture(scope="session")
def clip(film, tmp_path_factory) -> Path:
    """The film as a video, with a tone."""
    path = tmp_path_factory.mktemp("clip") / "driving.mp4"
    tone = path.with_name("tone.mp4")
    with av.open(tone, "w") as container:
        picture, sound = (
            container.add_stream("libx264", rate=FPS),
            container.add_stream("aac", rate=48000),
        )
        picture.width = picture.height = 16
        picture.pix_fmt = "yuv420p"
        for _ in range(FPS):
            black = av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8), format="rgb24")
            container.mux(picture.encode(black))
        wave = 0.2 * np.sin(np.arange(48000) * 2 * np.pi * 440 / 48000).astype(np.float32)
        frame = av.AudioFrame.from_ndarray(wave[None], format="fltp", layout="mono")
        frame.sample_rate = 48000
        for part in (frame, None):
            container.mux(sound.encode(part))
        container.mux(picture.encode(None))
    write_video(path, film, fps=FPS, audio=tone)
    return path


@pytest.fixture(scope="session")
def avatar(photo, weights, tmp_path_factory) -> Path:
    """The astronaut as an avatar file."""
    path = tmp_path_factory.mktemp("avatar") / "astronaut.mien"
    command = ("encode", photo, "-o", path, "--weights", weights, "--detail", "fast")
    assert main([str(word) for word in command]) == 0
    return path


@pytest.fixture(scope="session")
def take(clip, weights, tmp_path_factory) -> Path:
    """The clip as a driving take; its sound is elsewhere."""
    path = tmp_path_factory.mktemp("take") / "driving.motion"
    assert main(["motion", str(clip), "-o", str(path), "--weights", str(weights)]) == 0
    return path
