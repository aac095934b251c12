import pytest
import torch
from stand_in import base_network, small_network

from mien.artifact import read_weights
from mien.preprocess.pose import canonical
from mien.serve.controls import load_controls
from mien.serve.export_networks import export_networks


def test_what_the_page_gets_is_the_networks(tmp_path):
    network = small_network()
    export_networks(network, tmp_path / "networks.safetensors")
    weights = read_weights(tmp_path / "networks.safetensors")
    assert weights.preset == "stand-in"
    state = network.state_dict()
    for name, value in weights.state.items():
        if not name.startswith(("controls.", "face.")):
            scale = state[name].abs().max()
            assert (value - state[name]).abs().max() <= 0.005 * scale, name
    assert {name.split(".")[0] for name in weights.state} == {
        "controls",
        "decoder",
        "face",
        "fusion",
        "motion",
    }


def test_the_controls_travel_along(tmp_path):
    export_networks(small_network(), tmp_path / "networks.safetensors")
    state = read_weights(tmp_path / "networks.safetensors").state
    neutral, shapes = load_controls()
    assert torch.allclose(state["controls.neutral"], neutral.flatten(), atol=2e-4)
    assert torch.equal(state["controls.shapes"], shapes.flatten())


def test_the_head_that_poses_are_fitted_to_travels_along(tmp_path):
    export_networks(small_network(), tmp_path / "networks.safetensors")
    state = read_weights(tmp_path / "networks.safetensors").state
    face = canonical()
    assert torch.equal(state["face.rigid"].long(), torch.from_numpy(face.rigid))
    points = torch.from_numpy(face.points).float().flatten()
    assert torch.allclose(state["face.points"], points, atol=2e-4)
    assert float(state["face.pitch_gain"]) == pytest.approx(face.pitch_gain, rel=1e-3)


def test_base_is_small_enough(tmp_path):
    export_networks(base_network(), tmp_path / "networks.safetensors")
    assert (tmp_path / "networks.safetensors").stat().st_size < 2.5e6
