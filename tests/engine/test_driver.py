import pytest
import torch
from torch import Tensor

from mien.engine import driver
from mien.model.motion import LandmarkMotion
from mien.model.paper_motion import MultiScaleBlock, PaperMotionEncoder
from mien.structures import LANDMARKS

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


def faces(number: int) -> Tensor:
    """Landmarks of faces that differ, each eye's corners some way apart."""
    return 0.2 * torch.randn(1, LANDMARKS, 3) + 0.02 * torch.randn(number, LANDMARKS, 3)


@pytest.mark.parametrize("device", DEVICES)
def test_landmarks_become_what_the_encoder_makes_of_them(device: str) -> None:
    encoder = LandmarkMotion(16)
    encoder.fit_statistics(faces(50))
    encoder = encoder.to(device).requires_grad_(False)
    points = faces(3).to(device)
    expected = encoder(points)
    ours = driver.landmarks(encoder).encode(points)
    assert expected.std() > 0.01
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))


def test_latents_pass_as_they_are() -> None:
    latent = torch.randn(2, 8)
    assert torch.equal(driver.latents(8).encode(latent), latent)


def test_an_affine_map_does_what_a_batch_norm_does() -> None:
    block = MultiScaleBlock(8, 8).requires_grad_(False)
    for _ in range(3):
        block(2 * torch.randn(4, 8, 16, 16) + 1)
    norm = block.eval().norm_1
    norm.weight.copy_(torch.rand(8))
    norm.bias.copy_(torch.randn(8))
    image = torch.randn(2, 8, 5, 7)
    torch.testing.assert_close(driver._Affine(norm)(image), norm(image))


@pytest.mark.gpu
def test_pictures_become_what_the_papers_encoder_makes_of_them() -> None:
    encoder = PaperMotionEncoder().eval().cuda().requires_grad_(False)
    pictures = 2 * torch.rand(2, 3, 224, 224, device="cuda") - 1
    expected, ours = encoder(pictures), driver.paper_crops(encoder).encode(pictures)
    assert (ours - expected).norm() < 5e-3 * expected.norm()
