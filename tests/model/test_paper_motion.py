"""The `paper` motion encoder against a line-by-line functional version on the published names."""

import math

import pytest
import torch
import torch.nn.functional as F
from paper_layout import blank_state, encoder_layout, motion_layout, random_state
from torch import Tensor

from mien.errors import MienError
from mien.model.import_paper import import_state_dict
from mien.model.paper_motion import PaperMotionEncoder, crop_edges, crop_face, position_code

State = dict[str, Tensor]

TOLERANCE = 2e-5
"""Largest difference in units of the root mean square."""


@pytest.fixture(scope="module")
def published() -> State:
    return random_state(motion_layout(), gain=0.7)


@pytest.fixture(scope="module")
def encoder(published: State) -> PaperMotionEncoder:
    state = import_state_dict(blank_state(encoder_layout()), published)
    encoder = PaperMotionEncoder()
    encoder.load_state_dict(
        {k.removeprefix("motion."): v for k, v in state.items() if k.startswith("motion.")}
    )
    return encoder.eval()


class Reference:
    """The published network, written from its description; `w` holds the stored tensors."""

    def __init__(self, w: State) -> None:
        self.w = {k.removeprefix("model."): v for k, v in w.items()}

    def conv(self, x: Tensor, name: str, stride: int = 1, padding: int = 0) -> Tensor:
        return F.conv2d(x, self.w[f"{name}.weight"], self.w.get(f"{name}.bias"), stride, padding)

    def linear(self, x: Tensor, name: str) -> Tensor:
        return x @ self.w[f"{name}.weight"].T + self.w.get(f"{name}.bias", 0.0)

    def bn(self, x: Tensor, name: str) -> Tensor:
        weight, bias, mean, var = (
            self.w[f"{name}.{k}"][:, None, None]
            for k in ("weight", "bias", "running_mean", "running_var")
        )
        return (x - mean) / (var + 1e-5).sqrt() * weight + bias

    def conv_block(self, x: Tensor, name: str) -> Tensor:
        o1 = self.conv(F.relu(self.bn(x, f"{name}.bn1")), f"{name}.conv1", padding=1)
        o2 = self.conv(F.relu(self.bn(o1, f"{name}.bn2")), f"{name}.conv2", padding=1)
        o3 = self.conv(F.relu(self.bn(o2, f"{name}.bn3")), f"{name}.conv3", padding=1)
        if f"{name}.downsample.2.weight" in self.w:
            x = self.conv(F.relu(self.bn(x, f"{name}.downsample.0")), f"{name}.downsample.2")
        return torch.cat([o1, o2, o3], 1) + x

    def hourglass(self, x: Tensor, level: int) -> Tensor:
        name = "model.m0"
        up = self.conv_block(x, f"{name}.b1_{level}")
        y = self.conv_block(F.max_pool2d(x, 2, 2), f"{name}.b2_{level}")
        lowest = f"{name}.b2_plus_1"
        y = self.hourglass(y, level - 1) if level > 1 else self.conv_block(y, lowest)
        y = self.conv_block(y, f"{name}.b3_{level}")
        return up + F.interpolate(y, up.shape[2:], mode="bilinear", align_corners=False)

    def layer_norm(self, x: Tensor, name: str) -> Tensor:
        return F.layer_norm(x, (1024,), self.w[f"{name}.weight"], self.w[f"{name}.bias"])

    def attention(self, x: Tensor, name: str, p: int) -> Tensor:
        b, c = x.shape[:2]
        grouped = x.reshape(b, 32, -1)
        variance, mean = torch.var_mean(grouped, -1, correction=0, keepdim=True)
        y = ((grouped - mean) / (variance + 1e-6).sqrt()).reshape(x.shape)
        norm = self.w[f"model.{name}.norm.weight"], self.w[f"model.{name}.norm.bias"]
        y = y * norm[0][:, None, None] + norm[1][:, None, None]
        y = self.conv(y, f"model.{name}.pos_embed.proj", stride=p)
        tokens = y.flatten(2).transpose(1, 2) + token_codes()

        inner = f"model.{name}.transformer_blocks.0"
        y, attn = self.layer_norm(tokens, f"{inner}.norms.0"), f"{inner}.attention_blocks.0"
        q, k, v = (self.linear(y, f"{attn}.to_{part}") for part in "qkv")
        heads = []
        for head in range(8):
            own = slice(128 * head, 128 * head + 128)
            scores = q[..., own] @ k[..., own].transpose(1, 2) / math.sqrt(128)
            heads.append(scores.softmax(-1) @ v[..., own])
        tokens = tokens + self.linear(torch.cat(heads, -1), f"{attn}.to_out.0")
        y = self.linear(self.layer_norm(tokens, f"{inner}.ff_norm"), f"{inner}.ff.net.0.proj")
        y = y[..., :4096] * F.gelu(y[..., 4096:])
        tokens = tokens + self.linear(y, f"{inner}.ff.net.2")

        result, part = torch.zeros_like(x), 1024 // p**2
        for r in range(p):
            for s in range(p):
                start = (r * p + s) * part
                y = self.linear(tokens[..., start : start + part], f"model.{name}.proj_out")
                result[:, :, r::p, s::p] = y.transpose(1, 2).reshape(b, c, 28, 28)
        return x + result

    def __call__(self, face: Tensor) -> Tensor:
        x = F.relu(self.bn(self.conv(face, "model.conv1", stride=2, padding=3), "model.bn1"))
        x = self.attention(self.conv_block(x, "model.conv2"), "att_1", 4)
        x = self.conv_block(self.conv_block(F.max_pool2d(x, 2, 2), "model.conv3"), "model.conv4")
        x = self.hourglass(self.attention(x, "att_2", 2), 4)
        x = self.conv(self.conv_block(x, "model.top_m_0"), "model.conv_last0")
        x = F.relu(self.attention(self.bn(x, "model.bn_end0"), "att_3", 2))
        x = F.relu(self.bn(self.conv(x, "model.l0"), "model.bn5"))
        x = F.relu(self.conv(x, "model.conv6", stride=2, padding=1).flatten(1))
        e = F.relu(self.linear(torch.tensor([[0.0, 0.0, 1.0]]), "bbox_proj.0"))
        e = self.linear(e, "bbox_proj.3").repeat(len(x), 1)
        x = self.linear(torch.cat([self.linear(x, "model.fc"), e], 1), "final_proj")
        return x + self.w["pe"].reshape(512)


