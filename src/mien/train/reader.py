"""The reader: a small network that reads expression and view off a picture of a face.

It learns on true frames, beside the student, from the landmarks and cameras that the frames carry;
then it reads the student's render and the true frame, and the difference is a loss. Pixels hardly
notice where an iris is or how far a brow rose; the reader notices nothing else, and in units in
which every movement counts alike. No download, no second stage.

Axis legend: B batch, S signals, H W pixels.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from mien.model.motion import LandmarkMotion
from mien.structures import LANDMARKS, Camera

SIDE = 192
"""Side of the face crop that is read: near the size of faces in 448² frames."""

FACE = (33, 263, 61, 291, 168, 152, 10)
"""Landmarks whose mean is the face's middle."""

FACE_RADIUS = 0.18
"""Half the crop's side, in canonical units: brows to chin with some room."""

LIDS = (33, 246, 161, 160, 159, 158, 157, 173, 133, 155, 154, 153, 145, 144, 163, 7)
LIDS += (263, 466, 388, 387, 386, 385, 384, 398, 362, 382, 381, 380, 374, 373, 390, 249)
BROWS = (70, 63, 105, 66, 107, 46, 53, 52, 65, 55, 300, 293, 334, 296, 336, 276, 283, 282, 295, 285)
LIPS = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146)
LIPS += (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95)
JAW = (152, 148, 377, 176, 400, 50, 280)
POINTS = LIDS + BROWS + LIPS + JAW

EYE_SIGNALS = range(3 * LANDMARKS, 3 * LANDMARKS + 6)
"""Where gaze and lid openings stand among the signals of `LandmarkMotion`."""

SHARES = (
    (LIDS, 1.0),
    (BROWS, 2.0),
    (LIPS, 2.0),
    (JAW, 0.5),
)
"""How much each group of points counts, whatever its size; `EYE_SIGNALS` count 2 in all."""

VIEW_SHARE = 1.0
"""How much the two numbers of the view count."""

VIEW_UNIT = 0.25
"""Sine of the angle between views that counts as much as a standard deviation of a signal."""


def signal_table() -> tuple[list[int], list[float]]:
    """Which signals of `LandmarkMotion` are read, and what each, and then each number of the view,
    counts (they sum to 1).
    """
    columns, weights = [], []
    for points, share in SHARES:
        columns += [3 * point + axis for point in points for axis in (0, 1)]
        weights += [share / (2 * len(points))] * (2 * len(points))
    columns += list(EYE_SIGNALS)
    weights += [2.0 / len(EYE_SIGNALS)] * len(EYE_SIGNALS)
    weights += [VIEW_SHARE / 2] * 2
    total = sum(weights)
    return columns, [weight / total for weight in weights]


def view(camera: Camera) -> Tensor:
    """(B, 2) whence cameras (B,) look at the head: sines of yaw and pitch in `VIEW_UNIT`s."""
    place = camera.world_from_cam[:, :3, 3]
    return place[:, :2] / (place.norm(dim=-1, keepdim=True) * VIEW_UNIT)


