"""Landmarks in a picture → where the head is: pose, scale, place.

A head pose is fitted as a camera on the sphere of radius `RADIUS` that looks at the head's centre,
followed by a similarity of the picture (turn, scale, shift). Turning the picture about its middle
is rolling that camera, so six numbers say all: a rotation, a focal length and a centre.

Axis legend: T frames, L landmarks, R rigid landmarks. Everything here is numpy, double precision.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from mien.structures import FOV_WIDE, RADIUS, Camera, focal_from_fov

Array = NDArray[np.float64]

ITERATIONS = 4
"""Gauss-Newton steps; one more changes no angle by 0.05°."""

HUBER = 2.0
"""Residuals beyond so many (robust) standard deviations count linearly."""


class Canonical(NamedTuple):
    """MediaPipe's landmarks on a neutral head; see `tools/make_canonical_landmarks.py`.

    Args:
        points: (478, 3) in the canonical head frame.
        rigid: (R,) landmarks that expressions hardly move and that are found steadily.
        mirror: (478,) the landmark on the other side of the face.
        pitch_gain: how much more the head nods than MediaPipe's landmarks do.
        facekit_scale, facekit_offset: canonical = scale * (FaceKit's centimetres - offset).
    """

    points: Array
    rigid: NDArray[np.intp]
    mirror: NDArray[np.intp]
    pitch_gain: float
    facekit_scale: float
    facekit_offset: Array


@functools.cache
def canonical() -> Canonical:
    """The canonical landmarks that come with Mien."""
    with np.load(Path(__file__).with_name("canonical.npz")) as data:
        return Canonical(
            data["points"].astype(np.float64),
            data["rigid"].astype(np.intp),
            data["mirror"].astype(np.intp),
            float(data["pitch_gain"]),
            float(data["facekit_scale"]),
            data["facekit_offset"].astype(np.float64),
        )


@dataclass(frozen=True)
class HeadPose:
    """Head poses in a picture or take: a canonical point x is seen at

        p = centre + focal * (q_x, q_y) / q_z,   q = rotation @ x + (0, 0, RADIUS)

    Args:
        rotation: (T, 3, 3) canonical head frame to OpenCV camera axes, roll included.
        focal: (T,) pixels.
        centre: (T, 2) pixels of the picture (pixel centres at +0.5) where the head's centre is.
        residual: (T,) mean distance of rigid landmarks from where the pose puts them, in canonical
            units at the head's centre; about 0.005 for a good fit.
    """

    rotation: Array
    focal: Array
    centre: Array
    residual: Array

    def __len__(self) -> int:
        return len(self.focal)

    def __getitem__(self, index: slice | NDArray) -> HeadPose:
        return HeadPose(
            self.rotation[index], self.focal[index], self.centre[index], self.residual[index]
        )

    def angles(self) -> Array:
        """(T, 3) yaw, pitch, roll in radians, as in `Camera.orbit`."""
        return angles_from_rotation(self.rotation)

    def camera(self, fov: float = FOV_WIDE) -> Camera:
        """(T,) cameras of the level, centred crops: on the sphere, without roll."""
        yaw, pitch, _ = self.angles().astype(np.float32).T
        return Camera.orbit(torch.from_numpy(yaw), torch.from_numpy(pitch), fov=fov)

    def image_from_crop(self, size: int, fov: float = FOV_WIDE) -> Array:
        """(T, 2, 3) pixels of the crop that `camera(fov)` sees to pixels of the picture."""
        roll = self.angles()[:, 2]
        step = self.focal / (focal_from_fov(fov) * size)
        cos, sin = step * np.cos(roll), step * np.sin(roll)
        turn = np.stack([np.stack([cos, -sin], -1), np.stack([sin, cos], -1)], 1)
        middle = np.full(2, size / 2)
        return np.concatenate([turn, (self.centre - turn @ middle)[:, :, None]], 2)


def fit_pose(landmarks: NDArray) -> HeadPose:
    """Fit head poses to landmarks, robustly.

    MediaPipe's landmarks nod less than the head does: they slide over the skin. The fit is taken
    as they say, then its pitch is enlarged and the head's place and scale follow.

    Args:
        landmarks: (T, 478, 2 or more) x, y in pixels.
    """
    points = canonical().points[canonical().rigid]
    seen = landmarks[:, canonical().rigid, :2].astype(np.float64)
    middle = seen.mean(1, keepdims=True)
    spread = np.sqrt(np.square(seen - middle).sum(-1).mean(1))[:, None, None]
    seen = (seen - middle) / spread

    rotation, residual = gauss_newton(points, seen)
    yaw, pitch, roll = angles_from_rotation(rotation).T
    pitch = np.clip(pitch * canonical().pitch_gain, -1.5, 1.5)
    rotation = rotation_from_angles(yaw, pitch, roll)
    focal, centre = place(points, seen, rotation)
    scale = spread[:, 0, 0]
    return HeadPose(
        rotation, focal * scale, centre * scale[:, None] + middle[:, 0], residual * RADIUS / focal
    )


def gauss_newton(points: Array, seen: Array) -> tuple[Array, Array]:
    """Minimise the reprojection error of `points` (R, 3) as `seen` (T, R, 2), with Huber's loss.

    Returns:
        (T, 3, 3) rotations and (T,) mean distance left, in units of `seen`, whose spread is 1.
    """
    rotation, focal = linear_pose(points, seen)
    centre = np.zeros((len(seen), 2))
    distance = np.zeros(seen.shape[:2])
    for _ in range(ITERATIONS):
        residual, jacobian = reprojection(points, seen, rotation, focal, centre)
        distance = np.linalg.norm(residual, axis=-1)
        limit = HUBER * 1.48 * np.median(distance, axis=1, keepdims=True) + 1e-9
        trust = np.repeat(np.minimum(1.0, limit / np.maximum(distance, 1e-12)), 2, axis=1)
        flat = jacobian.reshape(len(seen), -1, 6)
        normal = np.swapaxes(flat * trust[..., None], 1, 2)
        step = np.linalg.solve(normal @ flat, normal @ residual.reshape(len(seen), -1, 1))[..., 0]
        rotation = rotation_from_vector(-step[:, :3]) @ rotation
        focal = focal * np.exp(-step[:, 3])
        centre = centre - step[:, 4:]
    return rotation, distance.mean(1)


def linear_pose(points: Array, seen: Array) -> tuple[Array, Array]:
    """Weak-perspective start: (T, 3, 3) rotations and (T,) focal lengths by least squares."""
    design = np.concatenate([points, np.ones((len(points), 1))], 1)
    affine = np.swapaxes(np.linalg.pinv(design) @ seen[..., :2], 1, 2)[..., :3]
    left, stretch, right = np.linalg.svd(affine, full_matrices=False)
    rows = left @ right
    rotation = np.concatenate([rows, np.cross(rows[:, 0], rows[:, 1])[:, None]], 1)
    return rotation, stretch.mean(1) * RADIUS


def reprojection(
    points: Array, seen: Array, rotation: Array, focal: Array, centre: Array
) -> tuple[Array, Array]:
    """Residuals (T, R, 2) and their Jacobian (T, R, 2, 6).

    The six unknowns: a rotation vector applied on the left, log focal, centre x and y.
    """
    x, y, z = np.moveaxis(points @ np.swapaxes(rotation, 1, 2), 2, 0)
    gain = focal[:, None] / (z + RADIUS)
    u, v = x / (z + RADIUS), y / (z + RADIUS)
    flat = np.stack([gain * x, gain * y], -1)
    jacobian = np.zeros((*seen.shape, 6))
    jacobian[..., 0, 0] = -gain * u * y
    jacobian[..., 0, 1] = gain * (z + u * x)
    jacobian[..., 0, 2] = -gain * y
    jacobian[..., 1, 0] = -gain * (z + v * y)
    jacobian[..., 1, 1] = gain * v * x
    jacobian[..., 1, 2] = gain * x
    jacobian[..., 3] = flat
    jacobian[..., 0, 4] = jacobian[..., 1, 5] = 1.0
    return flat + centre[:, None] - seen, jacobian


def place(points: Array, seen: Array, rotation: Array) -> tuple[Array, Array]:
    """(T,) focal lengths and (T, 2) centres by least squares, the rotation given."""
    local = points @ np.swapaxes(rotation, 1, 2)
    flat = local[..., :2] / (local[..., 2:] + RADIUS)
    mean, target = flat.mean(1, keepdims=True), seen.mean(1, keepdims=True)
    flat = flat - mean
    focal = (flat * (seen - target)).sum((1, 2)) / np.square(flat).sum((1, 2))
    return focal, (target - focal[:, None, None] * mean)[:, 0]


def angles_from_rotation(rotation: Array) -> Array:
    """(T, 3) yaw, pitch, roll of `Camera.orbit`, from (T, 3, 3) head-to-camera rotations."""
    cameras = Camera(torch.from_numpy(np.swapaxes(rotation, 1, 2)), torch.eye(3))
    return torch.stack(cameras.angles(), -1).numpy()


def rotation_from_angles(yaw: Array, pitch: Array, roll: Array) -> Array:
    """The inverse of `angles_from_rotation`: three (T,) arrays to (T, 3, 3)."""
    zero = np.zeros_like(yaw)
    turn, nod, tilt = (
        rotation_from_vector(np.stack(vector, -1))
        for vector in ([zero, -yaw, zero], [pitch, zero, zero], [zero, zero, roll])
    )
    return tilt @ np.diag([1.0, -1.0, -1.0]) @ nod @ turn


def rotation_from_vector(vector: Array) -> Array:
    """Rodrigues: (T, 3) rotation vectors to (T, 3, 3)."""
    angle = np.linalg.norm(vector, axis=-1)[:, None, None]
    x, y, z = (vector / np.maximum(angle[..., 0], 1e-12)).T
    zero = np.zeros_like(x)
    cross = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).reshape(-1, 3, 3)
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * (cross @ cross)


def canonical_landmarks(landmarks: NDArray, pose: HeadPose) -> NDArray[np.float32]:
    """(T, 478, 3) the faces' own points in the canonical head frame, pose removed.

    Pixels and MediaPipe's z are taken back to space, then laid on the canonical head by the rigid
    motion that fits their rigid points best (Kabsch), so that they say expression and identity.

    Args:
        landmarks: (T, 478, 3) x, y in pixels and MediaPipe's z in the same scale.
        pose: what `fit_pose` found for them.
    """
    rigid, points = canonical().rigid, canonical().points[canonical().rigid]
    depth = landmarks[..., 2] * (RADIUS / pose.focal)[:, None]
    model = points @ pose.rotation[:, 2, :, None]
    depth += (model[..., 0] - depth[:, rigid]).mean(1, keepdims=True)
    rays = (landmarks[..., :2] - pose.centre[:, None]) / pose.focal[:, None, None]
    local = np.concatenate([rays * (depth[..., None] + RADIUS), depth[..., None]], -1)

    target, middle = points.mean(0), local[:, rigid].mean(1, keepdims=True)
    left, _, right = np.linalg.svd(np.swapaxes(local[:, rigid] - middle, 1, 2) @ (points - target))
    left[..., 2] *= np.linalg.det(left @ right)[:, None]
    return ((local - middle) @ (left @ right) + target).astype(np.float32)


def head_motion(pose: HeadPose) -> NDArray[np.float32]:
    """(T, 4, 4) `cam_from_head` of a take, as `Motion` keeps it.

    The take's camera stands where its middle frame has the head centred. A head away from that
    camera's axis was posed along its own viewing ray, so the ray's turn is added.
    """
    middle = len(pose) // 2
    depth = RADIUS * pose.focal[middle] / pose.focal
    aside = (pose.centre - pose.centre[middle]) / pose.focal[middle]
    ray = np.concatenate([aside, np.ones((len(pose), 1))], 1)
    axis = np.cross([0.0, 0.0, 1.0], ray)
    sine = np.linalg.norm(axis, axis=1, keepdims=True)
    vector = axis / np.maximum(sine, 1e-12) * np.arctan(sine)
    result = np.zeros((len(pose), 4, 4), np.float32)
    result[:, :3, :3] = rotation_from_vector(vector) @ pose.rotation
    result[:, :3, 3] = ray * depth[:, None]
    result[:, 3, 3] = 1.0
    return result
