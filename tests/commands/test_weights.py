"""`mien weights`: published checkpoints become files that networks load; students are packed."""

import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

sys.path.insert(0, str(Path(__file__).parents[1] / "model"))
from paper_layout import blank_state, encoder_layout, motion_layout

from mien import presets
from mien.artifact import read_weights, write_weights
from mien.cli import main
from mien.model.network import Network


@pytest.fixture
def run(tmp_path, capsys):
    """Import a checkpoint; gives the exit code and what was said."""

    def run(checkpoint, *options):
        command = ["weights", "import", checkpoint, "--from", "instant-gaussian-avatar", "-o"]
        code = main([*map(str, command), str(tmp_path / "paper.safetensors"), *options])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


@pytest.fixture
def published():
    return {
        "E_state_dict": blank_state(encoder_layout()),
        "M_state_dict": blank_state(motion_layout()),
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options", "preset"),
    [
        ("ckpt.pth", (), "paper"),
        ("ckpt-legacy.pth", (), "paper-ray"),
        ("renamed.pth", ("--instantiation", "ray"), "paper-ray"),
    ],
)
def test_a_checkpoint_is_imported_under_its_authors_terms(
    run, published, tmp_path, name, options, preset
):
    published["E_state_dict"]["decoder.net.0.bias"] = torch.linspace(-1, 1, 96)
    torch.save(published, tmp_path / name)
    code, out, err = run(tmp_path / name, *options)
    assert code == 0
    assert f"preset {preset}" in out
    assert "not for commercial use" in err
    weights = read_weights(tmp_path / "paper.safetensors")
    assert weights.preset == preset
    assert "non-commercial" in weights.licence
    # To the last bit: half precision would not hold these.
    assert torch.equal(weights.state["decoder.net.0.bias"], torch.linspace(-1, 1, 96))


def lacking(state):
    del state["M_state_dict"]["model.pe"]


def misshapen(state):
    state["E_state_dict"]["decoder.net.0.bias"] = torch.zeros(97)


def extra(state):
    state["E_state_dict"]["decoder.net.4.bias"] = torch.zeros(1)


def not_finite(state):
    state["M_state_dict"]["model.pe"] = torch.full((1, 32, 16), torch.nan)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lacking, "M_state_dict lacks model.pe"),
        (misshapen, "decoder.net.0.bias of the checkpoint's E_state_dict is (97,) instead"),
        (extra, "unexpected tensor decoder.net.4.bias"),
        (not_finite, "model.pe of the checkpoint's M_state_dict holds numbers that are not finite"),
    ],
)
def test_what_is_not_the_published_network_is_said(run, published, tmp_path, change, words):
    change(published)
    torch.save(published, tmp_path / "ckpt.pth")
    code, out, err = run(tmp_path / "ckpt.pth")
    assert (code, out) == (2, "")
    assert words in err
    assert err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["ckpt.pth"]


def test_safetensors_are_read_too(run, tmp_path):
    save_file(
        {"E_state_dict.a.b": torch.zeros(1), "M_state_dict.c": torch.zeros(1)},
        tmp_path / "x.safetensors",
    )
    code, _, err = run(tmp_path / "x.safetensors")
    assert code == 2
    assert "E_state_dict lacks backbone." in err


@pytest.mark.parametrize("name", ["x.pth", "x.safetensors"])
def test_what_is_no_checkpoint_is_said(run, tmp_path, name):
    (tmp_path / name).write_bytes(b"no checkpoint")
    code, _, err = run(tmp_path / name)
    assert code == 2
    assert "cannot be read as a PyTorch checkpoint" in err


def student(path, seed, licence="research only", preset="tiny"):
    torch.manual_seed(seed)
    state = Network(presets.tiny()).state_dict()
    write_weights(path, state, preset=preset, licence=licence)
    return path


def test_students_are_packed_as_their_mean(tmp_path, capsys):
    paths = [student(tmp_path / "a", 1), student(tmp_path / "b", 2, "any use")]
    out = tmp_path / "mean.safetensors"
    assert main(["weights", "pack", *map(str, paths), "-o", str(out)]) == 0
    assert "research only; any use" in capsys.readouterr().out
    mean, (a, b) = read_weights(out), (read_weights(path) for path in paths)
    assert mean.preset == "tiny"
    assert mean.state.keys() == a.state.keys()
    for name, value in mean.state.items():
        if value.is_floating_point() and value.numel():
            true = (a.state[name] + b.state[name]) / 2
            assert (value - true).abs().max() <= 0.005 * true.abs().max() + 1e-7
    assert out.stat().st_size < 0.6 * paths[0].stat().st_size


def test_one_student_is_packed_as_it_is(tmp_path):
    path, out = student(tmp_path / "a", 1), tmp_path / "packed.safetensors"
    assert main(["weights", "pack", str(path), "-o", str(out)]) == 0
    assert read_weights(out).licence == "research only"


def test_different_networks_have_no_mean(tmp_path, capsys):
    paths = [student(tmp_path / "a", 1), student(tmp_path / "b", 2, preset="base")]
    out = tmp_path / "mean.safetensors"
    assert main(["weights", "pack", *map(str, paths), "-o", str(out)]) == 2
    assert "different networks" in capsys.readouterr().err
    assert not out.exists()


def test_packing_does_not_overwrite_a_student(tmp_path, capsys):
    path = student(tmp_path / "a.safetensors", 1)
    assert main(["weights", "pack", str(path), "-o", str(path)]) == 2
    assert "would overwrite" in capsys.readouterr().err


def test_packing_nothing_is_refused(tmp_path, capsys):
    assert main(["weights", "pack", "-o", str(tmp_path / "a.safetensors")]) == 2
    assert "nothing to pack" in capsys.readouterr().err
