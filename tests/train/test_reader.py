"""The reader of expressions."""

import torch

from mien.model.motion import LandmarkMotion
from mien.structures import LANDMARKS, Camera
from mien.train.reader import (
    BROWS,
    FACE,
    LIDS,
    SIDE,
    VIEW_UNIT,
    Reader,
    face_camera,
    face_centre,
    face_crop,
    signal_table,
    view,
)


def test_weights_of_the_signals_sum_to_one_and_columns_are_signals() -> None:
    columns, weights = signal_table()
    assert len(columns) == len(set(columns)) == len(weights) - 2
    assert abs(sum(weights) - 1.0) < 1e-6
    assert max(columns) < 3 * LANDMARKS + 6
    share = dict(zip(columns, weights, strict=False))
    brows, lids = (sum(share[3 * p] + share[3 * p + 1] for p in part) for part in (BROWS, LIDS))
    assert abs(brows - 2.0 * lids) < 1e-6, "brows were followed least of all"


def test_the_crop_shows_the_face_where_the_camera_says() -> None:
    camera = Camera.orbit(torch.tensor([0.3]))
    landmarks = torch.zeros(1, LANDMARKS, 3)
    landmarks[:, :, 0] = 0.05
    centre = face_centre(camera, landmarks)[0]
    side = 128
    row, column = int(centre[1] * side), int(centre[0] * side)
    picture = torch.zeros(1, 3, side, side)
    picture[:, :, row - 1 : row + 2, column - 1 : column + 2] = 1.0
    crop = face_crop(picture, camera, landmarks)
    assert crop.shape == (1, 3, SIDE, SIDE)
    seen = face_camera(camera, landmarks).project(landmarks)
    torch.testing.assert_close(seen, torch.full_like(seen, 0.5))
    brightest = divmod(int(crop[0, 0].argmax()), SIDE)
    assert abs(brightest[0] - SIDE / 2) < 5
    assert abs(brightest[1] - SIDE / 2) < 5


def test_crops_lie_where_they_do_in_half_precision_too() -> None:
    camera = Camera.orbit(torch.tensor([0.3, -0.2]), torch.tensor([0.1, 0.05]))
    landmarks = 0.05 * torch.randn(2, LANDMARKS, 3) + torch.tensor([0.03, 0.04, 0.06])
    picture = torch.rand(2, 3, 64, 64)
    exact = face_crop(picture, camera, landmarks)
    with torch.autocast("cpu", torch.bfloat16):
        half = face_crop(picture, camera, landmarks)
    torch.testing.assert_close(half.float(), exact)


def test_a_reader_learns_what_it_is_shown() -> None:
    """Brightness of the crop stands for an opening mouth; a few steps must find that."""
    torch.manual_seed(0)
    landmarks = 0.1 * torch.randn(1, LANDMARKS, 3).repeat(8, 1, 1)
    landmarks[:, 14, 1] += torch.linspace(-0.02, 0.02, 8)
    motion = LandmarkMotion(4)
    motion.fit_statistics(landmarks)
    reader = Reader(8)
    truth = reader.truth(landmarks, motion, Camera.orbit(torch.zeros(8)))
    faces = torch.linspace(0, 1, 8)[:, None, None, None].expand(8, 3, SIDE, SIDE)
    optimiser = torch.optim.Adam(reader.parameters(), 3e-3)
    errors = []
    for _ in range(25):
        error = reader.error(reader(faces)[0], truth)
        optimiser.zero_grad()
        error.backward()
        optimiser.step()
        errors.append(error.item())
    assert errors[-1] < 0.3 * errors[0]


def test_the_view_is_where_the_camera_stands() -> None:
    angles = torch.tensor([0.0, 0.3, -0.3])
    turned = view(Camera.orbit(angles, torch.zeros(3))) * VIEW_UNIT
    torch.testing.assert_close(turned[:, 0], angles.sin())
    raised = view(Camera.orbit(torch.zeros(3), angles)) * VIEW_UNIT
    torch.testing.assert_close(raised[:, 1], angles.sin())


def test_face_points_exist() -> None:
    assert max(FACE) < LANDMARKS
