from pathlib import Path

import numpy as np
import pytest
import torch

from mien.errors import MienError
from mien.synth.expression import blend, gaze
from mien.synth.rig import ARKIT, PARTS, Rig, fit_sphere, gaze_rotation, load_rig


def coefficients(parts: dict[str, float]) -> torch.Tensor:
    return torch.tensor(blend(parts)[None], dtype=torch.float32)


def test_tiny_rig_has_every_part(rig: Rig) -> None:
    assert set(rig.parts.tolist()) == set(range(len(PARTS)))
    assert len(rig.vertices) < 100
    assert rig.expression.shape == (len(ARKIT), rig.vertices.numel())


def test_normals_are_the_sum_of_what_triangles_say(rig: Rig) -> None:
    heads = rig.shape(torch.randn(2, 8, generator=torch.Generator().manual_seed(0)))
    corners = heads[:, rig.triangles]
    face = torch.linalg.cross(
        corners[:, :, 1] - corners[:, :, 0], corners[:, :, 2] - corners[:, :, 0]
    )
    total = torch.zeros_like(heads)
    for corner in rig.triangles.T:
        total.index_add_(1, corner, face)
    plain = torch.nn.functional.normalize(total, dim=-1)
    torch.testing.assert_close(rig.normals(heads), plain)


def test_normals_point_out_of_the_head(rig: Rig) -> None:
    normals = rig.normals(rig.vertices[None])[0]
    skin = rig.faces_of("skin").unique()
    outward = (normals[skin] * rig.vertices[skin]).sum(1)
    assert (outward > 0).all()
    torch.testing.assert_close(normals[skin].norm(dim=1), torch.ones(len(skin)))


def test_shape_and_pose_are_linear_away_from_the_eyes(rig: Rig) -> None:
    weights = torch.tensor([[1.0] + [0.0] * 7, [0.0] * 8])
    shapes = rig.shape(weights)
    torch.testing.assert_close(shapes[1], rig.vertices)
    torch.testing.assert_close((shapes[0] - rig.vertices).flatten(), rig.identity[0])
    smile = coefficients({"jawOpen": 0.5})
    moved = (rig.pose(shapes[1:], smile)[0] - rig.vertices).reshape(-1, 3)
    skin = rig.faces_of("skin").unique()
    expected = 0.5 * rig.expression[ARKIT.index("jawOpen")].reshape(-1, 3)
    torch.testing.assert_close(moved[skin], expected[skin])


def test_eyeballs_draw_back_behind_closed_lids(rig: Rig) -> None:
    ball = rig.faces_of("eye_left").unique()
    shut = coefficients({"eyeBlink": 1.0})
    moved = rig.pose(rig.vertices[None], shut)[0, ball] - rig.vertices[ball]
    torch.testing.assert_close(
        moved, torch.tensor([0.0, 0.0, -0.2]).expand_as(moved), atol=1e-3, rtol=0
    )


def test_gaze_turns_both_eyes_the_way_it_says() -> None:
    ahead = torch.tensor([0.0, 0.0, 1.0])
    for yaw, pitch in ((0.8, 0.0), (-0.8, 0.0), (0.0, 0.7), (0.0, -0.7)):
        face = torch.tensor(gaze(yaw, pitch)[None], dtype=torch.float32)
        for side in (0, 1):
            look = gaze_rotation(face, side)[0] @ ahead
            assert np.sign(look[0].round(decimals=4)) == np.sign(yaw)
            assert np.sign(look[1].round(decimals=4)) == np.sign(pitch)


def test_pose_turns_the_eyeball_about_its_centre(rig: Rig) -> None:
    ball = rig.faces_of("eye_left").unique()
    face = torch.tensor(gaze(1.0, 0.0)[None], dtype=torch.float32)
    posed = rig.pose(rig.vertices[None], face)[0, ball]
    center = rig.eye_centers[0]
    before, after = rig.vertices[ball] - center, posed - center
    torch.testing.assert_close(after.norm(dim=1), before.norm(dim=1), atol=1e-3, rtol=0)
    front = before[:, 2].argmax()
    assert after[front, 0] > 0.5


def test_fit_sphere_finds_the_centre_from_a_cap() -> None:
    points = torch.nn.functional.normalize(torch.randn(1, 60, 3), dim=-1)
    points[..., 2] = points[..., 2].abs()
    center = torch.tensor([1.0, -2.0, 3.0])
    found = fit_sphere(points * 1.5 + center)
    torch.testing.assert_close(found[0], center, atol=2e-3, rtol=0)


def test_missing_damaged_and_foreign_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(MienError, match="does not exist"):
        load_rig(tmp_path)
    (tmp_path / "facekit.npz").write_bytes(b"PK\x03\x04 not an archive")
    with pytest.raises(MienError, match="fetch it again"):
        load_rig(tmp_path)
    for name in ("facekit.npz", "facekit_identity.npz"):
        np.savez(tmp_path / name, vertices=np.zeros((3, 3)))
    with pytest.raises(MienError, match="not FaceKit's"):
        load_rig(tmp_path)


def test_facekit_blinks_and_looks(shared_data: Path) -> None:
    rig = load_rig(shared_data / "facekit")
    neutral = rig.shape(torch.zeros(1, 100))
    torch.testing.assert_close(neutral[0], rig.vertices)
    upper, lower = rig.landmarks68[37], rig.landmarks68[41]
    closed = rig.pose(neutral, coefficients({"eyeBlink": 1.0}))[0]
    assert rig.vertices[upper, 1] - rig.vertices[lower, 1] > 0.6
    assert closed[upper, 1] - closed[lower, 1] < 0.2
    center = fit_sphere(neutral[:, rig.faces_of("eye_left").unique()])[0]
    torch.testing.assert_close(center, rig.eye_centers[0], atol=0.05, rtol=0)
