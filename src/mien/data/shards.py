"""Training samples in tar shards: what one holds, how they are written, how they are read.

A shard is a plain tar in webdataset's layout. A sample is three members that share a key:
`KEY.webp` (RGB, premultiplied on black), `KEY.alpha.webp` (grey) and `KEY.npz` (labels).

Axis legend: F frames of a loaded set, H W pixels.
"""

from __future__ import annotations

import functools
import io
import math
import multiprocessing
import os
import shutil
import struct
import tarfile
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mien.errors import MienError
from mien.files import atomic_output
from mien.structures import LANDMARKS, Camera, TensorRecord

try:
    from isal import isal_zlib
except ImportError:  # it comes with the extra `synth`
    isal_zlib = None

_SMALL = 4096  # bytes
_NEW_YEAR = 0x21  # the first day that archives know, 1980

LABELS = {
    "landmarks": (LANDMARKS, 3),
    "world_from_cam": (4, 4),
    "intrinsics": (3, 3),
    "inside": (4, 2),
}


@dataclass(frozen=True)
class Sample:
    """One labelled picture of a head.

    Args:
        key: unique within its set.
        person: who it is; splits never cut through a person.
        take: what it was filmed in; frames of one take share light, hair and clothes.
        image: (H, W, 3) uint8, premultiplied.
        alpha: (H, W) uint8.
        landmarks: (478, 3) canonical, pose removed.
        world_from_cam: (4, 4); intrinsics: (3, 3): see `structures.Camera`.
        inside: (4, 2) corners of the source photo in this crop, in units of crop size, clockwise
            from the photo's top left; outside them nothing is known.
    """

    key: str
    person: str
    take: str
    image: np.ndarray
    alpha: np.ndarray
    landmarks: np.ndarray
    world_from_cam: np.ndarray
    intrinsics: np.ndarray
    inside: np.ndarray


@dataclass(frozen=True)
class Frames(TensorRecord):
    """A loaded set of samples, in memory as one.

    Args:
        pixels: (F, 4, H, W) uint8, premultiplied RGB then alpha.
        landmarks: (F, 478, 3) float32.
        camera: (F,) cameras.
        inside: (F, 4, 2) float32.
        take: (F,) int64, index into `takes`.
        takes: name of each take.
        people: name of each take's person.
    """

    pixels: Tensor
    landmarks: Tensor
    camera: Camera
    inside: Tensor
    take: Tensor
    takes: tuple[str, ...]
    people: tuple[str, ...]

    def __len__(self) -> int:
        return self.pixels.shape[0]


def _webp(picture: np.ndarray, quality: int, effort: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "WEBP", quality=quality, method=effort)
    return buffer.getvalue()


def _npz(arrays: Mapping[str, np.ndarray | np.generic], effort: int) -> bytes:
    """As `np.savez_compressed` writes it, but as hard as wished, and without the time of day.

    Written by hand (PKWARE's APPNOTE, 4.3), for `zipfile` knows one deflater. What is small is
    stored: making a deflater would take longer than it saves.
    """
    files, index = bytearray(), bytearray()
    for name, array in arrays.items():
        buffer = io.BytesIO()
        np.lib.format.write_array(buffer, np.asanyarray(array), allow_pickle=False)
        content, title = buffer.getvalue(), f"{name}.npy".encode()
        method, packed = (0, content) if len(content) < _SMALL else (8, _deflated(content, effort))
        sizes = zlib.crc32(content), len(packed), len(content), len(title), 0
        about = struct.pack("<5H3L2H", 20, 0, method, 0, _NEW_YEAR, *sizes)
        index += b"PK\1\2" + struct.pack("<H", 20) + about
        index += struct.pack("<3H2L", 0, 0, 0, 0, len(files)) + title
        files += b"PK\3\4" + about + title + packed
    count = len(arrays)
    end = struct.pack("<4H2LH", 0, 0, count, count, len(index), len(files), 0)
    return bytes(files + index + b"PK\5\6" + end)


