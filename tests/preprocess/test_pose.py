from pathlib import Path

import numpy as np
import pytest
import torch

from mien.preprocess import pose
from mien.preprocess.pose import (
    HeadPose,
    angles_from_rotation,
    canonical,
    canonical_landmarks,
    fit_pose,
    head_motion,
    reprojection,
    rotation_from_angles,
    rotation_from_vector,
)
from mien.structures import FOV_FFHQ, FOV_WIDE, LANDMARKS, RADIUS, Camera


def made_poses(count: int = 24, seed: int = 0) -> HeadPose:
    rng = np.random.default_rng(seed)
    yaw, pitch, roll = rng.uniform([[-0.9], [-0.5], [-1.5]], [[0.9], [0.5], [1.5]], (3, count))
    return HeadPose(
        rotation_from_angles(yaw, pitch, roll),
        rng.uniform(200, 3000, count),
        rng.uniform(-300, 2000, (count, 2)),
        np.zeros(count),
    )


def project(poses: HeadPose, points: np.ndarray) -> np.ndarray:
    """Landmarks as an ideal MediaPipe would give them: (T, L, 3)."""
    local = points @ np.swapaxes(poses.rotation, 1, 2)
    focal = poses.focal[:, None, None]
    pixels = focal * local[..., :2] / (local[..., 2:] + RADIUS) + poses.centre[:, None]
    depth = local[..., 2:] * focal / RADIUS + 17.0  # MediaPipe's z has no origin
    return np.concatenate([pixels, depth], -1)


@pytest.mark.usefixtures("no_nod")
def test_exact_landmarks_give_back_their_pose() -> None:
    poses = made_poses()
    found = fit_pose(project(poses, canonical().points))
    assert np.abs(found.angles() - poses.angles()).max() < 1e-3
    assert np.abs(found.focal / poses.focal - 1).max() < 1e-3
    assert (np.abs(found.centre - poses.centre) / poses.focal[:, None]).max() < 1e-3
    assert found.residual.max() < 1e-4


@pytest.mark.usefixtures("no_nod")
def test_a_few_wild_landmarks_do_little() -> None:
    poses = made_poses()
    landmarks = project(poses, canonical().points)
    wild = canonical().rigid[::12]
    landmarks[:, wild, :2] += 0.1 * poses.focal[:, None, None] / RADIUS
    assert np.degrees(np.abs(fit_pose(landmarks).angles() - poses.angles())).max() < 1.5


def test_frames_together_equal_frames_alone() -> None:
    landmarks = project(made_poses(), canonical().points)
    landmarks += np.random.default_rng(1).normal(size=landmarks.shape)
    together = fit_pose(landmarks)
    shapes = canonical_landmarks(landmarks, together)
    for index in range(len(landmarks)):
        alone = fit_pose(landmarks[index : index + 1])
        for name in ("rotation", "focal", "centre", "residual"):
            np.testing.assert_allclose(
                getattr(alone, name)[0], getattr(together, name)[index], rtol=1e-9, atol=1e-9
            )
        shape = canonical_landmarks(landmarks[index : index + 1], alone)
        np.testing.assert_allclose(shape[0], shapes[index], atol=1e-6)


def test_pitch_is_enlarged_as_landmarks_nod_too_little() -> None:
    pitch = np.array([-0.2, 0.1, 0.3])
    poses = HeadPose(
        rotation_from_angles(np.zeros(3), pitch, np.zeros(3)),
        np.full(3, 900.0),
        np.zeros((3, 2)),
        np.zeros(3),
    )
    found = fit_pose(project(poses, canonical().points)).angles()[:, 1]
    np.testing.assert_allclose(found, pitch * canonical().pitch_gain, atol=1e-3)


def test_jacobian_agrees_with_finite_differences() -> None:
    poses, points = made_poses(3), canonical().points[::40]
    seen = project(poses, points)[..., :2]
    at = (poses.rotation, poses.focal, poses.centre)
    _, jacobian = reprojection(points, seen, *at)
    for unknown in range(6):
        sides = []
        for step in (-1e-6, 1e-6):
            change = np.zeros((3, 6))
            change[:, unknown] = step
            rotation = rotation_from_vector(change[:, :3]) @ poses.rotation
            focal, centre = poses.focal * np.exp(change[:, 3]), poses.centre + change[:, 4:]
            sides.append(reprojection(points, seen, rotation, focal, centre)[0])
        slope = (sides[1] - sides[0]) / 2e-6
        np.testing.assert_allclose(jacobian[..., unknown], slope, rtol=1e-5, atol=1e-3)


