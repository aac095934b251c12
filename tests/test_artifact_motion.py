"""Takes survive their file within half precision, and bad files are refused."""

import dataclasses
import math
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from scipy.spatial.transform import Rotation

from mien.artifact import load_motion, save_motion
from mien.errors import MienError
from mien.structures import Camera, Motion

CODES = "landmarks.codes"


def a_take(frames: int = 40, **changes) -> Motion:
    poses = torch.eye(4).repeat(frames, 1, 1)
    rotations = Rotation.from_rotvec(torch.randn(frames, 3).numpy() * 2).as_matrix()
    poses[:, :3, :3] = torch.from_numpy(rotations)
    poses[:, :3, 3] = torch.randn(frames, 3)
    take = Motion(
        latents=torch.randn(frames, 64),
        cam_from_head=poses,
        times=torch.arange(frames, dtype=torch.float64) / 29.97 + 3600,
        fps=29.97,
        preset="base",
        audio="/home/someone/private/clip.mp4",
        landmarks=0.3 * torch.randn(478, 3) + 0.01 * torch.randn(frames, 478, 3),
        weights="0123456789abcdef" * 2,
    )
    return dataclasses.replace(take, **changes)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "take.motion"
    save_motion(path, a_take())
    return path


def test_a_take_comes_back(tmp_path: Path) -> None:
    take = a_take()
    save_motion(tmp_path / "take.motion", take)
    loaded = load_motion(tmp_path / "take.motion")
    assert len(loaded) == 40
    assert loaded.latents.dtype == loaded.cam_from_head.dtype == torch.float32
    assert ((loaded.latents - take.latents).abs() <= take.latents.abs() * 2.0**-11 + 1e-7).all()
    torch.testing.assert_close(loaded.cam_from_head, take.cam_from_head, atol=1e-6, rtol=0)
    assert torch.equal(loaded.times, take.times)
    assert loaded.fps == 29.97
    assert loaded.preset == "base"
    assert loaded.weights == take.weights
    assert loaded.landmarks is not None
    assert loaded.landmarks.dtype == torch.float32
    torch.testing.assert_close(loaded.landmarks, take.landmarks, atol=0.5 / 8192 + 1e-7, rtol=0)


def test_landmarks_as_far_as_16_bits_reach_come_back(tmp_path: Path) -> None:
    """Differences between frames then wrap around."""
    far = torch.tensor([-3.9, 3.9])[torch.arange(40) % 2][:, None, None].expand(40, 478, 3)
    save_motion(tmp_path / "take.motion", a_take(landmarks=far))
    loaded = load_motion(tmp_path / "take.motion").landmarks
    torch.testing.assert_close(loaded, far, atol=1e-4, rtol=0)


def test_a_take_without_landmarks_or_weights_comes_back(tmp_path: Path) -> None:
    """As the first takes were, which the reader must still take."""
    path = tmp_path / "take.motion"
    save_motion(path, a_take(landmarks=None, weights=""))
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    del metadata["weights"]
    save_file(load_file(path), path, metadata)
    loaded = load_motion(path)
    assert loaded.landmarks is None
    assert loaded.weights == ""


def test_a_minute_takes_little_more_than_a_megabyte(tmp_path: Path) -> None:
    """A face that does as real ones: 0.0006 canonical units a frame, each landmark its own way."""
    path = tmp_path / "take.motion"
    faces = 0.1 * torch.randn(478, 3) + (0.0006 * torch.randn(1500, 478, 3)).cumsum(0)
    poses = Camera.orbit(torch.zeros(1500)).cam_from_world
    times = torch.arange(1500, dtype=torch.float64) / 25
    latents = torch.randn(1500, 64)
    save_motion(
        path, a_take(1500, landmarks=faces, latents=latents, cam_from_head=poses, times=times)
    )
    assert path.stat().st_size < 1.6 * 2**20


def test_a_take_too_long_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mien.artifact.motion.MAX_TRACKED", 39)
    with pytest.raises(MienError, match="39 is the most; cut the video"):
        save_motion(tmp_path / "take.motion", a_take())
    assert not list(tmp_path.iterdir())


