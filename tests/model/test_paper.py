"""The paper's network as one: its parts are the importer's, its methods those of `Network`."""

import pytest
import torch
from paper_layout import blank_state, encoder_layout, motion_layout
from torch import Tensor, nn

from mien.model.decoder import DENSITY_FLOOR, Decoder, attributes, density
from mien.model.fusion import Fusion
from mien.model.import_paper import import_state_dict
from mien.model.network import prune
from mien.model.paper import PaperConfig, PaperNetwork
from mien.model.rays import RayDraws, instantiate_rays
from mien.presets import paper, paper_ray
from mien.structures import FOV_FFHQ, Camera

SIDE = 16


class Planes(nn.Module):
    """Stands for the encoder: fixed planes; remembers what it was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.planes = torch.randn(1, 3, 96, SIDE, SIDE)
        self.seen: Tensor | None = None

    def forward(self, image: Tensor) -> Tensor:
        self.seen = image
        return self.planes


def small(config: PaperConfig) -> PaperNetwork:
    with torch.device("meta"):
        network = PaperNetwork(config)
    network.encoder, network.motion = Planes(), nn.Identity()
    network.decoder, network.fusion = Decoder(), Fusion(512)
    # So that half of the points are dense enough.
    features = network.encoder.planes[0, :, :48].mean(0).flatten(1).T
    network.decoder.net[-1].bias.data[0] -= network.decoder(features)[:, 0].median() + 4.53
    return network.eval().requires_grad_(False)


def encoded(network: PaperNetwork):
    image = torch.rand(1, 3, 512, 512)
    camera = Camera.orbit(0.2, 0.1)
    batch = camera.map(lambda t: t[None])
    latent = torch.randn(1, 512)
    return image, network.encode(image, torch.ones(1, 1, 512, 512), batch, latent, 160)


def test_imported_weights_are_its_state():
    with torch.device("meta"):
        expected = PaperNetwork(paper()).state_dict()
    found = import_state_dict(blank_state(encoder_layout()), blank_state(motion_layout()))
    assert {k: v.shape for k, v in found.items()} == {k: v.shape for k, v in expected.items()}


def test_plane_takes_one_gaussian_a_pixel_of_the_mean_plane():
    network = small(paper())
    image, avatar = encoded(network)
    torch.testing.assert_close(network.encoder.seen, 2 * image - 1)
    mean = network.encoder.planes[0].mean(0)
    # 512 / 16: an output pixel lies at (n + ½)/32 − ½; the corner ones repeat the border.
    corner = mean[:, 0, 0]
    between = (mean[:, 0, 0] * 0.515625 + mean[:, 0, 1] * 0.484375)[None]
    rows = {0: corner[None], 31: between}
    sigma = {n: density(network.decoder(v[:, :48]), None) for n, v in rows.items()}
    values = torch.cat([avatar.features, avatar.basis], -1)[0]
    for n, value in rows.items():
        near = (values - value).abs().amax(-1).min()
        assert (near < 1e-5) == bool(sigma[n] >= DENSITY_FLOOR)
    assert 10_000 < len(values) < 250_000
    assert (density(network.decoder(avatar.features), None) >= DENSITY_FLOOR).all()
    assert avatar.anchors is None
    assert avatar.preset == "paper"


def test_ray_looks_from_the_front_whatever_the_photos_pose():
    network = small(paper_ray())
    _, avatar = encoded(network)
    draws = RayDraws.draw(torch.Generator().manual_seed(0))
    features, basis = instantiate_rays(
        network.encoder.planes[0],
        lambda f: density(network.decoder(f), None),
        Camera.orbit(fov=FOV_FFHQ),
        draws,
    )
    assert torch.equal(avatar.features[0], features)
    assert torch.equal(avatar.basis[0], basis)
    assert (network.config.fov, network.config.antialiased) == (FOV_FFHQ, True)


@pytest.mark.parametrize("config", [paper(), paper_ray()])
def test_animated_gaussians_are_what_the_decoder_says_of_moved_features(config):
    network = small(config)
    _, batch = encoded(network)
    avatar = batch[0]
    driving = torch.randn(512)
    gaussians, delta = network.animate(avatar, driving)
    expected = network.fusion(avatar.basis, avatar.source_latent, driving)
    assert torch.equal(delta, expected)
    again = attributes(network.decoder(avatar.features + expected), None)
    assert torch.equal(gaussians.means, again.means)
    nobody = torch.zeros(1, 512, 512)
    kept = prune(avatar, nobody, Camera.orbit(), network.decoder)
    assert len(kept.features) == len(avatar.features)
