"""Make `canonical.npz`: where MediaPipe's 478 landmarks lie on a neutral head.

    python tools/make_canonical_landmarks.py FACEKIT_FOLDER src/mien/preprocess/canonical.npz

FaceKit's neutral head (ICT-FaceKit, MIT) is drawn from known cameras, MediaPipe finds its landmarks
in each picture, and the rays through them are cast back on the mesh. The canonical frame is chosen
such that the frontal EG3D camera crops this head as FFHQ's rule would (Karras et al. 2019).

Axis legend: V vertices, F triangles, L landmarks. FaceKit's frame is in centimetres, x to the
person's left, y up, z out of the face.
"""

from __future__ import annotations

import argparse
import itertools
from dataclasses import dataclass
from pathlib import Path

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from mien.preprocess.face import face_mesh, mesh_landmarks
from mien.preprocess.pose import angles_from_rotation, gauss_newton
from mien.structures import FOV_FFHQ, LANDMARKS, RADIUS, Camera, focal_from_fov

HIDDEN_PARTS = range(11, 19)
"""Tear fluid, blend and occlusion shells, lash cards: all but clear, opaque without a texture."""

CLEAR_CORNEA = 0.8
"""Centimetres around the optical axis in which the sclera mesh is the clear cornea."""

SKIN, LIPS, BROW, SCLERA, IRIS, PUPIL, MOUTH = (
    np.array(rgb, np.float32) / 255
    for rgb in (
        (224, 180, 156),
        (186, 96, 92),
        (92, 64, 48),
        (236, 232, 228),
        (84, 112, 128),
        (16, 12, 12),
        (110, 50, 50),
    )
)

VIEWS = tuple(
    itertools.product(np.radians([-30, -20, -10, 0, 10, 20, 30]), np.radians([-15, 0, 15]))
)
"""(yaw, pitch) of the cameras that the head is drawn from."""

STEADY = 0.7
"""Centimetres by which MediaPipe may misplace a rigid landmark from view to view (RMS)."""

STILL = 0.6
"""Centimetres by which any one expression may move a rigid landmark."""


@dataclass(frozen=True)
class Mesh:
    """A coloured triangle mesh in the canonical head frame.

    Args:
        vertices: (V, 3).
        triangles: (F, 3) indices, counter-clockwise from outside.
        colors: (F, 3) RGB in [0, 1].
    """

    vertices: NDArray[np.float32]
    triangles: NDArray[np.int32]
    colors: NDArray[np.float32]


def load_facekit(folder: Path) -> tuple[Mesh, NDArray[np.float32]]:
    """The neutral head, plainly coloured, and its 68 Multi-PIE landmarks; in FaceKit's frame."""
    data = np.load(folder / "facekit.npz")
    vertices, triangles, part = data["vertices"], data["triangles"], data["triangle_part"]
    marks = vertices[data["landmarks68"]]
    middle = vertices[triangles].mean(1)

    colors = np.tile(SKIN, (len(triangles), 1))
    for parts, color in [((2, 5), MOUTH), ((6, 7, 9), SCLERA), ((8, 10), IRIS)]:
        colors[np.isin(part, parts)] = color
    skin = (part == 0) & (middle[:, 2] > 5)
    for brow in (marks[17:22], marks[22:27]):
        dense = np.concatenate([np.linspace(a, b, 20) for a, b in itertools.pairwise(brow)])
        near = np.linalg.norm(middle[:, None] - dense[None], axis=-1).min(1)
        colors[skin & (near < 0.4)] = BROW
    colors[skin & inside_polygon(middle[:, :2], marks[48:60, :2])] = LIPS

    keep = ~np.isin(part, HIDDEN_PARTS)
    for side, sclera, iris in (("left", 7, 8), ("right", 9, 10)):
        centre = data[f"eye_center_{side}"]
        off_axis = np.linalg.norm((middle - centre)[:, :2], axis=1)
        keep &= ~((part == sclera) & (off_axis < CLEAR_CORNEA) & (middle[:, 2] > centre[2]))
        colors[(part == iris) & (off_axis < 0.22)] = PUPIL
    return Mesh(vertices, triangles[keep], colors[keep]), marks


def inside_polygon(points: NDArray, polygon: NDArray) -> NDArray[np.bool_]:
    """Which of (N, 2) points lie inside a (K, 2) polygon, by the even-odd rule."""
    ax, ay = polygon.T
    bx, by = np.roll(polygon, -1, axis=0).T
    x, y = points[:, :1], points[:, 1:]
    straddles = (ay > y) != (by > y)
    left = x < ax + (y - ay) * (bx - ax) / np.where(by == ay, 1.0, by - ay)
    return (straddles & left).sum(1) % 2 == 1


