from pathlib import Path

import numpy as np
import pytest

from mien.errors import MienError
from mien.evaluate import synthetic
from mien.evaluate.cache import Cache
from mien.evaluate.cases import choose_cases
from mien.evaluate.synthetic import synthetic_scenes
from mien.synth.dataset import TINY, SynthConfig, generate
from mien.synth.seeds import HELD_OUT


def test_nobody_measured_can_be_trained_on(shared_data: Path, tmp_path: Path) -> None:
    measured = choose_cases(shared_data).synthetic
    assert measured
    assert set(measured) <= set(HELD_OUT)
    for first in (measured[0], HELD_OUT.start - 1):
        config = SynthConfig(tmp_path, Path(TINY), count=2, seed=first, faces=1)
        with pytest.raises(MienError, match="avatars are measured on"):
            generate(config)
    assert not list(tmp_path.iterdir())


def test_without_facekit_the_reason_is_said(tmp_path: Path) -> None:
    with pytest.raises(MienError, match=r"there is no .*facekit\.npz"):
        synthetic_scenes(HELD_OUT.start, tmp_path, 64, Cache())


def test_a_photo_and_its_true_views(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(synthetic, "VIEWS", (-20, 45))
    try:
        photo, truth = synthetic_scenes(
            HELD_OUT.start, shared_data / "facekit", 192, Cache(tmp_path)
        )
    except MienError as error:
        pytest.skip(str(error))
    assert len(photo) == 1
    assert len(truth) == 2
    yaw = np.rad2deg(truth.cameras.angles()[0].numpy())
    assert yaw == pytest.approx(np.array([-20, 45]), abs=1e-3)
    assert (photo.images[0][photo.alpha[0].numpy() == 0] == 96).all()  # it stands before grey
    assert truth.crops[truth.alpha.numpy() == 0].max() == 0
    assert 0.2 < float((truth.alpha > 0.5).float().mean()) < 0.8
    again = synthetic_scenes(HELD_OUT.start, shared_data / "facekit", 192, Cache(tmp_path))
    assert (again[1].crops == truth.crops).all()
