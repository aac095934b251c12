"""Shards of synthetic heads: people × faces × views, the same for the same seed.

Samples are laid out as `mien.data.shards` reads them, with more labels in the `.npz`
(`sample_members`). A shard holds whole people and is complete or absent, so that a broken run
goes on where it stopped.
"""

from __future__ import annotations

import errno
import functools
import json
import multiprocessing
import tarfile
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from mien.data.shards import Sample, add_members, members, read_shards
from mien.errors import MienError
from mien.structures import Camera
from mien.synth.backdrop import sample_backdrop
from mien.synth.dialect import load_dialect
from mien.synth.expression import sample_faces
from mien.synth.rig import load_rig, tiny_rig
from mien.synth.scene import Picture
from mien.synth.seeds import HELD_OUT
from mien.synth.studio import (
    Studio,
    Truth,
    from_afar,
    sample_camera,
    sample_distance,
    sample_scene,
    sample_tongue,
    sample_torso,
)

INSIDE = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)
"""Corners of what is known: all of the picture."""

TINY = "tiny"
"""In place of FaceKit's folder: the built-in rig, which looks like nobody."""


@dataclass(frozen=True)
class SynthConfig:
    """What to make.

    Args:
        out: folder for the shards.
        facekit: folder with the FaceKit arrays.
        count: pictures in all; whole people are made, so that it may be passed by a few. A run
            with a larger count adds shards to those of a smaller one.
        size: side of a picture in pixels.
        seed: the first person; the same seed makes the same pictures.
        faces: expressions of each person; views: cameras around each expression.
        people_per_shard: how many people a tar holds.
        workers: processes that draw side by side; gpus: how many they are spread over.
        supersample: how many times larger pictures are drawn than stored.
        dense: also keep depth, parts and normals of every pixel (shards grow about threefold).
        preview: where a contact sheet of the first pictures goes.
    """

    out: Path
    facekit: Path
    count: int = 1000
    size: int = 256
    seed: int = 0
    faces: int = 8
    views: int = 1
    people_per_shard: int = 32
    workers: int = 1
    gpus: int = 1
    supersample: int = 2
    dense: bool = False
    preview: Path | None = None


