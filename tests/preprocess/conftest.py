"""Pictures of a head whose camera is known."""

import importlib.util
import math
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from numpy.typing import NDArray

from mien.preprocess.pose import canonical
from mien.structures import FOV_WIDE, Camera

Draw = Callable[..., NDArray[np.uint8]]


@pytest.fixture(scope="session")
def tool() -> ModuleType:
    """`tools/make_canonical_landmarks.py`, which has a small mesh renderer."""
    path = Path(__file__).resolve().parents[2] / "tools" / "make_canonical_landmarks.py"
    spec = importlib.util.spec_from_file_location("make_canonical_landmarks", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def draw(tool: ModuleType, shared_data: Path) -> Draw:
    """Draws FaceKit's neutral head: draw(yaw, pitch, fov=, size=), angles in degrees."""
    mesh, _ = tool.load_facekit(shared_data / "facekit")
    frame = canonical()
    vertices = ((mesh.vertices - frame.facekit_offset) * frame.facekit_scale).astype(np.float32)
    mesh = tool.Mesh(vertices, mesh.triangles, mesh.colors)

    def draw(
        yaw: float = 0.0, pitch: float = 0.0, fov: float = FOV_WIDE, size: int = 512
    ) -> NDArray[np.uint8]:
        camera = Camera.orbit(math.radians(yaw), math.radians(pitch), fov=fov)
        return tool.render(mesh, camera, size, oversample=1)

    return draw


@pytest.fixture(scope="session")
def front(draw: Draw) -> NDArray[np.uint8]:
    """The head from the front, (512, 512, 3); not to be written to."""
    image = draw()
    image.flags.writeable = False
    return image


@pytest.fixture
def no_nod(monkeypatch: pytest.MonkeyPatch) -> None:
    """Landmarks that nod as the head does, as exact projections do."""
    exact = canonical()._replace(pitch_gain=1.0)
    monkeypatch.setattr("mien.preprocess.pose.canonical", lambda: exact)
