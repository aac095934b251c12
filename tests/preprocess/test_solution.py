import numpy as np
import pytest

from mien.preprocess.face import face_mesh, mesh_landmarks


def test_mediapipe_says_nothing(front: np.ndarray, capfd: pytest.CaptureFixture[str]) -> None:
    with face_mesh(video=False) as mesh:
        assert mesh_landmarks(mesh, front) is not None
    said = capfd.readouterr()
    assert (said.out, said.err) == ("", "")
