"""`mien distill make`: the teacher moves photos of people who never moved; what comes out right
becomes training shards.

Each picture keeps its photo's own camera. Expression is then all that the teacher must change, so
that it invents least; picture and photo show the same place in the same view, so that they can be
compared; and turning the head is what the student can do and lifting adds (see `distill`).

Axis legend: D drivers of one photo, T pictures, V side in pixels.
"""

from __future__ import annotations

import contextlib
import json
import os
import tarfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mien.data.shards import Frames, Sample, add_members, members
from mien.errors import MienError
from mien.files import atomic_output, write_bytes
from mien.model import instantiate
from mien.model.encoder import Encoder
from mien.model.matching import fingerprint
from mien.structures import Camera
from mien.teacher.animator import FlowTeacher, load
from mien.teacher.network import FlowConfig
from mien.train import desk
from mien.train import distill_filter as judge
from mien.train.batches import inside_mask
from mien.train.distill_filter import Examiner, load_reader
from mien.train.distill_plan import Plan, plan
from mien.train.reader import Reader, face_crop
from mien.train.taught import SUFFIX

FACE = 1.1, 1.3
"""Where a teacher's picture begins to give way to the photo, and has done so: in ellipses about the
face, 1 for that through its outermost landmark."""


@dataclass(frozen=True)
class Make:
    """Let a teacher animate photos of people never filmed; what comes out right becomes shards.

    Shards that are there already are skipped, so an interrupted command goes on. Under torchrun
    every process makes its share.

    Args:
        data: folder of train-*.tar of `mien prepare`: the photos, and the takes that drive them.
        teacher: weights of `mien teach`, with reader.safetensors beside them.
        out: folder for taught-*.tar; `mien train` looks for them where the other shards are.
        weights: a student's weights, whose encoder tells people apart; None takes the shipped ones.
        portraits: at most so many photos, and then frames of filmed people too; None: one of each
            person who was never filmed.
        drivers: expressions a photo.
        steps, guidance: of the teacher's sampler.
        batch: pictures at a time.
        shard: photos a shard.
        seed: of drivers and noise.
        check: look at each picture with MediaPipe and dlib too, which is slow, and label it by what
            it shows rather than by what the teacher was told; it need then not reach that.
        ray: share the work among so many tasks of a Ray cluster, or of this machine; 0: no Ray.
        network: sizes of the teacher.
        workers: processes that decode pictures while loading, and take the second look.
    """

    data: Path
    teacher: Path
    out: Path
    weights: Path | None = None
    portraits: int | None = None
    drivers: int = 8
    steps: int = 6
    guidance: float = 1.5
    batch: int = 32
    shard: int = 32
    seed: int = 0
    check: bool = False
    ray: int = 0
    network: FlowConfig = field(default_factory=FlowConfig)
    workers: int = 8


Job = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]
"""A photo, the pictures made of it, what they were asked, and the photo's camera: all that a second
look wants, as arrays that processes can hand each other."""

SecondLook = Callable[[Iterable[Job]], Iterator[judge.Findings]]
"""Looks at photos' pictures, some at a time, in the background if there are processes for it."""


@dataclass(frozen=True)
class Workshop:
    """All that making a shard takes."""

    command: Make
    frames: Frames
    plan: Plan
    teacher: FlowTeacher
    reader: Reader
    encoder: Encoder
    look: SecondLook | None
    device: torch.device
    recipe: dict[str, str | float]


@dataclass(frozen=True)
class Made:
    """The teacher's pictures of some photos, and how they were judged.

    Args:
        photo, driver: (T,) rows of the frames.
        pixels: (T, 4, V, V) uint8.
        landmarks: (T, 478, 3) what they show, as far as is known.
        follows, amount: (T,) see `distill_filter.agreement`.
        reached, same, passed: (T,) whether the expression is reached, or need not be; the person
            kept; and the second look passed.
    """

    photo: Tensor
    driver: Tensor
    pixels: Tensor
    landmarks: Tensor
    follows: Tensor
    amount: Tensor
    reached: Tensor
    same: Tensor
    passed: Tensor

    @property
    def kept(self) -> Tensor:
        """(T,) whether each may teach."""
        return self.reached & self.same & self.passed

    def figures(self) -> dict[str, float]:
        """What became of the pictures; counts, and medians over all of them."""
        return {
            "made": len(self.photo),
            "kept": int(self.kept.sum()),
            "expression missed": int((~self.reached).sum()),
            "person lost": int((~self.same).sum()),
            "second look failed": int((~self.passed).sum()),
            "correlation": round(float(self.follows.median()), 4),
            "amount": round(float(self.amount.median()), 4),
        }