class Reader(nn.Module):
    """Face crops to standardised expression signals and the view.

    Args:
        width: channels of the first stage.
    """

    columns: Tensor
    weights: Tensor

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        columns, weights = signal_table()
        self.register_buffer("columns", torch.tensor(columns))
        self.register_buffer("weights", torch.tensor(weights))
        widths = (3, width, 2 * width, 4 * width, 6 * width, 6 * width)
        self.stages = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(a, b, 3, stride=2, padding=1),
                nn.GroupNorm(8, b),
                nn.SiLU(),
                nn.Conv2d(b, b, 3, padding=1),
                nn.GroupNorm(8, b),
                nn.SiLU(),
            )
            for a, b in pairwise(widths)
        )
        # Where in the face a thing happens is what it means: no pooling.
        self.head = nn.Sequential(
            nn.Linear(widths[-1] * (SIDE // 32) ** 2, 256), nn.SiLU(), nn.Linear(256, len(weights))
        )

    def truth(self, landmarks: Tensor, motion: LandmarkMotion, camera: Camera) -> Tensor:
        """(B, S) standardised signals of canonical landmarks (B, 478, 3), then the `view`."""
        signals = (motion.signals(landmarks) - motion.mean) / motion.deviation
        return torch.cat([signals[:, self.columns], view(camera)], 1).clamp(-4.0, 4.0)

    def forward(self, faces: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Crops (B, 3, 192, 192) in [0, 1] to signals (B, S) and the features of each stage."""
        features = []
        x = faces * 2.0 - 1.0
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return self.head(x.flatten(1)), features

    def judge(self, faces: Tensor) -> tuple[Tensor, list[Tensor]]:
        """What it reads off made pictures: they must not teach it, so its weights stand still."""
        frozen = {name: value.detach() for name, value in self.state_dict().items()}
        return functional_call(self, frozen, (faces,))

    def error(self, signals: Tensor, truth: Tensor) -> Tensor:
        """Weighted mean Huber distance of two readings (B, S), a scalar."""
        error = F.smooth_l1_loss(signals.float(), truth.float(), reduction="none", beta=0.5)
        return (error * self.weights).sum(-1).mean()


def face_centre(camera: Camera, landmarks: Tensor) -> Tensor:
    """(B, 2) the middle of the face of landmarks (B, 478, 3), in units of image size."""
    return camera.project(landmarks[:, list(FACE)]).mean(1)


def face_camera(camera: Camera, landmarks: Tensor) -> Camera:
    """(B,) cameras that see the face of landmarks (B, 478, 3) alone, from where `camera` stands."""
    distance = camera.world_from_cam[:, :3, 3].norm(dim=-1)
    radius = FACE_RADIUS * camera.intrinsics[:, 0, 0] / distance
    return camera.zoomed(face_centre(camera, landmarks), 0.5 / radius)


def face_crop(picture: Tensor, camera: Camera, landmarks: Tensor) -> Tensor:
    """The face in views (B, 3, V, V), as (B, 3, 192, 192); see `crop`."""
    return crop(picture, camera, landmarks, FACE, FACE_RADIUS, SIDE)


def crop(
    picture: Tensor,
    camera: Camera,
    landmarks: Tensor,
    part: tuple[int, ...],
    radius: float,
    side: int,
) -> Tensor:
    """A part of the face in views (B, 3, V, V), as (B, 3, side, side); black beyond the view.

    Args:
        picture: views.
        camera: (B,) their cameras.
        landmarks: (B, 478, 3) canonical, of the face in view.
        part: landmarks whose mean is the crop's middle.
        radius: half the crop's side, in canonical units.
        side: of the crop in pixels.
    """
    # In half precision a projection is off by most of a pixel.
    with torch.autocast(picture.device.type, enabled=False):
        centre = camera.project(landmarks[:, list(part)]).mean(1)
    distance = camera.world_from_cam[:, :3, 3].norm(dim=-1)
    half = radius * camera.intrinsics[:, 0, 0] / distance
    ticks = (torch.arange(side, device=picture.device) + 0.5) * (2.0 / side) - 1.0
    y, x = torch.meshgrid(ticks, ticks, indexing="ij")
    offsets = torch.stack([x, y], -1)[None] * half[:, None, None, None]
    grid = (centre[:, None, None] + offsets) * 2.0 - 1.0
    return F.grid_sample(picture, grid, align_corners=False)


TURN = (0.75, 0.25)
"""Radians of yaw and pitch within which strangers are seen."""


def turned(camera: Camera, limits: tuple[float, float] = TURN) -> Camera:
    """Cameras (B,) that look from anywhere within `limits` with the lenses of others."""
    device = camera.intrinsics.device
    angles = (torch.rand(2, len(camera.intrinsics), device=device) * 2.0 - 1.0).unbind()
    yaw, pitch = (limit * angle for limit, angle in zip(limits, angles, strict=True))
    return Camera(Camera.orbit(yaw, pitch).world_from_cam, camera.intrinsics)
