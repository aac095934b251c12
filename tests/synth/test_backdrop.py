import numpy as np

from mien.synth.backdrop import SIDE, over_backdrop, sample_backdrop


def test_backdrops_are_many_and_the_same_for_the_same_seed() -> None:
    made = np.stack([sample_backdrop(np.random.default_rng(seed)) for seed in range(40)])
    assert made.shape == (40, SIDE, SIDE, 3)
    assert made.mean((1, 2, 3)).std() > 20  # dark rooms and bright ones
    np.testing.assert_array_equal(made[3], sample_backdrop(np.random.default_rng(3)))


def test_what_covers_hides_what_stands_behind() -> None:
    alpha = np.zeros((64, 64), np.uint8)
    alpha[:, 32:] = 255
    image = np.where(alpha[..., None] > 0, np.uint8(40), np.uint8(0)).repeat(3, 2)
    backdrop = np.full((SIDE, SIDE, 3), 200, np.uint8)
    laid = over_backdrop(image, alpha, backdrop)
    assert (laid[:, :32] == 200).all()
    assert (laid[:, 32:] == 40).all()
