"""Functions of space kept on a grid, because strands ask for them a million times.

Rest coordinates, cm. Axis legend: X Y Z cells, n points, C channels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse import csr_matrix
from scipy.spatial import KDTree

STEP = 1.0
"""Side of a cell; on a surface with a head's curvature, heights are then right within 0.2 mm."""

_LOW, _HIGH = np.array([-26.0, -42.0, -22.0]), np.array([26.0, 28.0, 24.0])


def grid_points() -> np.ndarray:
    """(X, Y, Z, 3) corners of the cells, around head and shoulders."""
    axes = [np.arange(low, high + STEP, STEP) for low, high in zip(_LOW, _HIGH, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), -1)


@dataclass(frozen=True)
class Field:
    """Values (X, Y, Z, C), f32, at corners `step` apart, the first where `grid_points` begins."""

    values: np.ndarray
    step: float = STEP

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Values (..., C) at points (..., 3), between the cells' corners linearly."""
        return self.rows(points.reshape(-1, 3).T).T.reshape(*points.shape[:-1], -1)

    def rows(self, points: np.ndarray) -> np.ndarray:
        """Values (C, n) at points (3, n): as above, a row for each coordinate and channel."""
        grid = np.empty((points.shape[1], 3), np.float32)
        for axis, last in enumerate(np.array(self.values.shape[:3]) - 1):
            scale = 2 / (self.step * last)
            # torch names the last axis first.
            grid[:, 2 - axis] = points[axis] * scale - (_LOW[axis] * scale + 1)
        read = torch.nn.functional.grid_sample(
            torch.from_numpy(self.values).permute(3, 0, 1, 2)[None],
            torch.from_numpy(grid)[None, None, None],
            padding_mode="border",
            align_corners=True,
        )
        return read[0, :, 0, 0].numpy()


class Ground:
    """The surface that hair grows on and slides over.

    Args:
        points: (n, 3) of head and torso; normals: (n, 3).
    """

    def __init__(self, points: np.ndarray, normals: np.ndarray) -> None:
        self.points, self.normals = points, normals
        grid = grid_points()
        flat = grid.reshape(-1, 3)
        distance, near = KDTree(points).query(flat, k=3)
        weight = 1.0 / (distance + 0.05)
        weight /= weight.sum(1, keepdims=True)
        normal = (normals[near] * weight[..., None]).sum(1)
        height = (((flat[:, None] - points[near]) * normals[near]).sum(-1) * weight).sum(1)
        values = np.concatenate([height[:, None], normal], 1).astype(np.float32)
        self.field = Field(values.reshape(*grid.shape[:3], 4))

    def height(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Signed distance (...,) above the surface and its unit normal (..., 3)."""
        height, normal = self.height_rows(points.reshape(-1, 3).T)
        return height.reshape(points.shape[:-1]), normal.T.reshape(points.shape)

    def height_rows(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Signed distance (n,) above the surface at points (3, n) and its unit normal (3, n)."""
        found = self.field.rows(points)
        normal = found[1:]
        return found[0], normal / (np.sqrt((normal * normal).sum(0)) + np.float32(1e-9))


class Carriage:
    """Carries rest coordinates to people's heads by the motion of the skin nearby.

    Args:
        rest: (n, 3) skin of nobody.
    """

    def __init__(self, rest: np.ndarray) -> None:
        self.rest = rest
        self.grid = grid_points()[::2, ::2, ::2]
        distance, near = KDTree(rest).query(self.grid.reshape(-1, 3), k=6)
        weight = 1.0 / (distance**2 + 0.4)
        weight /= weight.sum(1, keepdims=True)
        cells = np.arange(distance.shape[0])
        place = np.repeat(cells, 6), np.ravel(near)
        self.mean = csr_matrix((weight.ravel(), place), shape=(len(cells), len(rest)))

    def to(self, posed: np.ndarray) -> Field:
        """The displacement (…, 3) that brings rest coordinates along with this skin (n, 3)."""
        shift = self.mean @ (posed - self.rest)
        return Field(shift.reshape(self.grid.shape).astype(np.float32), 2 * STEP)