def canonical_from_facekit(vertices: NDArray, marks: NDArray) -> tuple[float, NDArray[np.float64]]:
    """(scale, offset) such that canonical = scale * (facekit - offset).

    The origin lies between the ears, at the height of the middle of the FFHQ crop; the scale makes
    the frontal EG3D framing as wide as that crop.
    """
    ears = np.abs(vertices[:, 0]) > 7.6
    ears &= (vertices[:, 1] > -1) & (vertices[:, 1] < 8)
    depth = vertices[ears, 2].mean()
    width = 1 / focal_from_fov(FOV_FFHQ)
    scale, height = 0.024, 3.0
    for _ in range(20):
        points = (marks - (0, height, depth)) * scale
        seen = points[:, :2] / (RADIUS - points[:, 2:])
        eyes = np.stack([seen[36:42].mean(0), seen[42:48].mean(0)])
        to_mouth = seen[[48, 54]].mean(0) - eyes.mean(0)
        half = max(2.0 * np.linalg.norm(eyes[1] - eyes[0]), 1.8 * np.linalg.norm(to_mouth))
        middle = eyes.mean(0) + 0.1 * to_mouth
        scale *= width / (2 * half)
        height += middle[1] * RADIUS / scale
    return float(scale), np.array([0.0, height, depth])


def render(mesh: Mesh, camera: Camera, size: int, oversample: int = 2) -> NDArray[np.uint8]:
    """Draw a mesh, lit from the camera's upper left, over grey: (size, size, 3) RGB."""
    view = camera.cam_from_world.numpy().astype(np.float64)
    local = mesh.vertices @ view[:3, :3].T + view[:3, 3]
    pixels = (local / local[:, 2:]) @ camera.intrinsics.numpy().T.astype(np.float64)
    corners = mesh.vertices[mesh.triangles]
    faces = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals = np.zeros_like(mesh.vertices)
    for corner in range(3):
        np.add.at(normals, mesh.triangles[:, corner], faces)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True) + 1e-12
    light = np.array([-0.3, -0.5, -0.8]) @ view[:3, :3]
    shade = (0.45 + 0.6 * np.abs(normals @ light)).astype(np.float32)
    full = size * oversample
    image = np.full((full, full, 3), 0.62, np.float32)
    draw_triangles(pixels[:, :2] * full, 1 / local[:, 2], mesh.triangles, mesh.colors, shade, image)
    image = image.reshape(size, oversample, size, oversample, 3).mean((1, 3))
    return (image.clip(0, 1) * 255).round().astype(np.uint8)


@numba.njit(cache=True)
def draw_triangles(pixels, nearness, triangles, colors, shade, image) -> None:
    """Z-buffer: pixels (V, 2), nearness (V,) is 1/depth, shade (V,); draws into image in place."""
    height, width = image.shape[:2]
    buffer = np.zeros((height, width))
    for f in range(len(triangles)):
        i, j, k = triangles[f]
        (ax, ay), (bx, by), (cx, cy) = pixels[i], pixels[j], pixels[k]
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if abs(area) < 1e-12:
            continue
        for y in range(max(0, int(min(ay, by, cy))), min(height, int(max(ay, by, cy)) + 1)):
            for x in range(max(0, int(min(ax, bx, cx))), min(width, int(max(ax, bx, cx)) + 1)):
                px, py = x + 0.5, y + 0.5
                v = ((px - ax) * (cy - ay) - (py - ay) * (cx - ax)) / area
                w = ((bx - ax) * (py - ay) - (by - ay) * (px - ax)) / area
                u = 1 - v - w
                near = u * nearness[i] + v * nearness[j] + w * nearness[k]
                if min(u, v, w) >= 0 and near > buffer[y, x]:
                    buffer[y, x] = near
                    light = u * shade[i] + v * shade[j] + w * shade[k]
                    for c in range(3):
                        image[y, x, c] = colors[f, c] * light


@numba.njit(cache=True)
def cast_rays(origin, directions, vertices, triangles):
    """Nearest hit of each ray: points (L, 3) and cosine to the surface normal (L,), 0 for a miss.

    Moeller and Trumbore's test against every triangle; those seen from behind are passed through.
    """
    hits, cosines = np.zeros_like(directions), np.zeros(len(directions))
    for r in range(len(directions)):
        d, nearest = directions[r], np.inf
        for f in range(len(triangles)):
            a = vertices[triangles[f, 0]]
            e, g, s = vertices[triangles[f, 1]] - a, vertices[triangles[f, 2]] - a, origin - a
            normal = np.cross(e, g)
            slope = -np.dot(d, normal)
            if slope <= 1e-12:
                continue
            distance = np.dot(s, normal) / slope
            across = np.cross(d, s)
            u, v = -np.dot(g, across) / slope, np.dot(e, across) / slope
            if u < 0 or v < 0 or u + v > 1 or distance <= 0 or distance >= nearest:
                continue
            nearest = distance
            hits[r] = origin + distance * d
            cosines[r] = slope / (np.linalg.norm(normal) * np.linalg.norm(d))
    return hits, cosines


