"""A small world in which protocols can be tried: pictures whose patches say what a face does.

A puppet's frame carries ten signals, three angles and an identity as the brightness of patches on
a background of its own. The instruments read them back as landmarks, poses and descriptors.
"""

from collections.abc import Callable, Iterator

import numpy as np
import torch

from mien.evaluate.metrics.features import feature_distance
from mien.evaluate.metrics.image import flip, psnr, ssim
from mien.evaluate.takes import Instruments, Scene, Track, pictures
from mien.model.encoder import Encoder, EncoderConfig
from mien.structures import Camera, Rendered

SIZE, PATCH, COUNT = 96, 24, 14
TURN = 120.0  # degrees of angle from a black patch to a white one

MOVES = (
    ((178, 14, 402), (0, -1)),
    ((291,), (1, 0)),
    ((61, 291), (0, 1)),
    ((152,), (0, -1)),
    ((70, 63, 105, 66, 107), (0, 1)),
    ((300, 293, 334, 296, 336), (0, 1)),
    ((160, 159, 158), (0, 1)),
    ((387, 386, 385), (0, 1)),
    ((468, 473), (1, 0)),
    ((468, 473), (0, 1)),
)
"""Which landmarks the brightness of each patch moves, and whereto."""


def base_face() -> np.ndarray:
    points = np.random.default_rng(9).uniform(-1, 1, (478, 3))
    points[33], points[133], points[362], points[263] = [(x, 0, 0) for x in (-2, -1, 1, 2)]
    points[[468, 473]] = (-1.5, 0, 0), (1.5, 0, 0)
    points[[81, 13, 311]], points[[178, 14, 402]] = (0, -0.9, 0), (0, -1.1, 0)
    points[61], points[291], points[2], points[152] = (-1, -1, 0), (1, -1, 0), (0, 0, 0), (0, -2, 0)
    points[[160, 159, 158]], points[[144, 145, 153]] = (-1.5, 0.2, 0), (-1.5, -0.2, 0)
    points[[387, 386, 385]], points[[373, 374, 380]] = (1.5, 0.2, 0), (1.5, -0.2, 0)
    return points


def corner(index: int) -> tuple[slice, slice]:
    row, column = divmod(index, SIZE // PATCH)
    return slice(row * PATCH, (row + 1) * PATCH), slice(column * PATCH, (column + 1) * PATCH)


def paint(values: np.ndarray, person: int) -> np.ndarray:
    """Patch values (T, 14) in [0, 1] → frames (T, SIZE, SIZE, 3)."""
    texture = np.random.default_rng(person).uniform(0.1, 0.9, (SIZE // 8, SIZE // 8, 3))
    frames = np.tile(texture.repeat(8, 0).repeat(8, 1), (len(values), 1, 1, 1))
    for index in range(COUNT):
        frames[:, *corner(index)] = values[:, index, None, None, None]
    return (frames * 255).round().astype(np.uint8)


def read(frames: np.ndarray) -> np.ndarray:
    """Frames → patch values (T, 14)."""
    patches = [frames[:, *corner(i)].mean((1, 2, 3)) / 255 for i in range(COUNT)]
    return np.stack(patches, 1)


def track(frames: np.ndarray) -> Track:
    values = read(frames)
    points = np.tile(base_face(), (len(frames), 1, 1))
    for index, (indices, (x, y)) in enumerate(MOVES):
        points[:, indices] += 0.3 * values[:, index, None, None] * np.array([x, y, 0.0])
    angles = TURN * (values[:, 10:13] - 0.5)
    pixels = (points[..., :2] + 3) * SIZE / 6
    return Track(points, angles, pixels)


def describe(frame: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    return np.eye(128)[0] * read(frame[None])[0, 13]


def codec(frames: np.ndarray) -> np.ndarray:
    noise = np.random.default_rng(3).normal(0, 2, frames.shape)
    return (frames + noise).clip(0, 255).round().astype(np.uint8)


def ruler() -> Encoder:
    """An encoder that has learned nothing, the same each time."""
    torch.manual_seed(0)
    return Encoder(EncoderConfig(size=64, widths=(8, 16, 16), back_level=1)).requires_grad_(False)


PICTURES = {"PSNR": psnr, "SSIM": ssim, "FLIP": flip, "features": feature_distance(ruler())}
INSTRUMENTS = Instruments(track, describe, codec, PICTURES)


def matte(values: np.ndarray) -> torch.Tensor:
    """Patch values (T, 14) → alpha (T, SIZE, SIZE): puppets that nod are drawn narrower."""
    edge = SIZE - np.round(40 * values[:, 11]).astype(int)
    return torch.from_numpy(np.arange(SIZE) < edge[:, None, None]).expand(-1, SIZE, -1).float()


def scene(person: int, frames: int) -> Scene:
    """A clip of a person (1, 2, ...), who moves unlike any other."""
    rng = np.random.default_rng(100 + person)
    values = rng.uniform(0, 1, (frames + 2, COUNT))
    values = 0.5 * values[1:-1] + 0.25 * (values[:-2] + values[2:])
    values[:, 13] = 0.2 * person
    crops = paint(values, person)
    cameras = Camera.orbit(torch.from_numpy(np.deg2rad(TURN * (values[:, 10] - 0.5))).float())
    alpha = matte(values)
    return Scene(f"person {person}", list(crops), crops, alpha, alpha >= 0, cameras)


Transfer = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def puppeteer(transfer: Transfer):
    """A reenactor that says which patch values (T, 14) to show.

    Args:
        transfer: of the source's values (14,), the drivers' (T, 14) and the yaws asked for (T,).
    """

    def reenact(source, drivers, cameras: Camera, size: int) -> Iterator[Rendered]:
        person = round(read(source[None])[0, 13] / 0.2)
        yaw = np.rad2deg(cameras.angles()[0].numpy())
        values = transfer(read(source[None])[0], read(np.stack(drivers)), yaw)
        for image, alpha in zip(pictures(paint(values, person)), matte(values), strict=True):
            yield Rendered(image, alpha[None], torch.full((1, size, size), 2.7))

    return reenact


def follow(strength: float) -> Transfer:
    """Source's identity; motion between none (0) and the driver's (1); the pose as asked."""

    def transfer(source: np.ndarray, drivers: np.ndarray, yaw: np.ndarray) -> np.ndarray:
        values = source + strength * (drivers - source)
        values[:, 10] = source[10] + strength * (yaw / TURN + 0.5 - source[10])
        values[:, 13] = source[13]
        return values

    return transfer


def shuffled(source: np.ndarray, drivers: np.ndarray, yaw: np.ndarray) -> np.ndarray:
    order = np.random.default_rng(5).permutation(len(drivers))
    return follow(1.0)(source, drivers, yaw)[order]
