"""The `base` network at test size: shapes, conventions, and what starts from the photo."""

import pytest
import torch

from mien.model import instantiate
from mien.model.decoder import DENSITY_FLOOR, Decoder, attributes, density
from mien.model.fusion import Fusion
from mien.model.motion import EYES, ImageMotion, LandmarkMotion, eye_signals
from mien.model.network import Network, prune
from mien.presets import base, tiny
from mien.render import splat
from mien.structures import LANDMARKS, Avatar, Camera


@pytest.fixture
def network() -> Network:
    return Network(tiny()).eval().requires_grad_(False)


def photo(side: int = 64) -> tuple[torch.Tensor, torch.Tensor]:
    """A smooth colourful disc on black, premultiplied: (1, 3, S, S) and its (1, 1, S, S) alpha."""
    ticks = (torch.arange(side) + 0.5) / side
    y, x = torch.meshgrid(ticks, ticks, indexing="ij")
    alpha = (((x - 0.5) ** 2 + (y - 0.5) ** 2) < 0.09).float()
    return (torch.stack([x, y, 1 - x]) * alpha)[None], alpha[None, None]


def encode(network: Network, yaw: float = 0.2, grid: int = 32) -> tuple[Avatar, Camera]:
    image, alpha = photo()
    camera = Camera.orbit(torch.tensor([yaw]))
    latent = torch.zeros(1, network.config.latent)
    return network.encode(image, alpha, camera, latent, grid), camera


def test_base_is_what_its_card_says() -> None:
    network = Network(base())
    assert sum(p.numel() for p in network.parameters()) == pytest.approx(20.07e6, rel=0.01)


