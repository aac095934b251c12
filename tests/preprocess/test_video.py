import itertools
import resource
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from mien.errors import MienError
from mien.preprocess.video import SYNTHETIC, Video, write_video


def film(count: int = 30, height: int = 64, width: int = 96) -> list[np.ndarray]:
    """Smooth frames, each of another brightness."""
    y, x = np.mgrid[0:height, 0:width]
    base = np.stack([x * 2, y * 3, 200 - x], -1)
    return [np.clip(base + 2 * i, 0, 255).astype(np.uint8) for i in range(count)]


def source(path: Path, codec: str, seconds: float = 1.0, start: float = 0.0) -> Path:
    """A video with a tone, made without the code under test; pictures begin at `start`."""
    with av.open(path, "w") as container:
        video = container.add_stream("mpeg4", rate=30)
        video.width, video.height, video.pix_fmt = 96, 64, "yuv420p"
        sound = container.add_stream(codec, rate=48000)
        sound.layout = "mono"
        for i, frame in enumerate(film(round(30 * seconds))):
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
            picture.pts, picture.time_base = i + round(30 * start), Fraction(1, 30)
            container.mux(video.encode(picture))
        tone = np.sin(np.arange(round(48000 * (seconds + start))) * 0.06)
        for i in range(0, len(tone), 960):
            part = (tone[None, i : i + 960] * 20000).astype(np.int16)
            block = av.AudioFrame.from_ndarray(part, format="s16", layout="mono")
            block.sample_rate, block.pts, block.time_base = 48000, i, Fraction(1, 48000)
            container.mux(sound.encode(block))
        container.mux(video.encode(None))
        container.mux(sound.encode(None))
    return path


def sound_of(path: Path) -> tuple[str, float, np.ndarray]:
    """(codec, start in seconds, samples)."""
    with av.open(path) as container:
        stream = container.streams.audio[0]
        frames = list(container.decode(stream))
        samples = [f.to_ndarray()[0].astype(np.float64) for f in frames]
        assert frames[0].time is not None
        return stream.codec_context.name, frames[0].time, np.concatenate(samples)


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv"])
def test_a_round_trip_keeps_pictures_and_times(suffix: str, tmp_path: Path) -> None:
    frames, path = film(), tmp_path / f"a.{suffix}"
    write_video(path, frames, fps=24)
    video = Video(path)
    assert (video.width, video.height, video.has_audio) == (96, 64, False)
    assert video.fps == pytest.approx(24, rel=0.05)
    read = list(video)
    assert video.damage is None
    assert len(read) == len(frames)
    np.testing.assert_allclose([time for time, _ in read], np.arange(30) / 24, atol=2e-3)
    difference = np.array([image for _, image in read]).astype(int) - frames
    assert np.abs(difference).mean() < 3
    assert np.abs(difference.mean((0, 1, 2))).max() < 0.7  # no tint, nothing darker
    assert list(tmp_path.iterdir()) == [path]


