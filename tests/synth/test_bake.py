from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mien.errors import MienError
from mien.synth import bake
from mien.synth.bake import Regions, delight, read_list, weak_perspective
from mien.synth.light import harmonics
from mien.synth.rig import Rig
from mien.synth.skin import OFFSET, load_bank


def test_weak_perspective_finds_the_pose_it_was_given() -> None:
    rng = np.random.default_rng(0)
    shape = rng.normal(size=(40, 3)) * 5
    turn = Rotation.from_euler("yx", [25, -10], degrees=True).as_matrix()
    rotation = turn[:2] * [[1.0], [-1.0]]
    found, scale, shift = weak_perspective(shape, 7.0 * shape @ rotation.T + [100.0, 80.0])
    np.testing.assert_allclose(found, rotation, atol=1e-9)
    assert scale == pytest.approx(7.0)
    np.testing.assert_allclose(shift, [100.0, 80.0])


def test_light_is_taken_out_and_pigment_stays() -> None:
    side = 96
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    normals = np.stack([0.8 * x, -0.8 * y, np.sqrt(1 - 0.64 * np.clip(x**2 + y**2, 0, 1.2))], -1)
    bands = harmonics(normals.reshape(-1, 3)).reshape(side, side, 9)
    shade = 0.9 * bands[..., 3:4] + 0.5 * bands[..., 2:3]  # from the side
    spots = 0.3 * np.sin(40 * x) * np.sin(40 * y)
    tone = np.array([0.4, 0.25, 0.18])
    linear = (tone + OFFSET) * np.exp(shade + spots[..., None]) - OFFSET
    whole = np.ones((side, side))
    where = Regions(whole, whole, 0 * whole)
    ratio, trust, _ = delight(linear, whole, normals, where)
    middle = (slice(20, -20), slice(20, -20))
    left, right = ratio[20:-20, 20:48].mean(), ratio[20:-20, 48:76].mean()
    assert abs(left - right) < 0.02 < np.ptp(shade)
    found = ratio[middle].mean(-1)
    assert np.corrcoef(found.ravel(), spots[middle].ravel())[0, 1] > 0.9
    assert trust[middle].min() > 0.9


def test_the_list_and_the_bank_agree_and_are_free() -> None:
    rows = read_list()
    assert len(rows) == len(load_bank().maps)
    for name, words in rows:
        assert name.startswith(("congress/", "generated/sd_"))
        assert words <= {"male", "old", "bearded"}


def test_a_missing_portrait_is_named(
    rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bake, "load_rig", lambda folder: rig)
    monkeypatch.setattr(bake, "SIDE", 24)
    monkeypatch.setattr(bake, "_MODES", 8)
    with pytest.raises(MienError, match="does not exist"):
        bake.bake(tmp_path, tmp_path, tmp_path / "bank.npz")
    assert not (tmp_path / "bank.npz").exists()
