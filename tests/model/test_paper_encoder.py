"""The `paper` encoder against a line-by-line functional version on the published names."""

import pytest
import torch
import torch.nn.functional as F
from paper_layout import blank_state, encoder_layout, motion_layout, random_state
from torch import Tensor

from mien.model.import_paper import import_state_dict
from mien.model.paper_encoder import PaperEncoder, coordinates, enlarge

State = dict[str, Tensor]

TOLERANCE = 5e-5
"""Largest difference in units of the root mean square."""


@pytest.fixture(scope="module")
def published() -> State:
    layout = {k: s for k, s in encoder_layout().items() if k.startswith("backbone.")}
    return random_state(layout, gain=1.4)


@pytest.fixture(scope="module")
def encoder(published: State) -> PaperEncoder:
    state = import_state_dict(
        blank_state(encoder_layout()) | published, blank_state(motion_layout())
    )
    encoder = PaperEncoder()
    encoder.load_state_dict(
        {k.removeprefix("encoder."): v for k, v in state.items() if k.startswith("encoder.")}
    )
    return encoder.eval()


def conv(x: Tensor, w: State, name: str, stride=1, padding=0, dilation=1, groups=1) -> Tensor:
    bias = w.get(f"{name}.bias")
    return F.conv2d(x, w[f"{name}.weight"], bias, stride, padding, dilation, groups)


def deep_lab(w: State, image: Tensor) -> tuple[Tensor, Tensor]:
    u = image / 2 + 0.5
    for channel, (mean, std) in enumerate(((0.485, 0.229), (0.456, 0.224), (0.406, 0.225))):
        u[:, channel] = (u[:, channel] - mean) / std
    b, _, height, width = image.shape
    across = torch.tensor([(2 * col + 1) / width - 1 for col in range(width)])
    down = torch.tensor([(2 * row + 1) / height - 1 for row in range(height)])
    x = torch.cat(
        [u, across.expand(b, 1, height, width), down[:, None].expand(b, 1, height, width)], 1
    )
    name = "backbone.deep_lab_v3.encoder."
    shallow = F.relu(conv(x, w, f"{name}conv1", stride=2, padding=3))
    x = F.max_pool2d(shallow, 3, 2, 1)
    for layer, first_stride, d in ((1, 1, 1), (2, 2, 1), (3, 1, 2), (4, 1, 4)):
        for block in (0, 1):
            inner, stride = f"{name}layer{layer}.{block}.", first_stride if block == 0 else 1
            y = F.relu(conv(x, w, f"{inner}conv1", stride, padding=d, dilation=d))
            y = conv(y, w, f"{inner}conv2", padding=d, dilation=d)
            if layer > 1 and block == 0:
                x = conv(x, w, f"{inner}downsample.0", stride)
            x = F.relu(x + y)
    return shallow, x


def aspp(w: State, x: Tensor) -> Tensor:
    name = "backbone.deep_lab_v3.decoder."
    branches = [F.relu(conv(x, w, f"{name}aspp.convs.0.0"))]
    for i, d in ((1, 12), (2, 24), (3, 36)):
        branches.append(F.relu(conv(x, w, f"{name}aspp.convs.{i}.net.0", padding=d, dilation=d)))
    mean = F.relu(conv(F.adaptive_avg_pool2d(x, 1), w, f"{name}aspp.convs.4.1"))
    branches.append(F.interpolate(mean, x.shape[2:], mode="nearest"))
    x = F.relu(conv(torch.cat(branches, 1), w, f"{name}aspp.project.0"))
    return F.relu(conv(x, w, f"{name}project.0", padding=1))


def to_tokens(x: Tensor) -> Tensor:
    return x.flatten(2).transpose(1, 2)


def to_image(x: Tensor, height: int, width: int) -> Tensor:
    return x.transpose(1, 2).reshape(x.shape[0], x.shape[2], height, width)


def patch_embed(w: State, name: str, x: Tensor) -> tuple[Tensor, int, int]:
    x = conv(x, w, f"{name}.proj", stride=2, padding=1)
    norm = F.layer_norm(to_tokens(x), (1024,), w[f"{name}.norm.weight"], w[f"{name}.norm.bias"])
    return norm, x.shape[2], x.shape[3]


def block(w: State, name: str, x: Tensor, height: int, width: int, heads: int, r: int) -> Tensor:
    def linear(x: Tensor, part: str) -> Tensor:
        return x @ (0.5 * w[f"{name}.{part}.weight"]).T + 0.5 * w[f"{name}.{part}.bias"]

    def norm(x: Tensor, part: str) -> Tensor:
        return F.layer_norm(x, (1024,)) * 0.5 * w[f"{name}.{part}.weight"] + (
            0.5 * w[f"{name}.{part}.bias"]
        )

    y = norm(x, "norm1")
    q, z = linear(y, "attn.q"), y
    if r == 2:
        z = 0.5 * conv(to_image(y, height, width), w, f"{name}.attn.sr", stride=2)
        z = norm(to_tokens(z), "attn.norm")
    kv = linear(z, "attn.kv")
    k, v, size = kv[..., :1024], kv[..., 1024:], 1024 // heads
    parts = []
    for j in range(heads):
        own = slice(j * size, (j + 1) * size)
        scores = q[..., own] @ k[..., own].transpose(1, 2) / size**0.5
        parts.append(scores.softmax(-1) @ v[..., own])
    x = x + linear(torch.cat(parts, -1), "attn.proj")
    hidden = to_image(linear(norm(x, "norm2"), "mlp.fc1"), height, width)
    hidden = 0.5 * conv(hidden, w, f"{name}.mlp.dwconv.dwconv", padding=1, groups=2048)
    return x + linear(F.gelu(to_tokens(hidden)), "mlp.fc2")


