import numpy as np
import pytest
import torch

from mien.commands.background import behind, colour, fill
from mien.errors import MienError
from mien.structures import Camera, Portrait


@pytest.mark.parametrize(
    ("name", "expected"),
    [("black", (0, 0, 0)), ("#ff8000", (255, 128, 0)), ("rgb(1, 2, 3)", (1, 2, 3))],
)
def test_colours(name, expected):
    assert (colour(name)[:, 0, 0] * 255).round().tolist() == list(expected)


def test_no_such_colour():
    with pytest.raises(MienError, match="'sea' is no background"):
        colour("sea")


@pytest.mark.parametrize("shape", [(1, 1), (7, 5), (64, 64)])
def test_what_is_known_stays(shape):
    image = np.random.default_rng(0).random((*shape, 3), np.float32)
    np.testing.assert_allclose(fill(image, np.ones(shape, np.float32)), image, atol=1e-6)


@pytest.mark.parametrize("size", [33, 64])
def test_a_hole_in_a_ramp_is_filled_with_the_ramp(size):
    ramp = np.linspace(0, 1, size, dtype=np.float32)
    image = np.repeat(np.repeat(ramp[:, None, None], size, 1), 3, 2)
    known = np.ones((size, size), np.float32)
    known[size // 3 : 2 * size // 3, size // 3 : 2 * size // 3] = 0
    holed = image * known[..., None]
    filled = fill(holed, known)
    assert np.abs(filled - image).max() < 0.15
    assert np.abs(holed - image).max() > 0.6


def test_nothing_known_is_no_error():
    filled = fill(np.zeros((8, 8, 3), np.float32), np.zeros((8, 8), np.float32))
    assert np.isfinite(filled).all()


def test_behind_a_head_is_the_wall_and_beyond_the_photo_too():
    wall, head = (200, 180, 160), (10, 20, 30)
    photo = np.full((60, 60, 3), wall, np.uint8)
    photo[20:40, 20:40] = head
    # The crop is twice as wide as the photo, which lies in its middle.
    alpha = torch.zeros(1, 120, 120)
    alpha[:, 50:70, 50:70] = 1.0
    portrait = Portrait(
        torch.zeros(3, 120, 120),
        alpha,
        Camera.orbit(),
        torch.zeros(478, 3),
        torch.tensor([[1.0, 0.0, -30.0], [0.0, 1.0, -30.0]]),
    )
    for size in (120, 60):
        seen = behind(photo, portrait, size)
        assert seen.shape == (3, size, size)
        error = (seen * 255 - torch.tensor(wall).reshape(3, 1, 1)).abs().max()
        assert error < 6  # of 180
