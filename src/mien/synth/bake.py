"""Bakes the skin bank from portraits: fit the head to a photo, unwrap, take the light out.

Run once by whoever changes the bank: `python -m mien.synth.bake FACEKIT PORTRAITS`. The portraits
are those of `skin_bank.txt`: official ones in the public domain and generated ones under CC0.

Axis legend: V vertices, L landmarks, S side of the map in texels.
"""

from __future__ import annotations

import io
import sys
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter, grey_dilation, map_coordinates

from mien.errors import MienError
from mien.synth.landmarks import attach_landmarks
from mien.synth.light import harmonics
from mien.synth.rig import ARKIT, Rig, load_rig
from mien.synth.skin import OFFSET, REFERENCE_TONE, to_linear, to_srgb

SIDE = 384
"""Side of a map."""

_MODES = 60  # identity modes that landmarks can tell apart
_NOISE = 0.012  # of a landmark, in distances between the outer eye corners
_REACH = 1.0  # cm over which a landmark's leftover error is shared out


@dataclass(frozen=True)
class Fit:
    """A head fitted to a photo.

    Args:
        vertices: (V, 3) cm; rotation: (2, 3) head axes to image axes (y down); scale, shift: to
            pixels; leftover: (L, 2) pixels between landmarks and the fit.
    """

    vertices: np.ndarray
    rotation: np.ndarray
    scale: float
    shift: np.ndarray
    leftover: np.ndarray


class Unwrapper:
    """What fitting and unwrapping need of the rig, prepared once."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.rest = rig.vertices.numpy().astype(np.float64)
        corners, weights = attach_landmarks(rig)
        self.corners, self.weights = corners[:468], weights[:468]
        self.identity = rig.identity.numpy()[:_MODES].reshape(_MODES, -1, 3)
        self.motion = rig.expression.numpy().reshape(len(ARKIT), -1, 3)
        self.basis = np.concatenate(
            [self.at_landmarks(self.identity), self.at_landmarks(self.motion)]
        )
        self.mean = self.at_landmarks(self.rest[None])[0]
        self.texel_vertex, self.texel_weight = rasterise(rig)
        self.place = self.to_map(self.rest)
        spread = np.exp(-_squares(self.mean, self.mean) / (2 * _REACH**2))
        self.share = np.exp(-_squares(self.place.reshape(-1, 3), self.mean) / (2 * _REACH**2))
        self.share = self.share @ np.linalg.inv(spread + 0.3 * np.eye(468))

    def at_landmarks(self, shapes: np.ndarray) -> np.ndarray:
        """(n, V, 3) to (n, L, 3)."""
        return (shapes[:, self.corners] * self.weights[..., None]).sum(2)

    def to_map(self, values: np.ndarray) -> np.ndarray:
        """Values of vertices (V, c) to texels (S, S, c)."""
        return (values[self.texel_vertex] * self.texel_weight[..., None]).sum(2)

    def fit(self, pixels: np.ndarray) -> Fit:
        """Fit pose, identity and expression to landmarks (L, 2) by alternating least squares."""
        sigma = _NOISE * np.linalg.norm(pixels[33] - pixels[263])
        prior = np.concatenate([np.ones(_MODES), np.full(len(ARKIT), 0.25)])
        numbers = np.zeros(len(prior))
        rotation, scale, shift = weak_perspective(self.mean, pixels)
        for _ in range(10):
            shape = self.mean + np.tensordot(numbers, self.basis, 1)
            rotation, scale, shift = weak_perspective(shape, pixels)
            moves = scale * np.einsum("jlc,kc->lkj", self.basis, rotation).reshape(-1, len(prior))
            error = (pixels - scale * self.mean @ rotation.T - shift).ravel()
            system = moves.T @ moves / sigma**2 + np.diag(1 / prior**2)
            numbers = np.linalg.solve(system, moves.T @ error / sigma**2)
            numbers[_MODES:] = np.clip(numbers[_MODES:], 0, 1)
        shape = self.mean + np.tensordot(numbers, self.basis, 1)
        vertices = self.rest + np.tensordot(numbers[:_MODES], self.identity, 1)
        vertices = vertices + np.tensordot(numbers[_MODES:], self.motion, 1)
        leftover = pixels - scale * shape @ rotation.T - shift
        return Fit(vertices, rotation, scale, shift, leftover)

    def unwrap(self, photo: np.ndarray, fit: Fit) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Linear colour (S, S, 3), facing (S, S) and normals (S, S, 3) of the photo's skin."""
        normals = self.rig.normals(torch.from_numpy(fit.vertices[None]).float())[0].numpy()
        ahead = np.cross(fit.rotation[1], fit.rotation[0])  # image y runs down
        place = fit.scale * self.to_map(fit.vertices) @ fit.rotation.T + fit.shift
        place = place + (self.share @ fit.leftover).reshape(place.shape)
        code = [
            map_coordinates(photo[..., c] / 255.0, [place[..., 1] - 0.5, place[..., 0] - 0.5],
                            order=3, mode="nearest") for c in range(3)
        ]  # fmt: skip
        linear = to_linear(np.clip(np.stack(code, -1), 0.0, 1.0))
        return linear, self.to_map((normals @ ahead)[:, None])[..., 0], self.to_map(normals)