def make(
    command: Make, encoder: Encoder, examiner: Examiner | None, rank: int, world: int
) -> list[Path]:
    """The share of one of `world` processes in `mien distill make`.

    Args:
        command: what to make.
        encoder: of a student.
        examiner: instruments for the second look, if any.
        rank, world: which of how many shares.

    Returns:
        the shards of this share, those that were there already too.

    Raises:
        MienError: no shards, no teacher, no reader; or `out` cannot be written, or holds what
            another teacher or other settings made.
    """
    if command.drivers < 2:
        raise MienError("--drivers must be 2 or more: a photo's pictures are judged together.")
    command.out.mkdir(parents=True, exist_ok=True)
    with looking(examiner, command.workers) if examiner else contextlib.nullcontext() as look:
        shop = open_workshop(command, encoder, look)
        photos = torch.arange(len(shop.plan.photos)).split(command.shard)
        paths, begun = [], []
        for number in range(rank, len(photos), world):
            # While one shard is drawn, the one before is looked at.
            begun.append(begin_shard(shop, number, photos[number]))
            if len(begun) == 2:
                paths.append(begun.pop(0)())
        return paths + [finish() for finish in begun]


@contextlib.contextmanager
def looking(examiner: Examiner, workers: int) -> Iterator[SecondLook]:
    """Instruments, and processes to use them in: this one, if there is to be only one."""
    look = partial(_look, examiner)
    if workers == 1:
        yield partial(map, look)
        return
    # MediaPipe does not survive a fork.
    with ProcessPoolExecutor(workers, get_context("spawn"), _to_itself) as pool:
        yield partial(pool.map, look)


def _to_itself() -> None:
    """Keep a process that looks to one processor, and off the GPU.

    Where MediaPipe finds EGL it opens a context for every picture, though it computes on the
    processor, and many processes that do so wait for the driver's lock (docs/log.md).
    """
    torch.set_num_threads(1)
    os.environ["__EGL_VENDOR_LIBRARY_FILENAMES"] = os.devnull


def _look(examiner: Examiner, job: Job) -> judge.Findings:
    own, made, asked, world_from_cam, intrinsics = job
    camera = Camera(torch.from_numpy(world_from_cam), torch.from_numpy(intrinsics))
    return judge.examine(examiner, own, made, torch.from_numpy(asked), camera)


def shares() -> tuple[int, int]:
    """Rank and number of the processes that torchrun started; (0, 1) without."""
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))


def open_workshop(command: Make, encoder: Encoder, look: SecondLook | None) -> Workshop:
    """Load what making takes.

    Raises:
        MienError: see `make`.
    """
    device = torch.device("cpu")
    if torch.cuda.is_available():
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    teacher = load(command.teacher, command.network, device)
    reader = load_reader(command.teacher).to(device)
    frames = desk.load(command.data, "train", workers=command.workers)
    return Workshop(
        command=command,
        frames=frames,
        plan=plan(frames, command.portraits, command.seed),
        teacher=teacher,
        reader=reader,
        encoder=encoder.to(device),
        look=look,
        device=device,
        recipe={
            "teacher": fingerprint(teacher.network),
            "guidance": command.guidance,
            "steps": command.steps,
            "drivers": command.drivers,
            "seed": command.seed,
            "shard": command.shard,
            "portraits": command.portraits or 0,
            "check": command.check,
        },
    )


def begin_shard(shop: Workshop, number: int, photos: Tensor) -> Callable[[], Path]:
    """Draw the pictures of photos (P,), numbers within the plan, unless their shard is there.

    Returns:
        what judges them and writes the shard, its figures beside it as JSON.

    Raises:
        MienError: it is there, but was made in another way.
    """
    path = shop.command.out / f"taught-{number:04d}.tar"
    notes = path.with_suffix(".json")
    if not path.exists():
        return partial(_write, shop, path, *animate(shop, number, photos))
    if not notes.exists() or json.loads(notes.read_text())["recipe"] != shop.recipe:
        raise MienError(
            f"{path} was made by another teacher or with other settings; remove the taught "
            f"shards in {path.parent}, or name another folder with --out."
        )
    return lambda: path


def _write(shop: Workshop, path: Path, told: Made, looks: Iterator[judge.Findings] | None) -> Path:
    made = told if looks is None else seen(told, looks)
    notes = {"recipe": shop.recipe, "figures": made.figures()}
    write_bytes(path.with_suffix(".json"), json.dumps(notes, indent=1).encode())
    with atomic_output(path) as draft, tarfile.open(draft, "w") as tar:
        for sample, more in samples(shop, made):
            add_members(tar, members(sample, more=more))
    return path


