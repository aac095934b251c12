import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mien.errors import MienError
from mien.preprocess import photo
from mien.preprocess.photo import portrait, read_photo
from mien.structures import FOV_FFHQ, FOV_WIDE, LANDMARKS, focal_from_fov

from .conftest import Draw


@pytest.fixture
def ramp() -> np.ndarray:
    """(20, 30, 3) smooth, so that JPEG changes little."""
    y, x = np.mgrid[0:20, 0:30]
    return np.stack([8 * x, 12 * y, 128 + 0 * x], -1).astype(np.uint8)


def saved(image: Image.Image, path: Path, **options: object) -> Path:
    image.save(path, **options)
    return path


def test_plain_colours_are_kept(ramp: np.ndarray, tmp_path: Path) -> None:
    image, alpha = read_photo(saved(Image.fromarray(ramp), tmp_path / "a.png"))
    np.testing.assert_array_equal(image, ramp)
    assert alpha is None


@pytest.mark.parametrize("mode", ["L", "1", "P", "LA", "YCbCr"])
def test_other_modes_become_rgb(mode: str, ramp: np.ndarray, tmp_path: Path) -> None:
    suffix = "tif" if mode == "YCbCr" else "png"
    path = saved(Image.fromarray(ramp).convert(mode), tmp_path / f"a.{suffix}")
    image, alpha = read_photo(path)
    assert (image.shape, image.dtype, alpha) == (ramp.shape, np.uint8, None)
    if mode == "L":
        grey = np.asarray(Image.fromarray(ramp).convert("L"))
        np.testing.assert_array_equal(image, np.repeat(grey[..., None], 3, 2))


def test_sixteen_bits_are_scaled_not_clipped(tmp_path: Path) -> None:
    deep = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    image, _ = read_photo(saved(Image.fromarray(deep), tmp_path / "a.png"))
    np.testing.assert_array_equal(image[..., 0].ravel(), np.arange(256))


def test_cmyk(ramp: np.ndarray, tmp_path: Path) -> None:
    path = saved(Image.fromarray(ramp).convert("CMYK"), tmp_path / "a.jpg", quality=98)
    assert np.abs(read_photo(path).image.astype(int) - ramp).mean() < 4


def test_transparent_photos_lie_on_grey_and_keep_their_alpha(
    ramp: np.ndarray, tmp_path: Path
) -> None:
    alpha = np.zeros((20, 30), np.uint8)
    alpha[:, 10:20], alpha[:, 20:] = 128, 255
    path = saved(Image.fromarray(np.dstack([ramp, alpha])), tmp_path / "a.png")
    image, kept = read_photo(path)
    np.testing.assert_array_equal(kept, alpha)
    assert (image[:, :10] == 128).all()
    np.testing.assert_array_equal(image[:, 20:], ramp[:, 20:])
    np.testing.assert_allclose(image[:, 10:20], (ramp[:, 10:20] + 128.0) / 2, atol=1)


