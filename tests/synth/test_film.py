import dataclasses

import numpy as np
import pytest

from mien.structures import Camera
from mien.synth.expression import blend
from mien.synth.scene import Picture
from mien.synth.studio import Studio, sample_scene

STILL = np.array([1.0, 0.0, 0.0, 0.0])


def develop(studio: Studio, yaw: float, dense: bool = True, blur: float = 0.0) -> Picture:
    scene = sample_scene(np.random.default_rng(4))
    scene = dataclasses.replace(scene, blur=blur, noise=(0.0, 0.0))
    studio.pose(blend({"jawOpen": 0.5}), scene, STILL)
    return studio.shoot(Camera.orbit(yaw, 0.1), scene, 0, dense)


@pytest.mark.parametrize("yaw", [-1.2, 0.0, 0.7])
def test_every_sample_that_is_covered_is_also_shown(studio: Studio, yaw: float) -> None:
    picture = develop(studio, yaw)
    np.testing.assert_array_equal(picture.parts > 0, picture.depth > 0)
    assert (picture.alpha[picture.parts > 0] > 0).all()
    # A pixel is covered by some of its four samples, and is as bright as they are in the mean.
    assert len(np.unique(picture.alpha)) == 5


def test_labels_do_not_change_the_picture(studio: Studio) -> None:
    with_labels, without = develop(studio, 0.2), develop(studio, 0.2, dense=False)
    np.testing.assert_array_equal(with_labels.image, without.image)
    np.testing.assert_array_equal(with_labels.alpha, without.alpha)
    assert without.depth.size == without.parts.size == without.normals.size == 0


def test_blur_softens_the_picture_and_leaves_the_labels(studio: Studio) -> None:
    sharp, soft = develop(studio, 0.2), develop(studio, 0.2, blur=2.0)
    np.testing.assert_array_equal(sharp.depth, soft.depth)
    np.testing.assert_array_equal(sharp.parts, soft.parts)
    assert (
        np.abs(np.diff(soft.alpha.astype(int))).max()
        < np.abs(np.diff(sharp.alpha.astype(int))).max()
    )


def test_pictures_may_be_fetched_later_and_in_any_order(studio: Studio) -> None:
    scene = sample_scene(np.random.default_rng(4))
    cameras = [Camera.orbit(yaw, 0.1) for yaw in (-0.5, 0.0, 0.5)]
    studio.pose(blend({"jawOpen": 0.5}), scene, STILL)
    plain = [studio.shoot(camera, scene, 0) for camera in cameras]
    waiting = [studio.expose(camera, scene, 0) for camera in cameras]
    studio.pose(blend({}), scene, STILL)  # another face does not reach what was exposed
    for k in (2, 0, 1):
        picture = waiting[k]()
        for name in ("image", "alpha", "depth", "parts", "normals"):
            np.testing.assert_array_equal(getattr(picture, name), getattr(plain[k], name))
