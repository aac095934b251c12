"""Where a face is, as a box: what the paper's motion encoder crops frames by."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from mien.preprocess.solution import Solution


class FaceDetector:
    """MediaPipe's detector of near faces, for networks that crop faces by its boxes."""

    def __init__(self) -> None:
        self._detector = Solution("face_detection", "FaceDetection", model_selection=0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: Any) -> None:
        self._detector.__exit__(*error)

    def __call__(
        self, image: NDArray[np.uint8], landmarks: NDArray | None = None
    ) -> tuple[float, float, float, float] | None:
        """Left, top, right, bottom of a face in pixels, which may leave the picture; or None.

        Args:
            image: (H, W, 3).
            landmarks: (478, 2 or 3) of the face that is meant; None takes the surest.
        """
        found = self._detector(image).detections or ()
        height, width = image.shape[:2]
        boxes = []
        for face in found:
            area = face.location_data.relative_bounding_box
            left, top = area.xmin * width, area.ymin * height
            box = (left, top, left + area.width * width, top + area.height * height)
            if landmarks is None:
                boxes.append((-face.score[0], box))
                continue
            middle = np.array([box[0] + box[2], box[1] + box[3]]) / 2
            away = np.abs(middle - landmarks[:, :2].mean(0)).max()
            if away < (box[2] - box[0]) / 2:
                boxes.append((away, box))
        return min(boxes)[1] if boxes else None
