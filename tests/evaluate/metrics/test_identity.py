import importlib.util
from pathlib import Path

import numpy as np
import pytest

from mien.errors import MienError
from mien.evaluate import extras
from mien.evaluate.instruments import track_face
from mien.evaluate.metrics.identity import descriptor, identity_distances, networks
from mien.preprocess.photo import read_photo


def describe(path: Path) -> np.ndarray:
    photo = read_photo(path).image
    return descriptor(photo, track_face([photo]).pixels[0])


def test_one_person_is_nearer_than_two(shared_data: Path) -> None:
    folder = shared_data / "portraits" / "studio"
    neutral, smiling, other = (
        describe(folder / f"{name}.jpg") for name in ("p004_neutral", "p004_smile", "p030_neutral")
    )
    same, different = identity_distances(neutral, np.stack([smiling, other]))
    assert same < 0.4
    assert different > 0.6


def test_distances_by_hand() -> None:
    descriptors = np.zeros((3, 128))
    descriptors[1, :2] = 0.3, 0.4
    descriptors[2] = np.nan
    distances = identity_distances(np.zeros(128), descriptors)
    assert distances[:2] == pytest.approx([0.0, 0.5])
    assert np.isnan(distances[2])


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MienError, match=r'face_recognition_models.*pip install "mien\[eval\]"'):
        networks.__wrapped__()

    def missing(name: str) -> None:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr(extras.importlib, "import_module", missing)
    with pytest.raises(MienError, match=r'dlib.*pip install "mien\[eval\]"'):
        networks.__wrapped__()