@pytest.mark.parametrize("grid", [16, 32, 64])
def test_an_untrained_avatar_is_the_photo_at_every_density(network: Network, grid: int) -> None:
    avatar, camera = encode(network, grid=grid)
    assert avatar.features.shape[1] == grid**2 + (grid // 2) ** 2
    gaussians, _ = network.animate(avatar, avatar.source_latent)
    picture = splat(gaussians, camera, (64, 64)).image
    image, alpha = photo()
    inside = torch.nn.functional.max_pool2d(1 - alpha, 9, 1, 4) == 0
    error = ((picture - image).abs() * inside).sum() / (3 * inside.sum())
    assert error < 0.12


def test_anchors_lie_on_the_pixels_rays() -> None:
    image, alpha = photo()
    camera = Camera.orbit(torch.tensor([0.7]), torch.tensor([-0.2]))
    front, back = torch.randn(1, 8, 32, 32), torch.randn(1, 8, 16, 16)
    _, _, anchors = instantiate.pixel(front, back, image, alpha, camera, 16)
    seen = camera.project(anchors.means)[0]
    ticks = (torch.arange(16) + 0.5) / 16
    rows, columns = torch.meshgrid(ticks, ticks, indexing="ij")
    expected = torch.stack([columns, rows], -1).reshape(-1, 2)
    torch.testing.assert_close(seen[:256], expected, atol=1e-5, rtol=0)


def test_offsets_go_along_the_photos_axes(network: Network) -> None:
    avatar, camera = encode(network, yaw=0.5)
    assert avatar.anchors is not None
    raw = torch.zeros(1, avatar.features.shape[1], 22)
    raw[..., 13] = 1.0  # away from the photo's camera
    moved = attributes(raw, avatar.anchors).means - avatar.anchors.means
    direction = camera.world_from_cam[0, :3, 2]
    torch.testing.assert_close(moved[0, 0] / moved[0, 0].norm(), direction, atol=1e-5, rtol=0)


def test_pruning_drops_what_cannot_be_seen_and_nothing_else(network: Network) -> None:
    avatar, camera = encode(network)
    avatar = avatar[0]
    assert avatar.anchors is not None
    avatar.anchors.density[::2] = -20.0
    kept = prune(avatar, torch.ones(1, 64, 64), camera[0], network.decoder)
    assert kept.anchors is not None
    assert len(kept.features) == len(avatar.features) // 2
    raw = network.decoder(kept.features)
    assert density(raw, kept.anchors).min() >= DENSITY_FLOOR
    assert torch.equal(kept.features, avatar.features[1::2])


def test_pruning_drops_what_starts_where_the_photo_shows_nobody(network: Network) -> None:
    avatar, camera = encode(network, yaw=0.4)
    avatar = avatar[0]
    assert avatar.anchors is not None
    left = torch.zeros(1, 128, 128)
    left[..., :64] = 1.0
    kept = prune(avatar, left, camera[0], network.decoder)
    assert kept.anchors is not None
    columns = camera[0].project(kept.anchors.means)[:, 0]
    before = camera[0].project(avatar.anchors.means)[:, 0]
    assert columns.max() <= 0.5
    assert len(columns) == (before <= 0.5).sum()
    assert (before <= 0.5 + 3 / 64).sum() > (before < 0.5).sum()


def test_paper_heads_say_everything_themselves() -> None:
    raw = torch.randn(1, 50, 22) * 3
    g = attributes(raw, None)
    torch.testing.assert_close(g.means, torch.tanh(raw[..., 11:14]))
    assert g.scales.max() <= 0.05
    assert g.scales.min() >= 0
    assert g.colors.min() >= -0.001
    assert g.colors.max() <= 1.001
    sigma = torch.nn.functional.softplus(raw[..., 0] - 1)
    torch.testing.assert_close(g.opacities, 1 - torch.exp(-sigma))
    torch.testing.assert_close(g.quats.norm(dim=-1), torch.ones(1, 50))


def test_fusion_by_hand() -> None:
    fusion = Fusion(latent=2, channels=3, hidden=4, gain=0.5)
    m, s, t = torch.randn(5, 3), torch.randn(2), torch.randn(2)
    pair = fusion.mapping.weight @ torch.cat([s, t])
    normed = (m - m.mean(-1, keepdim=True)) / (m.var(-1, correction=0, keepdim=True) + 1e-5).sqrt()
    y = normed * pair[:3] + pair[3:]
    expected = 0.5 * fusion.net(fusion.proj(y))
    torch.testing.assert_close(fusion(m, s, t), expected, atol=1e-5, rtol=1e-4)


def test_the_decoder_is_shared_by_all_gaussians() -> None:
    decoder, f = Decoder(), torch.randn(2, 7, 48)
    torch.testing.assert_close(decoder(f)[1, 3], decoder(f[1, 3]))


def test_gaze_and_lids_are_said_apart() -> None:
    landmarks = torch.randn(LANDMARKS, 3) * 0.1
    before = eye_signals(landmarks)
    outer, inner, upper, _, iris = EYES[0]
    width = (landmarks[outer] - landmarks[inner]).norm()
    moved = landmarks.clone()
    moved[iris, 0] += 0.25 * width
    moved[upper, 1] += 0.5 * width
    change = eye_signals(moved) - before
    torch.testing.assert_close(
        change, torch.tensor([0.25, 0.0, 0.5, 0.0, 0.0, 0.0]), atol=1e-4, rtol=0
    )


def test_landmark_statistics_make_inputs_unit() -> None:
    motion, landmarks = LandmarkMotion(4), torch.randn(64, LANDMARKS, 3)
    motion.fit_statistics(landmarks)
    unit = (motion.signals(landmarks) - motion.mean) / motion.deviation
    torch.testing.assert_close(unit.mean(0), torch.zeros(1440), atol=1e-3, rtol=0)
    torch.testing.assert_close(unit.std(0), torch.ones(1440), atol=1e-2, rtol=0)
    assert motion(landmarks).shape == (64, 4)


def test_the_image_encoder_looks_at_the_face_alone() -> None:
    motion = ImageMotion(4).eval()
    image = torch.rand(1, 3, 128, 128)
    border = image.clone()
    border[..., :20, :] = 0.0
    assert torch.equal(motion(image), motion(border))
    face = image.clone()
    face[..., 60:70, 60:70] = 0.0
    assert not torch.equal(motion(image), motion(face))