def weak_perspective(shape: np.ndarray, pixels: np.ndarray) -> tuple[np.ndarray, float, np.ndarray]:
    """Rotation (2, 3), scale and shift (2,) that bring points (L, 3) to pixels (L, 2)."""
    system = np.concatenate([shape, np.ones((len(shape), 1))], 1)
    affine = np.linalg.lstsq(system, pixels, rcond=None)[0].T[:, :3]
    u, sizes, vt = np.linalg.svd(affine, full_matrices=False)
    rotation, scale = u @ vt, float(sizes.mean())
    return rotation, scale, (pixels - scale * shape @ rotation.T).mean(0)


def rasterise(rig: Rig) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (S, S, 3) and weights (S, S, 3) under each texel of tile 0; weight 0 outside."""
    uv, triangles = rig.draw_uv.numpy(), rig.draw_triangles.numpy()
    vertex = np.zeros((SIDE, SIDE, 3), int)
    weight = np.zeros((SIDE, SIDE, 3))
    inside = (rig.parts.numpy() == 0) & (uv[triangles][..., 0].max(1) <= 1.0)
    for triangle in triangles[inside]:
        corner = uv[triangle] * [SIDE, -SIDE] + [-0.5, SIDE - 0.5]
        low = np.clip(np.floor(corner.min(0)), 0, SIDE - 1).astype(int)
        high = np.clip(np.ceil(corner.max(0)), 0, SIDE - 1).astype(int)
        x, y = np.meshgrid(np.arange(low[0], high[0] + 1), np.arange(low[1], high[1] + 1))
        edges = np.stack([corner[0] - corner[2], corner[1] - corner[2]], 1)
        if abs(np.linalg.det(edges)) < 1e-9:
            continue
        two = np.linalg.solve(edges, np.stack([x.ravel() - corner[2, 0], y.ravel() - corner[2, 1]]))
        bary = np.stack([two[0], two[1], 1 - two.sum(0)], 1)
        hit = (bary > -0.02).all(1)
        vertex[y.ravel()[hit], x.ravel()[hit]] = rig.draw_vertex.numpy()[triangle]
        weight[y.ravel()[hit], x.ravel()[hit]] = bary[hit]
    return vertex, weight


def _squares(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.maximum((a**2).sum(-1)[:, None] + (b**2).sum(-1) - 2 * a @ b.T, 0.0)


def _ramp(value: np.ndarray, start: float, end: float) -> np.ndarray:
    t = np.clip((value - start) / (end - start), 0, 1)
    return t * t * (3 - 2 * t)


@dataclass(frozen=True)
class Regions:
    """Where on the map things are, each (S, S) in [0, 1].

    Args:
        face: what portraits show well; plain: skin without features; rim: where hair may hang in.
    """

    face: np.ndarray
    plain: np.ndarray
    rim: np.ndarray


def regions(unwrapper: Unwrapper) -> Regions:
    """Regions by rest coordinates."""
    x, y, z = (unwrapper.place[..., i] for i in range(3))
    across = np.abs(x)
    face = _ramp(y, 9.2, 7.6) * _ramp(across, 6.6, 5.4) * _ramp(y + 0.25 * (z - 9), -8.3, -6.6)
    face = face * (unwrapper.texel_weight.sum(-1) > 0)
    marks = unwrapper.rest[unwrapper.rig.landmarks68.numpy()]
    plain = face.copy()
    for eye in (marks[36:42].mean(0), marks[42:48].mean(0)):
        plain *= 1 - np.exp(-((((x - eye[0]) / 1.9) ** 2 + ((y - eye[1]) / 1.0) ** 2) ** 2))
    for brow in marks[17:27]:
        plain *= 1 - np.exp(-(((x - brow[0]) / 1.2) ** 2 + ((y - brow[1]) / 0.9) ** 2))
    plain *= 1 - np.exp(-(((x / 3.0) ** 2 + ((y + 3.4) / 1.2) ** 2) ** 2)) * (z > 9)
    plain *= 1 - np.exp(-(((x / 1.6) ** 2 + ((y + 1.0) / 0.8) ** 2) ** 2))
    cheek = _ramp(across, 4.3, 5.0) * _ramp(y, 4.6, 4.0) + _ramp(across, 4.9, 5.5)
    rim = np.clip(np.maximum(cheek, _ramp(y, 7.0, 7.6)), 0, 1)
    return Regions(face, plain, rim)


def delight(
    linear: np.ndarray, facing: np.ndarray, normals: np.ndarray, where: Regions
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Colour of an unwrapped photo to (log ratio to the tone (S, S, 3), trust (S, S), tone (3,)).

    Light is what second-order harmonics of the normal explain of plain skin's logarithm
    (Ramamoorthi & Hanrahan 2001), then what differs between left and right.
    """
    log = np.log(linear + OFFSET)
    seen = where.plain * _ramp(facing, 0.1, 0.45)
    used = seen > 0.5
    bands = harmonics(normals.reshape(-1, 3)).reshape(*normals.shape[:2], 9)
    shade = np.zeros_like(log)
    for _ in range(4):
        known = bands[used]
        system = known.T @ known + 1e-3 * used.sum() * np.eye(9)
        shade = bands @ np.linalg.solve(system, known.T @ log[used])
        rest = (log - shade).mean(-1)
        spread = 1.48 * np.median(np.abs(rest[used] - np.median(rest[used])))
        used = (seen > 0.5) & (np.abs(rest) < 2.2 * spread + 0.05)
    tone = np.exp(np.median(shade[used], 0)) - OFFSET
    ratio = log - shade
    trust = where.face * _ramp(facing, 0.15, 0.4) * (1 - _hair(ratio, where))
    trust = np.minimum(trust, gaussian_filter(trust, 3))
    weight = where.plain * trust + 1e-4
    broad = _blur(ratio, weight, 14)
    lopsided = (broad - broad[:, ::-1]) / 2
    ratio = ratio - lopsided - 0.35 * (broad - lopsided)
    over = (ratio - _blur(ratio, weight, 7)).mean(-1, keepdims=True)
    ratio = ratio - 0.7 * np.maximum(over - 0.12, 0) * where.plain[..., None]  # highlights
    # What one side does not show, the other lends.
    other = trust[:, ::-1]
    share = (trust / (trust + (1 - trust) * other + 1e-4))[..., None]
    ratio = ratio * share + ratio[:, ::-1] * (1 - share)
    return ratio, np.maximum(trust, 0.98 * other), tone


