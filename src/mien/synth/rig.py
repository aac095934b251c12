"""The parametric head: identity and expression coefficients to vertices.

The shapes are ICT-FaceKit's (MIT licence), read from a folder the user names; they never travel
with Mien. `tiny_rig` makes a stand-in of a few dozen vertices with the same parts, so that every
line that takes a rig runs without the data.

Units are FaceKit's: centimetres, +x to the person's left (an image's right), +y up, +z out of the
face. Axis legend: B batch, V vertices, F triangles, R vertices of the drawn mesh (split where the
texture has a seam), K identity modes, E expressions.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy.sparse import csr_matrix
from torch import Tensor

from mien.errors import MienError

ARKIT = [
    "browDown_L", "browDown_R", "browInnerUp_L", "browInnerUp_R", "browOuterUp_L",
    "browOuterUp_R", "cheekPuff_L", "cheekPuff_R", "cheekSquint_L", "cheekSquint_R", "eyeBlink_L",
    "eyeBlink_R", "eyeLookDown_L", "eyeLookDown_R", "eyeLookIn_L", "eyeLookIn_R", "eyeLookOut_L",
    "eyeLookOut_R", "eyeLookUp_L", "eyeLookUp_R", "eyeSquint_L", "eyeSquint_R", "eyeWide_L",
    "eyeWide_R", "jawForward", "jawLeft", "jawOpen", "jawRight", "mouthClose", "mouthDimple_L",
    "mouthDimple_R", "mouthFrown_L", "mouthFrown_R", "mouthFunnel", "mouthLeft",
    "mouthLowerDown_L", "mouthLowerDown_R", "mouthPress_L", "mouthPress_R", "mouthPucker",
    "mouthRight", "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper",
    "mouthSmile_L", "mouthSmile_R", "mouthStretch_L", "mouthStretch_R", "mouthUpperUp_L",
    "mouthUpperUp_R", "noseSneer_L", "noseSneer_R",
]  # fmt: skip
"""The 53 coefficients, in FaceKit's order (ARKit's, two of them split into left and right)."""

PARTS = ("skin", "mouth", "socket", "gums", "teeth", "eye_left", "eye_right", "lashes")
"""What a triangle of the head is made of; the index is what the shader and the masks speak of."""

_FACEKIT_PARTS = {
    "face": "skin",
    "head_neck": "skin",
    "mouth_socket": "mouth",
    "eye_socket_left": "socket",
    "eye_socket_right": "socket",
    "gums_tongue": "gums",
    "teeth": "teeth",
    "sclera_left": "eye_left",
    "sclera_right": "eye_right",
    "eyelashes_left": "lashes",
    "eyelashes_right": "lashes",
}
# How far a full eyeLook coefficient turns the eye, in degrees: inwards, outwards, up, down.
_GAZE_DEGREES = (32.0, 36.0, 24.0, 28.0)


_RETREAT = 0.2
"""How far an eyeball draws back behind closed lids, cm."""


@dataclass(frozen=True)
class Rig:
    """A head that takes coefficients.

    Args:
        vertices: (V, 3) the neutral head of nobody in particular ("rest"), cm.
        triangles: (F, 3) vertex indices of what is drawn, counter-clockwise from outside.
        parts: (F,) index into `PARTS`.
        identity: (K, V·3) modes with unit normal weights.
        expression: (E, V·3) deltas for coefficients in [0, 1], in the order of `ARKIT`.
        draw_vertex: (R,) the vertex each drawn vertex copies.
        draw_uv: (R, 2) texture coordinates; the integer part of u is the texture's tile.
        draw_triangles: (F, 3) indices into the drawn vertices.
        landmarks68: (68,) vertices of the Multi-PIE points; point 0 on the person's right.
        eye_centers: (2, 3) left and right of the neutral, cm.
        mirror: (V,) the vertex across the plane x = 0.
    """

    vertices: Tensor
    triangles: Tensor
    parts: Tensor
    identity: Tensor
    expression: Tensor
    draw_vertex: Tensor
    draw_uv: Tensor
    draw_triangles: Tensor
    landmarks68: Tensor
    eye_centers: Tensor
    mirror: Tensor

    def faces_of(self, *names: str) -> Tensor:
        """(n, 3) triangles of the named parts."""
        wanted = torch.tensor([PARTS.index(n) for n in names])
        return self.triangles[torch.isin(self.parts, wanted)]

    @functools.cached_property
    def _eye_vertices(self) -> tuple[Tensor, Tensor]:
        return self.faces_of("eye_left").unique(), self.faces_of("eye_right").unique()

    def shape(self, identity: Tensor) -> Tensor:
        """Identity weights (B, K) to neutral heads (B, V, 3)."""
        flat = identity @ self.identity[: identity.shape[1]]
        return self.vertices + flat.reshape(len(identity), -1, 3)

    def pose(self, neutral: Tensor, coefficients: Tensor) -> Tensor:
        """Neutral heads (B, V, 3) and ARKit coefficients (B, E) to heads with that expression.

        Lids follow the gaze by FaceKit's own shapes; the eyeballs are turned here about the
        centres of spheres fitted to them; they draw back when the lids close, as real ones do, for
        some people's would show through.
        """
        flat = coefficients @ self.expression
        posed = neutral + flat.reshape(len(coefficients), -1, 3)
        posed = posed.clone()
        for side, index in enumerate(self._eye_vertices):
            ball = neutral[:, index]
            center = fit_sphere(ball)[:, None]
            turn = gaze_rotation(coefficients, side)
            shut = coefficients[:, ARKIT.index(f"eyeBlink_{'LR'[side]}")]
            back = shut[:, None, None] * torch.tensor([0.0, 0.0, -_RETREAT])
            posed[:, index] = (ball - center) @ turn.transpose(1, 2) + center + back
        return posed

    def normals(self, vertices: Tensor) -> Tensor:
        """Vertex normals (B, V, 3) of unit length, weighted by triangle area."""
        return torch.stack([self._normals_of_one(head) for head in vertices])

    def _normals_of_one(self, vertices: Tensor) -> Tensor:
        rows = vertices.T.contiguous()  # (3, V): numpy and torch work through long rows quickly
        a, b, c = (rows.index_select(1, corner) for corner in self._corners)
        face = torch.linalg.cross(b - a, c - a, dim=0).numpy()
        x, y, z = (self._corner_sum @ row for row in face)
        length = np.maximum(np.sqrt(x * x + y * y + z * z), 1e-12)
        return torch.from_numpy(np.stack([x / length, y / length, z / length], -1))

    @functools.cached_property
    def _corners(self) -> Tensor:
        """(3, F), each a row in memory."""
        return self.triangles.T.contiguous()

    @functools.cached_property
    def _corner_sum(self) -> csr_matrix:
        """(V, F) of ones that adds up for each vertex what its triangles say."""
        count = len(self.triangles)
        place = self.triangles.numpy().ravel(), np.repeat(np.arange(count), 3)
        ones = np.ones(3 * count, np.float32)
        return csr_matrix((ones, place), shape=(len(self.vertices), count))


def gaze_rotation(coefficients: Tensor, side: int) -> Tensor:
    """Rotation (B, 3, 3) of one eyeball from the eyeLook coefficients.

    Args:
        coefficients: (B, E).
        side: 0 the person's left eye, 1 the right.
    """
    tag = "LR"[side]
    inward, outward, up, down = (
        coefficients[:, ARKIT.index(f"eyeLook{way}_{tag}")] * torch.pi / 180.0 * degrees
        for way, degrees in zip(("In", "Out", "Up", "Down"), _GAZE_DEGREES, strict=True)
    )
    yaw = (outward - inward) * (1.0 if side == 0 else -1.0)  # positive: towards the person's left
    pitch = down - up
    zero, one = torch.zeros_like(yaw), torch.ones_like(yaw)
    cy, sy, cp, sp = yaw.cos(), yaw.sin(), pitch.cos(), pitch.sin()
    about_y = torch.stack([cy, zero, sy, zero, one, zero, -sy, zero, cy], -1).reshape(-1, 3, 3)
    about_x = torch.stack([one, zero, zero, zero, cp, -sp, zero, sp, cp], -1).reshape(-1, 3, 3)
    return about_y @ about_x


def fit_sphere(points: Tensor) -> Tensor:
    """Centres (B, 3) of the spheres that fit points (B, n, 3) best in the algebraic sense."""
    middle = points.mean(1, keepdim=True)
    local = points - middle
    system = torch.cat([2 * local, torch.ones_like(local[..., :1])], -1)
    right = (local**2).sum(-1, keepdim=True)
    normal = system.transpose(1, 2) @ system
    # A flat set (one square of the tiny rig seen edge on) has no sphere; the ridge keeps its mean.
    normal = normal + 1e-4 * torch.eye(4, device=points.device)
    solution = torch.linalg.solve(normal, system.transpose(1, 2) @ right)
    return middle[:, 0] + solution[:, :3, 0]


def load_rig(folder: Path) -> Rig:
    """Read FaceKit from the folder that holds `facekit.npz` and `facekit_identity.npz`.

    Raises:
        MienError: a file is missing, damaged, or holds other arrays than expected.
    """
    arrays: dict[str, np.ndarray] = {}
    for name in ("facekit.npz", "facekit_identity.npz"):
        path = Path(folder) / name
        if not path.is_file():
            raise MienError(
                f"{path} does not exist; name the folder that holds the FaceKit arrays "
                "(facekit.npz and facekit_identity.npz)."
            )
        try:
            with path.open("rb") as file, np.load(file) as archive:
                arrays |= {key: archive[key] for key in archive.files}
        except (OSError, ValueError, EOFError, KeyError) as error:
            raise MienError(f"{path} is damaged ({error}); fetch it again.") from error
        except Exception as error:  # zipfile and zlib raise their own kinds
            raise MienError(f"{path} cannot be read ({error}); fetch it again.") from error
    try:
        return _rig_from_arrays(arrays)
    except (KeyError, ValueError, IndexError) as error:
        raise MienError(
            f"The arrays in {folder} are not FaceKit's ({error}); fetch the folder again."
        ) from error


def _rig_from_arrays(arrays: dict[str, np.ndarray]) -> Rig:
    names = [str(n) for n in arrays["part_names"]]
    new_part = np.array(
        [PARTS.index(_FACEKIT_PARTS[n]) if n in _FACEKIT_PARTS else 255 for n in names]
    )[arrays["triangle_part"]]
    kept = new_part != 255
    order = [str(n) for n in arrays["expression_names"]]
    expression = arrays["expression_deltas"][[order.index(n) for n in ARKIT]]
    triangles = arrays["triangles"][kept]
    corners = np.stack([triangles, arrays["triangle_uv"][kept]], -1).reshape(-1, 2)
    unique, inverse = np.unique(corners, axis=0, return_inverse=True)
    count = len(arrays["vertices"])
    return Rig(
        vertices=torch.from_numpy(arrays["vertices"]).float(),
        triangles=torch.from_numpy(triangles).long(),
        parts=torch.from_numpy(new_part[kept]).long(),
        identity=torch.from_numpy(arrays["identity_deltas"]).float().reshape(-1, count * 3),
        expression=torch.from_numpy(expression).float().reshape(-1, count * 3),
        draw_vertex=torch.from_numpy(unique[:, 0]).long(),
        draw_uv=torch.from_numpy(arrays["uv"][unique[:, 1]]).float(),
        draw_triangles=torch.from_numpy(inverse.reshape(-1, 3)).long(),
        landmarks68=torch.from_numpy(arrays["landmarks68"]).long(),
        eye_centers=torch.from_numpy(
            np.stack([arrays["eye_center_left"], arrays["eye_center_right"]])
        ).float(),
        mirror=torch.from_numpy(arrays["mirror_vertex"]).long(),
    )


def tiny_rig() -> Rig:
    """A head of a few dozen vertices with every part, made here: an ellipsoid and small squares.

    Its modes and expressions are smooth pushes; nothing about it looks human.
    """
    vertices, triangles, parts = _tiny_ellipsoid()
    squares = {
        "mouth": (0.0, -3.0, 9.5),
        "socket": (0.0, 3.6, 8.0),
        "gums": (0.0, -3.2, 9.8),
        "teeth": (0.0, -3.1, 10.0),
        "lashes": (0.0, 3.9, 10.6),
    }
    for name, center in squares.items():
        _add(vertices, triangles, parts, *_square(center, 1.5), name)
    for name, x in (("eye_left", 3.1), ("eye_right", -3.1)):
        _add(vertices, triangles, parts, *_octahedron((x, 3.6, 8.0), 1.5), name)
    rest = torch.tensor(np.concatenate(vertices), dtype=torch.float32)
    faces = torch.tensor(np.concatenate(triangles), dtype=torch.long)
    generator = torch.Generator().manual_seed(7)
    waves = torch.randn(len(ARKIT) + 8, 3, 3, generator=generator) * 0.08
    pushes = torch.sin(torch.einsum("eij,vj->evi", waves, rest)) * 0.3
    angle = torch.linspace(-1.3, 1.3, 68)
    ring = torch.stack([9 * angle.sin(), -6 * angle.cos(), 8 * angle.cos()], -1)
    uv = (rest[:, :2] / 40 + 0.5).clamp(0, 0.99)
    return Rig(
        vertices=rest,
        triangles=faces,
        parts=torch.tensor(np.concatenate(parts), dtype=torch.long),
        identity=pushes[:8].reshape(8, -1),
        expression=pushes[8:].reshape(len(ARKIT), -1),
        draw_vertex=torch.arange(len(rest)),
        draw_uv=uv,
        draw_triangles=faces,
        landmarks68=torch.cdist(ring, rest).argmin(1),
        eye_centers=torch.tensor([[3.1, 3.6, 8.0], [-3.1, 3.6, 8.0]]),
        mirror=torch.cdist(rest * torch.tensor([-1.0, 1.0, 1.0]), rest).argmin(1),
    )


def _tiny_ellipsoid() -> tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray]]:
    """A closed grid of 6 rings × 10 points between two poles, the size of a head."""
    rings, spokes = 6, 10
    latitude = np.linspace(-np.pi / 2, np.pi / 2, rings + 2)[1:-1]
    longitude = np.arange(spokes) * 2 * np.pi / spokes
    grid = np.stack(
        [
            7.5 * np.cos(latitude)[:, None] * np.sin(longitude),
            11.0 * np.repeat(np.sin(latitude)[:, None], spokes, 1),
            10.0 * np.cos(latitude)[:, None] * np.cos(longitude),
        ],
        -1,
    ).reshape(-1, 3)
    points = np.concatenate([grid, [[0.0, -11.0, 0.0], [0.0, 11.0, 0.0]]])
    south, north = len(grid), len(grid) + 1
    faces = []
    for s in range(spokes):
        t = (s + 1) % spokes
        for r in range(rings - 1):
            a, b = r * spokes + s, r * spokes + t
            faces += [[a, b, b + spokes], [a, b + spokes, a + spokes]]
        last = (rings - 1) * spokes
        faces += [[south, t, s], [north, last + s, last + t]]
    return [points], [np.array(faces)], [np.zeros(len(faces), int)]


def _square(center: tuple[float, float, float], size: float) -> tuple[np.ndarray, np.ndarray]:
    corners = np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]]) * size
    return corners + np.array(center), np.array([[0, 1, 2], [0, 2, 3]])


def _octahedron(center: tuple[float, float, float], size: float) -> tuple[np.ndarray, np.ndarray]:
    corners = np.array([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]])
    faces = [[0, 2, 4], [2, 1, 4], [1, 3, 4], [3, 0, 4], [2, 0, 5], [1, 2, 5], [3, 1, 5], [0, 3, 5]]
    return corners * size + np.array(center), np.array(faces)


def _add(
    vertices: list[np.ndarray],
    triangles: list[np.ndarray],
    parts: list[np.ndarray],
    points: np.ndarray,
    faces: np.ndarray,
    name: str,
) -> None:
    triangles.append(faces + sum(len(v) for v in vertices))
    vertices.append(points)
    parts.append(np.full(len(faces), PARTS.index(name)))
