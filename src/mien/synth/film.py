"""What heads are drawn on, and how a drawn head becomes a stored picture with its labels."""

from __future__ import annotations

import functools
from collections.abc import Callable
from importlib import resources
from typing import Any

import moderngl
import numpy as np

from mien.synth.scene import FAR, NEAR, Picture, View

_GROUP = 8
"""Side of the squares of pixels that are developed together."""

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
        large = (size * factor, size * factor)
        color = ctx.texture(large, 4, samples=SAMPLES, dtype="f2")
        self._marks = ctx.texture(large, 4, samples=SAMPLES)
        self._depth = ctx.depth_texture(large, samples=SAMPLES)
        self.covered = ctx.framebuffer([], self._depth)
        self.exposed = ctx.framebuffer([color, self._marks], self._depth)
        self._only_color = ctx.framebuffer([color])
        self._large = ctx.texture(large, 4, dtype="f2")
        self._large_target = ctx.framebuffer([self._large])
        self._resolve = ctx.compute_shader(source("resolve.comp"))
        self._ctx = ctx
        self._spare: list[moderngl.Buffer] = []

    def develop(self, view: View, dense: bool) -> Callable[[], Picture]:
        """What was exposed, as it is stored; with depth, parts and normals if `dense`.

        Returns what fetches the picture, to be called once and in this context. Meanwhile other
        pictures may be exposed: nothing waits for the GPU here.
        """
        self._ctx.copy_framebuffer(self._large_target, self._only_color)
        for unit, texture in enumerate((self._large, self._marks, self._depth)):
            texture.use(unit)
        settings: dict[str, Any] = {
            "picture": 0,
            "marks": 1,
            "depths": 2,
            "reach": ((FAR + NEAR) / (FAR - NEAR), 2 * FAR * NEAR / (FAR - NEAR)),
            "side": self.size,
            "labelled": dense,
            "factor": self.factor,
            "blur": view.blur * self.factor,
            "sensor_noise": view.noise,
            "white_balance": view.balance,
            "noise_seed": view.seed,
        }
        for name, value in settings.items():
            self._resolve[name] = value
        buffer = self._spare.pop() if self._spare else self._ctx.buffer(reserve=12 * self.size**2)
        buffer.bind_to_storage_buffer(0)
        groups = -(-self.size // _GROUP)
        self._resolve.run(groups, groups)
        self._ctx.memory_barrier(moderngl.BUFFER_UPDATE_BARRIER_BIT)
        return functools.partial(self.fetch, buffer, 3 if dense else 1)

    def fetch(self, buffer: moderngl.Buffer, count: int) -> Picture:
        """A developed picture of `count` planes: one wait and one copy; the buffer serves again.

        A plane has a word a pixel: colour with alpha, then normals with parts, then depth.
        """
        size = self.size
        planes = np.frombuffer(buffer.read(count * 4 * size * size), "u1")
        planes = planes.reshape(count, size, size, 4)
        self._spare.append(buffer)
        image, alpha = planes[0, ..., :3].copy(), planes[0, ..., 3].copy()
        if count == 1:
            none = np.zeros((0, 0), np.uint8)
            return Picture(image, alpha, none.astype("f4"), none, none[..., None].astype("i1"))
        return Picture(
            image=image,
            alpha=alpha,
            depth=planes[2].view("f4")[..., 0].copy(),
            parts=planes[1, ..., 3].copy(),
            normals=(planes[1, ..., :3] ^ 128).view("i1"),
        )


def source(name: str) -> str:
    """Text of a shader."""
    return (resources.files("mien.synth") / "shaders" / name).read_text()