def animate(
    shop: Workshop, number: int, photos: Tensor
) -> tuple[Made, Iterator[judge.Findings] | None]:
    """The teacher's pictures of photos (P,) of the plan; `number` seeds the noise.

    Returns:
        them, judged by what they were told, and the findings of the second look, photo by photo,
        if there is one: it may still be under way.
    """
    command = shop.command
    drivers = [shop.plan.drivers(index, command.drivers) for index in photos.tolist()]
    rows = shop.plan.photos[photos]
    own = torch.arange(len(rows)).repeat_interleave(torch.tensor([len(d) for d in drivers]))
    photo, driver = rows[own], torch.cat(drivers)
    noise = torch.Generator(shop.device).manual_seed(command.seed * 1_000_003 + number)
    chunks = [part.split(command.batch) for part in (photo, driver)]
    drawn = partial(draw, steps=command.steps, guidance=command.guidance, noise=noise)
    pixels = torch.cat(
        [drawn(shop.teacher, shop.frames, *pair) for pair in zip(*chunks, strict=True)]
    )
    parts = pixels.split([len(d) for d in drivers])
    each = list(zip(rows, drivers, parts, strict=True))
    looks = shop.look(second_look(shop, *one) for one in each) if shop.look else None
    follows, amount = torch.cat([expressions(shop, *one) for one in each]).T
    told = Made(
        photo=photo,
        driver=driver,
        pixels=pixels,
        landmarks=shop.frames.landmarks[driver],
        follows=follows,
        amount=amount,
        reached=(follows >= judge.FOLLOWS) & (amount >= judge.ENOUGH),
        same=people_kept(shop, rows, own, driver, pixels),
        passed=torch.ones_like(driver, dtype=torch.bool),
    )
    return told, looks


def seen(told: Made, looks: Iterator[judge.Findings]) -> Made:
    """Pictures as a second look finds them, whatever they were told."""
    found = list(looks)
    landmarks, passed = (
        torch.from_numpy(np.concatenate(part))
        for part in zip(*((look.landmarks, look.passed) for look in found), strict=True)
    )
    reached = torch.ones_like(passed)
    return replace(told, landmarks=landmarks.float(), passed=passed, reached=reached)


def draw(
    teacher: FlowTeacher,
    frames: Frames,
    photos: Tensor,
    drivers: Tensor,
    *,
    steps: int,
    guidance: float,
    noise: torch.Generator,
) -> Tensor:
    """(T, 4, V, V) uint8 on the CPU: frames `photos` (T,) moving as frames `drivers` (T,) do.

    Args:
        teacher: on the device to work on.
        frames: on the CPU.
        steps, guidance: of the sampler.
        noise: on the teacher's device.
    """
    motion, device = teacher.network.motion, noise.device
    camera = frames.camera[photos].to(str(device))
    shown = frames.pixels[photos].to(device).float() / 255.0
    faces = [frames.landmarks[rows].to(device) for rows in (photos, drivers)]
    with torch.no_grad():
        own, latent = map(motion, faces)
    pictures = teacher.pictures(
        shown, camera, own, latent, camera, steps=steps, guidance=guidance, generator=noise
    )
    pictures = onto_photo(pictures, shown, camera.project(torch.cat(faces, 1)))
    pictures = pictures * inside_mask(frames.inside[photos].to(device), pictures.shape[-1])
    return (pictures * 255.0 + 0.5).to(torch.uint8).cpu()


def onto_photo(pictures: Tensor, photos: Tensor, points: Tensor) -> Tensor:
    """Faces of the teacher's pictures on the photos that they were made of.

    Camera and head are the same, so hair, neck, clothes and outline are the photo's own, which
    knows them better; and where it shows nobody, nobody is.

    Args:
        pictures: (T, 4, V, V) colours and alpha.
        photos: (T, 4, S, S) likewise.
        points: (T, N, 2) landmarks of the photo's face and of the one it was to make, in units of
            image size.

    Returns:
        (T, 4, V, V).
    """
    side = pictures.shape[-1]
    middle = points.mean(1, keepdim=True)
    away = points - middle
    metric = torch.linalg.inv(away.transpose(1, 2) @ away)
    farthest = _length(away, metric).amax(1)
    ticks = (torch.arange(side, device=points.device) + 0.5) / side
    grid = torch.stack(torch.meshgrid(ticks, ticks, indexing="xy"), -1).flatten(0, 1)
    radius = _length(grid - middle, metric) / farthest[:, None]
    inner, outer = FACE
    face = ((outer - radius) / (outer - inner)).clamp(0.0, 1.0).unflatten(1, (1, side, side))
    face = face * instantiate.resize(instantiate.shows_somebody(photos[:, 3:]), side)
    return torch.lerp(instantiate.resize(photos, side), pictures, face)