def code(n: int, d: int) -> list[float]:
    phases = [n * 10000 ** (-2 * k / d) for k in range(d // 2)]
    return [math.sin(x) for x in phases] + [math.cos(x) for x in phases]


def token_codes() -> Tensor:
    codes = [code(n, 512) for n in range(28)]
    return torch.tensor([codes[col] + codes[row] for row in range(28) for col in range(28)])


@pytest.mark.slow
@torch.no_grad()
def test_imported_encoder_computes_the_published_network(encoder, published):
    faces = torch.rand(2, 3, 224, 224) * 2 - 1
    latents, expected = encoder(faces), Reference(published)(faces)
    assert latents.shape == (2, 512)
    assert (latents - expected).abs().max() < TOLERANCE * expected.square().mean().sqrt()
    # Random weights could make it blind; then the comparison above would show nothing.
    assert (expected[0] - expected[1]).abs().max() > 0.01


def test_position_code_is_sines_then_cosines():
    torch.testing.assert_close(
        position_code(torch.arange(32), 16), torch.tensor([code(n, 16) for n in range(32)])
    )


@pytest.mark.parametrize(
    ("box", "edges"),
    [
        # 100 wide, 80 high: a square of 110 around (250, 240).
        ((200, 200, 300, 280), (195, 185, 305, 295)),
        # 111.1 rounds to 111, then down to 110 around (250.5, 250.5); edges are cut off.
        ((200, 200, 301, 301), (195, 195, 305, 305)),
        # The square would leave on the left: the box stays oblong, 52 by 81 -> 80.
        ((2, 200, 54, 281), (2, 200, 54, 280)),
        # So it would on the right: 511 is the last edge allowed.
        ((440, 200, 511, 280), (440, 200, 510, 280)),
        # A negative edge becomes 0 first, which moves the centre: 40 wide, not 50.
        ((-10, 100, 40, 140), (0, 100, 40, 140)),
        # Beyond the right edge, the box is moved back: 480 to 530 becomes 461 to 511.
        ((480, 100, 530, 140), (461, 100, 511, 140)),
        # Longer than the frame: what there is of it.
        ((-5, -5, 600, 600), (0, 0, 511, 511)),
    ],
)
def test_crop_edges(box, edges):
    assert crop_edges(box, 512, 512) == edges


def test_crop_square_must_fit_the_frame():
    assert crop_edges((6, 6, 106, 106), 113, 113) == (1, 1, 111, 111)
    assert crop_edges((6, 6, 106, 106), 111, 113) == (6, 6, 106, 106)
    assert crop_edges((6, 6, 106, 106), 113, 111) == (6, 6, 106, 106)


def test_a_box_without_pixels_is_refused():
    with pytest.raises(MienError, match="holds no pixels of the 512×512 frame"):
        crop_edges((0.0, 0.0, 0.4, 0.4), 512, 512)


def test_crop_face_stretches_the_cut():
    frame = torch.rand(2, 3, 120, 160)
    expected = F.interpolate(
        frame[..., 20:60, 2:54], size=(224, 224), mode="bilinear", align_corners=False
    )
    box = (2.0, 20.0, 54.0, 60.0)
    assert torch.equal(crop_face(frame, box), expected)
    assert torch.equal(crop_face(frame[0], box), expected[0])
