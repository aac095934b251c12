"""The fused motion kernel equals its plain twin, and that equals the network.

Without a GPU the kernel runs under Triton's interpreter, in a process of its own, because Triton
reads TRITON_INTERPRET once, when it is imported.
"""

import os
import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from mien.engine.prepare import animate, prepare, prepare_layers
from mien.errors import MienError
from mien.model.decoder import Decoder, attributes
from mien.model.fusion import Fusion
from mien.structures import Anchors, Avatar, Camera, Gaussians

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
motion_kernel = None
if INTERPRETED or torch.cuda.is_available():
    motion_kernel = pytest.importorskip("mien.engine.motion_kernel", exc_type=ImportError)

DEVICES = [
    pytest.param(
        "cpu", marks=pytest.mark.skipif(not INTERPRETED, reason="runs under the interpreter")
    ),
    pytest.param("cuda", marks=pytest.mark.gpu),
]


@pytest.mark.skipif(INTERPRETED, reason="is the interpreter already")
@pytest.mark.slow
def test_under_the_interpreter() -> None:
    pytest.importorskip("triton")
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "cpu", __file__],
        env=os.environ | {"TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "passed" in run.stdout


def networks(latent: int, hidden: int, device: str = "cpu") -> tuple[Fusion, Decoder]:
    fusion, decoder = Fusion(latent, hidden=hidden, gain=0.1), Decoder(hidden=hidden)
    return fusion.to(device).requires_grad_(False), decoder.to(device).requires_grad_(False)


def avatar(number: int, latent: int, anchored: bool) -> Avatar:
    anchors = None
    if anchored:
        anchors = Anchors(
            0.3 * torch.randn(number, 3),
            torch.rand(number, 3),
            0.01 * torch.rand(number),
            torch.randn(number),
            Camera.orbit(0.2, 0.1).world_from_cam[:3, :3],
        )
    return Avatar(
        torch.randn(number, 48),
        2 * torch.randn(number, 48) + 1,
        torch.randn(latent),
        Camera.orbit().intrinsics,
        anchors,
        "base",
    )


def assert_close(ours: Gaussians, expected: Gaussians, tolerance: float) -> None:
    for name, value in vars(expected).items():
        torch.testing.assert_close(vars(ours)[name], value, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("anchored", [True, False])
def test_the_plain_twin_is_the_network(anchored: bool) -> None:
    fusion, decoder = networks(8, 16)
    avatars = [avatar(50, 8, anchored), avatar(33, 8, anchored)]
    latents = torch.randn(2, 8)
    layers = prepare_layers(fusion, decoder, exact=not anchored)
    ours = animate(prepare(avatars, fusion, decoder), layers, latents)
    for i, one in enumerate(avatars):
        delta = fusion(one.basis, one.source_latent, latents[i])
        expected = attributes(decoder(one.features + delta), one.anchors)
        count = len(one.features)
        assert_close(ours[i].map(lambda t, n=count: t[:n]), expected, 4e-3)
        assert not ours[i].opacities[count:].any()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(
    ("latent", "hidden", "anchored"), [(8, 16, True), (64, 96, True), (512, 96, False)]
)
def test_the_kernel_is_the_plain_twin(
    device: str, latent: int, hidden: int, anchored: bool
) -> None:
    fusion, decoder = networks(latent, hidden, device)
    avatars = [avatar(n, latent, anchored) for n in (140, 129)]
    cast = prepare(avatars, fusion, decoder)
    layers = prepare_layers(fusion, decoder, exact=not anchored)
    latents = torch.randn(2, latent, device=device)
    ours, expected = motion_kernel.animate(cast, layers, latents), animate(cast, layers, latents)
    assert_close(ours, expected, 4e-3)
    if not anchored:  # a twentieth of a pixel of 512
        torch.testing.assert_close(ours.means, expected.means, rtol=0, atol=6e-5)


def test_avatars_of_two_presets_are_refused() -> None:
    first = avatar(4, 8, True)
    with pytest.raises(MienError, match="base, paper"):
        prepare([first, replace(first, preset="paper")], *networks(8, 16))


def test_no_avatars_are_refused() -> None:
    with pytest.raises(MienError, match="at least one"):
        prepare([], *networks(8, 16))
