import numpy as np
import torch

from mien.structures import RADIUS, Camera
from mien.synth.expression import blend
from mien.synth.landmarks import to_canonical
from mien.synth.rig import ARKIT, PARTS
from mien.synth.scene import LABELS, Picture, clip_from_head
from mien.synth.studio import (
    Studio,
    Truth,
    _creases,
    _mouth_open,
    cam_from_centimetres,
    from_afar,
    sample_camera,
    sample_distance,
    sample_scene,
    sample_tongue,
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
    # A pixel on the outline may show what lies behind or beside; its neighbours do not.
    around = np.lib.stride_tricks.sliding_window_view(np.pad(picture.depth, 1), (3, 3))
    around = around[row, column].reshape(-1, 9)
    hidden = around[:, 4] - depth < -0.03  # something stands before it
    gap = np.abs(around - depth[:, None]).min(1)[~hidden]
    assert (around > 0).any(1).all()
    assert (gap < 0.03).mean() > 0.97
    assert gap.max() < 0.08
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


def test_cameras_see_profiles() -> None:
    rng = np.random.default_rng(0)
    yaw = np.degrees([abs(float(sample_camera(rng).angles()[0])) for _ in range(2000)])
    assert 0.45 < (yaw < 25).mean() < 0.55
    assert (yaw > 60).mean() > 0.12
    assert 74 < yaw.max() < 75.1


def test_one_in_five_is_photographed_from_nearer_or_farther() -> None:
    rng = np.random.default_rng(0)
    away = np.array([sample_distance(rng) for _ in range(1000)])
    assert 0.15 < (away != 1).mean() < 0.25
    assert 0.6 <= away.min() < 0.7
    assert 1.7 < away.max() <= 2.0


def test_another_lens_keeps_the_faces_place_and_size() -> None:
    camera = Camera.orbit(0.5, -0.2)
    near = from_afar(camera, 0.6)
    across = camera.world_from_cam[:3, 0] * 0.1
    face = torch.stack([torch.tensor([0.0, 0.0, 0.2]) + side * across for side in (-1, 1)])
    width = [(c.project(face)[1] - c.project(face)[0]).norm() for c in (camera, near)]
    torch.testing.assert_close(width[0], width[1])
    assert near.world_from_cam[:3, 3].norm() < 0.61 * RADIUS
    same = from_afar(camera, 1.0)
    torch.testing.assert_close(same.intrinsics, camera.intrinsics)
    nose = torch.tensor([[0.0, 0.0, 0.3]]) + torch.stack([-across, across])
    grown = [(c.project(nose)[1] - c.project(nose)[0]).norm() for c in (camera, near)]
    assert grown[1] > 1.02 * grown[0]


def test_a_tongue_is_shown_by_an_open_mouth(studio: Studio) -> None:
    rng = np.random.default_rng(1)
    shown = [sample_tongue(rng, blend({"mouthPress": 1.0})) for _ in range(400)]
    out = np.array([amount for _, amount, _ in shown])
    assert 0.01 < (out > 0).mean() < 0.12
    assert all(face[ARKIT.index("jawOpen")] >= 0.25 for face, amount, _ in shown if amount)
    assert all(
        face[ARKIT.index("mouthPress_L")] == (0.0 if amount else 1.0) for face, amount, _ in shown
    )
    scene = sample_scene(np.random.default_rng(0))
    truth = studio.pose(blend({"jawOpen": 0.4}), scene, STILL, 1.0)
    picture = studio.shoot(Camera.orbit(0.0, 0.0), scene, 0)
    assert truth.tongue == 1.0
    assert (picture.parts == LABELS.index("tongue")).any()


def test_skin_furrows_when_brows_go_up() -> None:
    quiet, raised = (
        _creases(3, blend(face)) for face in ({}, {"browInnerUp": 1.0, "browDown": 0.5})
    )
    assert quiet["brows_up"] == (0.0, 0.0)
    assert raised["brows_up"][0] > 0.2
    assert raised["frown"] > 0.1
    one_sided = _creases(3, blend({"browOuterUp": 1.0}, 1.0))["brows_up"]
    assert one_sided[0] > 0.2
    assert one_sided[1] == 0.0


def test_jaw_and_lips_let_light_into_the_mouth() -> None:
    faces = ({}, {"mouthUpperUp": 0.5, "mouthLowerDown": 0.35}, {"jawOpen": 0.3}, {"jawOpen": 1.0})
    calm, grin, spoken, wide = (_mouth_open(blend(face)) for face in faces)
    assert calm == 0.0
    assert 0.3 < grin < spoken < wide == 1.0
