from types import SimpleNamespace

import numpy as np
import pytest

from mien.preprocess.face import find_face
from mien.preprocess.matte import Matter, connected, face_hull, foreground


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
        monkeypatch.setattr(matter, "_segmentation", lambda _: nobody)
        inside = face_hull(landmarks, 512) > 0
        assert matter(image, landmarks)[inside].min() == 1
        assert matter(image)[inside].max() == 0
        monkeypatch.undo()
    nose, ear = landmarks[1].astype(int), (landmarks[234] - (30, 0, 0)).astype(int)
    assert inside[nose[1], nose[0]]
    assert not inside[ear[1], ear[0]]


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
