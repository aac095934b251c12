"""The values that flow through Mien, and the conventions they are written in.

Axis legend: B batch (any leading axes), N Gaussians, T frames, D latent, C channels, H W pixels.

Canonical head frame (the *world*): origin at the head's centre, x to the right of an image taken
from the front, y up, z towards the frontal camera. One unit is about 40 cm: a camera at distance
`RADIUS` with the field of view `FOV_FFHQ` sees a head as an FFHQ crop shows it.

Cameras follow EG3D: OpenCV axes (x right, y down, z forward), intrinsics in units of image size
(focal ~ 4.26, principal point 0.5). The head never moves; a head pose is a camera pose.

Images are float RGB in [0, 1], channels first; those without a background are premultiplied, that
is black where alpha is zero. Transforms are named by direction: `world_from_cam @ x_cam = x_world`.
Quaternions are wxyz.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

import torch
from torch import Tensor
from torch.nn.functional import normalize

RADIUS = 2.7
"""Distance from the camera to the head's centre, in canonical units."""

FOV_FFHQ = 18.837
"""Field of view in degrees of the framing that shows a head as FFHQ does (Chan et al. 2022)."""

FOV_WIDE = 23.28
"""Field of view in degrees of the framing that keeps hair and shoulders."""

LANDMARKS = 478
"""MediaPipe's face mesh: 468 points of the face, then 5 of each iris."""


def focal_from_fov(fov: float) -> float:
    """Focal length in units of image size, as the paper counts it (the fov is of the diagonal).

    The short constants are the paper's own: with them the published cameras come out exactly.
    """
    return 1.0 / (1.414 * math.tan(fov * 3.14159 / 360.0))


class TensorRecord:
    """A frozen dataclass of tensors that can be moved and cast as one."""

    def map(self, fn: Callable[[Tensor], Tensor]) -> Self:
        """Apply `fn` to every tensor, in nested records too; returns a new record."""
        changes = {}
        for item in dataclasses.fields(self):  # type: ignore[arg-type]
            value = getattr(self, item.name)
            if isinstance(value, Tensor):
                changes[item.name] = fn(value)
            elif isinstance(value, TensorRecord):
                changes[item.name] = value.map(fn)
        return dataclasses.replace(self, **changes)  # type: ignore[type-var]

    def to(self, target: torch.device | str | torch.dtype) -> Self:
        """Move to a device, or cast floating-point tensors to a dtype."""
        if isinstance(target, torch.dtype):
            return self.map(lambda t: t.to(target) if t.is_floating_point() else t)
        return self.map(lambda t: t.to(target))

    def __getitem__(self, index: int | slice | Tensor) -> Self:
        """Index the leading axis of every tensor."""
        return self.map(lambda t: t[index])


