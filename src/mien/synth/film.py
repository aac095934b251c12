"""What heads are drawn on, and how a drawn head becomes a stored picture with its labels."""

from __future__ import annotations

from importlib import resources
from typing import Any

import moderngl
import numpy as np

from mien.synth.scene import FAR, NEAR, Picture, View

SAMPLES = 4
"""Places within a drawn pixel that are covered or not, each on its own."""


class Film:
    """Targets of one size in one context.

    A large multisampled picture is drawn once, with colour, normal and part side by side; the small
    one is made of it: colour is averaged, labels are those of one sample in the pixel's middle.

    Args:
        size: side of the stored picture in pixels.
        factor: how many times larger it is drawn.
    """

    def __init__(self, ctx: moderngl.Context, size: int, factor: int) -> None:
        self.size, self.factor = size, factor
        large, small = (size * factor, size * factor), (size, size)
        color = ctx.texture(large, 4, samples=SAMPLES, dtype="f2")
        self._marks = ctx.texture(large, 4, samples=SAMPLES)
        self._depth = ctx.depth_texture(large, samples=SAMPLES)
        self.covered = ctx.framebuffer([], self._depth)
        self.exposed = ctx.framebuffer([color, self._marks], self._depth)
        self._only_color = ctx.framebuffer([color])
        self._large = ctx.texture(large, 4, dtype="f2")
        self._large_target = ctx.framebuffer([self._large])
        stored, marks = ctx.texture(small, 4), ctx.texture(small, 4)
        self._plain = ctx.framebuffer([stored])
        self._dense = ctx.framebuffer([stored, marks, ctx.texture(small, 1, dtype="f4")])
        self._resolve = ctx.program(
            vertex_shader="#version 410 core\n" + source("quad.vert"),
            fragment_shader=source("resolve.frag"),
        )
        self._quad = ctx.vertex_array(self._resolve, [])
        self._ctx = ctx

    def develop(self, view: View, dense: bool) -> Picture:
        """What was exposed, as it is stored; with depth, parts and normals if `dense`."""
        self._ctx.copy_framebuffer(self._large_target, self._only_color)
        for unit, texture in enumerate((self._large, self._marks, self._depth)):
            texture.use(unit)
        settings: dict[str, Any] = {
            "picture": 0,
            "marks": 1,
            "depths": 2,
            "reach": ((FAR + NEAR) / (FAR - NEAR), 2 * FAR * NEAR / (FAR - NEAR)),
            "factor": self.factor,
            "blur": view.blur * self.factor,
            "sensor_noise": view.noise,
            "white_balance": view.balance,
            "noise_seed": view.seed,
        }
        for name, value in settings.items():
            self._resolve[name] = value
        target = self._dense if dense else self._plain
        target.use()
        self._quad.render(moderngl.TRIANGLES, vertices=3)
        rgba = _read(target, 0, 4, "f1")
        image, alpha = rgba[..., :3].copy(), rgba[..., 3].copy()
        if not dense:
            none = np.zeros((0, 0), np.uint8)
            return Picture(image, alpha, none.astype("f4"), none, none[..., None].astype("i1"))
        marks = _read(target, 1, 4, "f1")
        return Picture(
            image=image,
            alpha=alpha,
            depth=_read(target, 2, 1, "f4")[..., 0].copy(),
            parts=marks[..., 3].copy(),
            normals=(marks[..., :3] ^ 128).view("i1"),
        )


def source(name: str) -> str:
    """Text of a shader."""
    return (resources.files("mien.synth") / "shaders" / name).read_text()


def _read(target: moderngl.Framebuffer, attachment: int, channels: int, dtype: str) -> np.ndarray:
    """(S, S, channels), top row first."""
    data = target.read(components=channels, attachment=attachment, dtype=dtype, alignment=1)
    kind = {"f1": "u1", "f4": "f4"}[dtype]
    return np.frombuffer(data, kind).reshape(target.height, target.width, channels)[::-1]