def _length(vectors: Tensor, metric: Tensor) -> Tensor:
    """(T, N) of vectors (T, N, 2) by metrics (T, 2, 2)."""
    return ((vectors @ metric) * vectors).sum(-1).sqrt()


def expressions(shop: Workshop, photo: Tensor, drivers: Tensor, pixels: Tensor) -> Tensor:
    """(D, 2) how the pictures (D, 4, V, V) of one photo follow their drivers (D,): what
    `distill_filter.agreement` says of what the reader reads.
    """
    frames, reader = shop.frames, shop.reader
    camera = _same(frames.camera[photo[None]], len(drivers)).to(str(shop.device))
    landmarks = frames.landmarks[drivers].to(shop.device)
    means = shop.plan.means[frames.take[drivers]].to(shop.device)
    said = judge.read_expression(reader, _colour(pixels, shop.device), camera, landmarks)
    motion = shop.teacher.network.motion
    asked = judge.asked_expression(reader, motion, landmarks, means, camera)
    return torch.stack(judge.agreement(said, asked, reader.weights[: said.shape[1]]), 1).cpu()


def people_kept(
    shop: Workshop, gallery: Tensor, own: Tensor, driver: Tensor, pixels: Tensor
) -> Tensor:
    """(T,) whether pictures of photos `gallery[own]` show those people, by a student's encoder."""
    frames, device = shop.frames, shop.device

    def embedded(pictures: Tensor, rows: Tensor) -> Tensor:
        """Of the faces, where the landmarks of frames `rows` have them."""
        parts = []
        for at in torch.arange(len(rows)).split(shop.command.batch):
            camera = frames.camera[rows[at]].to(str(device))
            landmarks = frames.landmarks[rows[at]].to(device)
            faces = face_crop(_colour(pictures[at], device), camera, landmarks)
            parts.append(judge.embed(shop.encoder, faces))
        return torch.cat(parts)

    made = embedded(pixels, gallery[own])
    photos = embedded(frames.pixels[gallery], gallery)
    drivers = embedded(frames.pixels[driver], driver)
    return judge.same_person(made, photos, own.to(device), drivers).cpu()


def second_look(shop: Workshop, photo: Tensor, drivers: Tensor, pixels: Tensor) -> Job:
    """What instruments are shown of the pictures (D, 4, V, V) of one photo."""
    frames = shop.frames
    own, made = (_channels_last(part) for part in (frames.pixels[photo], pixels))
    camera = frames.camera[photo]
    asked = shop.plan.change[drivers].numpy()
    return own, made, asked, camera.world_from_cam.numpy(), camera.intrinsics.numpy()


def samples(
    shop: Workshop, made: Made
) -> Iterator[tuple[Sample, dict[str, np.ndarray | np.generic]]]:
    """The pictures that were kept, and what their labels hold beyond those of a `Sample`."""
    frames = shop.frames
    for index in torch.nonzero(made.kept)[:, 0].tolist():
        photo, driver = int(made.photo[index]), int(made.driver[index])
        take = frames.takes[frames.take[photo]]
        pixels = made.pixels[index].numpy()
        sample = Sample(
            key=f"{take}{SUFFIX}-{photo:06d}-{driver:06d}",
            person=frames.people[frames.take[photo]],
            take=take + SUFFIX,
            image=pixels[:3].transpose(1, 2, 0),
            alpha=pixels[3],
            landmarks=made.landmarks[index].numpy(),
            world_from_cam=frames.camera.world_from_cam[photo].numpy(),
            intrinsics=frames.camera.intrinsics[photo].numpy(),
            inside=frames.inside[photo].numpy(),
        )
        yield (
            sample,
            {
                "teacher": np.str_(shop.recipe["teacher"]),
                "guidance": np.float32(shop.command.guidance),
                "steps": np.int64(shop.command.steps),
                "driver_take": np.str_(frames.takes[frames.take[driver]]),
                "correlation": np.float32(made.follows[index]),
            },
        )


def summary(paths: list[Path]) -> dict[str, float]:
    """The figures of shards together: counts in all, and the means of their medians."""
    notes = [json.loads(path.with_suffix(".json").read_text())["figures"] for path in paths]
    medians = ("correlation", "amount")
    return {
        name: sum(note[name] for note in notes) / (len(notes) if name in medians else 1)
        for name in notes[0]
    }


def _same(camera: Camera, count: int) -> Camera:
    return camera.map(lambda part: part.expand(count, *part.shape[1:]))


def _colour(pixels: Tensor, device: torch.device) -> Tensor:
    return pixels[:, :3].to(device).float() / 255.0


def _channels_last(pixels: Tensor) -> np.ndarray:
    return pixels[..., :3, :, :].movedim(-3, -1).contiguous().numpy()
