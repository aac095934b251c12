"""One photo, of whatever kind → `Portrait`."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from mien.errors import MienError
from mien.files import check_readable
from mien.preprocess.crop import warp
from mien.preprocess.face import find_face
from mien.preprocess.matte import Matter, foreground
from mien.preprocess.pose import canonical_landmarks, fit_pose
from mien.structures import FOV_WIDE, Portrait

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

MAX_PIXELS = 150_000_000
"""Larger photos are refused before they are decoded."""

BEHIND = 128
"""Grey level put behind transparent photos while faces are looked for."""


class Photo(NamedTuple):
    """A decoded photo.

    Args:
        image: (H, W, 3) uint8 RGB, upright.
        alpha: (H, W) uint8 of photos that come cut out, else None.
    """

    image: NDArray[np.uint8]
    alpha: NDArray[np.uint8] | None


def read_photo(path: str | Path) -> Photo:
    """Read any photo: grey, palette, 16 bits, CMYK, transparent, turned by EXIF.

    Colour profiles are ignored. Transparent photos are laid on mid-grey, and their alpha kept.

    Raises:
        MienError: the file is missing, empty, damaged, too large or no picture.
    """
    from PIL import Image, ImageOps

    path = check_readable(path)
    if path.stat().st_size == 0:
        raise MienError(f"{path} is empty. Save or download the photo again.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's own size limit, damaged metadata
            with Image.open(path) as picture:
                if picture.width * picture.height > MAX_PIXELS:
                    raise MienError(
                        f"{path} has {picture.width} × {picture.height} pixels, more than "
                        f"{MAX_PIXELS // 1_000_000} million. Scale it down first."
                    )
                picture.load()
                return decode(ImageOps.exif_transpose(picture))
    except Image.UnidentifiedImageError:
        raise MienError(
            f"{path} is not a picture that can be read. Use a JPEG, PNG, WebP, TIFF or BMP file."
        ) from None
    except Image.DecompressionBombError:
        raise MienError(f"{path} has too many pixels. Scale it down first.") from None
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise MienError(
            f"{path} is damaged or cut short ({error}). Save or download the photo again."
        ) from None


def decode(picture: Picture) -> Photo:
    """A loaded Pillow image as 8-bit RGB and alpha."""
    if picture.mode.startswith(("I", "F")):
        values = np.asarray(picture).astype(np.float32)
        top = 65535.0 if picture.mode != "F" or values.max() > 1 else 1.0
        grey = np.clip(values / top * 255 + 0.5, 0, 255).astype(np.uint8)
        return Photo(np.repeat(grey[..., None], 3, 2), None)
    if picture.has_transparency_data:
        pixels = np.asarray(picture.convert("RGBA"))
        alpha = pixels[..., 3]
        if alpha.min() < 255:
            share = alpha[..., None].astype(np.float32) / 255
            mixed = pixels[..., :3] * share + BEHIND * (1 - share)
            return Photo(np.round(mixed).astype(np.uint8), alpha)
    return Photo(np.array(picture.convert("RGB")), None)


def portrait(
    photo: str | Path | NDArray[np.uint8],
    size: int = 512,
    fov: float = FOV_WIDE,
    face: int | None = None,
) -> Portrait:
    """Find a face in a photo; crop it level and centred, pose it, remove the background.

    Args:
        photo: a path, or (H, W, 3) uint8 RGB.
        size: pixels of the square crop.
        fov: framing in degrees, `FOV_WIDE` or `FOV_FFHQ`.
        face: which face, 0 is the leftmost; None takes the largest.

    Raises:
        MienError: the file can't be read; no face, or no such one; too small; turned too far.
    """
    if isinstance(photo, np.ndarray):
        if photo.dtype != np.uint8 or photo.ndim != 3 or photo.shape[2] != 3:
            raise ValueError(f"a photo is (H, W, 3) uint8, not {photo.shape} {photo.dtype}")
        image, cutout, name = photo, None, "the picture"
    else:
        (image, cutout), name = read_photo(photo), str(photo)
    return crop_portrait(image, find_face(image, face, name), size, fov, cutout)


def crop_portrait(
    image: NDArray[np.uint8],
    landmarks: NDArray,
    size: int = 512,
    fov: float = FOV_WIDE,
    cutout: NDArray[np.uint8] | None = None,
) -> Portrait:
    """The portrait of a face whose landmarks are known: a photo's, or a video frame's.

    Args:
        image: (H, W, 3) uint8 RGB.
        landmarks: (478, 3) in pixels, see `face`.
        size: pixels of the square crop.
        fov: framing in degrees.
        cutout: (H, W) uint8 alpha that the photo came with.
    """
    pose = fit_pose(landmarks[None])
    image_from_crop = pose.image_from_crop(size, fov)[0]
    # Mirrored, people go on beyond the photo's border; black would be taken for shoulders.
    crop = warp(image, image_from_crop, size, mirrored=True)
    turn = np.linalg.inv(image_from_crop[:, :2])
    with Matter() as matter:
        alpha = matter(crop, (landmarks[:, :2] - image_from_crop[:, 2]) @ turn.T)
    inside = np.full(image.shape[:2], 255, np.uint8) if cutout is None else cutout
    alpha *= warp(inside, image_from_crop, size).astype(np.float32) / 255
    colors = foreground(crop, alpha) * alpha[..., None]
    return Portrait(
        image=torch.from_numpy(np.ascontiguousarray(colors.transpose(2, 0, 1))),
        alpha=torch.from_numpy(alpha[None]),
        camera=pose.camera(fov)[0],
        landmarks=torch.from_numpy(canonical_landmarks(landmarks[None], pose)[0]),
        image_from_crop=torch.from_numpy(image_from_crop.astype(np.float32)),
    )
