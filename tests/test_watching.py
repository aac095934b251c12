"""Networks that read pictures are shown the right crop of the right face."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mien.model.paper import PaperNetwork
from mien.model.paper_motion import crop_face, crop_middle, to_bytes
from mien.pipeline import motion
from mien.preprocess.face import find_faces
from mien.preprocess.face_box import FaceDetector
from mien.preprocess.photo import portrait, read_photo
from mien.presets import build, paper, tiny
from mien.watching import PictureReader, portrait_latent

PHOTO = Path(__file__).parents[1] / "examples" / "astronaut.jpg"


class Means(nn.Module):
    """Stands for the motion encoder: remembers crops, says their mean colour and nothing else."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Tensor] = []
        self.weight = nn.Parameter(torch.zeros(()))

    def forward(self, face: Tensor) -> Tensor:
        self.seen.append(face)
        return face.mean((2, 3)).repeat(1, 171)[:, :512]


@pytest.fixture
def network() -> PaperNetwork:
    with torch.device("meta"):
        network = PaperNetwork(paper())
    network.motion = Means()
    for name in ("encoder", "fusion", "decoder"):
        setattr(network, name, nn.Identity())
    return network.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def two() -> np.ndarray:
    """The astronaut, and herself again to the right, darker."""
    head = read_photo(PHOTO).image[:300, 60:380]
    return np.concatenate([head, head // 2], 1)


def in_range(picture: np.ndarray) -> Tensor:
    """(3, H, W) in [-1, 1]."""
    return torch.from_numpy(picture).permute(2, 0, 1) / 127.5 - 1


def test_the_way_to_bytes_loses_what_the_published_one_loses():
    levels = torch.arange(256, dtype=torch.uint8)
    lost = levels.int() - to_bytes(levels / 127.5 - 1).int()
    assert lost.unique().tolist() == [0, 1]
    assert lost.sum() == 63


def test_the_face_that_is_meant_is_boxed(two):
    faces = find_faces(two)
    assert len(faces) == 2
    with FaceDetector() as detector:
        boxes = [detector(two, face) for face in faces]
        surest = detector(two)
        nobody = detector(np.full((64, 64, 3), 90, np.uint8))
    assert surest in boxes
    assert nobody is None
    for face, box in zip(faces, boxes, strict=True):
        assert box is not None
        # The box reaches from brows to chin.
        assert box[0] < face[1, 0] < box[2]
        assert box[1] < face[1, 1] < box[3]


def test_a_picture_is_cropped_to_its_face(network, two):
    left, picture = find_faces(two)[0], in_range(two)
    levels = to_bytes(picture)
    with FaceDetector() as detector, PictureReader(network) as read:
        box = detector(levels.permute(1, 2, 0).numpy(), left)
        latent = read(picture, left)
    assert box is not None
    crop = crop_face(levels / 127.5 - 1, box)
    torch.testing.assert_close(network.motion.seen[0][0], crop)
    assert latent.shape == (512,)


def test_without_a_face_the_middle_is_shown(network):
    grey = np.tile(np.arange(0, 250, 2, np.uint8)[:, None, None], (1, 125, 3))
    with PictureReader(network) as read:
        read(in_range(grey))
    pixels = to_bytes(in_range(grey)) / 127.5 - 1
    torch.testing.assert_close(network.motion.seen[0][0], crop_middle(pixels))
    # Rows 35 to 223 of 256 are seen.
    shown = (network.motion.seen[0][0, 0, [0, -1], 0] + 1) * 127.5
    torch.testing.assert_close(shown, torch.tensor([35.5, 222.5]) / 256 * 250 - 1, atol=1.5, rtol=0)


def test_a_portrait_says_its_latent_without_its_background(network):
    seen = portrait(PHOTO)
    latent = portrait_latent(network, seen)
    assert latent.shape == (512,)
    picture = to_bytes(2 * seen.image - 1)
    with FaceDetector() as detector:
        box = detector(picture.permute(1, 2, 0).numpy())
    assert box is not None
    torch.testing.assert_close(network.motion.seen[0][0], crop_face(picture / 127.5 - 1, box))
    assert picture[:, 0, 0].max() == 0


def test_a_take_has_a_latent_for_every_frame_and_bridges_gaps(network, two):
    frames = [two[:, :320], np.zeros_like(two[:, :320]), two[:, 320:]]
    take = motion(network, ((t / 10, f) for t, f in enumerate(frames)), 10.0)
    assert take.latents.shape == (3, 512)
    assert len(network.motion.seen) == 2
    torch.testing.assert_close(take.latents[1], take.latents[[0, 2]].mean(0))
    assert take.preset == "paper"


def test_landmark_networks_read_landmarks(two):
    network = build(tiny()).eval().requires_grad_(False)
    take = motion(network, [(0.0, two[:, :320])], 25.0)
    assert take.landmarks is not None
    torch.testing.assert_close(take.latents, network.motion(take.landmarks))
