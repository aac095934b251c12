from pathlib import Path

import av
import numpy as np
import pytest

from mien.evaluate.sound import RATE, aligned_correlation, read_sound, same_sound


def write(path: Path, sound: np.ndarray | None) -> Path:
    """A video file of a few grey frames, with or without sound (mono at `RATE`)."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25)
        video.width = video.height = 64
        video.pix_fmt = "yuv420p"
        audio = container.add_stream("aac", rate=RATE) if sound is not None else None
        for _ in range(5):
            frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 99, np.uint8))
            container.mux(video.encode(frame))
        container.mux(video.encode())
        if audio is not None and sound is not None:
            samples = (sound[None] * 32767).astype(np.int16)
            frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
            frame.sample_rate = RATE
            container.mux(audio.encode(frame))
            container.mux(audio.encode())
    return path


@pytest.fixture
def speech() -> np.ndarray:
    time = np.arange(RATE) / RATE
    return 0.4 * np.sin(2 * np.pi * (200 + 400 * time) * time) * np.sin(9 * time) ** 2


def test_encoded_anew_it_is_the_same(tmp_path: Path, speech: np.ndarray) -> None:
    first, second = write(tmp_path / "a.mp4", speech), write(tmp_path / "b.mkv", speech)
    assert same_sound(first, second)
    heard = read_sound(first)
    assert heard is not None
    assert abs(len(heard) - RATE) < 0.1 * RATE


def test_other_or_shorter_or_missing_sound_is_not(tmp_path: Path, speech: np.ndarray) -> None:
    first = write(tmp_path / "a.mp4", speech)
    assert not same_sound(first, write(tmp_path / "reversed.mp4", speech[::-1].copy()))
    assert not same_sound(first, write(tmp_path / "short.mp4", speech[: RATE // 2]))
    assert not same_sound(first, write(tmp_path / "silent.mp4", None))


def test_two_silent_files_are_the_same(tmp_path: Path) -> None:
    assert same_sound(write(tmp_path / "a.mp4", None), write(tmp_path / "b.mp4", None))


def test_correlation_finds_small_shifts_alone(speech: np.ndarray) -> None:
    late = np.concatenate([np.zeros(800), speech])
    later = np.concatenate([np.zeros(8000), speech])
    assert aligned_correlation(speech, late) == pytest.approx(1.0, abs=1e-3)
    assert aligned_correlation(late, speech) == pytest.approx(1.0, abs=1e-3)
    assert aligned_correlation(speech, later) < 0.5
    assert aligned_correlation(np.zeros(9), np.zeros(9)) == 1.0
    assert aligned_correlation(speech, np.zeros(9)) == 0.0
