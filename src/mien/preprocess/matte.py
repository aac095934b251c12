"""Cutting the person out of a crop, and the person's own colours at soft edges."""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import NDArray

from mien.preprocess.solution import Solution

Alpha = NDArray[np.float32]

NOSE_BRIDGE = 6
"""A landmark that is inside the face's hull from all sides."""

HULL_MARGIN = 0.04
"""How far inside its outline the face is taken as solid, as a share of its size."""


class Matter:
    """Says how much of each pixel belongs to the person; a context manager.

    MediaPipe's selfie segmentation says roughly where the person is; guided filters (He et al.
    2013), a wide and a narrow one, pull its edge to the picture's, hair included.
    """

    def __init__(self) -> None:
        self._segmentation = Solution(
            "selfie_segmentation", "SelfieSegmentation", model_selection=0
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._segmentation.__exit__(*error)

    def __call__(self, crop: NDArray[np.uint8], landmarks: NDArray | None = None) -> Alpha:
        """The matte of one crop.

        Args:
            crop: (S, S, 3) RGB, a head-and-shoulders view.
            landmarks: (478, 2 or 3) in its pixels; the face inside them is never see-through.

        Returns:
            (S, S) in [0, 1].
        """
        import cv2

        size, guide = crop.shape[0], crop.astype(np.float32) / 255
        alpha = smoothstep(self._segmentation(crop).segmentation_mask, 0.3, 0.7)
        alpha = cv2.ximgproc.guidedFilter(guide, alpha, max(2, size // 32), 1e-4)
        alpha = smoothstep(alpha, 0.05, 0.95)
        alpha = cv2.ximgproc.guidedFilter(guide, alpha, max(1, size // 128), 1e-4)
        alpha = np.clip((alpha - 0.1) / 0.8, 0.0, 1.0)
        if landmarks is not None:
            alpha = connected(np.maximum(alpha, face_hull(landmarks, size)), landmarks)
        return alpha


def connected(alpha: Alpha, landmarks: NDArray) -> Alpha:
    """Only what hangs together with the face: no shreds of the background."""
    import cv2

    _, parts = cv2.connectedComponents((alpha > 0.02).astype(np.uint8))
    x, y = np.clip(landmarks[NOSE_BRIDGE, :2].astype(int), 0, len(alpha) - 1)
    return np.where(parts == parts[y, x], alpha, 0).astype(np.float32)


def smoothstep(values: NDArray, low: float, high: float) -> Alpha:
    """0 below `low`, 1 above `high`, smooth between."""
    share = np.clip((values - low) / (high - low), 0.0, 1.0)
    return (share * share * (3 - 2 * share)).astype(np.float32)


def face_hull(landmarks: NDArray, size: int) -> Alpha:
    """(size, size) one inside the face's outline, a little drawn in; zero outside."""
    import cv2

    points = landmarks[:468, :2]
    middle = points.mean(0)
    hull = cv2.convexHull((middle + (points - middle) * (1 - HULL_MARGIN)).astype(np.float32))
    mask = np.zeros((size, size), np.float32)
    cv2.fillConvexPoly(mask, np.round(hull).astype(np.int32), (1.0,))
    return mask


def foreground(crop: NDArray[np.uint8], alpha: Alpha) -> NDArray[np.float32]:
    """The person's own colour where the background shines through a soft edge.

    Blur fusion (Forte 2021): foreground and background colours are first averaged nearby, weighted
    by alpha, then corrected so that they mix to the picture; once coarse, once fine.

    Args:
        crop: (S, S, 3) RGB.
        alpha: (S, S).

    Returns:
        (S, S, 3) in [0, 1], not premultiplied.
    """
    import cv2

    image = crop.astype(np.float32) / 255
    solid = alpha[..., None]
    front = back = image
    for side in (max(3, crop.shape[0] // 6), 7):
        weight = cv2.blur(alpha, (side, side))[..., None]
        near_front = cv2.blur(front * solid, (side, side)) / (weight + 1e-5)
        near_back = cv2.blur(back * (1 - solid), (side, side)) / (1 - weight + 1e-5)
        error = image - solid * near_front - (1 - solid) * near_back
        front = np.clip(near_front + solid * error, 0.0, 1.0)
        back = np.clip(near_back, 0.0, 1.0)
    return front
