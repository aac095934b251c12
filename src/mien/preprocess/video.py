"""Video files in and out, by PyAV: true frame times, upright pictures, sound, no half-written file.

Frames are (H, W, 3) uint8 RGB; times are seconds since the first frame.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from mien.errors import MienError
from mien.files import atomic_output, check_readable

if TYPE_CHECKING:
    from av import Packet, VideoFrame
    from av.container import InputContainer, OutputContainer

Frame = NDArray[np.uint8]

SYNTHETIC = "Synthetic: this person did not make these expressions. Made with Mien."
"""What the `comment` field of every written video says."""

SOUND_COPIED = {
    ".mp4": {"aac", "mp3", "ac3", "eac3", "alac", "opus", "flac"},
    ".mov": {"aac", "mp3", "ac3", "eac3", "alac"},
    ".mkv": {"aac", "mp3", "ac3", "eac3", "alac", "opus", "vorbis", "flac"},
    ".webm": {"opus", "vorbis"},
}
"""The containers that can be written, and the sound each takes as it is; the rest becomes AAC, in
WebM Opus."""

SEE_THROUGH = (".webm", ".mov")
"""The containers that can keep transparency, as VP9 and as ProRes 4444."""

SOUND_RATE = 48_000
"""Samples a second of sound that is made anew."""

TICKS = 90_000
"""Time base of written video, in ticks a second: divides all usual frame rates."""


class Video:
    """A video file; iterating gives (time, frame), from the start each time.

    Frame times are the file's own, so a varying frame rate is kept. Pictures come upright. Damaged
    stretches are left out, and `damage` says so once iteration has ended.

    Attributes:
        path: the file.
        fps: average frames a second.
        frames: how many there are, as the file says or by its duration; 0 if neither is known.
        width, height: of the upright picture, in pixels.
        has_audio: whether there is sound.
        damage: None, or a sentence saying what could not be read.

    Raises:
        MienError: the file is missing, empty, no video, or not one frame of it can be read.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.damage: str | None = None
        with open_media(self.path) as container:
            if not container.streams.video:
                raise MienError(f"{self.path} has no pictures, only sound. Give a video.")
            stream = container.streams.video[0]
            self.fps = float(stream.average_rate or stream.guessed_rate or 25)
            seconds = (container.duration or 0) / 1e6
            self.frames = stream.frames or round(seconds * self.fps)
            self.has_audio = bool(container.streams.audio)
        first = next(iter(self), None)
        if first is None:
            raise MienError(
                f"Not one frame of {self.path} can be read. Save or download the video again."
            )
        self.height, self.width = first[1].shape[:2]

    def __iter__(self) -> Iterator[tuple[float, Frame]]:
        from av.error import FFmpegError

        self.damage = None
        read, bad = 0, 0
        start: float | None = None
        last = -1.0
        with open_media(self.path) as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            packets = container.demux(stream)
            while True:
                try:
                    decoded = next(packets).decode()
                except StopIteration:
                    break
                except FFmpegError:
                    bad += 1
                    if bad > 1000:
                        break
                    continue
                for frame in decoded:
                    time = frame.time if frame.time is not None else read / self.fps
                    start = time if start is None else start
                    # Broken files repeat times; keep them increasing.
                    last = max(time - start, last + 1e-3)
                    read += 1
                    yield last, upright(frame)
        if bad or read < 0.9 * self.frames:
            missing = f"only {read} of {self.frames} frames" if self.frames > read else "parts"
            self.damage = f"{self.path} is damaged or cut short: {missing} could be read."


@contextlib.contextmanager
def open_media(path: Path) -> Iterator[InputContainer]:
    """Open a file with pictures or sound, or say why not."""
    import av
    from av.error import FFmpegError

    if check_readable(path).stat().st_size == 0:
        raise MienError(f"{path} is empty. Save or download the video again.")
    try:
        container = av.open(path)
    except (FFmpegError, OSError) as error:
        why = str(error.strerror or error).lower()
        raise MienError(
            f"{path} is not a video that can be read ({why}). Save or download it again, or "
            "convert it to MP4."
        ) from None
    with container:
        yield container


