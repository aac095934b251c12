"""Render a head at known cameras, let `preprocess` find it: the cameras come back."""

import importlib
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from mien.preprocess.photo import portrait
from mien.preprocess.pose import canonical
from mien.structures import FOV_WIDE, Camera, focal_from_fov

TOOLS = Path(__file__).parents[2] / "tools"
FOV, SIDE = 20.0, 512


@pytest.mark.slow
def test_cameras_of_rendered_heads_come_back(
    shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(TOOLS)
    tool = importlib.import_module("make_canonical_landmarks")
    head, _ = tool.load_facekit(shared_data / "facekit")
    laid = canonical()
    vertices = (head.vertices - laid.facekit_offset) * laid.facekit_scale
    head = tool.Mesh(vertices.astype(np.float32), head.triangles, head.colors)
    angles, scales = [], []
    for yaw, pitch in product((-25, 0, 25), (-12, 12)):
        photo = np.full((700, 800, 3), 158, np.uint8)
        camera = Camera.orbit(np.radians(yaw), np.radians(pitch), fov=FOV)
        photo[150 : 150 + SIDE, 200 : 200 + SIDE] = tool.render(head, camera, SIDE, 1)
        found = portrait(photo)
        seen = np.degrees([float(angle) for angle in found.camera.angles()[:2]])
        angles.append(seen - (yaw, pitch))
        step = float(found.image_from_crop[:, 0].norm())
        scales.append(step * focal_from_fov(FOV_WIDE) / focal_from_fov(FOV) - 1.0)
    assert (np.sqrt(np.square(angles).mean(0)) < 2.0).all(), angles
    assert np.sqrt(np.square(scales).mean()) < 0.02, scales
    # Single views stray further; docs/log.md says how far.
    assert np.abs(angles).max() < 4.0, angles
    assert np.abs(scales).max() < 0.06, scales