def _blur(values: np.ndarray, weight: np.ndarray, radius: float) -> np.ndarray:
    total = gaussian_filter(values * weight[..., None], (radius, radius, 0))
    return total / (gaussian_filter(weight, radius)[..., None] + 1e-5)


def _hair(ratio: np.ndarray, where: Regions) -> np.ndarray:
    """(S, S) in [0, 1]: what at the rim is too dark, bright or coloured for skin."""
    grey = gaussian_filter(ratio.mean(-1), 1.5)
    tint = np.abs(gaussian_filter(ratio - ratio.mean(-1, keepdims=True), (2, 2, 0))).max(-1)
    odd = np.maximum(_ramp(grey, -0.10, -0.28), _ramp(grey, 0.25, 0.45))
    odd = np.maximum(odd, _ramp(tint, 0.10, 0.20)) * where.rim
    return np.clip(1.6 * gaussian_filter(grey_dilation(odd, (9, 9)), 3), 0, 1)


def read_list() -> list[tuple[str, set[str]]]:
    """The bank's portraits: (path within the portraits folder, words about the person)."""
    text = (resources.files("mien.synth") / "skin_bank.txt").read_text()
    rows = [line.split() for line in text.splitlines() if line and not line.startswith("#")]
    return [(row[0], set(row[1:])) for row in rows]