def upright(frame: VideoFrame) -> Frame:
    """RGB of a frame, turned as its file says."""
    from av.video.reformatter import Interpolation as By

    # The default conversion loses a level of brightness to rounding.
    exact = By.BICUBIC | By.ACCURATE_RND | By.FULL_CHR_H_INT | By.FULL_CHR_H_INP
    image = frame.to_ndarray(format="rgb24", interpolation=exact)
    return np.ascontiguousarray(np.rot90(image, round(frame.rotation / 90)), np.uint8)


def write_video(
    path: str | Path,
    frames: Iterable[Frame],
    *,
    fps: float,
    times: Sequence[float] | None = None,
    audio: str | Path | None = None,
    crf: int = 18,
) -> None:
    """Write a video with sound, marked as synthetic; whole or not at all.

    It is H.264; in .webm VP9; with transparency in .mov ProRes 4444, which video editors read. The
    file is made beside its place under a temporary name and moved there at the end; whatever
    interrupts the writing, nothing is left behind. Wrap `frames` to show progress.

    Args:
        path: .mp4, .mov, .mkv or .webm.
        frames: pictures of one size; an odd width or height loses its last column or row. With a
            fourth channel, straight alpha, they are transparent (see `SEE_THROUGH`).
        fps: frames a second; with `times`, the nominal rate.
        times: seconds of each frame since the first, increasing; None spaces them evenly.
        audio: a file whose sound is kept, from its first frame to the last one written.
        crf: quality of H.264, 0 (lossless) to 51; VP9 gets the like.

    Raises:
        MienError: the path or its folder can't be written, the disk is full, no such `audio`.
    """
    path = Path(path)
    if path.suffix.lower() not in SOUND_COPIED:
        kinds = ", ".join(SOUND_COPIED)
        raise MienError(f"{path}: a video's name must end in one of {kinds}.")
    with (
        atomic_output(path) as draft,
        Sound(audio) as sound,
        Writer(draft, fps, crf, sound) as writer,
    ):
        for index, frame in enumerate(frames):
            writer.add(frame, index / fps if times is None else times[index])


class Sound:
    """The sound of a file, as packets that begin with its first picture.

    Args:
        path: the file; None, or a file without sound, gives no packets.
    """

    def __init__(self, path: str | Path | None) -> None:
        self._stack = contextlib.ExitStack()
        self._packets: Iterator[tuple[float, Packet]] = iter(())
        self._next: tuple[float, Packet] | None = None
        self._source = self._stack.enter_context(open_media(Path(path))) if path else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.close()

    def join(self, output: OutputContainer, suffix: str) -> None:
        """Add the sound's stream to an output, before anything is written."""
        if self._source is None or not self._source.streams.audio:
            return
        source = self._source.streams.audio[0]
        begin = 0.0
        for video in self._source.streams.video[:1]:
            begin = float((video.start_time or 0) * (video.time_base or 0))
        if source.codec_context.name in SOUND_COPIED[suffix]:
            self._packets = self._copied(output.add_stream_from_template(source), source, begin)
        else:
            layout = "mono" if source.codec_context.channels == 1 else "stereo"
            codec = "libopus" if suffix == ".webm" else "aac"
            target: Any = output.add_stream(codec, rate=SOUND_RATE, layout=layout)
            self._packets = self._encoded(target, source, begin)
        # What sounds before the first picture is left out, but for one packet to start from.
        self._packets = (pair for pair in self._packets if pair[0] > -0.03)
        self._next = next(self._packets, None)

    def until(self, time: float) -> Iterator[Packet]:
        """The packets not yet given that begin before a time."""
        while self._next is not None and self._next[0] <= time:
            yield self._next[1]
            self._next = next(self._packets, None)

    def _copied(self, target: Any, source: Any, begin: float) -> Iterator[tuple[float, Packet]]:
        assert self._source is not None
        shift = round(begin / source.time_base)
        for packet in self._source.demux(source):
            if packet.dts is None or packet.pts is None:
                continue
            packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
            packet.stream = target
            yield float(packet.pts * source.time_base), packet

    def _encoded(self, target: Any, source: Any, begin: float) -> Iterator[tuple[float, Packet]]:
        import av
        from av.error import FFmpegError

        assert self._source is not None
        resampler = av.AudioResampler("fltp", target.layout, SOUND_RATE)
        for packet in self._source.demux(source):
            try:
                decoded = packet.decode()
            except FFmpegError:
                continue
            for frame in [f for d in decoded for f in resampler.resample(d)]:
                if frame.pts is not None and frame.time_base:
                    frame.pts -= round(begin / frame.time_base)
                yield from timed(target.encode(frame))
        yield from timed(target.encode(None))