def test_exif_turns_the_picture(ramp: np.ndarray, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned clockwise by a quarter
    path = saved(Image.fromarray(ramp), tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(read_photo(path).image, np.rot90(ramp, -1))


def test_what_is_wrong_is_said(ramp: np.ndarray, tmp_path: Path) -> None:
    whole = saved(Image.fromarray(ramp.repeat(8, 0).repeat(8, 1)), tmp_path / "a.jpg").read_bytes()
    bad = {
        "cut.jpg": (whole[: len(whole) // 2], "damaged or cut short"),
        "empty.jpg": (b"", "is empty"),
        "text.jpg": (b"not a picture at all", "not a picture that can be read"),
    }
    for name, (content, message) in bad.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(MienError, match=message):
            read_photo(tmp_path / name)
    with pytest.raises(MienError, match="folder"):
        read_photo(tmp_path)
    with pytest.raises(MienError, match=r"missing\.jpg does not exist"):
        read_photo(tmp_path / "missing.jpg")


def test_too_many_pixels_are_refused_unread(
    ramp: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photo, "MAX_PIXELS", 500)
    with pytest.raises(MienError, match="30 × 20 pixels"):
        read_photo(saved(Image.fromarray(ramp), tmp_path / "a.png"))


def test_one_pixel_has_no_face(tmp_path: Path) -> None:
    path = saved(Image.new("RGB", (1, 1)), tmp_path / "dot.png")
    with pytest.raises(MienError, match=r"No face was found in .*dot\.png"):
        portrait(path)


def test_arrays_must_be_pictures() -> None:
    with pytest.raises(ValueError, match="uint8"):
        portrait(np.zeros((8, 8, 3)))  # type: ignore[arg-type]


def test_a_portrait_is_what_its_fields_promise(draw: Draw) -> None:
    image = draw(yaw=15)
    made = portrait(image, size=256, fov=FOV_FFHQ)
    assert made.image.shape == (3, 256, 256)
    assert made.alpha.shape == (1, 256, 256)
    assert made.landmarks.shape == (LANDMARKS, 3)
    assert made.image_from_crop.shape == (2, 3)
    assert {t.dtype for t in (made.image, made.alpha, made.landmarks)} == {torch.float32}
    assert made.image.min() >= 0
    assert (made.image <= made.alpha + 1e-6).all()
    assert made.camera.intrinsics[0, 0] == pytest.approx(focal_from_fov(FOV_FFHQ))
    assert abs(made.camera.angles()[2].item()) < 1e-5
    # The camera sees the landmarks on the face: compare with where they are in the crop.
    irises = made.camera.project(made.landmarks[None])[0, [468, 473]] * 256
    assert (irises[:, 1] - irises[:, 1].mean()).abs().max() < 6
    assert made.alpha[0, int(irises[0, 1]), int(irises[0, 0])] == 1


def test_a_cut_out_photo_keeps_its_cut(front: np.ndarray, tmp_path: Path) -> None:
    alpha = np.full((512, 512), 255, np.uint8)
    alpha[:, :200] = 0
    path = saved(Image.fromarray(np.dstack([front, alpha])), tmp_path / "cut.png")
    made = portrait(path)
    column = int((200 - made.image_from_crop[0, 2]) / made.image_from_crop[0, 0])
    assert made.alpha[0, :, : column - 3].max() == 0
    assert made.image[:, :, : column - 3].max() == 0
    assert made.alpha[0, 250, column + 8] > 0.9


def test_a_known_camera_comes_back(draw: Draw) -> None:
    """Within 2° and 2 % of scale (RMS over the views), and no view off by more than twice that."""
    size, turns, scales = 512, [], []
    for yaw, pitch in itertools.product((-30, -15, 0, 15, 30), (-15, 0, 15)):
        # The head is drawn larger than the crop's framing and off the middle.
        image = np.full((700, 800, 3), 158, np.uint8)
        image[150:662, 200:712] = draw(yaw, pitch, fov=20.0, size=size)
        found = portrait(image)
        angles = [np.degrees(angle.item()) for angle in found.camera.angles()[:2]]
        turns.append(np.subtract(angles, (yaw, pitch)))
        step = np.linalg.norm(found.image_from_crop[:, 0].numpy()) * size
        true = size * focal_from_fov(20.0) / focal_from_fov(FOV_WIDE)
        scales.append(step / true - 1)
        middle = found.image_from_crop.numpy() @ (size / 2, size / 2, 1)
        assert np.abs(middle - (200 + size / 2, 150 + size / 2)).max() < 0.04 * size
    assert np.sqrt(np.square(turns).mean(0)).max() < 2
    assert np.abs(turns).max() < 4
    assert np.sqrt(np.square(scales).mean()) < 0.02
    assert np.abs(scales).max() < 0.055


@pytest.mark.parametrize("kind", ["congress", "studio", "generated"])
def test_real_portraits(kind: str, shared_data: Path) -> None:
    path = sorted((shared_data / "portraits" / kind).rglob("*.jpg"))[7]
    made = portrait(path, size=256)
    assert 0.15 < made.alpha.mean() < 0.75
    yaw, pitch, _ = (abs(np.degrees(angle.item())) for angle in made.camera.angles())
    assert yaw < 30
    assert pitch < 25