def find_landmarks(photo: np.ndarray) -> np.ndarray:
    """(468, 2) pixels of the only face in a photo (h, w, 3) u8."""
    from mediapipe.python.solutions.face_mesh import FaceMesh

    with FaceMesh(static_image_mode=True, refine_landmarks=True) as mesh:
        found = mesh.process(photo).multi_face_landmarks  # type: ignore[union-attr]
    if not found:
        raise MienError("A portrait of the skin bank shows no face; mend skin_bank.txt.")
    points = np.array([[p.x, p.y] for p in found[0].landmark[:468]])
    return points * [photo.shape[1], photo.shape[0]]


def bake(facekit: Path, portraits: Path, out: Path) -> None:
    """Write the bank that `skin.load_bank` reads.

    Raises:
        MienError: FaceKit or a portrait is missing, or a portrait shows no face.
    """
    unwrapper = Unwrapper(load_rig(facekit))
    where = regions(unwrapper)
    maps, trusts, tones = [], [], []
    rows = read_list()
    for name, _ in rows:
        path = portraits / name
        if not path.is_file():
            raise MienError(f"{path} does not exist; name the folder of portraits.")
        photo = np.asarray(Image.open(path).convert("RGB"))
        fit = unwrapper.fit(find_landmarks(photo))
        ratio, trust, tone = delight(*unwrapper.unwrap(photo, fit), where)
        albedo = np.clip((REFERENCE_TONE + OFFSET) * np.exp(ratio) - OFFSET, 0, 1)
        maps.append(_webp(to_srgb(albedo), SIDE, 80))
        trusts.append(_webp(trust, SIDE // 3, 80))
        tones.append(tone)
    words = {key: np.array([key in said for _, said in rows]) for key in ("male", "old", "bearded")}
    files = {}
    for key, parts in (("maps", maps), ("trust", trusts)):
        files[key] = np.frombuffer(b"".join(parts), np.uint8)
        files[f"{key}_ends"] = np.cumsum([len(part) for part in parts])
    np.savez(out, tone=np.array(tones, np.float32), **words, **files)


def _webp(values: np.ndarray, side: int, quality: int) -> bytes:
    picture = Image.fromarray((np.clip(values, 0, 1) * 255 + 0.5).astype(np.uint8))
    buffer = io.BytesIO()
    picture.resize((side, side)).save(buffer, "WEBP", quality=quality, method=6)
    return buffer.getvalue()


if __name__ == "__main__":
    bake(Path(sys.argv[1]), Path(sys.argv[2]), Path(__file__).with_name("skin_bank.npz"))
