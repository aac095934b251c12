"""Which parts of made faces are too bright, too red, too blue or too smooth?

    PYTHONPATH=src python benchmarks/realism/regions.py --photos PHOTOS.npz --renders MADE.npz ...

Files are those of `faces.py` and `portraits.py`. Of each part of a near-frontal face: logarithms
of its linear light, of red against green and of blue against green, all against the face's
median, and the spread of what is finer than two pixels of the crop. Printed are a hundred times
the means (and deviations) over the faces of each set, and how far the made ones are from the mean
of the photographs' sets. `judge.py` says whether faces can be told apart, this says where to look.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
from faces import Faces
from judge import frontal

SCALE = 3
"""Crops are enlarged so much before parts are cut out of them."""

PARTS: dict[str, list[list[int]]] = {
    "forehead": [[109, 10, 338, 337, 151, 108]],
    "temple": [[54, 103, 104, 68, 71, 21], [284, 332, 333, 298, 301, 251]],
    "between brows": [[107, 9, 336, 168]],
    "bridge": [[193, 168, 417, 197]],
    "nose tip": [[4, 45, 5, 275]],
    "nose side": [[217, 126, 198, 236], [437, 355, 420, 456]],
    "nostril": [[129, 98, 64, 48], [358, 327, 294, 278]],
    "under eye": [[229, 230, 231, 120, 119, 118], [449, 450, 451, 349, 348, 347]],
    "cheek": [[50, 101, 36, 205], [280, 330, 266, 425]],
    "outer cheek": [[116, 123, 147, 187, 117], [345, 352, 376, 411, 346]],
    "jaw": [[172, 136, 135, 138], [397, 365, 364, 367]],
    "smile's fold": [[206, 216, 212, 202], [426, 436, 432, 422]],
    "philtrum": [[164, 167, 0, 393]],
    "upper lip": [[37, 0, 267, 268, 12, 38]],
    "lower lip": [[84, 17, 314, 316, 15, 86]],
    "chin": [[18, 83, 201, 200, 421, 313]],
    "below chin": [[199, 208, 171, 175, 396, 428]],
    "upper lid": [[223, 222, 29, 27, 28, 224], [443, 442, 259, 257, 258, 444]],
    "inner brow": [[107, 66, 65, 55], [336, 296, 295, 285]],
    "outer brow": [[105, 63, 53, 52], [334, 293, 283, 282]],
    "inside lips": [[78, 81, 13, 311, 308, 402, 14, 178]],
}
"""Landmarks around each part, of both sides where it has two."""

EYES = (
    [33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246],
    [263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466],
)
IRISES = ([468, 469, 471], [473, 474, 476])  # middle, then two ends

RINGS = {"pupil": (0.0, 0.4), "iris": (0.5, 0.9), "white of the eye": (1.15, 9.0)}
"""Parts of an eye by their distance from its middle, in radii of the iris."""

PLAIN = ("forehead", "cheek", "nose side", "chin", "jaw", "bridge", "under eye")
"""Skin whose median the rest is compared with."""


def logarithms(crop: np.ndarray) -> np.ndarray:
    """sRGB (S, S, 3) u8 to log light, red against green, blue against green (S, S, 3)."""
    code = crop / 255.0
    light = np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4)
    log = np.log(light + 0.004)
    return np.stack([log.mean(-1), log[..., 0] - log[..., 1], log[..., 2] - log[..., 1]], -1)


def masks(seen: np.ndarray, side: int) -> dict[str, list[np.ndarray]]:
    """Pixels (side, side) of each part at landmarks (478, 2) in pixels."""

    def filled(rows: list[int]) -> np.ndarray:
        mask = np.zeros((side, side), np.uint8)
        cv2.fillPoly(mask, [np.round(seen[rows]).astype(np.int32)], (1,))
        return mask > 0

    found = {name: [filled(rows) for rows in outlines] for name, outlines in PARTS.items()}
    y, x = np.mgrid[:side, :side]
    for outline, (middle, one, other) in zip(EYES, IRISES, strict=True):
        radius = np.linalg.norm(seen[one] - seen[other]) / 2
        far = np.hypot(x - seen[middle, 0], y - seen[middle, 1]) / radius
        for name, (low, high) in RINGS.items():
            ring = filled(outline) & (far >= low) & (far < high)
            found.setdefault(name, []).append(ring)
    return found


def measure(crop: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """(parts, 4) log light, red, blue and fine detail of one face; NaN where a part is hidden."""
    large = cv2.resize(crop[..., :3], None, fx=SCALE, fy=SCALE, interpolation=cv2.INTER_CUBIC)
    logs = logarithms(large)
    detail = logs[..., 0] - cv2.GaussianBlur(logs[..., 0], (0, 0), 2.0 * SCALE)
    rows = {}
    for name, sides in masks(seen * SCALE, len(large)).items():
        values = [[*np.median(logs[m], 0), detail[m].std()] for m in sides if m.sum() > 6]
        rows[name] = np.mean(values, 0) if values else np.full(4, np.nan)
    result = np.array(list(rows.values()))
    result[:, :3] -= np.nanmedian([rows[name][:3] for name in PLAIN], axis=0)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", nargs="+", type=Path, required=True)
    parser.add_argument("--renders", nargs="+", type=Path, required=True)
    arguments = parser.parse_args()
    photos, made = frontal(Faces.load(arguments.photos)), frontal(Faces.load(arguments.renders))
    groups = {str(s).split("/")[-1]: photos[photos.source == s] for s in np.unique(photos.source)}
    groups["made"] = made
    tables = {
        name: 100 * np.array([measure(c, s) for c, s in zip(f.crops, f.seen, strict=True)])
        for name, f in groups.items()
    }
    for column, what in enumerate(("light", "red against green", "blue against green", "detail")):
        print(f"\n| {what} | {' | '.join(tables)} | off by |\n|{' --- |' * (len(tables) + 2)}")
        for row, part in enumerate([*PARTS, *RINGS]):
            means = [np.nanmean(t[:, row, column]) for t in tables.values()]
            spreads = [np.nanstd(t[:, row, column]) for t in tables.values()]
            cells = " | ".join(f"{m:.0f} ({s:.0f})" for m, s in zip(means, spreads, strict=True))
            print(f"| {part} | {cells} | {means[-1] - np.mean(means[:-1]):+.0f} |")


if __name__ == "__main__":
    main()
