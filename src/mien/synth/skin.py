"""Skin of the face: maps baked from photographs, mixed into skins of nobody.

`skin_bank.npz` holds maps of texture tile 0 from public-domain and CC0 portraits (see `bake.py`),
delit and divided by the person's own tone; a new skin takes the detail of one, the broad patterns
of another, and a tone of its own.
"""

from __future__ import annotations

import functools
import io
from dataclasses import dataclass
from importlib import resources

import numpy as np
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter

REFERENCE_TONE = 0.35
"""Linear grey at which the bank's maps are stored."""

OFFSET = 0.04
"""Added before the logarithm, so that dark skin's highlights do not count as much as pigment."""

_DEEP = np.array([-0.05, 0.03, 0.02], np.float32)
"""Change of log colour from skin to what is dark in it."""


@dataclass(frozen=True, eq=False)
class SkinBank:
    """Maps by person; n people.

    Args:
        maps: n WebP files, sRGB at `REFERENCE_TONE`.
        trust: n WebP files, how far each texel was seen.
        tone: (n, 3) linear RGB of the plain skin.
        male, old, bearded: (n,) how the person looks.
    """

    maps: list[bytes]
    trust: list[bytes]
    tone: np.ndarray
    male: np.ndarray
    old: np.ndarray
    bearded: np.ndarray

    @functools.lru_cache(maxsize=128)  # noqa: B019 - the one bank lives as long as the process
    def ratio(self, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Logarithm of (map + offset) / (tone + offset), (s, s, 3), blurred too; trust (s, s).

        All in half precision: they are kept. Last the blurred one's median (3,) where it is to be
        trusted.
        """
        picture = np.asarray(Image.open(io.BytesIO(self.maps[index])).convert("RGB"))
        linear = to_linear(picture / np.float32(255.0))
        trust = Image.open(io.BytesIO(self.trust[index])).convert("L")
        trust = trust.resize((picture.shape[1], picture.shape[0]), Image.Resampling.BILINEAR)
        log = np.log((linear + OFFSET) / (REFERENCE_TONE + OFFSET))
        low = gaussian_filter(log, (6, 6, 0), truncate=2.5)
        seen = np.asarray(trust) / np.float32(255.0)
        log, low, seen = (m.astype(np.float16) for m in (log, low, seen))
        return log, low, seen, np.median(low.astype(np.float32)[seen > 0.5], 0)


@functools.cache
def load_bank() -> SkinBank:
    """The bank that comes with Mien."""
    with (
        (resources.files("mien.synth") / "skin_bank.npz").open("rb") as file,
        np.load(file) as archive,
    ):
        arrays = {key: archive[key] for key in archive.files}

    def split(name: str) -> list[bytes]:
        return [part.tobytes() for part in np.split(arrays[name], arrays[f"{name}_ends"][:-1])]

    return SkinBank(
        split("maps"),
        split("trust"),
        arrays["tone"],
        arrays["male"],
        arrays["old"],
        arrays["bearded"],
    )


def to_linear(code: np.ndarray) -> np.ndarray:
    """sRGB in [0, 1] to linear light."""
    return np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4)


def to_srgb(linear: np.ndarray) -> np.ndarray:
    """Linear light in [0, 1] to sRGB."""
    return np.where(
        linear <= 0.0031308,
        12.92 * linear,
        1.055 * np.maximum(linear, 0.0031308) ** (1 / 2.4) - 0.055,
    )


def sample_tone(rng: np.random.Generator) -> np.ndarray:
    """A skin tone, linear RGB: an even spread from the darkest to the palest."""
    depth = rng.uniform(0.0, 1.0)
    knots = np.array(
        [[0.095, 0.053, 0.041], [0.18, 0.100, 0.077], [0.34, 0.200, 0.157], [0.54, 0.355, 0.300],
         [0.66, 0.480, 0.430]]
    )  # fmt: skip
    tone = np.exp([np.interp(depth * 4, range(5), np.log(column)) for column in knots.T])
    return tone * np.exp(rng.normal(0, [0.03, 0.04, 0.07]))


def sample_skin(
    rng: np.random.Generator, tone: np.ndarray, male: bool, old: bool, bearded: bool
) -> np.ndarray:
    """(s, s, 4) u8 face map for `Renderer.load`: sRGB at this tone, alpha = trust."""
    bank = load_bank()
    likeness = -3.5 * np.abs(np.log(bank.tone[:, 1]) - np.log(tone[1]))
    likeness -= (
        8.0 * (bank.male != male) + 2.5 * (bank.old != old) + 3.0 * (bank.bearded != bearded)
    )
    weight = np.exp(likeness - likeness.max())
    first, second = rng.choice(len(weight), 2, replace=False, p=weight / weight.sum())
    detail, low, trust, middle = map(_single, bank.ratio(int(first)))
    _, other_low, other_trust, _ = map(_single, bank.ratio(int(second)))
    if rng.random() < 0.5:
        detail, low, trust = detail[:, ::-1], low[:, ::-1], trust[:, ::-1]
    amount = rng.uniform(0.0, 0.7)
    # What light left in maps of dark skin stands out most: its broad pattern is taken back.
    dark = np.clip((0.16 - tone[1]) / 0.12, 0, 1)
    if dark > 0:
        detail = detail - 0.4 * dark * (low - middle) * trust[..., None]
        detail = np.where(detail > 0, detail * (1 - 0.7 * dark), detail)
    log = detail + amount * np.minimum(trust, other_trust)[..., None] * (other_low - low)
    # Highlights are the renderer's business; what the photographs left of them is pressed down.
    shine = np.maximum(_grey(log), 0)
    log = _as_blood(log + 0.2 * np.tanh(shine / 0.2) - shine, dark)
    # What is nearly black, brows and nostrils, has less colour than skin.
    grey = _grey(log)
    log = log + 0.3 * (grey - log) * np.clip((-grey - 0.5) / 0.5, 0, 1)
    log = log + (1 - dark) * np.clip((-grey - 0.15) / 0.6, 0, 1) * _DEEP
    # Pigment and furrows take a share of the light, whatever the tone.
    share = ((REFERENCE_TONE + OFFSET) * np.exp(log) - OFFSET) / REFERENCE_TONE
    albedo = np.clip(tone.astype(np.float32) * share, 0.002, 0.95)
    code = np.concatenate([to_srgb(albedo), trust[..., None]], -1)
    return (code * 255 + 0.5).astype(np.uint8)


def _single(half: np.ndarray) -> np.ndarray:
    """In single precision; torch does it ten times as fast as numpy."""
    return torch.from_numpy(half).float().numpy()


def _grey(log: np.ndarray) -> np.ndarray:
    """Mean (s, s, 1) of three channels; several times as fast as `mean`."""
    return (log[..., :1] + log[..., 1:2] + log[..., 2:]) / 3


def _as_blood(log: np.ndarray, dark: float) -> np.ndarray:
    """Maps (s, s, 3) of log ratios with the hues that skin has.

    Blood makes skin redder or less red; taking the light out has taken a part of that with it.
    Yellow and blue, where there is much of them, are the sky's and the lamps'; on dark skin mostly.
    """
    grey = _grey(log)
    blue = log[..., 2:] - grey
    red = log[..., :1] - log[..., 1:2]
    red = np.where(red > 0, 0.3 * np.tanh(red / 0.17), 0.9 * np.clip(red, -0.15, 0))
    red = red * (1 - 0.8 * dark)
    blue = blue * (1.1 - 0.6 * dark)
    # What is dark, brows above all, is not blue. Blood takes blue as green, though less of it.
    blue = np.clip(blue, -0.12, 0.12 * np.clip(1 + 3 * grey, 0, 1)) - 0.15 * red
    return grey + np.concatenate([(red - blue) / 2, (-red - blue) / 2, blue], -1)
