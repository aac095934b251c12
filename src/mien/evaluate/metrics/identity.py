"""Whether two pictures show the same person, by dlib's face descriptor.

The descriptor has 128 numbers; dlib's authors call two faces the same person under a distance of
0.6. The face is placed by our own landmarks instead of dlib's detector, which misses turned and
expressive faces: the numbers come out the same (0.03 apart at the median, where two pictures of
one person are 0.25 apart) and no frame is left out for being hard.
"""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.errors import MienError
from mien.evaluate.extras import require

BOX = 0.97
"""Side of dlib's face box over the mean extent of the landmarks (measured on 340 photos)."""


def descriptor(image: NDArray[np.uint8], landmarks: NDArray[np.floating]) -> NDArray[np.float64]:
    """The 128 numbers of one face.

    Args:
        image: (H, W, 3) RGB.
        landmarks: (478, 2) the face's points in pixels of the image.

    Raises:
        MienError: dlib or its models are not installed.
    """
    dlib, shape, network = networks()
    low, high = landmarks.min(0), landmarks.max(0)
    half = BOX * np.sqrt(np.prod(high - low)) / 2
    corners = np.concatenate([(low + high) / 2 - half, (low + high) / 2 + half])
    box = dlib.rectangle(*(round(float(v)) for v in corners))
    image = np.ascontiguousarray(image)
    return np.array(network.compute_face_descriptor(image, shape(image, box)))


@cache
def networks() -> tuple[Any, Any, Any]:
    """Dlib itself, its landmark predictor and its descriptor network, loaded once.

    Raises:
        MienError: dlib or its models are not installed.
    """
    dlib = require("dlib")
    # The package's own import needs setuptools; all that is wanted from it is where it lies.
    found = importlib.util.find_spec("face_recognition_models")
    if found is None or not found.submodule_search_locations:
        raise MienError(
            "Measuring identity needs the package face_recognition_models, which is not "
            'installed: run `pip install "mien[eval]"`.'
        )
    folder = Path(found.submodule_search_locations[0]) / "models"
    shape = dlib.shape_predictor(str(folder / "shape_predictor_68_face_landmarks.dat"))
    name = "dlib_face_recognition_resnet_model_v1.dat"
    return dlib, shape, dlib.face_recognition_model_v1(str(folder / name))


def identity_distances(
    reference: NDArray[np.floating], descriptors: NDArray[np.floating]
) -> NDArray[np.floating]:
    """Distance of each descriptor (T, 128) to the reference (128,), (T,); NaN stays NaN."""
    return np.linalg.norm(descriptors - reference, axis=-1)