@dataclass(frozen=True)
class Camera(TensorRecord):
    """One pinhole camera or a batch of them.

    Args:
        world_from_cam: (*B, 4, 4) rigid transform, OpenCV axes to the canonical head frame.
        intrinsics: (*B, 3, 3) in units of image size.
    """

    world_from_cam: Tensor
    intrinsics: Tensor

    @staticmethod
    def orbit(
        yaw: float | Tensor = 0.0,
        pitch: float | Tensor = 0.0,
        roll: float | Tensor = 0.0,
        *,
        fov: float = FOV_WIDE,
        radius: float = RADIUS,
    ) -> Camera:
        """A camera on a sphere around the head that looks at its centre.

        Args:
            yaw: radians; positive moves the camera to +x, so that the frontal image's right side
                of the face turns towards it. A tensor (*B,) gives a batch.
            pitch: radians; positive moves the camera up (+y).
            roll: radians about the viewing axis; positive turns the image's content clockwise.
            fov: degrees, of the diagonal (see `focal_from_fov`).
            radius: distance to the origin.
        """
        given = (yaw, pitch, roll)
        where = next((angle.device for angle in given if isinstance(angle, Tensor)), None)
        angles = torch.broadcast_tensors(
            *(torch.as_tensor(angle, dtype=torch.float32, device=where) for angle in given)
        )
        shape, device = angles[0].shape, angles[0].device
        zero, one = torch.zeros_like(angles[0]), torch.ones_like(angles[0])

        def rotation(entries: list[Tensor]) -> Tensor:
            return torch.stack(entries, -1).reshape(*shape, 3, 3)

        cy, sy, cp, sp, cr, sr = (f(angle) for angle in angles for f in (torch.cos, torch.sin))
        about_y = rotation([cy, zero, sy, zero, one, zero, -sy, zero, cy])
        about_x = rotation([one, zero, zero, zero, cp, sp, zero, -sp, cp])
        about_z = rotation([cr, sr, zero, -sr, cr, zero, zero, zero, one])
        frontal = torch.diag(torch.tensor([1.0, -1.0, -1.0], device=device))
        axes = about_y @ about_x @ frontal @ about_z
        world_from_cam = torch.zeros(*shape, 4, 4, device=device)
        world_from_cam[..., :3, :3] = axes
        world_from_cam[..., :3, 3] = -radius * axes[..., :, 2]
        world_from_cam[..., 3, 3] = 1.0
        return Camera(world_from_cam, intrinsics_from_fov(fov, shape, device))

    @staticmethod
    def from_eg3d(numbers: Tensor) -> Camera:
        """From EG3D's 25 numbers (*B, 25): camera-to-world 4×4, intrinsics 3×3, row-major."""
        if numbers.shape[-1] != 25:
            raise ValueError(f"an EG3D camera has 25 numbers, not {numbers.shape[-1]}")
        lead = numbers.shape[:-1]
        return Camera(
            numbers[..., :16].reshape(*lead, 4, 4), numbers[..., 16:].reshape(*lead, 3, 3)
        )

    def to_eg3d(self) -> Tensor:
        """EG3D's 25 numbers, (*B, 25)."""
        return torch.cat([self.world_from_cam.flatten(-2), self.intrinsics.flatten(-2)], -1)

    @property
    def cam_from_world(self) -> Tensor:
        """(*B, 4, 4), the rigid inverse of `world_from_cam`."""
        return rigid_inverse(self.world_from_cam)

    def angles(self) -> tuple[Tensor, Tensor, Tensor]:
        """(yaw, pitch, roll) in radians, each (*B,): the inverse of `orbit`."""
        axes = self.world_from_cam[..., :3, :3]
        back = -axes[..., :, 2]
        yaw = torch.atan2(back[..., 0], back[..., 2])
        pitch = torch.asin(back[..., 1].clamp(-1.0, 1.0))
        # With yaw and pitch undone, the camera's x axis is (cos roll, sin roll, 0).
        level = torch.stack([torch.cos(yaw), torch.zeros_like(yaw), -torch.sin(yaw)], -1)
        up = torch.linalg.cross(back, level, dim=-1)
        right = axes[..., :, 0]
        roll = torch.atan2((right * up).sum(-1), (right * level).sum(-1))
        return yaw, pitch, roll

    def project(self, points: Tensor) -> Tensor:
        """Canonical points (*B, N, 3) to image coordinates (*B, N, 2), in units of image size."""
        view = self.cam_from_world
        local = points @ view[..., :3, :3].transpose(-1, -2) + view[..., None, :3, 3]
        pixels = local @ self.intrinsics.transpose(-1, -2)
        return pixels[..., :2] / pixels[..., 2:]

    def zoomed(self, centre: Tensor, factor: float | Tensor) -> Camera:
        """The camera of a crop: `centre` (*B, 2), in units of image size, becomes the middle.

        Args:
            centre: the crop's middle in this camera's image.
            factor: how many times larger things appear; > 1 zooms in.
        """
        factor = torch.as_tensor(factor, dtype=self.intrinsics.dtype, device=centre.device)
        intrinsics = self.intrinsics.clone()
        intrinsics[..., 0, :] *= factor[..., None]
        intrinsics[..., 1, :] *= factor[..., None]
        intrinsics[..., 0, 2] += 0.5 - centre[..., 0] * factor
        intrinsics[..., 1, 2] += 0.5 - centre[..., 1] * factor
        return Camera(self.world_from_cam, intrinsics)


def rigid_inverse(transform: Tensor) -> Tensor:
    """Inverse of rotations with a shift, (*B, 4, 4)."""
    axes = transform[..., :3, :3].transpose(-1, -2)
    result = transform.clone()
    result[..., :3, :3] = axes
    result[..., :3, 3] = -(axes @ transform[..., :3, 3:])[..., 0]
    return result


def rotations(quats: Tensor) -> Tensor:
    """Rotation matrices (*B, 3, 3) of quaternions (*B, 4), wxyz, of any length but 0."""
    w, x, y, z = normalize(quats, dim=-1).unbind(-1)
    return torch.stack(
        [
            1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
            2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
            2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
        ],
        -1,
    ).unflatten(-1, (3, 3))  # fmt: skip


