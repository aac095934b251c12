"""Names and shapes of the published tensors, written out apart from the importer."""

import math

import torch
from torch import Tensor

Layout = dict[str, tuple[int, ...]]


def _layer(name: str, *weight: int, bias: bool = True) -> Layout:
    layout: Layout = {f"{name}.weight": weight}
    if bias:
        layout[f"{name}.bias"] = weight[:1]
    return layout


def _encoder_block(name: str, reduced: bool) -> Layout:
    layout = _layer(f"{name}.norm1", 1024) | _layer(f"{name}.norm2", 1024)
    layout |= _layer(f"{name}.attn.q", 1024, 1024) | _layer(f"{name}.attn.kv", 2048, 1024)
    layout |= _layer(f"{name}.attn.proj", 1024, 1024)
    if reduced:
        layout |= _layer(f"{name}.attn.sr", 1024, 1024, 2, 2) | _layer(f"{name}.attn.norm", 1024)
    layout |= _layer(f"{name}.mlp.fc1", 2048, 1024) | _layer(f"{name}.mlp.fc2", 1024, 2048)
    return layout | _layer(f"{name}.mlp.dwconv.dwconv", 2048, 1, 3, 3)


def encoder_layout() -> Layout:
    deep = "backbone.deep_lab_v3."
    layout = _layer(f"{deep}encoder.conv1", 64, 5, 7, 7, bias=False)
    width = 64
    for stage in (1, 2, 3, 4):
        name, inputs, width = f"{deep}encoder.layer{stage}", width, 32 * 2**stage
        layout |= _layer(f"{name}.0.conv1", width, inputs, 3, 3, bias=False)
        for conv in ("0.conv2", "1.conv1", "1.conv2"):
            layout |= _layer(f"{name}.{conv}", width, width, 3, 3, bias=False)
        if stage > 1:
            layout |= _layer(f"{name}.0.downsample.0", width, inputs, 1, 1, bias=False)
    aspp = f"{deep}decoder.aspp"
    layout |= _layer(f"{aspp}.convs.0.0", 256, 512, 1, 1, bias=False)
    for branch in (1, 2, 3):
        layout |= _layer(f"{aspp}.convs.{branch}.net.0", 256, 512, 3, 3, bias=False)
    layout |= _layer(f"{aspp}.convs.4.1", 256, 512, 1, 1, bias=False)
    layout |= _layer(f"{aspp}.project.0", 256, 1280, 1, 1, bias=False)
    layout |= _layer(f"{deep}decoder.project.0", 256, 256, 3, 3, bias=False)

    low, high, join = (
        f"backbone.{n}" for n in ("low_feat_encoder", "high_feat_encoder", "feat_decoder")
    )
    layout |= _layer(f"{low}.net.0.proj", 1024, 256, 3, 3) | _layer(f"{low}.net.0.norm", 1024)
    layout |= _encoder_block(f"{low}.net.1", False) | _encoder_block(f"{low}.net.2", False)
    layout |= _layer(f"{low}.net.5", 128, 256, 3, 3) | _layer(f"{low}.project", 128, 128, 3, 3)
    layout |= _layer(f"{high}.in_layer", 128, 64, 3, 3)
    for name in ("layer1", "layer2", "layer3", "layer4", "out_layer"):
        layout |= _layer(f"{high}.{name}", 128, 128, 3, 3)
    layout |= _layer(f"{join}.in_layer.0", 256, 256, 3, 3)
    layout |= _layer(f"{join}.in_layer.1.proj", 1024, 256, 3, 3)
    layout |= _layer(f"{join}.in_layer.1.norm", 1024)
    layout |= _encoder_block(f"{join}.in_layer.2", True)
    layers = {"layer_1": (256, 256), "layer_2": (128, 256), "layer_3": (128, 128)}
    layers |= {"layer_4": (288, 128), "out_layer": (288, 288)}
    for name, widths in layers.items():
        layout |= _layer(f"{join}.{name}", *widths, 3, 3)

    layout |= _layer("decoder.net.0", 96, 48) | _layer("decoder.net.2", 22, 96)
    layout |= _layer("motion_decoder.transform.mapping", 96, 1024, bias=False)
    layout |= _layer("motion_decoder.transform.proj", 48, 48)
    return layout | _layer("motion_decoder.net.0", 96, 48) | _layer("motion_decoder.net.2", 48, 96)


