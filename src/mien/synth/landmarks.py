"""Where MediaPipe's 478 landmarks lie on the rig, and the frame that they are said in."""

from __future__ import annotations

import numpy as np
from scipy.spatial import KDTree

from mien.preprocess.pose import canonical
from mien.synth.rig import ARKIT, Rig

UPPER_LIP = (191, 80, 81, 82, 13, 312, 311, 310, 415)
LOWER_LIP = (95, 88, 178, 87, 14, 317, 402, 318, 324)
"""Landmarks of the lips' inner edges, without the corners."""


def to_canonical(points: np.ndarray) -> np.ndarray:
    """FaceKit's centimetres (..., 3) to the canonical head frame."""
    frame = canonical()
    return (frame.facekit_scale * (points - frame.facekit_offset)).astype(np.float32)


def attach_landmarks(rig: Rig) -> tuple[np.ndarray, np.ndarray]:
    """The 478 landmarks as points of triangles: vertices (478, 3) and their weights (478, 3).

    Each canonical landmark goes to the nearest point of the neutral skin; irises to the eyeball.
    Closed lips touch: the lower one's landmarks go to skin that follows the jaw.
    """
    frame = canonical()
    points = frame.points / frame.facekit_scale + frame.facekit_offset
    rest = rig.vertices.numpy().astype(np.float64)
    skin = rig.faces_of("skin").numpy()
    drop = rig.expression[ARKIT.index("jawOpen")].reshape(-1, 3).norm(dim=1).numpy()[skin].mean(1)
    low = drop > 0.5 * drop.max()
    lips = np.array([*UPPER_LIP, *LOWER_LIP])
    groups = [
        (np.setdiff1d(np.arange(468), lips), skin),
        (np.array(UPPER_LIP), skin[~low]),
        (np.array(LOWER_LIP), skin[low]),
        (np.arange(468, 473), rig.faces_of("eye_right").numpy()),
        (np.arange(473, 478), rig.faces_of("eye_left").numpy()),
    ]
    corners, weights = np.zeros((478, 3), int), np.zeros((478, 3))
    for which, faces in groups:
        corners[which], weights[which] = nearest_on_mesh(points[which], rest, faces)
    return corners, weights


def nearest_on_mesh(
    points: np.ndarray, vertices: np.ndarray, faces: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (n, 3) and weights (n, 3) of the surface points nearest to `points` (n, 3)."""
    middles = vertices[faces].mean(1)
    count = min(24, len(faces))
    _, near = KDTree(middles).query(points, k=count)
    near = near.reshape(len(points), count)
    a, b, c = (vertices[faces[near][..., i]] for i in range(3))
    u, v, w = b - a, c - a, points[:, None] - a
    uu, uv, vv = (u * u).sum(-1), (u * v).sum(-1), (v * v).sum(-1)
    wu, wv = (w * u).sum(-1), (w * v).sum(-1)
    det = np.maximum(uu * vv - uv * uv, 1e-12)
    bary = np.stack([(vv * wu - uv * wv) / det, (uu * wv - uv * wu) / det], -1)
    bary = np.concatenate([1 - bary.sum(-1, keepdims=True), bary], -1).clip(0, None)
    bary /= bary.sum(-1, keepdims=True)
    place = (np.stack([a, b, c], 2) * bary[..., None]).sum(2)
    best = ((place - points[:, None]) ** 2).sum(-1).argmin(1)
    rows = np.arange(len(points))
    return faces[near[rows, best]], bary[rows, best]


def alignment(corners: np.ndarray, weights: np.ndarray, vertices: np.ndarray) -> np.ndarray:
    """(4, 4) similarity in cm that lays a neutral head (V, 3) on the canonical one.

    Photos are cropped so that their rigid landmarks agree with the canonical ones in place, size
    and direction; a made head has to stand in its frame the same way (least squares, Umeyama 1991).
    """
    frame = canonical()
    target = frame.points[frame.rigid] / frame.facekit_scale + frame.facekit_offset
    source = (vertices[corners] * weights[..., None]).sum(1)[frame.rigid]
    a, b = source - source.mean(0), target - target.mean(0)
    left, stretch, right = np.linalg.svd(b.T @ a)
    sign = np.array([1.0, 1.0, np.linalg.det(left @ right)])
    result = np.eye(4)
    result[:3, :3] = (left * sign) @ right * ((stretch * sign).sum() / np.square(a).sum())
    result[:3, 3] = target.mean(0) - result[:3, :3] @ source.mean(0)
    return result
