import moderngl
import numpy as np
import pytest

from mien.errors import MienError
from mien.structures import Camera
from mien.synth import render_gl
from mien.synth.expression import blend
from mien.synth.render_gl import Renderer
from mien.synth.scene import shadow_from_head
from mien.synth.studio import Studio, sample_scene


def test_no_opengl_is_a_sentence(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> None:
        raise Exception("libEGL.so.1: cannot open shared object file")

    monkeypatch.setattr(moderngl, "create_context", refuse)
    with pytest.raises(MienError, match="No OpenGL"):
        Renderer(studio.skin, 32)


def test_the_head_shades_itself(studio: Studio) -> None:
    rest = studio.maker.rest[studio.draw]
    skin = studio.skin.part == 0
    facing = (studio.directions @ studio.maker.normals[studio.draw].T)[:, skin]
    behind = (studio.directions @ (rest / np.linalg.norm(rest, axis=1, keepdims=True)).T)[:, skin]
    seen = studio.visible[:, skin]
    assert seen[facing > 0.7].mean() > 0.95
    assert seen[behind < -0.7].mean() < 0.05


def test_the_shadow_view_looks_from_the_lamp() -> None:
    toward = np.array([0.6, 0.0, 0.8])
    near, far = (
        np.append(point, 1.0) @ shadow_from_head(toward).T for point in (toward * 9, -toward)
    )
    assert near[2] < far[2]
    np.testing.assert_allclose(near[:2] - far[:2], 0, atol=1e-9)


def test_ribbons_of_a_shared_list_are_those_of_their_own(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    def photo() -> np.ndarray:
        studio.enter(studio.maker.make(3))
        scene = sample_scene(np.random.default_rng(4))
        studio.pose(blend({}), scene, np.array([1.0, 0.0, 0.0, 0.0]))
        picture = studio.shoot(Camera.orbit(0.3, 0.1), scene, 0)
        return np.dstack([picture.image, picture.parts])

    shared = photo()
    monkeypatch.setattr(studio.renderer, "_ribbon_arrays", {})
    monkeypatch.setattr(render_gl, "_RIBBONS", 1)  # lists no longer than needed
    np.testing.assert_array_equal(photo(), shared)
    assert len(studio.renderer._ribbon_arrays) > 0
