"""What training minimises."""

import pytest
import torch

from mien.structures import LANDMARKS, Camera
from mien.train.losses import RELIEF, RELIEF_UNIT, relief


def face(camera: Camera, side: int = 64) -> tuple[torch.Tensor, torch.Tensor]:
    """Landmarks on a plane that faces +z, and the depth map of that plane."""
    generator = torch.Generator().manual_seed(0)
    landmarks = torch.zeros(1, LANDMARKS, 3)
    landmarks[..., :2] = 0.2 * torch.rand(1, LANDMARKS, 2, generator=generator) - 0.1
    landmarks[..., 2] = 0.05
    ticks = (torch.arange(side) + 0.5) / side
    v, u = torch.meshgrid(ticks, ticks, indexing="ij")
    rays = torch.stack([u, v, torch.ones_like(u)], -1) @ torch.linalg.inv(camera.intrinsics[0]).T
    world = rays @ camera.world_from_cam[0, :3, :3].T
    depth = (0.05 - camera.world_from_cam[0, 2, 3]) / world[..., 2]
    return landmarks, depth[None, None]


def test_a_face_where_its_landmarks_are_costs_nothing() -> None:
    camera = Camera.orbit(torch.tensor([0.4]))
    landmarks, depth = face(camera)
    assert relief(depth, camera, landmarks) < 1e-3


def test_a_face_behind_its_landmarks_costs_and_is_pulled_forward() -> None:
    camera = Camera.orbit(torch.tensor([0.4]))
    landmarks, depth = face(camera)
    behind = (depth + 2.0 * RELIEF_UNIT).requires_grad_()
    loss = relief(behind, camera, landmarks)
    assert loss.item() == pytest.approx(1.5, abs=0.02)
    loss.backward()
    assert behind.grad is not None
    assert behind.grad.sum() > 0.0


def test_what_the_picture_does_not_show_does_not_count() -> None:
    camera = Camera.orbit(torch.tensor([0.0]))
    landmarks, depth = face(camera)
    landmarks[:, list(RELIEF[1:])] += 5.0
    away = landmarks.clone()
    away[:, RELIEF[0], 0] = 5.0
    assert relief(depth + 0.1, camera, away) == 0.0
    assert relief(torch.zeros_like(depth), camera, landmarks) == 0.0
    # Only one landmark is left to be seen, and it counts in full.
    assert relief(depth + 2.0 * RELIEF_UNIT, camera, landmarks).item() == pytest.approx(
        1.5, abs=0.02
    )