def intrinsics_from_fov(
    fov: float, lead: tuple[int, ...] = (), device: torch.device | str = "cpu"
) -> Tensor:
    """(*lead, 3, 3) intrinsics in units of image size, principal point in the middle."""
    focal = focal_from_fov(fov)
    matrix = torch.tensor([[focal, 0, 0.5], [0, focal, 0.5], [0, 0, 1]], device=device)
    return matrix.expand(*lead, 3, 3)


@dataclass(frozen=True)
class Portrait(TensorRecord):
    """A face found, cropped level and centred, posed, its background removed.

    Args:
        image: (3, S, S) in [0, 1], premultiplied by `alpha`.
        alpha: (1, S, S) in [0, 1].
        camera: the camera that sees the canonical head as this crop shows the face. The crop is
            level and centred by construction, so it lies on the sphere and has no roll.
        landmarks: (478, 3) the face's own points in the canonical head frame, pose removed.
        image_from_crop: (2, 3) pixels of the crop to pixels of the photo (centres at +0.5).
    """

    image: Tensor
    alpha: Tensor
    camera: Camera
    landmarks: Tensor
    image_from_crop: Tensor


@dataclass(frozen=True)
class Motion(TensorRecord):
    """A driving take: what the face does, frame by frame.

    Args:
        latents: (T, D) expression, from a motion encoder.
        cam_from_head: (T, 4, 4) rigid; the canonical head frame to the take's virtual camera
            (OpenCV axes), which stands where the take's middle frame has the head centred.
        times: (T,) seconds since the take's start, increasing.
        fps: nominal frames a second.
        preset: the preset whose latents these are.
        audio: path of the file whose sound belongs to the take, if any.
        landmarks: (T, 478, 3) canonical landmarks the latents were made of, if they were; other
            weights make their own latents of them (see `model.matching`).
        weights: fingerprint of the motion encoder that made the latents; "" if not known.
    """

    latents: Tensor
    cam_from_head: Tensor
    times: Tensor
    fps: float
    preset: str
    audio: str | None = None
    landmarks: Tensor | None = None
    weights: str = ""

    def __len__(self) -> int:
        return self.latents.shape[0]


@dataclass(frozen=True)
class Anchors(TensorRecord):
    """What a Gaussian of a *pixel* avatar is before the decoder says how it differs.

    Args:
        means: (*B, N, 3) canonical position.
        colors: (*B, N, 3) in [0, 1], read from the photo.
        scales: (*B, N) canonical size of one grid step there.
        density: (*B, N) in the space the decoder adds in (before its softplus).
        axes: (*B, 3, 3) rotation, photo camera axes to canonical: offsets are decoded along them.
    """

    means: Tensor
    colors: Tensor
    scales: Tensor
    density: Tensor
    axes: Tensor


@dataclass(frozen=True)
class Avatar(TensorRecord):
    """A person as canonical Gaussians that have not been told what to express.

    Args:
        features: (*B, N, 48) f: appearance and geometry.
        basis: (*B, N, 48) m: how each Gaussian answers to motion.
        source_latent: (*B, D) motion latent of the photo itself.
        intrinsics: (*B, 3, 3) the framing that views of this avatar use.
        anchors: where *pixel* instantiation starts from; None for *ray* and *plane*, whose
            decoder says everything.
        preset: name of the preset whose networks read this avatar.
        provenance: free text fields kept with the file (consent, origin, tool version).
        weights: fingerprint of the networks that read it (see `model.matching`); "" if not known.
    """

    features: Tensor
    basis: Tensor
    source_latent: Tensor
    intrinsics: Tensor
    anchors: Anchors | None
    preset: str
    provenance: dict[str, str] = field(default_factory=dict)
    weights: str = ""


@dataclass(frozen=True)
class Gaussians(TensorRecord):
    """What a rasteriser draws.

    Args:
        means: (*B, N, 3) canonical.
        quats: (*B, N, 4) wxyz, unit length.
        scales: (*B, N, 3) standard deviations, > 0, canonical units.
        opacities: (*B, N) in [0, 1].
        colors: (*B, N, 3) RGB, about [0, 1].
    """

    means: Tensor
    quats: Tensor
    scales: Tensor
    opacities: Tensor
    colors: Tensor


@dataclass(frozen=True)
class Rendered(TensorRecord):
    """A picture of Gaussians.

    Args:
        image: (*B, 3, H, W) RGB over black, premultiplied by `alpha`.
        alpha: (*B, 1, H, W) in [0, 1].
        depth: (*B, 1, H, W) expected distance along the camera's z; 0 where nothing is drawn.
    """

    image: Tensor
    alpha: Tensor
    depth: Tensor
