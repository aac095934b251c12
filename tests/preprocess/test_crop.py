import numpy as np
import pytest

from mien.preprocess.crop import warp


def frame(step: float, x: float = 0.0, y: float = 0.0) -> np.ndarray:
    return np.array([[step, 0, x], [0, step, y]], np.float64)


def test_the_same_frame_gives_the_same_picture() -> None:
    image = np.random.default_rng(0).integers(0, 256, (20, 20, 3)).astype(np.uint8)
    np.testing.assert_array_equal(warp(image, frame(1.0), 20), image)


def test_whole_shifts_are_exact_and_black_lies_beyond() -> None:
    image = np.random.default_rng(0).integers(1, 256, (20, 20, 3)).astype(np.uint8)
    crop = warp(image, frame(1.0, x=15, y=-2), 10)
    np.testing.assert_array_equal(crop[2:, :5], image[:8, 15:])
    assert not crop[:, 5:].any()
    assert not crop[:2].any()


@pytest.mark.parametrize("step", [1, 2, 6])
def test_the_mirror_image_may_stand_beyond(step: int) -> None:
    image = np.repeat(np.repeat(np.arange(100, 120, dtype=np.uint8)[None], 20, 0), step, 1)
    image = np.repeat(image, step, 0)
    crop = warp(image, frame(step, x=15 * step, y=-2 * step), 10, mirrored=True)
    expected = [115, 116, 117, 118, 119, 119, 118, 117, 116, 115]
    np.testing.assert_array_equal(crop, np.tile(expected, (10, 1)))


@pytest.mark.parametrize("factor", [2, 3, 4, 8])
def test_shrinking_by_a_whole_factor_averages_blocks(factor: int) -> None:
    """Holds only if pixel centres lie at +0.5."""
    image = np.random.default_rng(0).random((8 * factor, 8 * factor)).astype(np.float32)
    blocks = image.reshape(8, factor, 8, factor).mean((1, 3))
    np.testing.assert_allclose(warp(image, frame(factor), 8), blocks, atol=1e-5)


@pytest.mark.parametrize("factor", [1.5, 2.7, 6.3])
def test_fine_stripes_become_grey(factor: float) -> None:
    stripes = np.tile(np.array([0.0, 1.0], np.float32), (400, 200))
    crop = warp(stripes, frame(factor), int(400 / factor) - 1)[3:-3, 3:-3]
    assert np.abs(crop - 0.5).max() < (0.3 if factor < 2 else 0.15)


def test_enlarging_keeps_places() -> None:
    x, y = np.meshgrid(np.arange(32) + 0.5, np.arange(32) + 0.5)
    crop = warp(np.stack([x, y], -1).astype(np.float32), frame(0.25, x=8, y=12), 40)
    at = (np.arange(40) + 0.5) * 0.25
    np.testing.assert_allclose(crop[..., 0], np.broadcast_to(8 + at, (40, 40)), atol=0.05)
    np.testing.assert_allclose(crop[..., 1], np.broadcast_to(12 + at[:, None], (40, 40)), atol=0.05)


def test_a_quarter_turn() -> None:
    image = np.random.default_rng(0).random((16, 16)).astype(np.float32)
    turn = np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, 16.0]])
    np.testing.assert_allclose(warp(image, turn, 16), np.rot90(image, -1), atol=1e-5)


def test_a_large_picture_is_shrunk_like_a_small_one() -> None:
    """The road by blocks, whose last ones overlap the border, against plain averaging."""
    rng = np.random.default_rng(0)
    image = np.kron(rng.random((20, 20)), np.ones((23, 23))).astype(np.float32)[:451, :447]
    step, x, y = 9.7, -31.0, 12.0
    fine = warp(image, frame(step / 10, x, y), 480)
    plain = fine.reshape(48, 10, 48, 10).mean((1, 3))
    crop = warp(image, frame(step, x, y), 48)
    assert np.abs(crop - plain).max() < 0.12
    assert np.abs(crop - plain).mean() < 0.01