def shuffle(x: Tensor, height: int, width: int) -> Tensor:
    b, _, c = x.shape
    x = x.reshape(b, height, width, c // 4, 2, 2).permute(0, 3, 1, 4, 2, 5)
    return x.reshape(b, c // 4, 2 * height, 2 * width)


def double(x: Tensor) -> Tensor:
    """Bilinear ×2 with align_corners, as a matrix on each axis."""

    def matrix(n: int) -> Tensor:
        position = torch.arange(2 * n, dtype=torch.float64) * (n - 1) / (2 * n - 1)
        return (1 - (position[:, None] - torch.arange(n)).abs()).clamp_min(0).float()

    return matrix(x.shape[2]) @ x @ matrix(x.shape[3]).T


def reference(w: State, image: Tensor) -> Tensor:
    shallow, deep = deep_lab(w, image)
    name = "backbone.low_feat_encoder"
    x, height, width = patch_embed(w, f"{name}.net.0", aspp(w, deep))
    for i in (1, 2):
        x = block(w, f"{name}.net.{i}", x, height, width, heads=4, r=1)
    x = double(shuffle(x, height, width))
    x = F.leaky_relu(conv(x, w, f"{name}.net.5", padding=1), 0.01)
    low = conv(x, w, f"{name}.project", padding=1)

    name = "backbone.high_feat_encoder"
    x = F.leaky_relu(conv(shallow, w, f"{name}.in_layer", stride=2, padding=1), 0.01)
    for i in (1, 2, 3, 4):
        x = F.leaky_relu(conv(x, w, f"{name}.layer{i}", padding=1), 0.01)
    high = conv(x, w, f"{name}.out_layer", padding=1)

    name = "backbone.feat_decoder"
    x = conv(torch.cat([low, high], 1), w, f"{name}.in_layer.0", padding=1)
    x, height, width = patch_embed(w, f"{name}.in_layer.1", x)
    x = shuffle(block(w, f"{name}.in_layer.2", x, height, width, heads=2, r=2), height, width)
    x = double(F.leaky_relu(conv(x, w, f"{name}.layer_1", padding=1), 0.01))
    for i in (2, 3, 4):
        x = F.leaky_relu(conv(x, w, f"{name}.layer_{i}", padding=1), 0.01)
    x = conv(x, w, f"{name}.out_layer", padding=1)
    return torch.stack([x[:, plane * 96 : plane * 96 + 96] for plane in range(3)], 1)


@pytest.mark.slow
@torch.no_grad()
def test_imported_encoder_computes_the_published_network(encoder, published):
    image = torch.rand(2, 3, 64, 64) * 2 - 1
    planes, expected = encoder(image), reference(published, image)
    assert planes.shape == (2, 3, 96, 32, 32)
    assert (planes - expected).abs().max() < TOLERANCE * expected.square().mean().sqrt()
    # Random weights could make it blind; then the comparison above would show nothing.
    assert (expected[0] - expected[1]).square().mean() > 0.01 * expected.square().mean()


@pytest.mark.slow
@torch.no_grad()
def test_context_reaches_as_far_as_published(encoder, published):
    """On a grid wide enough for the longest dilation, which a small image's is not."""
    deep = torch.randn(1, 512, 40, 44).relu()
    context, expected = encoder.context(deep), aspp(published, deep)
    assert (context - expected).abs().max() < TOLERANCE * expected.square().mean().sqrt()


@pytest.mark.slow
@torch.no_grad()
def test_images_of_a_batch_do_not_mix(encoder):
    image = torch.rand(2, 3, 64, 64) * 2 - 1
    torch.testing.assert_close(encoder(image)[1:], encoder(image[1:]), rtol=1e-4, atol=1e-4)


def test_coordinates_are_column_then_row():
    columns, rows = coordinates(torch.zeros(1, 3, 2, 4))[0]
    assert torch.equal(columns, torch.tensor([[-0.75, -0.25, 0.25, 0.75]]).expand(2, 4))
    assert torch.equal(rows, torch.tensor([[-0.5], [0.5]]).expand(2, 4))


def test_enlarging_keeps_the_corners():
    thirds = torch.arange(4) / 3
    enlarged = enlarge(torch.tensor([[[[0.0, 1.0], [2.0, 3.0]]]]))[0, 0]
    torch.testing.assert_close(enlarged, thirds + 2 * thirds[:, None])
