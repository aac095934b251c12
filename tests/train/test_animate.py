"""The training loop on a tiny network and made-up frames."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from made_frames import CONFIG, PARTNER, make_frames

from mien.model.network import Network
from mien.presets import tiny
from mien.train import checkpoint
from mien.train.animate import AnimateConfig, draw_grid, train


def run(
    folder: Path, report: Callable[[int, dict], None] | None = None, **changes: float
) -> tuple[dict[str, torch.Tensor], list[dict]]:
    folder.mkdir(exist_ok=True)
    torch.manual_seed(1)
    logs: list[dict] = []
    result = train(
        Network(tiny()),
        make_frames(48),
        PARTNER,
        replace(CONFIG, **changes),
        folder / "state.safetensors",
        report or (lambda _, figures: logs.append(figures)),
    )
    return {k: v.clone() for k, v in result.average.state_dict().items()}, logs


def test_training_lowers_the_loss(tmp_path: Path) -> None:
    _, logs = run(tmp_path, steps=24, log_every=8, adversarial_from=2.0, learning_rate=3e-3)
    assert logs[-1]["l1"] < 0.8 * logs[0]["l1"]


def test_interrupted_training_equals_uninterrupted(tmp_path: Path) -> None:
    """Interrupted when the adversary has joined, so that it has to come back too."""

    def interrupt(_: int, __: dict) -> None:
        raise KeyboardInterrupt

    whole, _ = run(tmp_path / "whole", adversarial_from=0.25)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut", interrupt, adversarial_from=0.25)
    assert checkpoint.load(tmp_path / "cut" / "state.safetensors")["step"] == 2
    resumed, _ = run(tmp_path / "cut", adversarial_from=0.25)
    for name, value in whole.items():
        torch.testing.assert_close(resumed[name], value, rtol=1e-5, atol=1e-6, msg=name)


def test_no_time_leaves_a_checkpoint_to_go_on_from(tmp_path: Path) -> None:
    run(tmp_path, minutes=0.0)
    assert checkpoint.load(tmp_path / "state.safetensors")["step"] == 0
    run(tmp_path, steps=1)
    assert checkpoint.load(tmp_path / "state.safetensors")["step"] == 1


def test_large_grids_are_drawn_seldom() -> None:
    grids = AnimateConfig().grids
    drawn = torch.tensor([draw_grid(grids, seed) for seed in range(4000)])
    shares = torch.stack([(drawn == grid).float().mean() for grid in grids])
    inverse = 1.0 / torch.tensor(grids)
    torch.testing.assert_close(shares, inverse / inverse.sum(), atol=0.025, rtol=0)
    # Gaussians a step: not twice those of 96 to 192 drawn evenly, 22,016.
    assert drawn.float().square().mean() < 1.4 * 22_016


def test_checkpoint_round_trip_in_parts(tmp_path: Path) -> None:
    tree = {"a": {"b": torch.randn(5, 3), "c": {"d": torch.tensor(2)}}, "step": 7}
    path = tmp_path / "x.safetensors"
    checkpoint.save(path, tree)
    parts = checkpoint.split(path, tmp_path, part_bytes=64)
    assert len(parts) > 2
    checkpoint.join(parts, tmp_path / "y.safetensors")
    back = checkpoint.load(tmp_path / "y.safetensors")
    assert back["step"] == 7
    assert torch.equal(back["a"]["b"], tree["a"]["b"])
    assert back["a"]["c"]["d"] == 2