def test_a_half_turn_comes_back(tmp_path: Path) -> None:
    """Where the quaternion's w is zero, and its sign undecided."""
    poses = Camera.orbit(yaw=torch.tensor([0.0, math.pi, math.pi / 2])).cam_from_world
    save_motion(tmp_path / "take.motion", a_take(3, cam_from_head=poses))
    found = load_motion(tmp_path / "take.motion").cam_from_head
    torch.testing.assert_close(found, poses, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("audio", "name"),
    [
        ("/home/someone/private/clip.mp4", "clip.mp4"),
        ("C:\\Users\\someone\\clip.mp4", "clip.mp4"),
        ("clip ☺.mp4", "clip ☺.mp4"),
        ("/", None),
        ("..", None),
        ("clip\udcff.mp4", None),
        (None, None),
    ],
)
def test_of_the_sound_only_the_name_is_kept(
    tmp_path: Path, audio: str | None, name: str | None
) -> None:
    path = tmp_path / "take.motion"
    save_motion(path, a_take(audio=audio))
    assert b"someone" not in path.read_bytes()
    assert load_motion(path).audio == (name and str(tmp_path / name))


@pytest.mark.parametrize(
    "changes",
    [
        {"latents": torch.randn(40)},
        {"latents": torch.full((40, 64), 1e6)},
        {"latents": torch.randn(39, 64)},
        {"cam_from_head": torch.randn(40, 3, 4)},
        {"cam_from_head": torch.full((40, 4, 4), torch.nan)},
        {"times": torch.zeros(40)},
        {"times": torch.full((40,), torch.nan)},
        {"fps": 0.0},
        {"fps": math.inf},
        {"preset": ""},
        {"weights": "my own"},
        {"landmarks": torch.randn(39, 478, 3)},
        {"landmarks": torch.full((40, 478, 3), 4.1)},
        {"landmarks": torch.full((40, 478, 3), torch.nan)},
    ],
)
def test_what_could_not_be_read_back_is_not_written(tmp_path: Path, changes: dict) -> None:
    with pytest.raises(ValueError, match=r"."):
        save_motion(tmp_path / "take.motion", a_take(**changes))
    assert not list(tmp_path.iterdir())


def test_an_empty_take_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="empty"):
        save_motion(tmp_path / "take.motion", a_take()[:0])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t, m: t.pop("times"), "lacks times"),
        (lambda t, m: t.update(virus=torch.zeros(1)), "unknown tensors"),
        (lambda t, m: t.update(latents=t["latents"].float()), "float32, where"),
        (lambda t, m: t.update(times=t["times"][:-1].clone()), "shape"),
        (lambda t, m: t["times"].fill_(1), "times do not increase"),
        (lambda t, m: t["latents"].fill_(torch.inf), "not finite"),
        (lambda t, m: t["quats"].mul_(1.1), "unit length"),
        (lambda t, m: t["quats"].zero_(), "unit length"),
        (lambda t, m: m.update(fps="-3"), "not between 0 and 1000"),
        (lambda t, m: m.update(fps="inf"), "not between 0 and 1000"),
        (lambda t, m: m.pop("fps"), "lacks the field 'fps'"),
        (lambda t, m: m.update(audio="../../etc/passwd"), "sound file is malformed"),
        (lambda t, m: m.update(audio=".."), "sound file is malformed"),
        (lambda t, m: m.update(audio="a\0b"), "sound file is malformed"),
        (lambda t, m: m.update(preset="a b"), "preset is malformed"),
        (lambda t, m: m.update(weights="../x"), "fingerprint of its weights is malformed"),
        (lambda t, m: t.update({CODES: t[CODES][:-9].clone()}), "does not hold the 114720 bytes"),
        (lambda t, m: t[CODES].zero_(), "landmarks.codes is damaged"),
        (lambda t, m: t.update({CODES: t[CODES].float()}), "no sequence of bytes"),
        (lambda t, m: m.update(schema="7"), "newer version of Mien"),
        (lambda t, m: m.update(format="mien.avatar"), "it is a 'mien.avatar' file"),
    ],
)
def test_a_wrong_file_is_refused_with_the_reason(saved: Path, change, words: str) -> None:
    with safe_open(saved, framework="pt") as file:
        metadata = file.metadata()
    tensors = load_file(saved)
    change(tensors, metadata)
    save_file(tensors, saved, metadata)
    with pytest.raises(MienError, match=words) as caught:
        load_motion(saved)
    assert str(saved) in str(caught.value)


@settings(
    max_examples=200,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(flips=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 7)), min_size=1, max_size=4))
def test_a_damaged_file_loads_whole_or_is_refused(saved: Path, flips) -> None:
    damaged = bytearray(saved.read_bytes())
    for place, bit in flips:
        # Squared, so that the header at the front gets its share.
        damaged[int(place**2 * (len(damaged) - 1))] ^= 1 << bit
    path = saved.with_name("damaged.motion")
    path.write_bytes(damaged)
    try:
        take = load_motion(path)
    except MienError:
        return
    assert take.cam_from_head.shape == (40, 4, 4)
    assert take.latents.shape == (40, 64)
    assert take.latents.isfinite().all()
    assert take.cam_from_head.isfinite().all()
