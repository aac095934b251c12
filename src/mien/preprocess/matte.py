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

SIDE = 256
"""Edges are found in a picture of so many pixels a side; MediaPipe itself sees no more."""

SURE = (0.1, 0.9)
"""Below and above which MediaPipe is believed, ..."""

MARGIN, REACH = 0.02, 0.035
"""... if it says so this far around, or is as far from the edge, as shares of the picture."""

SMOOTHNESS = 1e-4
"""By how much a window's colours may vary about a line for nothing, squared, in [0, 1]²."""

LEANING = 1e-4
"""How much alpha leans on the guess where nothing that is known is near."""

TOLERANCE = 1e-3
"""Of what remains of the equations, relative; finer ones change alpha by .07 at most."""

HAZE = 0.02
"""Cover that is none, and as much of the other end."""


class Matter:
    """Says how much of each pixel belongs to the person; a context manager.

    MediaPipe's two selfie segmentations, the square and the landscape one, say together roughly
    where the person is: they err in different places. Along the outline that they draw, a matte is
    found that follows the picture's own colours (`closed_form`), hair included.
    """

    def __init__(self) -> None:
        self._segmentations = [
            Solution("selfie_segmentation", "SelfieSegmentation", model_selection=model)
            for model in (0, 1)
        ]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for segmentation in self._segmentations:
            segmentation.__exit__(*error)

    def __call__(self, crop: NDArray[np.uint8], landmarks: NDArray | None = None) -> Alpha:
        """The matte of one crop.

        Args:
            crop: (S, S, 3) RGB, a head-and-shoulders view.
            landmarks: (478, 2 or 3) in its pixels; the face inside them is never see-through.

        Returns:
            (S, S) in [0, 1].
        """
        import cv2

        size = crop.shape[0]
        hull = np.zeros((size, size), np.float32)
        if landmarks is not None:
            hull = face_hull(landmarks, size)
        rough = np.mean([find(crop).segmentation_mask for find in self._segmentations], 0)
        small, likely, solid = (
            cv2.resize(x, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for x in (crop, rough, hull)
        )
        person, unknown = parted(np.maximum(likely, solid))
        alpha = closed_form(small.astype(np.float32) / 255, person, unknown & (solid < 1))
        alpha = cv2.resize(alpha, (size, size), interpolation=cv2.INTER_LINEAR)
        guide = crop.astype(np.float32) / 255
        alpha = cv2.ximgproc.guidedFilter(guide, alpha, max(1, size // 128), 1e-5)
        alpha = np.clip((alpha - HAZE) / (1 - 2 * HAZE), 0.0, 1.0)
        return alpha if landmarks is None else connected(np.maximum(alpha, hull), landmarks)


def parted(likely: NDArray[np.floating]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Where a person likely is, and where that is to be found out: along the edge.

    Args:
        likely: (S, S) in [0, 1].

    Returns:
        Two masks (S, S): the person, and what is not sure.
    """
    import cv2

    def spread(mask: NDArray[np.bool_], share: float) -> NDArray[np.bool_]:
        side = 2 * max(1, round(share * len(mask))) + 1
        disk = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
        return cv2.dilate(mask.astype(np.uint8), disk) > 0

    person = likely > 0.5
    sure = ~spread(likely >= SURE[0], MARGIN) | ~spread(likely <= SURE[1], MARGIN)
    edge = spread(person, REACH) & spread(~person, REACH)
    return person, edge & ~sure


def closed_form(
    image: NDArray[np.floating], person: NDArray[np.bool_], unknown: NDArray[np.bool_]
) -> Alpha:
    """The matte that is everywhere nearly linear in the picture's colours.

    Closed-form matting (Levin et al. 2008): the sum over 3 × 3 windows of how far alpha is from
    its best affine function of the window's colours, at its least for what is unknown.

    Args:
        image: (S, S, 3) in [0, 1].
        person: (S, S) alpha where it is known, and a guess where not.
        unknown: (S, S) where it is not.

    Returns:
        (S, S) in [0, 1].
    """
    import cv2
    from scipy.sparse import csr_array, diags_array
    from scipy.sparse.linalg import cg

    alpha = person.astype(np.float32)
    if not unknown.any():
        return alpha
    height, width = unknown.shape
    middles = cv2.dilate(unknown.astype(np.uint8), np.ones((3, 3), np.uint8))[1:-1, 1:-1]
    y, x = np.nonzero(middles)
    steps = np.arange(3)[:, None] * width + np.arange(3)
    windows = (y * width + x)[:, None] + steps.ravel()
    colors = image.reshape(-1, 3)[windows].astype(np.float64)
    colors -= colors.mean(1, keepdims=True)
    spread = np.swapaxes(colors, 1, 2) @ colors + SMOOTHNESS * np.eye(3)
    affine = 1 / 9 + colors @ np.linalg.solve(spread, np.swapaxes(colors, 1, 2))
    rows, columns = np.broadcast_arrays(windows[:, :, None], windows[:, None])
    laplacian = csr_array(
        ((np.eye(9) - affine).ravel(), (rows.ravel(), columns.ravel())),
        shape=(height * width, height * width),
    )
    sought, known = np.flatnonzero(unknown), np.flatnonzero(~unknown)
    equations, guess = laplacian[sought], person.ravel().astype(np.float64)
    matrix = equations[:, sought] + LEANING * diags_array(np.ones(len(sought)))
    right = LEANING * guess[sought] - equations[:, known] @ guess[known]
    scaling = diags_array(1 / matrix.diagonal())
    alpha.ravel()[sought], _ = cg(matrix, right, guess[sought], rtol=TOLERANCE, M=scaling)
    return np.clip(alpha, 0.0, 1.0)


def connected(alpha: Alpha, landmarks: NDArray) -> Alpha:
    """Only what hangs together with the face: no shreds of the background."""
    import cv2

    _, parts = cv2.connectedComponents((alpha > 0.02).astype(np.uint8))
    x, y = np.clip(landmarks[NOSE_BRIDGE, :2].astype(int), 0, len(alpha) - 1)
    return np.where(parts == parts[y, x], alpha, 0).astype(np.float32)


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