def _deflated(content: bytes, effort: int) -> bytes:
    """A raw deflate stream; at effort 0 by ISA-L where it is installed, in a fifth of the time."""
    if effort == 0 and isal_zlib is not None:
        packer = isal_zlib.compressobj(1, isal_zlib.DEFLATED, -15)
    else:
        packer = zlib.compressobj(max(1, effort), zlib.DEFLATED, -15)
    return packer.compress(content) + packer.flush()


def members(
    sample: Sample,
    quality: int = 82,
    effort: int = 4,
    more: Mapping[str, np.ndarray | np.generic] | None = None,
) -> list[tuple[str, bytes]]:
    """The tar members (name, bytes) of a sample.

    Args:
        quality: of the picture, 0 to 100; effort: time given to making all small, 0 to 6.
        more: labels beyond those of `Sample`.
    """
    labels = {
        "landmarks": sample.landmarks.astype(np.float16),
        "world_from_cam": sample.world_from_cam.astype(np.float32),
        "intrinsics": sample.intrinsics.astype(np.float32),
        "inside": sample.inside.astype(np.float32),
        "person": np.str_(sample.person),
        "take": np.str_(sample.take),
        **(more or {}),
    }
    return [
        (f"{sample.key}.webp", _webp(sample.image, quality, effort)),
        (f"{sample.key}.alpha.webp", _webp(sample.alpha, 60, effort)),
        (f"{sample.key}.npz", _npz(labels, effort)),
    ]


def add_members(tar: tarfile.TarFile, files: Iterable[tuple[str, bytes]]) -> None:
    """Put files (name, bytes) into a tar, without the time of day."""
    for name, content in files:
        info = tarfile.TarInfo(name)
        info.size = len(content)
        tar.addfile(info, io.BytesIO(content))


