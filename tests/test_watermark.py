"""The mark cannot be seen, is found after what usually happens to videos, and never by chance."""

import random
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from mien.preprocess.photo import read_photo
from mien.preprocess.video import Video, write_video
from mien.watermark import CELLS, CERTAIN, cells, marked, pattern, score

PHOTO = Path(__file__).parents[1] / "examples" / "astronaut.jpg"


@pytest.fixture(scope="module")
def frames() -> list[np.ndarray]:
    """Twelve frames in which a real head sways before a wall."""
    photo = cv2.resize(read_photo(PHOTO).image[:300, 60:360], (512, 512))
    moves = [np.float32([[1, 0, x], [0, 1, 0]]) for x in np.linspace(-20, 20, 12)]
    return [cv2.warpAffine(photo, m, (512, 512), borderMode=cv2.BORDER_REPLICATE) for m in moves]


def with_mark(frame: np.ndarray) -> np.ndarray:
    image = marked(torch.from_numpy(frame).permute(2, 0, 1) / 255)
    return (image.clamp(0, 1) * 255 + 0.5).to(torch.uint8).permute(1, 2, 0).numpy()


def coded(frames: list[np.ndarray], folder: Path, crf: int) -> list[np.ndarray]:
    write_video(folder / "coded.mp4", frames, fps=25, crf=crf)
    return [frame for _, frame in Video(folder / "coded.mp4")]


def test_cells_are_as_many_light_as_dark_and_never_change():
    assert cells().shape == (CELLS, CELLS)
    assert abs(cells().mean()) < 0.05
    assert cells()[0, :8].tolist() == [-1, -1, -1, 1, -1, -1, -1, 1]


def test_the_mark_costs_at_least_49_decibels(frames):
    error = np.stack([with_mark(f) for f in frames]).astype(float) - np.stack(frames)
    assert 10 * np.log10(255**2 / np.square(error).mean()) > 49


@pytest.mark.parametrize("size", [(512, 512), (64, 96), (1024, 1024), (37, 41)])
def test_the_pattern_has_the_pictures_size_and_no_more_strength(size):
    laid = pattern(*size, torch.device("cpu"))
    assert laid.shape == size
    assert laid.abs().max() < 4 / 255
    assert laid.square().mean().sqrt() == pytest.approx(0.75 / 255)


def test_it_survives_coding_and_smaller_sizes(frames, tmp_path):
    shown = [with_mark(f) for f in frames]
    assert score(shown[:1]) > 2 * CERTAIN
    first = coded(shown, tmp_path, 18)
    assert score(first) > 2 * CERTAIN
    assert score(coded(first, tmp_path, 28)) > CERTAIN
    assert score(cv2.resize(f, (256, 256), interpolation=cv2.INTER_AREA) for f in first) > CERTAIN
    darker = [(f * 0.7).astype(np.uint8) for f in first]
    assert score(darker) > CERTAIN


def test_unmarked_pictures_score_about_nothing(frames, tmp_path):
    assert abs(score(frames)) < 4
    assert abs(score(coded(frames, tmp_path, 28))) < 4
    assert abs(score([np.full((64, 64, 3), 90, np.uint8)])) < 1
    noise = np.random.default_rng(0).integers(0, 256, (40, 300, 300, 3), np.uint8)
    scores = np.array([score([frame]) for frame in noise])
    assert np.abs(scores).max() < 4
    assert 0.5 < scores.std() < 1.5


def test_real_photos_are_not_marked(shared_data):
    photos = sorted(shared_data.glob("portraits/*/*.jpg"))
    chosen = random.Random(0).sample(photos, 40)
    assert max(score([read_photo(path).image]) for path in chosen) < 4.5