def generate(
    config: SynthConfig, progress: Callable[[int, int], None] = lambda done, total: None
) -> list[Path]:
    """Make the shards that are not there yet; returns all of them.

    Args:
        progress: called with pictures done and pictures in all.

    Raises:
        MienError: FaceKit is missing or damaged, no OpenGL, a full disk, or the folder holds
            shards of another configuration.
    """
    _check(config)
    if str(config.facekit) != TINY:
        load_rig(config.facekit)  # to say at once what is wrong with it
    _remember(config)
    each = config.faces * config.views
    people = -(-config.count // each)
    starts = range(0, people, config.people_per_shard)
    paths = [config.out / f"synth-{n:04d}.tar" for n in range(len(starts))]
    sizes = [min(config.people_per_shard, people - s) * each for s in starts]
    todo = [n for n, path in enumerate(paths) if not path.exists()]
    done = sum(sizes) - sum(sizes[n] for n in todo)
    progress(done, sum(sizes))
    for n in _run(config, [(n, starts[n], sizes[n] // each) for n in todo]):
        done += sizes[n]
        progress(done, sum(sizes))
    if config.preview:
        write_preview(paths[0], config.preview)
    return paths


def _check(config: SynthConfig) -> None:
    people = ("count", "faces", "views", "people_per_shard")
    for name in (*people, "size", "supersample", "workers", "gpus"):
        if getattr(config, name) < 1:
            raise MienError(f"{name} is {getattr(config, name)}; it must be at least 1.")
    last = config.seed + -(-config.count // (config.faces * config.views)) - 1
    if config.seed <= HELD_OUT[-1] and last >= HELD_OUT[0]:
        raise MienError(
            f"People {config.seed} to {last} include some that avatars are measured on "
            f"({HELD_OUT[0]} to {HELD_OUT[-1]}); choose another seed."
        )


def _remember(config: SynthConfig) -> None:
    """Refuse to mix pictures of two configurations in one folder."""
    kept = ("size", "seed", "faces", "views", "people_per_shard", "supersample", "dense")
    facts = {key: value for key, value in asdict(config).items() if key in kept}
    path = config.out / "synth.json"
    with _disk(config.out):
        config.out.mkdir(parents=True, exist_ok=True)
        if path.exists():
            if json.loads(path.read_text()) != facts:
                raise MienError(
                    f"{config.out} holds shards of another configuration ({path.name} says which);"
                    " name an empty folder or repeat that configuration."
                )
            return
        path.write_text(json.dumps(facts, indent=1) + "\n")


class _disk:
    """Turns the system's complaints about a folder into a sentence."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError):
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            what = "The disk is full" if full else f"Cannot write there ({error.strerror})"
            raise MienError(
                f"{what}: {self.folder}; make room or name another folder, then run again: "
                "finished shards are kept."
            ) from error


def _run(config: SynthConfig, jobs: list[tuple[int, int, int]]) -> Iterator[int]:
    if config.workers == 1 or len(jobs) < 2:
        studio = open_studio(config) if jobs else None
        for number, start, people in jobs:
            assert studio is not None
            _write_shard(config, studio, number, start, people)
            yield number
        if studio:
            studio.renderer.close()
        return
    # OpenGL contexts do not survive a fork.
    context = multiprocessing.get_context("spawn")
    ticket = context.Value("i", 0)
    with ProcessPoolExecutor(
        config.workers, context, initializer=_begin, initargs=(config, ticket)
    ) as pool:
        pending: dict[Future[None], int] = {
            pool.submit(_work, config, *job): job[0] for job in jobs
        }
        try:
            while pending:
                finished, _ = wait(pending, return_when=FIRST_COMPLETED)
                for future in finished:
                    future.result()
                    yield pending.pop(future)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


_worker_studio: Studio | None = None
_worker_device = 0


def _begin(config: SynthConfig, ticket: Any) -> None:
    """Take a number: workers draw on the GPUs in turn."""
    global _worker_device
    torch.set_num_threads(1)
    with ticket.get_lock():
        _worker_device = ticket.value % config.gpus
        ticket.value += 1


def _work(config: SynthConfig, number: int, start: int, people: int) -> None:
    global _worker_studio  # one context per process, made when its first shard comes
    if _worker_studio is None:
        _worker_studio = open_studio(config, _worker_device)
    _write_shard(config, _worker_studio, number, start, people)


def open_studio(config: SynthConfig, device: int = 0) -> Studio:
    """The studio that a configuration asks for, on one GPU."""
    if str(config.facekit) == TINY:
        return Studio(tiny_rig(), config.size, config.supersample, device)
    rig = load_rig(config.facekit)
    return Studio(rig, config.size, config.supersample, device, load_dialect())


def _write_shard(config: SynthConfig, studio: Studio, number: int, start: int, people: int) -> None:
    path = config.out / f"synth-{number:04d}.tar"
    partial = path.with_suffix(".partial")
    try:
        with _disk(config.out), tarfile.open(partial, "w") as tar:
            for person in range(start, start + people):
                for shot in photograph(studio, config, config.seed + person):
                    add_members(tar, sample_members(shot, config.dense))
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@dataclass(frozen=True)
class Shot:
    """One picture of a person (its seed), with the truth about the face, and a backdrop.

    Args:
        camera: on the sphere, as cropping a photo would give it; lens: that took the picture.
    """

    key: str
    seed: int
    picture: Picture
    camera: Camera
    lens: Camera
    truth: Truth
    backdrop: np.ndarray


def photograph(studio: Studio, config: SynthConfig, seed: int) -> Iterator[Shot]:
    """All pictures of one person. Place, hair and clothes stay; faces and cameras change.

    One picture is ahead of the one that is handed out, so that the GPU has something to do while
    the processor poses faces and encodes pictures.
    """
    studio.enter(studio.maker.make(seed))
    backdrop = sample_backdrop(np.random.default_rng([seed, 6]))
    away = sample_distance(np.random.default_rng([seed, 7]))
    rng = np.random.default_rng([seed, 2])
    scene = sample_scene(rng)
    ahead: Callable[[], Shot] | None = None
    for face, coefficients in enumerate(sample_faces(rng, config.faces)):
        shown, out, side = sample_tongue(rng, coefficients)
        truth = studio.pose(shown, scene, sample_torso(rng), out, side)
        for view in range(config.views):
            camera = sample_camera(rng)
            lens = from_afar(camera, away)
            exposed = studio.expose(lens, scene, int(rng.integers(1 << 31)), config.dense)
            key = f"{seed:08d}-{face:02d}-{view:02d}"
            if ahead:
                yield ahead()
            ahead = functools.partial(_shot, exposed, key, seed, camera, lens, truth, backdrop)
    if ahead:
        yield ahead()


def _shot(
    exposed: Callable[[], Picture],
    key: str,
    seed: int,
    camera: Camera,
    lens: Camera,
    truth: Truth,
    backdrop: np.ndarray,
) -> Shot:
    return Shot(key, seed, exposed(), camera, lens, truth, backdrop)


def sample_members(shot: Shot, dense: bool) -> list[tuple[str, bytes]]:
    """Tar members of a shot: those of `mien.data.shards`, and more in the labels.

    Always `arkit` (53,) f16, `tongue` f16, `landmarks68` (68, 3) f16 canonical, `backdrop` u8 (see
    `backdrop.over_backdrop`), `true_world_from_cam` and `true_intrinsics` of the lens that took the
    picture (the camera itself for four people in five) and the person's `seed`. If
    `dense`: `depth` (S, S) f16 along the lens's axis in canonical units (0 where nothing is),
    `parts` (S, S) u8 index into `scene.LABELS`, `normals` (S, S, 3) i8 of 127ths in the
    head's axes.
    """
    picture, truth = shot.picture, shot.truth
    sample = Sample(
        key=shot.key,
        person=f"synth-{shot.seed:08d}",
        take=f"synth-{shot.seed:08d}",
        image=picture.image,
        alpha=picture.alpha,
        landmarks=truth.landmarks,
        world_from_cam=shot.camera.world_from_cam.numpy(),
        intrinsics=shot.camera.intrinsics.numpy(),
        inside=INSIDE,
    )
    more = {
        "arkit": truth.arkit.astype(np.float16),
        "landmarks68": truth.landmarks68.astype(np.float16),
        "tongue": np.float16(truth.tongue),
        "backdrop": shot.backdrop,
        "true_world_from_cam": shot.lens.world_from_cam.numpy(),
        "true_intrinsics": shot.lens.intrinsics.numpy(),
        "seed": np.int64(shot.seed),
    }
    if dense:
        more["depth"] = torch.from_numpy(picture.depth).half().numpy()  # numpy is slow at it
        more["parts"] = picture.parts
        more["normals"] = picture.normals
    return members(sample, effort=0, more=more)  # of a picture's time more would be most


def write_preview(shard: Path, path: Path, columns: int = 8, rows: int = 6) -> None:
    """A contact sheet of a shard's pictures, spread over its people, on grey."""
    samples = list(read_shards([shard]))
    picked = samples[:: max(1, len(samples) // (columns * rows))][: columns * rows]
    write_sheet([on_grey(s.image, s.alpha) for s in picked], path, columns)


def on_grey(image: np.ndarray, alpha: np.ndarray, grey: int = 96) -> np.ndarray:
    """A premultiplied picture (S, S, 3) over a plain background, u8."""
    rest = (255 - alpha[..., None].astype(np.uint16)) * grey // 255
    return np.minimum(image + rest, 255).astype(np.uint8)


def write_sheet(pictures: list[np.ndarray], path: Path, columns: int) -> None:
    """Pictures of one size, side by side, as a PNG or whatever the path's suffix says."""
    blank = np.zeros_like(pictures[0])
    pictures = pictures + [blank] * (-len(pictures) % columns)
    rows = [np.hstack(pictures[i : i + columns]) for i in range(0, len(pictures), columns)]
    with _disk(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.vstack(rows)).save(path)