def write_shards(
    samples: Iterable[Sample], folder: Path, name: str, max_bytes: int = 48 << 20
) -> list[Path]:
    """Write samples to `folder/name-0000.tar`, …; a shard closes when it passes `max_bytes`.

    Shards are complete or absent, whatever interrupts the writing.

    Raises:
        MienError: a shard cannot be written there (see `files.atomic_output`).
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths: list[Path] = []
    pending = iter(samples)
    sample = next(pending, None)
    while sample is not None:
        path = folder / f"{name}-{len(paths):04d}.tar"
        with atomic_output(path) as draft, tarfile.open(draft, "w") as tar:
            while sample is not None and tar.offset < max_bytes:
                add_members(tar, members(sample))
                sample = next(pending, None)
        paths.append(path)
    return paths


def _raw_samples(path: Path) -> Iterator[tuple[str, dict[str, bytes]]]:
    """(key, {suffix: bytes}) of each complete sample of a shard, in order."""
    try:
        with tarfile.open(path) as tar:
            key, parts = "", {}
            for info in tar:
                stem, _, suffix = info.name.partition(".")
                if stem != key:
                    key, parts = stem, {}
                stream = tar.extractfile(info)
                parts[suffix] = stream.read() if stream else b""
                if len(parts) == 3:
                    yield key, parts
    except (OSError, tarfile.TarError) as error:
        raise MienError(f"Cannot read the shard {path}: {error}. Make it again.") from error


def _decode(item: tuple[str, dict[str, bytes]]) -> Sample:
    key, parts = item
    try:
        with np.load(io.BytesIO(parts["npz"]), allow_pickle=False) as archive:
            # Each look into the archive parses it anew, under Python's lock: one look a label.
            labels = {name: archive[name] for name in (*LABELS, "person", "take")}
        for label, shape in LABELS.items():
            if labels[label].shape != shape:
                raise ValueError(f"{label} has shape {labels[label].shape}, not {shape}")
        return Sample(
            key=key,
            person=str(labels["person"]),
            take=str(labels["take"]),
            image=np.asarray(Image.open(io.BytesIO(parts["webp"])).convert("RGB")),
            alpha=np.asarray(Image.open(io.BytesIO(parts["alpha.webp"])).convert("L")),
            landmarks=labels["landmarks"].astype(np.float32),
            world_from_cam=labels["world_from_cam"],
            intrinsics=labels["intrinsics"],
            inside=labels["inside"],
        )
    except (KeyError, ValueError, OSError) as error:
        raise MienError(f"Sample {key} of a shard is damaged: {error}. Make it again.") from error


Job = tuple[int, list[tuple[str, dict[str, bytes]]]]
"""Where the first of some raw samples goes, and the samples."""


def _fill(pixels: np.ndarray, job: Job) -> list[Sample]:
    """Decode samples into their rows of pixels (F, 4, H, W); they come back without pictures."""
    start, items = job
    samples, empty = [], np.empty(0)
    for row, item in enumerate(items, start):
        sample = _decode(item)
        pixels[row, :3] = sample.image.transpose(2, 0, 1)
        pixels[row, 3] = sample.alpha
        samples.append(replace(sample, image=empty, alpha=empty))
    return samples


def _fill_file(path: Path, shape: tuple[int, ...], job: Job) -> list[Sample]:
    return _fill(np.memmap(path, np.uint8, "r+", shape=shape), job)


def _load_with(
    workers: int, shape: tuple[int, ...], jobs: list[Job]
) -> tuple[np.ndarray, list[Sample]]:
    """What `_fill` does, by processes that write into one mapped file.

    Sent through pipes, gigabytes of pixels would cost more than decoding them.
    """
    size = math.prod(shape)
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and shutil.disk_usage(memory).free > size
    # Threads of the libraries loaded here do not survive a fork.
    context = multiprocessing.get_context("spawn")
    with (
        tempfile.NamedTemporaryFile(dir=memory if roomy else None) as file,
        ProcessPoolExecutor(workers, context) as pool,
    ):
        try:
            os.posix_fallocate(file.fileno(), 0, size)
        except OSError as error:
            raise MienError(
                f"Cannot hold {size / 1e9:.0f} GB of pictures in {file.name}: {error.strerror}; "
                "load fewer shards, or point TMPDIR at a disk with room."
            ) from error
        filled = pool.map(functools.partial(_fill_file, Path(file.name), shape), jobs)
        samples = [sample for part in filled for sample in part]
        # The mapping outlives the file's name.
        return np.memmap(file.name, np.uint8, "r+", shape=shape), samples


def read_shards(paths: Iterable[Path]) -> Iterator[Sample]:
    """Decoded samples of the shards, in order."""
    for path in paths:
        yield from map(_decode, _raw_samples(path))


CHUNK = 64
"""Samples that a process decodes at a time."""


def load_frames(paths: Iterable[Path], workers: int = 1) -> Frames:
    """All samples of the shards as one set in memory; pictures must share a size.

    Args:
        paths: the shards.
        workers: processes that decode. Threads would not do: too much of decoding a sample
            happens under Python's lock.

    Raises:
        MienError: no samples, a damaged one, or no room for them in memory.
    """
    raw = [item for path in sorted(paths) for item in _raw_samples(path)]
    if not raw:
        raise MienError("The shards hold no samples; prepare the data first.")
    shape = (len(raw), 4, *_decode(raw[0]).alpha.shape)
    jobs = [(start, raw[start : start + CHUNK]) for start in range(0, len(raw), CHUNK)]
    if workers == 1:
        pixels = np.empty(shape, np.uint8)
        samples = [sample for job in jobs for sample in _fill(pixels, job)]
    else:
        pixels, samples = _load_with(workers, shape, jobs)
    takes = sorted({(s.take, s.person) for s in samples})
    number = {take: i for i, (take, _) in enumerate(takes)}

    def joined(values: list[np.ndarray]) -> Tensor:
        return torch.from_numpy(np.stack(values))

    return Frames(
        pixels=torch.from_numpy(pixels),
        landmarks=joined([s.landmarks for s in samples]),
        camera=Camera(
            joined([s.world_from_cam for s in samples]), joined([s.intrinsics for s in samples])
        ),
        inside=joined([s.inside for s in samples]),
        take=torch.tensor([number[s.take] for s in samples]),
        takes=tuple(take for take, _ in takes),
        people=tuple(person for _, person in takes),
    )
