"""The importer uses every published tensor once, under the right gain."""

import json
import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from paper_layout import blank_state, encoder_layout, motion_layout, random_state

from mien.errors import MienError
from mien.model.decoder import Decoder
from mien.model.fusion import Fusion
from mien.model.import_paper import LICENCE_NOTICE, gain, import_state_dict, read_checkpoint
from mien.model.paper_encoder import PaperEncoder
from mien.model.paper_motion import PaperMotionEncoder

DOCS = Path(__file__).resolve().parents[3] / "shared" / "docs"

# Parameters under each prefix of the published state dicts.
E_PARAMETERS = {
    "backbone.deep_lab_v3.": 15_891_776,
    "backbone.low_feat_encoder.": 19_645_696,
    "backbone.high_feat_encoder.": 811_776,
    "backbone.feat_decoder.": 17_681_728,
    "decoder.": 6_838,
    "motion_decoder.": 110_016,
}
M_PARAMETERS = {"model.model.": 61_365_553, "model.bbox_proj.": 4_416, "model.final_proj.": 295_424}

HEADS = ("decoder.", "motion_decoder.")


@pytest.fixture
def blank() -> tuple[dict, dict]:
    return blank_state(encoder_layout()), blank_state(motion_layout())


def sub(state: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}


@pytest.mark.parametrize(
    ("layout", "counts"), [(encoder_layout(), E_PARAMETERS), (motion_layout(), M_PARAMETERS)]
)
def test_layout_has_the_published_parameter_counts(layout, counts):
    for prefix, count in counts.items():
        shapes = [s for k, s in layout.items() if k.startswith(prefix)]
        buffers = [s for k, s in layout.items() if k.startswith(prefix) and "running" in k]
        counters = sum(k.startswith(prefix) and "num_batches" in k for k in layout)
        assert sum(map(math.prod, shapes)) - sum(map(math.prod, buffers)) - counters == count


def test_layout_is_the_published_one():
    path = DOCS / "authors_state_dict.json"
    if not path.is_file():
        pytest.skip(f"needs {path}")
    published = json.loads(path.read_text())
    for name, layout in (("E", encoder_layout()), ("M", motion_layout())):
        assert {k: list(shape) for k, shape in layout.items()} == published[name]


def test_modules_have_the_published_parameter_counts():
    with torch.device("meta"):
        encoder, motion = PaperEncoder(), PaperMotionEncoder()
    parts = {
        "backbone.deep_lab_v3.": (encoder.backbone, encoder.context),
        "backbone.low_feat_encoder.": (encoder.low,),
        "backbone.high_feat_encoder.": (encoder.high,),
        "backbone.feat_decoder.": (encoder.join,),
        "decoder.": (Decoder(),),
        "motion_decoder.": (Fusion(512),),
    }
    counts = {k: sum(p.numel() for m in ms for p in m.parameters()) for k, ms in parts.items()}
    assert counts == E_PARAMETERS
    assert sum(p.numel() for p in motion.parameters()) == sum(M_PARAMETERS.values())


def test_result_is_exactly_the_state_of_our_modules(blank):
    state = import_state_dict(*blank)
    with torch.device("meta"):
        modules = {
            "encoder.": PaperEncoder(),
            "decoder.": Decoder(),
            "fusion.": Fusion(512),
            "motion.": PaperMotionEncoder(),
        }
    expected = {p + k: v for p, m in modules.items() for k, v in m.state_dict().items()}
    assert {k: (v.shape, v.dtype) for k, v in state.items()} == {
        k: (v.shape, v.dtype) for k, v in expected.items()
    }


def test_every_stored_number_arrives_scaled_by_its_gain():
    """Each published tensor is filled with a number of its own; all come back, times the gain."""
    states = blank_state(encoder_layout()), blank_state(motion_layout())
    keys = [(s, k) for s, state in enumerate(states) for k in state if state[k].is_floating_point()]
    for number, (s, key) in enumerate(keys, start=1):
        states[s][key] = torch.tensor(float(number)).expand(states[s][key].shape)
    expected = sorted(
        n * gain(key, tuple(states[s][key].shape)) for n, (s, key) in enumerate(keys, start=1)
    )
    found = []
    for name, value in import_state_dict(*states).items():
        if value.is_floating_point():
            parts = value.chunk(3) if "query_key_value" in name else (value,)
            assert all((part == part.flatten()[0]).all() for part in parts)
            found += [part.flatten()[0].item() for part in parts]
    assert sorted(found) == pytest.approx(expected, rel=1e-6)


def test_gains():
    assert gain("decoder.net.0.weight", (96, 48)) == pytest.approx(48**-0.5)
    assert gain("motion_decoder.net.2.weight", (48, 96)) == pytest.approx(96**-0.5)
    assert gain("decoder.net.0.bias", (96,)) == 1
    halved = {k for k, s in encoder_layout().items() if gain(k, s) == 0.5}
    blocks = ("low_feat_encoder.net.1.", "low_feat_encoder.net.2.", "feat_decoder.in_layer.2.")
    expected = {k for k in encoder_layout() if any(f"backbone.{b}" in k for b in blocks)}
    expected |= {k for k in encoder_layout() if k.startswith("motion_decoder.transform.")}
    assert halved == expected
    assert all(gain(k, s) == 1 for k, s in motion_layout().items())