def test_angles_are_those_of_the_orbit_camera() -> None:
    angles = np.random.default_rng(0).uniform(-1.2, 1.2, (3, 10))
    rotation = rotation_from_angles(*angles)
    cameras = Camera.orbit(*torch.from_numpy(angles))
    np.testing.assert_allclose(rotation, cameras.cam_from_world[:, :3, :3].numpy(), atol=1e-6)
    np.testing.assert_allclose(angles_from_rotation(rotation), angles.T, atol=1e-9)


@pytest.mark.parametrize("fov", [FOV_FFHQ, FOV_WIDE])
def test_the_crop_shows_what_its_camera_sees(fov: float) -> None:
    poses, size = made_poses(), 320
    pixels = project(poses, canonical().points)[..., :2]
    points = torch.from_numpy(canonical().points).float().expand(len(poses), -1, -1)
    crop = poses.camera(fov).project(points).numpy() * size
    frame = poses.image_from_crop(size, fov)
    placed = crop @ np.swapaxes(frame[..., :2], 1, 2) + frame[:, None, :, 2]
    assert (np.abs(placed - pixels).max((1, 2)) / poses.focal).max() < 1e-6


@pytest.mark.usefixtures("no_nod")
def test_landmarks_come_back_to_the_canonical_frame() -> None:
    poses = made_poses()
    rng = np.random.default_rng(2)
    person = canonical().points.copy()
    moving = np.setdiff1d(np.arange(LANDMARKS), canonical().rigid)
    person[moving] += rng.normal(scale=0.01, size=(len(moving), 3))
    landmarks = project(poses, person)
    found = canonical_landmarks(landmarks, fit_pose(landmarks))
    assert found.dtype == np.float32
    assert np.abs(found - person).max() < 1e-3


def test_head_motion_shows_the_head_where_the_take_does() -> None:
    poses = made_poses(9)
    nearby = HeadPose(
        poses.rotation,
        1500 * np.linspace(0.8, 1.3, 9),
        500 + 300 * np.stack([np.linspace(-1, 1, 9), np.linspace(1, -0.5, 9)], 1),
        poses.residual,
    )
    points = canonical().points
    seen = project(nearby, points)[..., :2]
    cam_from_head = head_motion(nearby).astype(np.float64)
    local = points @ np.swapaxes(cam_from_head[:, :3, :3], 1, 2) + cam_from_head[:, None, :3, 3]
    middle = len(nearby) // 2
    shown = nearby.focal[middle] * local[..., :2] / local[..., 2:] + nearby.centre[middle]
    size = nearby.focal[:, None] * 0.25 / RADIUS
    error = np.linalg.norm(shown - seen, axis=-1) / size
    assert error[middle].max() < 1e-5
    # Off the axis a camera turned to the head and one that is not differ by a little stretching.
    assert error.max() < 0.06
    np.testing.assert_allclose(
        cam_from_head[:, :3, :3] @ np.swapaxes(cam_from_head[:, :3, :3], 1, 2),
        np.broadcast_to(np.eye(3), (9, 3, 3)),
        atol=1e-6,
    )
    np.testing.assert_allclose(cam_from_head[middle, :3, 3], (0, 0, RADIUS), atol=1e-6)


def test_canonical_landmarks_are_symmetric_and_small() -> None:
    frame = canonical()
    assert frame.points.shape == (LANDMARKS, 3)
    assert (frame.mirror[frame.mirror] == np.arange(LANDMARKS)).all()
    np.testing.assert_allclose(frame.points[frame.mirror], frame.points * (-1, 1, 1), atol=1e-6)
    assert set(frame.mirror[frame.rigid]) == set(frame.rigid)
    assert Path(pose.__file__).with_name("canonical.npz").stat().st_size < 10_000


def test_the_ffhq_framing_is_ffhqs() -> None:
    """The crop rule of Karras et al. 2019, on the landmarks nearest to dlib's."""
    points = torch.from_numpy(canonical().points).float()
    seen = Camera.orbit(fov=FOV_FFHQ).project(points[None])[0].numpy()
    right = seen[[33, 160, 158, 133, 153, 144]].mean(0)
    left = seen[[263, 387, 385, 362, 380, 373]].mean(0)
    eyes, mouth = (left + right) / 2, seen[[61, 291]].mean(0)
    side = 2 * max(2.0 * np.linalg.norm(left - right), 1.8 * np.linalg.norm(mouth - eyes))
    assert side == pytest.approx(1.0, abs=0.03)
    np.testing.assert_allclose(eyes + 0.1 * (mouth - eyes), (0.5, 0.5), atol=0.015)
