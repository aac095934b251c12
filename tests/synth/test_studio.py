import numpy as np
import torch

from mien.structures import Camera
from mien.synth.expression import blend
from mien.synth.landmarks import to_canonical
from mien.synth.rig import PARTS
from mien.synth.scene import LABELS, Picture, clip_from_head
from mien.synth.studio import (
    Studio,
    Truth,
    cam_from_centimetres,
    sample_camera,
    sample_scene,
    sample_torso,
)

STILL = np.array([1.0, 0.0, 0.0, 0.0])


def shoot(studio: Studio, camera: Camera, seed: int = 0) -> tuple[Truth, Picture]:
    scene = sample_scene(np.random.default_rng(seed))
    truth = studio.pose(blend({"jawOpen": 0.4}), scene, STILL)
    return truth, studio.shoot(camera, scene, seed)


def test_labels_follow_the_rigs_parts() -> None:
    assert LABELS[1 : 1 + len(PARTS)] == PARTS


def test_the_cameras_agree() -> None:
    camera = sample_camera(np.random.default_rng(3))
    points = np.random.default_rng(0).normal(size=(20, 3)) * 8
    wanted = camera.project(torch.from_numpy(to_canonical(points))).numpy()
    clip = clip_from_head(cam_from_centimetres(camera), camera.intrinsics.numpy().astype(float))
    flat = np.c_[points, np.ones(20)] @ clip.T
    seen = flat[:, :2] / flat[:, 3:] * [0.5, -0.5] + 0.5
    np.testing.assert_allclose(seen, wanted, atol=1e-5)


def test_landmarks_lie_on_what_is_drawn(studio: Studio) -> None:
    camera = Camera.orbit(0.2, 0.1)
    truth, picture = shoot(studio, camera)
    place = camera.project(torch.from_numpy(truth.landmarks)).numpy() * 64
    local = truth.landmarks @ camera.cam_from_world[:3, :3].numpy().T
    depth = local[:, 2] + camera.cam_from_world[2, 3].item()
    column, row = np.clip(place.astype(int), 0, 63).T
    drawn = picture.depth[row, column]
    hidden = drawn - depth < -0.03  # something stands before it
    assert (drawn > 0).all()
    gap = np.abs(drawn - depth)[~hidden]
    assert (gap < 0.03).mean() > 0.99  # a pixel on the outline may show what lies behind
    assert gap.max() < 0.06
    assert hidden.mean() < 0.3


def test_alpha_depth_and_parts_tell_the_same(studio: Studio) -> None:
    picture = shoot(studio, Camera.orbit(-0.3, 0.0))[1]
    solid = picture.alpha == 255
    assert 0.2 < solid.mean() < 0.9
    assert (picture.depth[solid] > 1.5).mean() > 0.99
    assert (picture.parts[solid] > 0).mean() > 0.99
    assert (picture.image <= picture.alpha[..., None].astype(int) + 1).all()
    assert (picture.image[picture.alpha == 0] == 0).all()
    np.testing.assert_allclose(
        np.linalg.norm(picture.normals[solid & (picture.parts == 1)] / 127, axis=1), 1, atol=0.05
    )


def test_pictures_are_the_same_for_the_same_seed(studio: Studio) -> None:
    first, second = (shoot(studio, Camera.orbit(0.1, 0.0), 5)[1] for _ in range(2))
    np.testing.assert_array_equal(first.image, second.image)
    np.testing.assert_array_equal(first.parts, second.parts)


def test_people_are_the_same_for_the_same_seed(studio: Studio) -> None:
    first, second = (studio.maker.make(11) for _ in range(2))
    torch.testing.assert_close(first.neutral, second.neutral, rtol=0, atol=0)
    np.testing.assert_array_equal(first.face_map, second.face_map)
    other = studio.maker.make(12)
    assert not torch.equal(first.neutral, other.neutral)


def test_turning_the_torso_moves_no_landmark_and_some_picture(studio: Studio) -> None:
    scene = sample_scene(np.random.default_rng(0))
    camera, face = Camera.orbit(0.0, 0.0), blend({})
    turned = np.array([0.0, 1.0, 0.0, 0.5])
    marks, pictures = [], []
    for torso in (STILL, turned):
        marks.append(studio.pose(face, scene, torso).landmarks)
        pictures.append(studio.shoot(camera, scene, 1).image)
    np.testing.assert_array_equal(*marks)
    assert (pictures[0][-8:] != pictures[1][-8:]).any()
    assert sample_torso(np.random.default_rng(0)).shape == (4,)