def test_the_file_says_that_it_is_synthetic(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", film(3), fps=30)
    with av.open(tmp_path / "a.mp4") as container:
        assert container.metadata["comment"] == SYNTHETIC


def test_varying_frame_times_are_kept(tmp_path: Path) -> None:
    times = np.cumsum([0, 0.03, 0.05, 0.2, 0.01, 0.1, 0.04])
    write_video(tmp_path / "a.mp4", film(7), fps=25, times=times.tolist())
    np.testing.assert_allclose([t for t, _ in Video(tmp_path / "a.mp4")], times, atol=1e-3)


def test_odd_sizes_lose_a_row_or_column(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", film(3, 65, 97), fps=30)
    video = Video(tmp_path / "a.mp4")
    assert (video.width, video.height) == (96, 64)


def test_sound_that_fits_is_copied(tmp_path: Path) -> None:
    made = source(tmp_path / "source.mp4", "aac")
    write_video(tmp_path / "a.mp4", film(), fps=30, audio=made)
    codec, start, samples = sound_of(tmp_path / "a.mp4")
    _, source_start, source_samples = sound_of(made)
    assert codec == "aac"
    assert start == pytest.approx(source_start, abs=1e-3)
    shared = min(len(samples), len(source_samples))
    assert shared > 0.9 * 48000
    np.testing.assert_array_equal(samples[:shared], source_samples[:shared])


def test_sound_that_does_not_fit_becomes_aac(tmp_path: Path) -> None:
    made = source(tmp_path / "source.mkv", "pcm_s16le")
    write_video(tmp_path / "a.mp4", film(), fps=30, audio=made)
    codec, start, samples = sound_of(tmp_path / "a.mp4")
    assert codec == "aac"
    assert start == pytest.approx(0, abs=0.03)
    assert np.sqrt(np.square(samples).mean()) == pytest.approx(20000 / 32768 / 2**0.5, rel=0.1)


def test_sound_ends_with_the_pictures(tmp_path: Path) -> None:
    made = source(tmp_path / "source.mp4", "aac", seconds=2)
    write_video(tmp_path / "a.mp4", film(15), fps=30, audio=made)
    assert len(sound_of(tmp_path / "a.mp4")[2]) / 48000 == pytest.approx(0.5, abs=0.06)


def test_sound_is_counted_from_the_first_picture(tmp_path: Path) -> None:
    made = source(tmp_path / "source.mkv", "pcm_s16le", start=0.5)
    assert next(iter(Video(made)))[0] == 0
    write_video(tmp_path / "a.mkv", film(), fps=30, audio=made)
    # What sounded before the first picture lies before time zero, or is left out.
    _, start, samples = sound_of(tmp_path / "a.mkv")
    with av.open(tmp_path / "a.mkv") as container:
        first = next(container.decode(video=0)).time
    assert first is not None
    assert start - first == pytest.approx(0, abs=0.03)
    assert len(samples) / 48000 == pytest.approx(1.0, abs=0.06)


def test_a_silent_driver_gives_a_silent_film(tmp_path: Path) -> None:
    write_video(tmp_path / "driver.mp4", film(3), fps=30)
    write_video(tmp_path / "a.mp4", film(3), fps=30, audio=tmp_path / "driver.mp4")
    assert not Video(tmp_path / "a.mp4").has_audio


@pytest.mark.parametrize(("turned", "turns"), [(90, 1), (180, 2), (-90, 3)])
def test_turned_videos_come_upright(turned: int, turns: int, tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"crf": "5"})
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.set_display_rotation(turned)
        for frame in film(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
    _, image = next(iter(Video(path)))
    assert np.abs(image.astype(int) - np.rot90(film(1)[0], turns)).mean() < 6


def test_a_cut_video_gives_what_it_has_and_says_so(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    path = tmp_path / "a.mp4"
    write_video(path, rng.integers(0, 256, (60, 64, 96, 3)).astype(np.uint8), fps=30)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    video = Video(path)
    read = len(list(video))
    assert 10 < read < 50
    assert video.damage is not None
    assert f"only {read} of 60 frames" in video.damage


def test_unreadable_videos_are_refused(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mkv", film(3), fps=30)
    whole = (tmp_path / "a.mkv").read_bytes()
    bad = {
        "empty.mp4": (b"", "is empty"),
        "text.mp4": (b"this is no video" * 99, "not a video that can be read"),
        "cut.mkv": (whole[:400], "can be read"),
    }
    for name, (content, message) in bad.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(MienError, match=message):
            Video(tmp_path / name)
    with pytest.raises(MienError, match="folder"):
        Video(tmp_path)
    with pytest.raises(MienError, match="does not exist"):
        Video(tmp_path / "missing.mp4")


def test_sound_alone_is_no_video_but_can_be_kept(tmp_path: Path) -> None:
    path = tmp_path / "tone.wav"
    with av.open(path, "w") as container:
        stream = container.add_stream("pcm_s16le", rate=48000, layout="mono")
        silence = np.zeros((1, 48000), np.int16)
        block = av.AudioFrame.from_ndarray(silence, format="s16", layout="mono")
        block.sample_rate = 48000
        container.mux(stream.encode(block))
        container.mux(stream.encode(None))
    with pytest.raises(MienError, match="no pictures, only sound"):
        Video(path)
    write_video(tmp_path / "a.mp4", film(), fps=30, audio=path)
    assert Video(tmp_path / "a.mp4").has_audio


def test_nothing_is_left_of_an_interrupted_film(tmp_path: Path) -> None:
    def interrupted() -> Iterator[np.ndarray]:
        yield from film(20)
        raise KeyboardInterrupt

    (tmp_path / "a.mp4").write_text("an older film")
    with pytest.raises(KeyboardInterrupt):
        write_video(tmp_path / "a.mp4", interrupted(), fps=30)
    assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"]
    assert (tmp_path / "a.mp4").read_text() == "an older film"


def test_a_full_disk_is_said_and_nothing_is_left(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (90, 256, 256, 3)).astype(np.uint8)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
    try:
        with pytest.raises(MienError, match=r"a\.mp4 cannot be written"):
            write_video(tmp_path / "a.mp4", noise, fps=30)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


def test_places_that_cannot_be_written_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MienError, match=r"must end in one of \.mp4"):
        write_video(tmp_path / "a.avi", film(2), fps=30)
    with pytest.raises(MienError, match="does not exist"):
        write_video(tmp_path / "nowhere" / "a.mp4", film(2), fps=30)
    with pytest.raises(MienError, match="does not exist"):
        write_video(tmp_path / "a.mp4", film(2), fps=30, audio=tmp_path / "missing.mp4")
    with pytest.raises(ValueError, match="at least one frame"):
        write_video(tmp_path / "a.mp4", [], fps=30)
    assert list(tmp_path.iterdir()) == []


def test_a_real_clip_keeps_its_sound(shared_data: Path, tmp_path: Path) -> None:
    clip = Video(shared_data / "clips" / "lp_d9.mp4")
    taken = list(itertools.islice(clip, 45))
    path = tmp_path / "a.mp4"
    times = [time for time, _ in taken]
    write_video(path, [f for _, f in taken], fps=clip.fps, times=times, audio=clip.path)
    read = list(Video(path))
    np.testing.assert_allclose([time for time, _ in read], times, atol=1e-3)
    assert np.abs(read[30][1].astype(int) - taken[30][1]).mean() < 3
    _, start, samples = sound_of(path)
    _, source_start, source_samples = sound_of(clip.path)
    assert start == pytest.approx(source_start, abs=1e-3)
    np.testing.assert_array_equal(samples[:40000], source_samples[:40000])
