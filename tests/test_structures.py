"""The conventions that everything else stands on."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mien.structures import (
    FOV_FFHQ,
    FOV_WIDE,
    RADIUS,
    Camera,
    Gaussians,
    focal_from_fov,
)

angle = st.floats(-1.2, 1.2)


def test_the_published_focal_lengths_come_out() -> None:
    assert focal_from_fov(FOV_FFHQ) == pytest.approx(4.263391, abs=1e-5)
    assert focal_from_fov(FOV_WIDE) == pytest.approx(3.433109, abs=1e-5)


def test_the_frontal_camera_is_eg3ds() -> None:
    camera = Camera.orbit(fov=FOV_FFHQ)
    expected = torch.diag(torch.tensor([1.0, -1.0, -1.0, 1.0]))
    expected[2, 3] = RADIUS
    torch.testing.assert_close(camera.world_from_cam, expected)
    numbers = camera.to_eg3d()
    assert numbers.shape == (25,)
    back = Camera.from_eg3d(numbers)
    assert torch.equal(back.world_from_cam, camera.world_from_cam)
    assert torch.equal(back.intrinsics, camera.intrinsics)
    with pytest.raises(ValueError, match="25 numbers, not 24"):
        Camera.from_eg3d(numbers[:24])


@given(angle, angle, st.floats(-3.0, 3.0))
def test_angles_undo_orbit(yaw: float, pitch: float, roll: float) -> None:
    found = torch.stack(Camera.orbit(yaw, pitch, roll).angles())
    torch.testing.assert_close(found, torch.tensor([yaw, pitch, roll]), atol=1e-3, rtol=0)


@given(angle, angle, angle)
def test_every_orbit_looks_at_the_heads_centre(yaw: float, pitch: float, roll: float) -> None:
    camera = Camera.orbit(yaw, pitch, roll)
    torch.testing.assert_close(camera.project(torch.zeros(1, 3)), torch.full((1, 2), 0.5))
    product = camera.cam_from_world @ camera.world_from_cam
    torch.testing.assert_close(product, torch.eye(4), atol=1e-5, rtol=0)


def test_directions_in_the_picture() -> None:
    up, right, near = torch.eye(3)[[1, 0, 2]] * 0.1
    front = Camera.orbit().project(torch.stack([up, right]))
    assert front[0, 1] < 0.5
    assert front[0, 0] == 0.5
    assert front[1, 0] > 0.5
    assert front[1, 1] == 0.5
    # A camera that moved to +x sees the nose turn to its left; one above sees it lower.
    assert Camera.orbit(yaw=0.5).project(near[None])[0, 0] < 0.5
    assert Camera.orbit(pitch=0.5).project(near[None])[0, 1] > 0.5
    # Roll turns the picture's content clockwise.
    assert Camera.orbit(roll=0.5).project(up[None])[0, 0] > 0.5


@given(st.floats(0.2, 0.8), st.floats(0.2, 0.8), st.floats(0.5, 4.0))
def test_a_zoomed_camera_sees_the_crop(x: float, y: float, factor: float) -> None:
    camera = Camera.orbit(torch.tensor([0.3]))
    points = torch.randn(1, 7, 3) * 0.2
    centre = torch.tensor([[x, y]])
    crop = camera.zoomed(centre, factor).project(points)
    expected = (camera.project(points) - centre[:, None]) * factor + 0.5
    torch.testing.assert_close(crop, expected, atol=1e-4, rtol=1e-4)


def test_records_move_cast_and_index_as_one() -> None:
    cameras = Camera.orbit(torch.tensor([0.0, math.pi / 4]))
    assert cameras[1].world_from_cam.shape == (4, 4)
    assert cameras.to(torch.float64).intrinsics.dtype == torch.float64
    gaussians = Gaussians(*(torch.zeros(5, n) for n in (3, 4, 3)), torch.ones(5), torch.ones(5, 3))
    assert gaussians[:2].opacities.shape == (2,)
