"""The measures of made heads in `benchmarks/realism`."""

import importlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from mien.data.shards import Frames
from mien.structures import Camera

FOLDER = Path(__file__).parents[2] / "benchmarks" / "realism"


@pytest.fixture
def tools(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The measures' modules, which find each other as scripts of one folder do."""
    monkeypatch.syspath_prepend(str(FOLDER))
    names = ("faces", "found", "judge", "landmarker", "regions", "transfer")
    return SimpleNamespace(**{name: importlib.import_module(name) for name in names})


def face_points(rng: np.random.Generator, count: int) -> np.ndarray:
    """(n, 478, 2): MediaPipe's neutral face in a crop of 192 pixels, nudged."""
    from mien.preprocess.pose import canonical

    flat = canonical().points[:, :2] * [200.0, -200.0] + 96.0
    return flat + rng.normal(0, 0.5, (count, 478, 2))


def made_faces(tools: Any, count: int = 6) -> Any:
    rng = np.random.default_rng(0)
    points = face_points(rng, count).astype(np.float32)
    crops = rng.integers(0, 255, (count, 192, 192, 4)).astype(np.uint8)
    people = np.array([f"person {i // 2}" for i in range(count)])
    return tools.faces.Faces(
        crops, points, points.copy(), np.zeros((count, 2)), people, np.full(count, "render")
    )


def test_saved_faces_come_back(tools: Any, tmp_path: Path) -> None:
    faces = made_faces(tools)
    rows = [tuple(vars(faces[i : i + 1]).values()) for i in range(len(faces))]
    tools.faces.save(tmp_path / "a.npz", [tuple(part[0] for part in row) for row in rows])
    twice = tools.faces.Faces.load([tmp_path / "a.npz"] * 2)
    assert len(twice) == 2 * len(faces)
    np.testing.assert_array_equal(twice.crops[: len(faces)], faces.crops)
    np.testing.assert_array_equal(twice.person[len(faces) :], faces.person)


def test_points_go_where_their_pixels_go(tools: Any) -> None:
    picture = np.zeros((320, 320, 4), np.uint8)
    picture[150:155, 190:195] = 255
    crop, frame, _ = tools.faces.crop_of(picture, None)
    there = np.argwhere(crop[..., 0] > 128).mean(0)[::-1] + 0.5
    np.testing.assert_allclose(
        tools.faces.into_crop(np.array([192.5, 152.5]), frame), there, atol=0.5
    )


def test_errors_are_in_eye_distances(tools: Any) -> None:
    points = face_points(np.random.default_rng(1), 3)
    eyes = np.linalg.norm(points[:, 33] - points[:, 263], axis=-1)
    moved = points + np.array([3.0, 4.0])
    np.testing.assert_allclose(tools.found.errors(moved, points), np.tile(5 / eyes, (478, 1)).T)


def test_gaze_to_the_right_counts_up_in_both_eyes(tools: Any) -> None:
    points = face_points(np.random.default_rng(1), 1)
    moved = points.copy()
    moved[:, 468:] += [2.0, -1.5]
    before, after = tools.found.gestures(points), tools.found.gestures(moved)
    assert after["gaze sideways"] > before["gaze sideways"] + 0.05
    assert after["gaze up"] != pytest.approx(before["gaze up"], abs=0.02)
    np.testing.assert_allclose(after["mouth width"], before["mouth width"])


def test_perfect_agreement_says_so(tools: Any) -> None:
    points = face_points(np.random.default_rng(1), 8)
    lines = tools.found.agreement(points, points)
    assert all("median 0.00%" in line or "r 1.00, slope 1.00" in line for line in lines)


def test_no_person_is_in_two_folds(tools: Any) -> None:
    people = np.repeat([f"p{i}" for i in range(40)], 3)
    fold = tools.judge.folds(people, 0)
    assert set(fold) == set(range(tools.judge.FOLDS))
    assert all(len(set(fold[people == name])) == 1 for name in people)


def test_cut_faces_have_mean_zero_and_hide_what_is_around(tools: Any) -> None:
    faces = made_faces(tools)
    other = made_faces(tools)
    other.crops[:, :8] = 255 - other.crops[:, :8]
    a, b = (tools.judge.normalise(tools.judge.cut_out(f).crops) for f in (faces, other))
    torch.testing.assert_close(a, b)
    assert a.mean((2, 3)).abs().max() < 1e-4
    assert (a == 0).all(1).float().mean() > 0.1


def test_the_judge_tells_noise_from_stripes_but_not_noise_from_noise(
    tools: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tools.judge, "STEPS", 50)
    monkeypatch.setattr(tools.judge, "BATCH", 16)
    faces = tools.judge.cut_out(made_faces(tools, 48))
    striped = tools.judge.cut_out(made_faces(tools, 48))
    striped.crops[:, (np.arange(len(striped.crops[0])) // 8) % 2 == 0, :, :3] = 255

    def error(photos: Any) -> float:
        missed, blamed = tools.judge.ask(faces, photos, tools.judge.VIEWS["all"], 0)
        return tools.judge.balanced(missed[None], blamed[None], photos)[0]

    assert error(striped) < 0.1
    assert error(tools.judge.cut_out(made_faces(tools, 48))) > 0.25


def marked_frames() -> Frames:
    """Wide pictures that are white where landmark 1 is, and black elsewhere."""
    generator = torch.Generator().manual_seed(0)
    place = 0.1 * torch.randn(6, 2, generator=generator)
    camera = Camera.orbit(torch.zeros(6), torch.zeros(6))
    marks = torch.cat([place, torch.zeros(6, 1)], -1)[:, None].expand(-1, 478, -1).contiguous()
    pixel = camera.project(marks)[:, 0] * 128
    axis = torch.arange(128) + 0.5
    far = (axis - pixel[:, :1]).square()[:, None] + (axis - pixel[:, 1:]).square()[:, :, None]
    pixels = ((far < 9).float() * 255).byte()[:, None].expand(-1, 4, -1, -1).contiguous()
    inside = torch.zeros(6, 4, 2)
    names = tuple("abcdef")
    return Frames(pixels, marks, camera, inside, torch.arange(6), names, names)


def test_marks_stay_on_their_pixels_in_random_crops(tools: Any) -> None:
    torch.manual_seed(3)
    frames = marked_frames()
    heads, marks = tools.landmarker.crops(
        frames.pixels.float() / 255, tools.landmarker.places(frames)
    )
    axis = (torch.arange(tools.landmarker.SIDE) + 0.5) / tools.landmarker.SIDE * 2 - 1
    weight = heads[:, 0] / heads[:, 0].sum((1, 2), keepdim=True)
    there = torch.stack([(weight * axis).sum((1, 2)), (weight * axis[:, None]).sum((1, 2))], -1)
    torch.testing.assert_close(marks[:, 1], there, atol=0.02, rtol=0)


def test_a_landmarker_learns_and_is_the_same_again(tools: Any) -> None:
    frames = marked_frames()
    device = torch.device("cpu")
    one, two = (tools.landmarker.train(frames, 3, 4, device) for _ in range(2))
    for a, b in zip(one.parameters(), two.parameters(), strict=True):
        torch.testing.assert_close(a, b)
    assert sum(p.numel() for p in one.parameters()) < 2_000_000


def test_found_points_are_in_the_pictures_pixels(tools: Any) -> None:
    network = tools.landmarker.Landmarker().eval()
    torch.nn.init.zeros_(network.maps.weight)
    torch.nn.init.zeros_(network.maps.bias)
    points = tools.landmarker.find(network, torch.rand(2, 3, 192, 192))
    torch.testing.assert_close(points, torch.full((2, 478, 2), 96.0))


def test_the_mean_face_fits_faces_that_differ_in_place_and_size_alone(tools: Any) -> None:
    face = face_points(np.random.default_rng(2), 1)
    faces = np.concatenate([face, 1.5 * face + 20, 0.7 * face - 3])
    np.testing.assert_allclose(tools.transfer.mean_face(faces), faces)


def test_a_part_that_is_brighter_or_rougher_is_said_to_be(tools: Any) -> None:
    import cv2

    seen = face_points(np.random.default_rng(0), 1)[0]
    plain = np.full((192, 192, 3), 100, np.uint8)
    parts = [*tools.regions.PARTS, *tools.regions.RINGS]
    cheeks = tools.regions.PARTS["cheek"]

    def found(crop: np.ndarray) -> dict[str, np.ndarray]:
        return dict(zip(parts, tools.regions.measure(crop, seen), strict=True))

    assert np.nanmax(np.abs(found(plain)["cheek"])) < 1e-6
    painted = plain.copy()
    for side in cheeks:
        cv2.fillPoly(painted, [np.round(seen[side]).astype(np.int32)], (160, 100, 100))
    light, red, blue, _ = found(painted)["cheek"]
    assert light > 0.1
    assert red > 0.5
    assert abs(blue) < 0.05
    rough = np.random.default_rng(1).normal(100, 20, plain.shape).clip(0, 255).astype(np.uint8)
    assert found(rough)["cheek"][3] > 0.02
    assert np.nanmax(np.abs(found(painted)["chin"][:3])) < 0.05