def test_query_key_and_value_keep_their_order(blank):
    name = "model.model.att_2.transformer_blocks.0.attention_blocks.0.to_"
    for i, part in enumerate("qkv"):
        blank[1][f"{name}{part}.weight"] = torch.full((1024, 1024), float(i))
    joined = import_state_dict(*blank)["motion.coarse_attention.attention.query_key_value.weight"]
    assert [part.unique().item() for part in joined.chunk(3)] == [0, 1, 2]


def test_half_precision_is_cast_and_the_input_left_alone(blank):
    blank[0]["decoder.net.0.bias"] = torch.arange(96).half()
    state = import_state_dict(*blank)
    assert state["decoder.net.0.bias"].dtype == torch.float32
    assert torch.equal(state["decoder.net.0.bias"], torch.arange(96.0))
    assert set(blank[0]) == set(encoder_layout())


def test_decoder_and_fusion_compute_the_published_formulas():
    layout = {k: s for k, s in encoder_layout().items() if k.startswith(HEADS)}
    published = random_state(layout, gain=1.0)
    state = import_state_dict(
        blank_state(encoder_layout()) | published, blank_state(motion_layout())
    )
    decoder, fusion = Decoder(), Fusion(512)
    decoder.load_state_dict(sub(state, "decoder."))
    fusion.load_state_dict(sub(state, "fusion."))
    f, m, s, t = (
        torch.randn(2, 7, 48),
        torch.randn(2, 7, 48),
        torch.randn(2, 512),
        torch.randn(2, 512),
    )

    def mlp(x, name):
        w0, b0, w2, b2 = (
            published[f"{name}.net.{k}"] for k in ("0.weight", "0.bias", "2.weight", "2.bias")
        )
        return F.softplus(x @ w0.T / 48**0.5 + b0) @ w2.T / 96**0.5 + b2

    transform = sub(published, "motion_decoder.transform.")
    code = 0.5 * torch.cat([s, t], 1) @ transform["mapping.weight"].T
    deviation = m.std(-1, keepdim=True, correction=0)
    y = (m - m.mean(-1, keepdim=True)) / (deviation**2 + 1e-5).sqrt()
    y = y * code[:, None, :48] + code[:, None, 48:]
    y = 0.5 * (y @ transform["proj.weight"].T) + 0.5 * transform["proj.bias"]
    torch.testing.assert_close(decoder(f), mlp(f, "decoder"), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(
        fusion(m, s, t), 0.01 * mlp(y, "motion_decoder"), rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize(
    ("which", "key"), [(0, "backbone.feat_decoder.layer_3.bias"), (1, "model.model.conv6.weight")]
)
def test_missing_misshapen_and_foreign_tensors_are_named(blank, which, key):
    source = "EM"[which]
    good = blank[which].pop(key)
    with pytest.raises(MienError, match=f"{source}_state_dict lacks {key}"):
        import_state_dict(*blank)
    blank[which][key] = torch.zeros(*good.shape, 2)
    with pytest.raises(MienError, match=rf"{key} of the .* is \(.*2\) instead of \("):
        import_state_dict(*blank)
    blank[which][key] = "text"
    with pytest.raises(MienError, match=f"{key} of the .* is str instead of"):
        import_state_dict(*blank)
    blank[which][key] = good
    blank[which]["extra.weight"] = good
    with pytest.raises(
        MienError, match=rf"{source}_state_dict has the unexpected tensor extra\.weight"
    ):
        import_state_dict(*blank)


def test_read_checkpoint_returns_both_dicts(tmp_path):
    path = tmp_path / "ckpt.pth"
    states = {"a": torch.arange(3.0)}, {"b": torch.arange(2)}
    torch.save({"E_state_dict": states[0], "M_state_dict": states[1], "step": 3}, path)
    encoder, motion = read_checkpoint(path)
    assert torch.equal(encoder["a"], states[0]["a"])
    assert torch.equal(motion["b"], states[1]["b"])


class Foreign:
    """Something other than a tensor, that loading would have to run code for."""


def test_unreadable_checkpoints_are_explained(tmp_path):
    with pytest.raises(MienError, match="There is no checkpoint"):
        read_checkpoint(tmp_path / "nothing.pth")
    path = tmp_path / "ckpt.pth"
    for content in (b"", b"hello world, this is text", b"\0" * 100):
        path.write_bytes(content)
        with pytest.raises(MienError, match="cannot be read as a PyTorch checkpoint"):
            read_checkpoint(path)
    torch.save({"E_state_dict": {"x": Foreign()}}, path)
    with pytest.raises(MienError, match="cannot be read as a PyTorch checkpoint"):
        read_checkpoint(path)
    torch.save({"E_state_dict": {}}, path)
    with pytest.raises(MienError, match="holds no M_state_dict"):
        read_checkpoint(path)
    torch.save([1, 2], path)
    with pytest.raises(MienError, match="holds no E_state_dict"):
        read_checkpoint(path)


def test_licence_notice_says_what_one_accepts():
    for word in ("NVIDIA", "not for commercial use", "accepts"):
        assert word in LICENCE_NOTICE
