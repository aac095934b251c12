"""Where hair grows from: random places on the triangles of a head.

Axis legend: V points, F triangles, n roots.
"""

from __future__ import annotations

import numpy as np


class Surface:
    """Triangles on which roots are scattered, with what is asked of them for every person.

    Args:
        points: (V, 3); faces: (F, 3) indices into them.

    Attributes:
        corners: (F, 3, 3); middle: (F, 3); area: (F,) twice the triangles' areas.
    """

    def __init__(self, points: np.ndarray, faces: np.ndarray) -> None:
        self.points, self.faces = points, faces
        self.corners = points[faces]
        self.middle = self.corners.mean(1)
        edges = self.corners[:, 1:] - self.corners[:, :1]
        self.area = np.linalg.norm(np.cross(edges[:, 0], edges[:, 1]), axis=1)

    def scatter(
        self, rng: np.random.Generator, share: np.ndarray, count: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Random places, as dense as `share` (F,) says.

        Returns (n,) triangles and (n, 3) weights of their corners.
        """
        weight = self.area * share + 1e-12
        chosen = rng.choice(len(weight), count, p=weight / weight.sum())
        split = np.sort(rng.random((count, 2)), 1)
        return chosen, np.stack([split[:, 0], split[:, 1] - split[:, 0], 1 - split[:, 1]], -1)
