"""Finding faces: MediaPipe's detectors and face mesh, and what to do where they fail.

Landmarks are (478, 3): x, y in pixels of the picture (centres at +0.5) and MediaPipe's z, relative
depth in the same scale. MediaPipe sees large faces in small pictures well; so every face is shown
to the mesh alone, in a square window about twice its size.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from mien.errors import MienError
from mien.preprocess.crop import warp
from mien.preprocess.pose import HeadPose, canonical, fit_pose
from mien.preprocess.solution import Solution
from mien.structures import FOV_FFHQ

Image = NDArray[np.uint8]
Landmarks = NDArray[np.float64]

MIN_EYE_DISTANCE = 24.0
"""Pixels between the pupils. Below, a 512-pixel portrait enlarges the photo over four times, and
an iris has some 3 pixels: where the eyes look can no longer be seen."""

MAX_YAW, MAX_PITCH = 60.0, 45.0
"""Degrees. On synthetic heads the pose is found within 2° (RMS) up to 30° of yaw, 3° at 45°, 5° at
60°; beyond, the far eye is hidden and the mesh guesses."""

SEARCHED = 2048
"""Larger photos are searched at this size, in pixels; the mesh still sees their full detail."""

WINDOW = 512
"""Largest side in pixels of what the mesh is shown: its own input has 192."""


def face_mesh(*, video: bool) -> Solution:
    """The mesh with irises for one face; `video` follows it from frame to frame."""
    return Solution(
        "face_mesh",
        "FaceMesh",
        static_image_mode=not video,
        refine_landmarks=True,
        max_num_faces=1,
    )


def mesh_landmarks(mesh: Solution, image: Image) -> Landmarks | None:
    """(478, 3) landmarks of the face that a mesh sees in a picture, or None."""
    faces = mesh(image).multi_face_landmarks
    if not faces:
        return None
    height, width = image.shape[:2]
    points = np.array([(p.x, p.y, p.z) for p in faces[0].landmark], np.float64)
    return points * np.array([width, height, width], np.float64)


class Box(NamedTuple):
    """A square window of a picture: top left corner and side, whole pixels."""

    x: int
    y: int
    side: int

    @classmethod
    def around(cls, centre: NDArray, side: float) -> Box:
        """The box of this side about a point (2,)."""
        x, y = np.round(np.asarray(centre) - side / 2).astype(int)
        return cls(int(x), int(y), max(1, round(side)))

    def scaled(self, factor: float) -> Box:
        """The same window of the picture enlarged."""
        return Box(*(round(number * factor) for number in self))

    def cut(self, image: Image) -> Image:
        """The window, black beyond the picture's border, at most `WINDOW` pixels wide."""
        import cv2

        height, width = image.shape[:2]
        left, top = max(self.x, 0), max(self.y, 0)
        right, bottom = min(self.x + self.side, width), min(self.y + self.side, height)
        window = np.zeros((self.side, self.side, 3), np.uint8)
        if left < right and top < bottom:
            part = image[top:bottom, left:right]
            window[top - self.y : bottom - self.y, left - self.x : right - self.x] = part
        if self.side > WINDOW:
            shape = (WINDOW, WINDOW)
            return cv2.resize(window, shape, interpolation=cv2.INTER_AREA).astype(np.uint8)
        return window

    def place(self, points: Landmarks) -> Landmarks:
        """Landmarks found in `cut`'s window, in the picture."""
        step = max(1.0, self.side / WINDOW)
        return points * step + (self.x, self.y, 0)


def eye_distance(landmarks: Landmarks) -> float:
    """Pixels between the pupils, as if the face looked at the camera (z counts)."""
    return float(np.linalg.norm(landmarks[468] - landmarks[473]))


def extent(landmarks: Landmarks) -> tuple[NDArray, float]:
    """Centre (2,) and size of a face: the larger side of its bounding box."""
    low, high = landmarks[:, :2].min(0), landmarks[:, :2].max(0)
    return (low + high) / 2, float((high - low).max())