def locate_landmarks(mesh: Mesh) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(L, 3) canonical points, and where each view shows them: (views, L, 2), in image sizes.

    A point is the mean of the views that see it, those that face it most. On the far side of a
    turned face MediaPipe's outline slides along the silhouette, so the sides count only where the
    camera stands on their side.
    """
    size = 768
    total, weight = np.zeros((LANDMARKS, 3)), np.zeros((LANDMARKS, 1))
    seen = []
    for yaw, pitch in VIEWS:
        camera = Camera.orbit(float(yaw), float(pitch))
        with face_mesh(video=False) as finder:
            landmarks = mesh_landmarks(finder, render(mesh, camera, size))
        assert landmarks is not None
        found = landmarks[:, :2] / size
        seen.append(found)
        pose = camera.world_from_cam.numpy().astype(np.float64)
        lens = np.linalg.inv(camera.intrinsics.numpy().astype(np.float64))
        rays = np.concatenate([found, np.ones((LANDMARKS, 1))], 1) @ (pose[:3, :3] @ lens).T
        hits, cosines = cast_rays(
            pose[:3, 3],
            np.ascontiguousarray(rays),
            mesh.vertices.astype(np.float64),
            mesh.triangles,
        )
        turned_to_us = (np.abs(hits[:, 0]) < 0.08) | (hits[:, 0] * yaw > 0)
        facing = cosines[:, None] ** 2 * turned_to_us[:, None]
        total += facing * hits
        weight += facing
    return total / weight, np.stack(seen)


def rigid_landmarks(
    seen: NDArray, points: NDArray, mirror: NDArray, facekit_points: NDArray, folder: Path
) -> NDArray[np.int16]:
    """Landmarks that MediaPipe places steadily and that no FaceKit expression moves far."""
    tensor = torch.from_numpy(points.astype(np.float32))
    shown = [Camera.orbit(float(yaw), float(pitch)).project(tensor).numpy() for yaw, pitch in VIEWS]
    slide = np.sqrt(np.square(seen - shown).sum(-1).mean(0))
    slide *= np.ptp(facekit_points[:, 0]) / np.ptp(np.array(shown)[..., 0], axis=1).max()

    data = np.load(folder / "facekit.npz")
    skin = np.flatnonzero(data["vertex_part"] == 0)
    nearest = skin[cKDTree(data["vertices"][skin]).query(facekit_points)[1]]
    moved = np.linalg.norm(data["expression_deltas"][:53, nearest].astype(np.float32), axis=-1)
    moved = moved.max(0)
    rigid = (np.maximum(slide, slide[mirror]) < STEADY) & (np.maximum(moved, moved[mirror]) < STILL)
    return np.flatnonzero(rigid[:468]).astype(np.int16)


def pitch_gain(seen: NDArray, points: NDArray) -> float:
    """Pitch of the head over pitch that its landmarks show, by least squares over the views."""
    spread = seen.std((1, 2), keepdims=True)
    rotation, _ = gauss_newton(points, (seen - seen.mean(1, keepdims=True)) / spread)
    shown, true = angles_from_rotation(rotation)[:, 1], np.array(VIEWS)[:, 1]
    return float(shown @ true / (shown @ shown))


def mirror_pairs(points: NDArray) -> NDArray[np.int16]:
    """(L,) the landmark on the other side of each.

    MediaPipe numbers the middle and one side of the face first (0 to 247), then the other side in
    the same order: so it is enough to know which 28 lie in the middle. The irises come last.
    """
    first, second = np.arange(248), np.arange(248, 468)
    middle = np.argsort(np.abs(points[first, 0]))[: len(first) - len(second)]
    mirror = np.arange(LANDMARKS)
    side = np.setdiff1d(first, middle)
    mirror[side], mirror[second] = second, side
    mirror[468:] = [473, 476, 475, 474, 477, 468, 471, 470, 469, 472]
    apart = np.linalg.norm(points[mirror] * (-1, 1, 1) - points, axis=1)
    if apart.max() > 0.05:
        raise SystemExit(
            f"landmarks {np.flatnonzero(apart > 0.05)} are far from their mirror image"
        )
    return mirror.astype(np.int16)


def main() -> None:
    """Make the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("facekit", type=Path)
    parser.add_argument("output", type=Path)
    args = parser.parse_args()

    head, marks = load_facekit(args.facekit)
    scale, offset = canonical_from_facekit(head.vertices, marks)
    head = Mesh(((head.vertices - offset) * scale).astype(np.float32), head.triangles, head.colors)
    points, seen = locate_landmarks(head)
    mirror = mirror_pairs(points)
    points = (points + points[mirror] * (-1, 1, 1)) / 2
    rigid = rigid_landmarks(seen, points, mirror, points / scale + offset, args.facekit)
    np.savez_compressed(
        args.output,
        points=points.astype(np.float32),
        rigid=rigid,
        mirror=mirror,
        pitch_gain=np.float32(pitch_gain(seen[:, rigid], points[rigid])),
        facekit_scale=np.float32(scale),
        facekit_offset=offset.astype(np.float32),
    )
    print(f"1 unit = {1 / scale:.2f} cm, origin at {offset.round(2)} cm, {len(rigid)} rigid points")


if __name__ == "__main__":
    main()
