"""Draws a head by OpenGL without a display: picture, cover, depth, parts and normals.

Works through EGL on a GPU and, slowly, on a CPU (Mesa's llvmpipe). One `Renderer` owns one
context and must be used by one thread. Skin, eyes, hair and cloth are shaded in `shaders/`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import moderngl
import numpy as np

from mien.errors import MienError
from mien.synth.film import SAMPLES, Film, source
from mien.synth.scene import (
    LABELS,
    Picture,
    Pose,
    Skin,
    Solid,
    Strands,
    View,
    clip_from_head,
    shadow_from_head,
)

_CLIP_DISTANCE0 = 0x3000  # moderngl has no name for it
_SHADOW_SIZE = 512
_PIECE = 1.2  # longest straight piece of hair, cm
_RIBBONS = 12_000  # for which there is room at once; few heads have more


_USES = ("shadow", "cover", "color")
# A view is drawn twice: first which sample shows what, then the look of what shows.


class _Mesh:
    """Vertex arrays of one thing in the three programs that draw it.

    Args:
        owned: what goes when the mesh goes; vertices: how many are drawn, all if negative.
    """

    def __init__(
        self,
        kind: str,
        label: int,
        arrays: dict[str, moderngl.VertexArray],
        owned: list[Any],
        textures: list[moderngl.Texture],
        settings: dict[str, Any],
        vertices: int = -1,
    ) -> None:
        self.kind, self.label, self.arrays = kind, label, arrays
        self.owned, self.textures, self.settings = owned, textures, settings
        self.vertices = vertices

    def release(self) -> None:
        for item in (*self.owned, *self.textures):
            item.release()


class Renderer:
    """One OpenGL context that draws heads of one rig.

    Args:
        skin: the rig's drawn mesh.
        size: side of the stored picture in pixels.
        supersample: the picture is drawn this many times larger, each pixel with four samples.
        device: number of the EGL device (GPU) to draw on.

    Raises:
        MienError: no OpenGL 4.3 context can be made through EGL.
    """

    def __init__(self, skin: Skin, size: int, supersample: int = 2, device: int = 0) -> None:
        try:
            settings: dict[str, Any] = {"standalone": True, "backend": "egl", "require": 430}
            settings["device_index"] = device
            self.ctx = moderngl.create_context(**settings)
        except Exception as error:  # moderngl raises bare exceptions of many kinds
            raise MienError(
                f"No OpenGL 4.3 through EGL on this machine ({error}); install libegl1 and a "
                "driver (libgl1-mesa-dri draws on the CPU)."
            ) from error
        self.size, self.factor = size, supersample
        self._programs = {
            (kind, use): self._program(kind, use)
            for kind in ("head", "strand", "solid")
            for use in _USES
        }
        self.film = Film(self.ctx, size, supersample)
        self._shadow = self.ctx.depth_texture((_SHADOW_SIZE, _SHADOW_SIZE))
        self._shadow.compare_func = "<="
        self._shadow.repeat_x = self._shadow.repeat_y = False
        self._shadow_target = self.ctx.framebuffer([], self._shadow)
        self._ribbon_arrays: dict[int, tuple[int, dict[str, moderngl.VertexArray]]] = {}
        self._face_map = self.ctx.texture((1, 1), 4, data=bytes(4))
        self._skin = self._head_mesh(skin)
        self._fixed: list[_Mesh] = []
        self._loose: list[_Mesh] = []
        self._posed: dict[str, Any] = {}

    def _program(self, kind: str, use: str) -> moderngl.Program:
        version, common = source("common.glsl").split("\n", 1)
        shared = [version, f"#define SAMPLES {SAMPLES}\n#define {use.upper()}", common]
        vertex = [*shared, source("bend.glsl"), source(f"{kind}.vert")]
        fragment = [version, "void main() {}"]
        if use != "shadow":
            names = ("bump.glsl", "finish.glsl", "creases.glsl", f"{kind}.frag")
            fragment = [*shared, *map(source, names)]
        return self.ctx.program(
            vertex_shader="\n".join(vertex), fragment_shader="\n".join(fragment)
        )

    def _head_mesh(self, skin: Skin) -> _Mesh:
        count = len(skin.rest)
        still = np.concatenate(
            [skin.rest, skin.uv, skin.part[:, None], skin.lid[:, None]], 1
        ).astype("f4")
        static = self.ctx.buffer(still.tobytes())
        self._cover = self.ctx.buffer(np.zeros(count, "f4").tobytes())
        self._moving = self.ctx.buffer(reserve=count * 36, dynamic=True)
        index = self.ctx.buffer(skin.triangles.astype("i4").tobytes())
        layout = [
            (self._moving, "3f 3f 3f", "position", "normal", "exposure"),
            (static, "3f 2f 1f 1f", "rest", "uv", "part", "lid"),
            (self._cover, "1f", "cover"),
        ]
        return _Mesh("head", -1, self._arrays("head", layout, index), [], [], {})

    def _arrays(
        self, kind: str, layout: list[Any], index: moderngl.Buffer
    ) -> dict[str, moderngl.VertexArray]:
        return {
            use: self.ctx.vertex_array(
                self._programs[kind, use], layout, index, index_element_size=4, skip_errors=True
            )
            for use in _USES
        }

    def _strand_mesh(self, strands: Strands) -> _Mesh:
        count, known = strands.points.shape[:2]
        fine = _steps_between(strands.points)
        steps = (known - 1) * fine + 1
        points = self.ctx.texture(
            (known, count), 4, strands.points.astype("f4").tobytes(), dtype="f4"
        )
        looks = self.ctx.texture((1, count), 4, strands.looks.astype("f4").tobytes(), dtype="f4")
        for texture in (points, looks):
            texture.filter = moderngl.NEAREST, moderngl.NEAREST
        settings = {
            "fine": fine,
            "strands_across": strands.across,
            "gloss_amount": strands.gloss,
            "volume_center": strands.center,
        }
        label = LABELS.index(strands.label)
        arrays, drawn = self._ribbons(count, steps), 6 * count * (steps - 1)
        return _Mesh("strand", label, arrays, [], [points, looks], settings, drawn)

    def _ribbons(self, count: int, steps: int) -> dict[str, moderngl.VertexArray]:
        """Arrays of at least `count` ribbons of so many steps, the same for all that have them."""
        room, arrays = self._ribbon_arrays.get(steps, (0, {}))
        if count > room:
            room = max(count, _RIBBONS)
            arrays = self._arrays("strand", [], self.ctx.buffer(_ribbon_order(room, steps)))
            self._ribbon_arrays[steps] = room, arrays
        return arrays

    def _solid_mesh(self, solid: Solid) -> _Mesh:
        data = np.concatenate([solid.positions, solid.normals, solid.paint], 1).astype("f4")
        buffer = self.ctx.buffer(data.tobytes())
        index = self.ctx.buffer(solid.triangles.astype("i4").tobytes())
        arrays = self._arrays("solid", [(buffer, "3f 3f 4f", "position", "normal", "paint")], index)
        label = LABELS.index(solid.label)
        owned = [*arrays.values(), buffer, index]
        return _Mesh("solid", label, arrays, owned, [], {"weave": solid.weave})

    def load(
        self,
        face_map: np.ndarray,
        cover: np.ndarray,
        strands: list[Strands],
        solids: list[Solid],
    ) -> None:
        """Take the person to draw from now on.

        Args:
            face_map: (h, w, 4) u8 sRGB skin of the face in texture tile 0, row 0 at v = 1; alpha
                says how far it is to be trusted over the plain tone.
            cover: (R,) how densely hair grows at each drawn vertex, in [0, 1].
            strands: ribbons that stay with the skull.
            solids: clothes and glasses.
        """
        with self.ctx:
            self._load(face_map, cover, strands, solids)

    def _load(
        self,
        face_map: np.ndarray,
        cover: np.ndarray,
        strands: list[Strands],
        solids: list[Solid],
    ) -> None:
        for mesh in self._fixed:
            mesh.release()
        self._face_map.release()
        height, width = face_map.shape[:2]
        self._face_map = self.ctx.texture((width, height), 4, face_map.tobytes())
        self._face_map.build_mipmaps()
        self._face_map.filter = moderngl.LINEAR_MIPMAP_LINEAR, moderngl.LINEAR
        self._cover.write(cover.astype("f4").tobytes())
        self._fixed = [self._strand_mesh(s) for s in strands]
        self._fixed += [self._solid_mesh(s) for s in solids]

    def pose(self, pose: Pose) -> None:
        """Take what the loaded person does from now on; draws its shadows."""
        with self.ctx:
            self._pose(pose)

    def _pose(self, pose: Pose) -> None:
        moving = np.empty((len(pose.positions), 9), "f4")
        for place, part in enumerate((pose.positions, pose.normals, pose.exposure)):
            moving[:, 3 * place : 3 * place + 3] = part
        self._moving.orphan()  # the GPU may still draw the last pose
        self._moving.write(moving)
        for mesh in self._loose:
            mesh.release()
        self._loose = [self._strand_mesh(s) for s in pose.strands]
        self._loose += [self._solid_mesh(s) for s in pose.solids]
        shadow = shadow_from_head(pose.light.directions[0])
        self._posed = self._uniforms(pose)
        self._cast(self._meshes(), shadow)
        bias = np.array([[0.5, 0, 0, 0.5], [0, 0.5, 0, 0.5], [0, 0, 0.5, 0.5], [0, 0, 0, 1]])
        self._posed["shadow_from_head"] = (bias @ shadow).T.astype("f4").tobytes()

    def _meshes(self) -> list[_Mesh]:
        return [self._skin, *self._fixed, *self._loose]

    def _cast(self, meshes: list[_Mesh], shadow: np.ndarray) -> None:
        self.ctx.enable(moderngl.DEPTH_TEST)
        self.ctx.enable_direct(_CLIP_DISTANCE0)
        self._shadow_target.use()
        self._shadow_target.clear(depth=1.0)
        clip = {"clip_from_head": shadow.T.astype("f4").tobytes(), "camera": (0.0, 0.0, 0.0)}
        self._draw(meshes, "shadow", self._posed | clip)

    def expose(self, view: View, dense: bool = True) -> Callable[[], Picture]:
        """Draw the loaded person in the pose taken last; with depth and so on if `dense`.

        Returns what fetches the picture, to be called once; until then the GPU draws by itself.
        """
        with self.ctx:  # leaving a context sends off what it was asked
            developed = self._draw_view(view, dense)

        def fetch() -> Picture:
            with self.ctx:
                return developed()

        return fetch

    def draw(self, view: View, dense: bool = True) -> Picture:
        """What `expose` draws, waited for."""
        return self.expose(view, dense)()

    def _draw_view(self, view: View, dense: bool) -> Callable[[], Picture]:
        clip = clip_from_head(view.cam_from_head, view.intrinsics)
        uniforms = self._posed | {
            "clip_from_head": clip.T.astype("f4").tobytes(),
            "camera": tuple(np.linalg.inv(view.cam_from_head)[:3, 3]),
            "gain": view.gain,
        }
        self.ctx.enable(moderngl.DEPTH_TEST)
        self.ctx.enable_direct(_CLIP_DISTANCE0)
        self._shadow.use(0)
        self._face_map.use(1)
        exposed = self.film.exposed
        exposed.clear(0.0, 0.0, 0.0, 0.0, depth=1.0)
        self.film.covered.use()
        self._draw(self._meshes(), "cover", uniforms)
        exposed.use()
        exposed.depth_mask = False
        self.ctx.depth_func = "=="
        self._draw(self._meshes(), "color", uniforms)
        self.ctx.depth_func = "<"
        exposed.depth_mask = True
        self.ctx.disable(moderngl.DEPTH_TEST)
        self.ctx.disable_direct(_CLIP_DISTANCE0)
        return self.film.develop(view, dense)

    def visibility(self, pose: Pose, directions: np.ndarray) -> np.ndarray:
        """Whether light from far directions (D, 3) reaches each drawn vertex: (D, R) of 0 and 1.

        Only the head casts shadows; one depth map a direction is drawn of it.
        """
        start = np.c_[pose.positions + 0.25 * pose.normals, np.ones(len(pose.positions))]
        seen = np.empty((len(directions), len(start)), np.float32)
        self.pose(pose)
        with self.ctx:
            self._shadow.compare_func = ""
            for row, toward in zip(seen, directions, strict=True):
                shadow = shadow_from_head(toward)
                self._cast([self._skin], shadow)
                depth = np.frombuffer(self._shadow.read(), "f4")
                place = start @ shadow.T * 0.5 + 0.5
                cell = np.clip((place[:, :2] * _SHADOW_SIZE).astype(int), 0, _SHADOW_SIZE - 1)
                row[:] = depth[cell[:, 1] * _SHADOW_SIZE + cell[:, 0]] > place[:, 2] - 0.002
            self._shadow.compare_func = "<="
        return seen

    def _uniforms(self, pose: Pose) -> dict[str, Any]:
        return {
            "sh": pose.light.sh.astype("f4").tobytes(),
            "lamp_direction": pose.light.directions.astype("f4").tobytes(),
            "lamp_color": pose.light.colors.astype("f4").tobytes(),
            "shadow_softness": pose.light.softness,
            "shadow_map": 0,
            "face_albedo": 1,
            "torso": tuple(pose.torso),
            **pose.uniforms,
        }

    def _draw(self, meshes: list[_Mesh], use: str, uniforms: dict[str, Any]) -> None:
        for (_, program_use), program in self._programs.items():
            if program_use == use:
                _assign(program, uniforms)
        for mesh in meshes:
            program = self._programs[mesh.kind, use]
            _assign(program, mesh.settings | {"label": mesh.label, "points": 2, "looks": 3})
            for unit, texture in enumerate(mesh.textures, start=2):
                texture.use(unit)
            count = mesh.vertices
            if mesh.kind == "strand":
                # Strands come in random order: a quarter of them, four times wider, shade alike.
                coarse = use == "shadow"
                count = count // 4 // 6 * 6 if coarse else count
                _assign(program, {"widen": 4.0 if coarse else 1.0})
            mesh.arrays[use].render(moderngl.TRIANGLES, vertices=count)

    def close(self) -> None:
        """Give the context back."""
        self.ctx.release()


def _steps_between(points: np.ndarray) -> int:
    """In how many straight pieces a strand (S, P, 4) bends from one point to the next."""
    length = np.linalg.norm(np.diff(points[..., :3], axis=1), axis=2)
    return int(np.clip(np.ceil(np.quantile(length, 0.9) / _PIECE), 1, 4)) if length.size else 1


def _ribbon_order(count: int, steps: int) -> bytes:
    """Vertex numbers, i4, of the triangles of `count` ribbons with two vertices a point."""
    row = 2 * np.arange(steps - 1)[:, None] + np.array([0, 1, 2, 2, 1, 3])
    return (np.arange(count)[:, None, None] * 2 * steps + row).astype("i4").tobytes()


def _assign(program: moderngl.Program, uniforms: Mapping[str, Any]) -> None:
    """Set those uniforms that the compiler kept."""
    for name, value in uniforms.items():
        member = program.get(name, None)
        if isinstance(member, moderngl.Uniform):
            if isinstance(value, bytes):
                member.write(value)
            else:
                member.value = value