def find_faces(image: Image) -> list[Landmarks]:
    """All faces of a photo (H, W, 3), from left to right; an empty list if there are none.

    Looks at the whole picture first, then at a padded one (for faces that fill it), at overlapping
    parts (for small ones), and last at the picture turned on either side.
    """
    import cv2

    shrink = max(1.0, max(image.shape[:2]) / SEARCHED)
    small = image
    if shrink > 1:
        height, width = (max(1, round(side / shrink)) for side in image.shape[:2])
        small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA).astype(np.uint8)
    with contextlib.ExitStack() as stack:
        detectors = [
            stack.enter_context(
                Solution("face_detection", "FaceDetection", model_selection=selection)
            )
            for selection in (0, 1)
        ]
        mesh = stack.enter_context(face_mesh(video=False))
        for turns in (0, 1, 3):
            searched, turned = np.rot90(small, turns), np.rot90(image, turns)
            for windows in search_windows(searched):
                boxes = merge([box for w in windows for box in detect(detectors, searched, w)])
                boxes = [box.scaled(shrink) for box in boxes]
                faces = [mesh_landmarks(mesh, box.cut(turned)) for box in boxes]
                found = [b.place(f) for b, f in zip(boxes, faces, strict=True) if f is not None]
                found = [turn_back(face, turns, image.shape[:2]) for face in distinct(found)]
                again = [look_again(mesh, image, face) for face in found]
                if sure := [face for face in again if face is not None]:
                    return sorted(sure, key=lambda face: face[:, 0].mean())
    return []


def search_windows(image: Image) -> Iterator[list[Box]]:
    """Windows to look for faces in, in the order of trying."""
    height, width = image.shape[:2]
    middle, side = np.array([width / 2, height / 2]), max(height, width)
    yield [Box.around(middle, side)]
    yield [Box.around(middle, 2 * side)]
    for parts in (2, 4):
        part = 1.5 * side / parts
        if part < 4 * MIN_EYE_DISTANCE:
            return
        grid = (np.arange(parts) + 0.5) / parts * side
        corner = middle - side / 2
        centres = [corner + np.array([x, y]) for y in grid for x in grid]
        boxes = [Box.around(centre, part) for centre in centres]
        yield [b for b in boxes if b.x < width and b.y < height and min(b[:2]) + b.side > 0]


def detect(detectors: list[Solution], image: Image, window: Box) -> list[tuple[float, Box]]:
    """(score, box) of faces in a window; the boxes are twice the faces' size."""
    picture = window.cut(image)
    found = []
    for detector in detectors:
        for face in detector(picture).detections or ():
            area = face.location_data.relative_bounding_box
            middle = np.array([area.xmin + area.width / 2, area.ymin + area.height / 2])
            centre = (window.x, window.y) + middle * window.side
            size = max(area.width, area.height) * window.side
            found.append((face.score[0], Box.around(centre, 2 * size)))
    return found


def merge(found: list[tuple[float, Box]]) -> list[Box]:
    """Keep the surest of boxes that mean the same face."""
    kept: list[Box] = []
    for _, box in sorted(found, reverse=True):
        middle = np.array(box[:2]) + box.side / 2
        apart = [np.abs(np.array(k[:2]) + k.side / 2 - middle).max() for k in kept]
        if all(a > max(k.side, box.side) / 4 for a, k in zip(apart, kept, strict=True)):
            kept.append(box)
    return kept


def distinct(faces: list[Landmarks]) -> list[Landmarks]:
    """Drop faces that were found twice."""
    kept: list[Landmarks] = []
    for face in faces:
        centre, size = extent(face)
        if all(np.abs(extent(other)[0] - centre).max() > size / 3 for other in kept):
            kept.append(face)
    return kept


def turn_back(face: Landmarks, turns: int, shape: tuple[int, ...]) -> Landmarks:
    """Landmarks found in `np.rot90(image, turns)`, in the image of this (height, width)."""
    height, width = shape
    x, y, z = face.T
    x, y = [(x, y), (width - y, x), (width - x, height - y), (y, height - x)][turns]
    return np.stack([x, y, z], -1)


def pick_face(faces: list[Landmarks], face: int | None, where: str) -> Landmarks:
    """The face asked for, or the largest.

    Args:
        faces: from left to right, as `find_faces` gives them.
        face: 0 is the leftmost; None takes the largest.
        where: names the picture in messages.

    Raises:
        MienError: there is no face, or no such one.
    """
    if not faces:
        raise MienError(
            f"No face was found in {where}. Use a photo in which the face is well lit, looks "
            "towards the camera and is not covered."
        )
    if face is None:
        return max(faces, key=lambda f: extent(f)[1])
    if not 0 <= face < len(faces):
        count = f"{len(faces)} face{'s' if len(faces) > 1 else ''}"
        raise MienError(
            f"There is no face {face} in {where}: {count} found, counted from 0 at the left."
        )
    return faces[face]