def timed(packets: Iterable[Packet]) -> Iterator[tuple[float, Packet]]:
    """Packets with their times in seconds."""
    for packet in packets:
        yield float((packet.pts or 0) * packet.time_base), packet


class Writer:
    """A video under construction, with interleaved sound."""

    def __init__(self, path: Path, fps: float, crf: int, sound: Sound) -> None:
        self._path, self._fps, self._crf, self._sound = path, fps, crf, sound
        self._container: OutputContainer | None = None
        self._stream: Any = None
        self._end = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: Any) -> None:
        if self._container is None:
            if kind is None:
                raise ValueError("a video needs at least one frame")
            return
        try:
            if kind is None:
                self._container.mux(self._stream.encode(None))
                for packet in self._sound.until(self._end + 1 / self._fps):
                    self._container.mux(packet)
        finally:
            if kind is None:
                self._container.close()
            else:
                with contextlib.suppress(OSError):
                    self._container.close()

    def add(self, frame: Frame, time: float) -> None:
        """Encode one frame (H, W, C) to be shown from `time` on, with the sound up to there."""
        import av
        from av.video.reformatter import ColorRange, Colorspace
        from av.video.reformatter import Interpolation as By

        if self._container is None:
            height, width, channels = frame.shape
            self._container = self._open(width // 2 * 2, height // 2 * 2, channels == 4)
        even = np.ascontiguousarray(frame[: self._stream.height, : self._stream.width])
        layout = "rgba" if frame.shape[2] == 4 else "rgb24"
        picture = av.VideoFrame.from_ndarray(even, format=layout).reformat(
            format=self._stream.pix_fmt,
            dst_colorspace=Colorspace.ITU709,
            dst_color_range=ColorRange.MPEG,
            interpolation=By.BICUBIC | By.ACCURATE_RND,
        )
        picture.pts, picture.time_base = round(time * TICKS), Fraction(1, TICKS)
        self._container.mux(self._stream.encode(picture))
        self._end = time
        for packet in self._sound.until(time):
            self._container.mux(packet)

    def _open(self, width: int, height: int, see_through: bool) -> OutputContainer:
        import av

        suffix = self._path.suffix.lower()
        options = {} if suffix in (".mkv", ".webm") else {"movflags": "+faststart"}
        container = av.open(str(self._path), "w", options=options)
        container.metadata["comment"] = SYNTHETIC
        rate = Fraction(self._fps).limit_denominator(1001)
        codec, form, settings = codec_of(suffix, see_through, self._crf)
        stream: Any = container.add_stream(codec, rate=rate, options=settings)
        stream.width, stream.height, stream.pix_fmt = width, height, form
        context = stream.codec_context
        context.time_base = Fraction(1, TICKS)
        # BT.709, limited range: what players assume when nothing is said, so say it.
        context.colorspace = context.color_primaries = context.color_trc = 1
        context.color_range = 1
        self._stream = stream
        self._sound.join(container, suffix)
        return container


def codec_of(suffix: str, see_through: bool, crf: int) -> tuple[str, str, dict[str, str]]:
    """Encoder, pixel format and settings for a container.

    Raises:
        MienError: it cannot keep transparency.
    """
    if suffix == ".webm":
        form = "yuva420p" if see_through else "yuv420p"
        # Its scale of quality runs to 63. Alternate frames would lose the transparency.
        quality = {"crf": str(crf * 63 // 51), "b": "0", "auto-alt-ref": "0"}
        return "libvpx-vp9", form, quality | {"deadline": "realtime", "cpu-used": "6"}
    if not see_through:
        return "libx264", "yuv420p", {"crf": str(crf), "preset": "veryfast"}
    if suffix != ".mov":
        raise MienError(
            f"A {suffix} file cannot keep transparency; give a name that ends in "
            f"{' or '.join(SEE_THROUGH)}."
        )
    return "prores_ks", "yuva444p10le", {"profile": "4444"}
