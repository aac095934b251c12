from types import SimpleNamespace

import numpy as np
import pytest

from mien.preprocess.face import find_face
from mien.preprocess.matte import Matter, closed_form, connected, face_hull, foreground, parted


@pytest.fixture(scope="module")
def scene(front: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The head before a coloured gradient, and where it is."""
    head = np.abs(front.astype(int) - 158).max(-1) > 0
    y, x = np.mgrid[0:512, 0:512] / 512
    behind = 255 * np.stack([0.2 + 0.5 * x, 0.6 * y + 0.3, 0.8 - 0.5 * x], -1)
    return np.where(head[..., None], front, behind).astype(np.uint8), head


def test_the_head_is_cut_out(scene: tuple[np.ndarray, np.ndarray]) -> None:
    image, head = scene
    with Matter() as matter:
        alpha = matter(image, find_face(image))
    assert alpha.shape == head.shape
    assert alpha.min() >= 0
    assert alpha.max() <= 1
    above_neck = slice(0, 440)
    both, either = (alpha > 0.5) & head, (alpha > 0.5) | head
    assert both[above_neck].sum() / either[above_neck].sum() > 0.95


def test_the_face_is_never_see_through(
    scene: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    image, _ = scene
    landmarks = find_face(image)
    with Matter() as matter:
        nobody = SimpleNamespace(segmentation_mask=np.zeros((512, 512), np.float32))
        monkeypatch.setattr(matter, "_segmentations", [lambda _: nobody])
        inside = face_hull(landmarks, 512) > 0
        assert matter(image, landmarks)[inside].min() == 1
        assert matter(image)[inside].max() == 0
        monkeypatch.undo()
    nose, ear = landmarks[1].astype(int), (landmarks[234] - (30, 0, 0)).astype(int)
    assert inside[nose[1], nose[0]]
    assert not inside[ear[1], ear[0]]


def strands(size: int = 96) -> np.ndarray:
    """(size, size) cover of a head with soft strands that stand out of it."""
    y, x = np.mgrid[0:size, 0:size] / size - 0.5
    angle, reach = np.arctan2(y, x), np.hypot(x, y)
    outline = 0.28 + 0.07 * np.clip(np.sin(14 * angle), 0, 1)
    return np.clip((outline - reach) * size / 3 + 0.5, 0, 1).astype(np.float32)


def test_a_matte_of_two_colours_is_found_again() -> None:
    alpha = strands()
    red, blue = np.array([0.8, 0.3, 0.1]), np.array([0.1, 0.3, 0.7])
    image = alpha[..., None] * red + (1 - alpha[..., None]) * blue
    y, x = np.mgrid[0:96, 0:96] / 96 - 0.5
    person = np.hypot(x, y) < 0.3
    unknown = np.abs(np.hypot(x, y) - 0.31) < 0.09
    assert np.abs(person - alpha)[unknown].mean() > 0.1  # what was known before
    found = closed_form(image, person, unknown)
    assert np.abs(found - alpha)[unknown].mean() < 0.01
    np.testing.assert_array_equal(found[~unknown], person[~unknown])


def test_a_matte_leans_on_the_guess_where_nothing_is_known() -> None:
    flat, person = np.full((32, 32, 3), 0.5), np.zeros((32, 32), bool)
    person[:, :16] = True
    everything = np.ones((32, 32), bool)
    found = closed_form(flat, person, everything)
    assert np.isfinite(found).all()
    assert found.mean() == pytest.approx(0.5, abs=0.01)
    np.testing.assert_array_equal(closed_form(flat, person, ~everything), person)


def test_only_the_edge_is_unknown() -> None:
    likely = np.zeros((256, 256), np.float32)
    likely[60:, 60:200] = 1.0
    person, unknown = parted(likely)
    np.testing.assert_array_equal(person, likely > 0.5)
    assert unknown[100, 60]
    assert not unknown[100, 130]
    assert not unknown[30, 130]
    # Doubt far from any edge is settled by the guess; doubt about a broad edge is not.
    likely[150:170, 120:140] = 0.7
    assert not parted(likely)[1][160, 130]
    likely[100, 60:68] = 0.6
    assert parted(likely)[1][100, 60:66].all()


def test_soft_edges_lose_the_backgrounds_colour() -> None:
    alpha = np.tile(np.clip((np.arange(96) - 40) / 6, 0, 1), (96, 1)).astype(np.float32)
    red, blue = np.array([0.8, 0.1, 0.1]), np.array([0.1, 0.2, 0.9])
    mixed = alpha[..., None] * red + (1 - alpha[..., None]) * blue
    found = foreground(np.round(mixed * 255).astype(np.uint8), alpha)
    soft = (alpha > 0.2) & (alpha < 0.8)
    assert np.abs(found[soft] - red).max() < 0.2
    assert np.abs(found[alpha == 1] - red).max() < 0.01
    assert np.abs(mixed[soft] - red).max() > 0.5  # what it would be without


def test_shreds_of_the_background_are_dropped() -> None:
    alpha = np.zeros((100, 100), np.float32)
    alpha[20:80, 30:70], alpha[20:30, 80:95] = 1.0, 0.7
    landmarks = np.full((478, 2), 50.0)
    kept = connected(alpha, landmarks)
    np.testing.assert_array_equal(kept[:, :75], alpha[:, :75])
    assert not kept[:, 75:].any()