def check_face(landmarks: Landmarks, pose: HeadPose, where: str) -> None:
    """Refuse a face that is too small or turned too far.

    Args:
        landmarks: (478, 3) pixels.
        pose: (1,) what `fit_pose` says of it.
        where: names the picture in messages.

    Raises:
        MienError: with what was measured.
    """
    eyes = eye_distance(landmarks)
    if eyes < MIN_EYE_DISTANCE:
        raise MienError(
            f"The face in {where} is too small: {eyes:.0f} pixels between the eyes, at least "
            f"{MIN_EYE_DISTANCE:.0f} are needed. Use a closer or larger photo."
        )
    yaw, pitch, _ = np.degrees(pose.angles()[0])
    if abs(yaw) > MAX_YAW or abs(pitch) > MAX_PITCH:
        raise MienError(
            f"The face in {where} is turned {abs(yaw):.0f}° to the side and {abs(pitch):.0f}° "
            f"{'down' if pitch > 0 else 'up'}; {MAX_YAW:.0f}° and {MAX_PITCH:.0f}° are the most "
            "that works. Use a photo that shows both eyes."
        )


def look_again(mesh: Solution, image: Image, landmarks: Landmarks) -> Landmarks | None:
    """A photo's face, found again level and at a constant size, and as its mirror image; averaged.

    Of the yaw error on synthetic heads this takes a tenth to a third. And it tells faces from what
    chance makes look like one: of 50 that were seen in noise and textures none was found twice
    again, of 439 in photos all were.

    Args:
        mesh: for single pictures.
        image: (H, W, 3).
        landmarks: (478, 3) as first found.

    Returns:
        (478, 3), or None if there is no face.
    """
    side = 384
    frame = fit_pose(landmarks[None]).image_from_crop(side, FOV_FFHQ)[0]
    crop = warp(image, frame, side)
    straight, mirrored = mesh_landmarks(mesh, crop), mesh_landmarks(mesh, crop[:, ::-1])
    if straight is None or mirrored is None:
        return None
    mirrored = mirrored[canonical().mirror] * (-1, 1, 1) + (side, 0, 0)
    mean = (straight + mirrored) / 2
    step = np.sqrt(np.linalg.det(frame[:, :2]))
    return np.concatenate([mean[:, :2] @ frame[:, :2].T + frame[:, 2], mean[:, 2:] * step], 1)


def find_face(image: Image, face: int | None = None, where: str = "the picture") -> Landmarks:
    """(478, 3) landmarks of one face in a photo, as well as they can be found.

    Args:
        image: (H, W, 3) uint8 RGB.
        face: which face, 0 is the leftmost; None takes the largest.
        where: names the picture in messages.

    Raises:
        MienError: no face, or no such one; too small; turned too far.
    """
    landmarks = pick_face(find_faces(image), face, where)
    check_face(landmarks, fit_pose(landmarks[None]), where)
    return landmarks


class FaceTracker:
    """Follows one face through the frames of a video.

    The mesh is shown a window around the face that stands still until the face nears its border,
    so that it neither sees other people nor a face too small.

    Args:
        face: which of the first frame's faces, 0 is the leftmost; None follows the largest.
    """

    def __init__(self, face: int | None = None) -> None:
        self._face = face
        self._mesh = face_mesh(video=True)
        self._window: Box | None = None
        self._last: Landmarks | None = None
        self._looked_at: NDArray | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: Any) -> None:
        self._mesh.__exit__(*error)

    def track(self, frame: Image) -> Landmarks | None:
        """(478, 3) landmarks in the next frame (H, W, 3), or None where the face is not seen.

        Raises:
            MienError: the first frame with faces has no face of the number asked for.
        """
        if self._window is not None:
            seen = self._look(self._window.cut(frame))
            if seen is not None:
                self._last = self._window.place(seen)
                self._follow()
                return self._last
        self._window = None
        faces = find_faces(frame)
        if not faces:
            return None
        if self._last is None:
            self._last = pick_face(faces, self._face, "the video")
        else:
            at = extent(self._last)[0]
            self._last = min(faces, key=lambda f: float(np.linalg.norm(extent(f)[0] - at)))
        self._follow()
        return self._last

    def _follow(self) -> None:
        """Move the window if the face has left its middle or changed its size."""
        assert self._last is not None
        centre, size = extent(self._last)
        if self._window is not None:
            middle = np.array(self._window[:2]) + self._window.side / 2
            ratio = self._window.side / size
            if np.abs(centre - middle).max() < 0.6 * size and 2.2 < ratio < 4.5:
                return
        self._window = Box.around(centre, 3 * size)

    def _look(self, view: Image) -> Landmarks | None:
        """Landmarks in a window. The mesh looks where the face was last; if the face has leapt
        from there, or the window has moved, it sees it askew: then it looks again."""
        seen = mesh_landmarks(self._mesh, view)
        if seen is not None and self._leapt(seen):
            seen = mesh_landmarks(self._mesh, view)
        self._looked_at = None if seen is None else extent(seen)[0]
        return seen

    def _leapt(self, seen: Landmarks) -> bool:
        centre, size = extent(seen)
        return self._looked_at is None or np.abs(centre - self._looked_at).max() > 0.15 * size