def _batch_norm(name: str, width: int) -> Layout:
    layout = _layer(name, width)
    layout |= {f"{name}.running_mean": (width,), f"{name}.running_var": (width,)}
    return layout | {f"{name}.num_batches_tracked": ()}


def _conv_block(name: str, inputs: int, outputs: int) -> Layout:
    layout: Layout = {}
    widths = (inputs, outputs // 2, outputs // 4, outputs // 4)
    for i in (1, 2, 3):
        layout |= _batch_norm(f"{name}.bn{i}", widths[i - 1])
        layout |= _layer(f"{name}.conv{i}", widths[i], widths[i - 1], 3, 3, bias=False)
    if inputs != outputs:
        layout |= _batch_norm(f"{name}.downsample.0", inputs)
        layout |= _layer(f"{name}.downsample.2", outputs, inputs, 1, 1, bias=False)
    return layout


def _attention(name: str, channels: int, patch: int) -> Layout:
    inner = f"{name}.transformer_blocks.0"
    layout = _layer(f"{name}.norm", channels)
    layout |= _layer(f"{name}.pos_embed.proj", 1024, channels, patch, patch)
    for part in ("to_q", "to_k", "to_v"):
        layout |= _layer(f"{inner}.attention_blocks.0.{part}", 1024, 1024, bias=False)
    layout |= _layer(f"{inner}.attention_blocks.0.to_out.0", 1024, 1024)
    layout |= _layer(f"{inner}.norms.0", 1024) | _layer(f"{inner}.ff_norm", 1024)
    layout |= _layer(f"{inner}.ff.net.0.proj", 8192, 1024)
    layout |= _layer(f"{inner}.ff.net.2", 1024, 4096)
    return layout | _layer(f"{name}.proj_out", channels, 1024 // patch**2)


def motion_layout() -> Layout:
    net = "model.model"
    layout: Layout = {"model.pe": (1, 32, 16)}
    layout |= _layer(f"{net}.conv1", 64, 3, 7, 7) | _batch_norm(f"{net}.bn1", 64)
    layout |= _conv_block(f"{net}.conv2", 64, 128) | _conv_block(f"{net}.conv3", 128, 128)
    layout |= _conv_block(f"{net}.conv4", 128, 256)
    for level in (1, 2, 3, 4):
        for path in ("b1", "b2", "b3"):
            layout |= _conv_block(f"{net}.m0.{path}_{level}", 256, 256)
    layout |= _conv_block(f"{net}.m0.b2_plus_1", 256, 256)
    layout |= _conv_block(f"{net}.top_m_0", 256, 256)
    layout |= _layer(f"{net}.conv_last0", 256, 256, 1, 1) | _batch_norm(f"{net}.bn_end0", 256)
    layout |= _layer(f"{net}.l0", 68, 256, 1, 1) | _batch_norm(f"{net}.bn5", 68)
    layout |= _layer(f"{net}.conv6", 1, 68, 3, 3) | _layer(f"{net}.fc", 512, 784)
    layout |= _attention(f"{net}.att_1", 128, 4) | _attention(f"{net}.att_2", 256, 2)
    layout |= _attention(f"{net}.att_3", 256, 2)
    layout |= _layer("model.bbox_proj.0", 64, 3) | _layer("model.bbox_proj.3", 64, 64)
    return layout | _layer("model.final_proj", 512, 576)


def random_state(layout: Layout, gain: float, seed: int = 0) -> dict[str, Tensor]:
    """Stored tensors; a `gain` about 1 keeps activations about 1 through the published network."""
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for key, shape in layout.items():
        value = torch.randn(shape, generator=generator)
        if key.endswith("num_batches_tracked"):
            value = torch.tensor(7)
        elif key.endswith("running_var"):
            value = 1.0 + 0.3 * value.tanh()
        elif len(shape) == 1 and key.endswith("weight"):
            value = 1.0 + 0.2 * value
        elif len(shape) > 1:
            fan_in = 1 if "decoder.net." in key else math.prod(shape[1:])
            value = value * gain / math.sqrt(fan_in)
        else:
            value = 0.2 * value
        state[key] = value
    return state


def blank_state(layout: Layout) -> dict[str, Tensor]:
    """Zeros of the right shapes that take no memory."""
    return {
        key: torch.zeros((), dtype=torch.int64 if "num_batches" in key else None).expand(shape)
        for key, shape in layout.items()
    }
