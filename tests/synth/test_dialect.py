import numpy as np

from mien.synth.dialect import Dialect, learn, load_dialect, settle
from mien.synth.rig import ARKIT


def test_a_dialect_is_learnt_from_examples() -> None:
    rng = np.random.default_rng(0)
    spoken = Dialect(rng.normal(size=(478, 3)), rng.normal(size=(len(ARKIT), 478, 3)))
    faces = rng.random((400, len(ARKIT)))
    true = rng.normal(size=(400, 478, 3))
    said = np.stack([spoken.said(t, f) for t, f in zip(true, faces, strict=True)])
    views = rng.normal(size=(400, 2))
    seen = said + views[:, :1, None] * 0.3  # what comes of the view is not the face's
    seen[:40, [66, 105, 334]] += 9 * rng.normal(size=(40, 3, 3))  # hair hides the brows
    found = learn(true, seen, faces, views, ridge=1e-3)
    np.testing.assert_allclose(found.offset, spoken.offset, atol=1e-2)
    np.testing.assert_allclose(found.gain, spoken.gain, atol=1e-2)


def test_coefficients_that_nobody_used_change_nothing() -> None:
    true = np.zeros((20, 478, 3))
    found = learn(true, true + 0.5, np.zeros((20, len(ARKIT))), np.eye(20, 2))
    np.testing.assert_allclose(found.offset, 0.5, atol=1e-6)
    np.testing.assert_allclose(found.gain, 0, atol=1e-9)


def test_the_dialect_that_comes_along_moves_landmarks_a_little() -> None:
    dialect = load_dialect()
    assert dialect.offset.shape == (478, 3)
    assert dialect.gain.shape == (len(ARKIT), 478, 3)
    assert 0.002 < np.abs(dialect.offset).mean() < 0.02
    assert np.abs(dialect.gain).max() < 0.05


def test_offsets_are_learnt_again_while_gains_stay() -> None:
    rng = np.random.default_rng(1)
    gain = rng.normal(size=(len(ARKIT), 478, 3)) * 0.01
    faces, true = rng.random((60, len(ARKIT))), rng.normal(size=(60, 478, 3))
    spoken = Dialect(rng.normal(size=(478, 3)) * 0.1, gain)
    said = np.stack([spoken.said(t, f) for t, f in zip(true, faces, strict=True)])
    known = Dialect(np.zeros((478, 3)), gain)
    found = settle(known, true, said, faces, rng.normal(size=(60, 2)))
    np.testing.assert_allclose(found.offset, spoken.offset, atol=1e-3)
    np.testing.assert_array_equal(found.gain, gain)
