import numpy as np

from mien.serve.smooth import OneEuro

STEP = 1 / 30


def calmed(values: np.ndarray) -> np.ndarray:
    calm = OneEuro()
    return np.stack([calm.next(row, 5 + index * STEP) for index, row in enumerate(values)])


def test_what_is_still_is_calmed():
    noise = 0.002 * np.random.default_rng(0).standard_normal((300, 20))
    assert calmed(noise)[30:].std() < 0.75 * noise.std()


def test_what_moves_fast_hardly_lags():
    jump = np.repeat([0.0, 1.0], 30)[:, None]
    assert calmed(jump)[31, 0] > 0.8


def test_by_hand():
    calm = OneEuro()
    assert calm.next(np.array([0.0]), 0.0) == 0
    speed = 2 * np.pi / 3 / (2 * np.pi / 3 + 1) * 3
    rate = 2 * np.pi * (3 + 30 * speed) / 3
    np.testing.assert_allclose(calm.next(np.array([1.0]), 1 / 3), rate / (rate + 1))


def test_time_that_stands_changes_nothing():
    calm = OneEuro()
    calm.next(np.array([1.0]), 2.0)
    assert calm.next(np.array([9.0]), 2.0) == 1.0
