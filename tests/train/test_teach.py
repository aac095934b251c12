"""The teacher's training loop on a tiny network and made-up frames."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from made_frames import PARTNER, make_frames
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from mien.errors import MienError
from mien.teacher.network import FlowConfig, FlowNetwork
from mien.train import checkpoint
from mien.train.batches import PairSampler
from mien.train.reader import Reader
from mien.train.teach import Run, Teach, TeachConfig, flow_error, train

TINY = FlowConfig(side=32, widths=(16, 32), depths=(1, 1), latent=8, condition=32)

CONFIG = TeachConfig(
    steps=4, batch=1, warmup=1, reading_from=1, compile=False, log_every=2, save_every=2
)


def run(
    folder: Path, report: Callable[[int, dict], None] | None = None, **changes: float
) -> tuple[Run, list[dict]]:
    folder.mkdir(exist_ok=True)
    torch.manual_seed(1)
    logs: list[dict] = []
    result = train(
        FlowNetwork(TINY),
        make_frames(32),
        PARTNER,
        replace(CONFIG, **changes),
        folder / "state.safetensors",
        report or (lambda _, figures: logs.append(figures)),
    )
    return result, logs


def test_training_lowers_the_loss(tmp_path: Path) -> None:
    _, logs = run(tmp_path, steps=24, batch=2, log_every=8, learning_rate=3e-3)
    assert logs[-1]["flow"] < 0.8 * logs[0]["flow"]


def test_interrupted_training_equals_uninterrupted(tmp_path: Path) -> None:
    def interrupt(_: int, __: dict) -> None:
        raise KeyboardInterrupt

    whole, _ = run(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut", interrupt)
    assert checkpoint.load(tmp_path / "cut" / "state.safetensors")["step"] == 2
    resumed, _ = run(tmp_path / "cut")
    for part in ("network", "average", "reader"):
        theirs = resumed.tree()[part]
        for name, value in whole.tree()[part].items():
            torch.testing.assert_close(theirs[name], value, rtol=1e-5, atol=1e-6, msg=name)


def test_no_time_leaves_a_checkpoint_to_go_on_from(tmp_path: Path) -> None:
    run(tmp_path, minutes=0.0)
    assert checkpoint.load(tmp_path / "state.safetensors")["step"] == 0
    run(tmp_path, steps=1)
    assert checkpoint.load(tmp_path / "state.safetensors")["step"] == 1


def test_a_damaged_checkpoint_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state.safetensors").write_bytes(b"nothing")
    with pytest.raises(MienError, match="Cannot resume"):
        run(tmp_path)


def test_errors_near_the_picture_count_more_but_not_without_end() -> None:
    clean, known, weights = torch.zeros(1, 4, 4, 4), torch.ones(1, 1, 4, 4), torch.ones(1, 1, 4, 4)

    def error(level: float) -> float:
        return float(flow_error(clean + 0.1, clean, torch.tensor([level]), known, weights))

    assert error(0.5) == pytest.approx(4.0 * error(1.0))
    assert error(0.01) == pytest.approx(error(0.05))


def test_what_lies_beyond_the_border_counts_a_tenth() -> None:
    clean, weights = torch.zeros(1, 4, 4, 4), torch.ones(1, 1, 4, 4)
    known, said = torch.ones(1, 1, 4, 4), torch.zeros(1, 4, 4, 4)
    known[..., 2:] = 0.0
    said[..., 2:] = 1.0
    error = flow_error(said, clean, torch.ones(1), known, weights)
    assert float(error) == pytest.approx(0.1 / 1.1)


def test_kept_from_the_motion_the_network_cannot_tell_drivers_apart() -> None:
    network = FlowNetwork(TINY)
    seeing, blind = (Teach(network, Reader(8), share, False) for share in (0.0, 1.0))
    for parameter in network.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.1)
    torch.manual_seed(0)
    batch = PairSampler(make_frames(32), 0.0, 0.0, PARTNER).draw(1, 32, torch.Generator())
    other = replace(batch, driver_landmarks=batch.driver_landmarks + 0.1)

    def losses(module: Teach) -> list[torch.Tensor]:
        found = []
        for drawn in (batch, other):
            torch.manual_seed(5)
            found.append(module(drawn, torch.float32)["flow"].detach())
        return found

    assert torch.equal(*losses(blind))
    assert not torch.equal(*losses(seeing))


def _gradients(rank: int, world: int) -> dict[str, torch.Tensor]:
    """Gradients of one step on the rank's own batch, averaged over the world by DDP."""
    torch.manual_seed(2)
    module: nn.Module = Teach(FlowNetwork(TINY), Reader(8), 0.5, False)
    for parameter in module.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.1)
    sampler = PairSampler(make_frames(32), 0.0, 0.0, PARTNER)
    torch.manual_seed(10 + rank)
    batch = sampler.draw(1, 32, torch.Generator().manual_seed(rank))
    torch.manual_seed(20 + rank)
    wrapped = DistributedDataParallel(module) if world > 1 else module
    sum(wrapped(batch, torch.float32).values()).backward()
    return {n: p.grad for n, p in module.named_parameters() if p.grad is not None}


def _process(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"file://{folder}/meet", rank=rank, world_size=2)
    gradients = _gradients(rank, 2)
    if rank == 0:
        checkpoint.save(Path(folder) / "gradients.safetensors", {"gradients": gradients})
    dist.destroy_process_group()


def test_two_processes_average_their_gradients(tmp_path: Path) -> None:
    torch.multiprocessing.spawn(_process, (str(tmp_path),), nprocs=2)
    together = checkpoint.load(tmp_path / "gradients.safetensors")["gradients"]
    alone = [_gradients(rank, 1) for rank in range(2)]
    # Every weight learns, or DDP would wait for it.
    assert (
        together.keys()
        == dict(Teach(FlowNetwork(TINY), Reader(8), 0.5, False).named_parameters()).keys()
    )
    for name, value in together.items():
        expected = (alone[0][name] + alone[1][name]) / 2
        torch.testing.assert_close(value, expected, rtol=1e-3, atol=1e-5, msg=name)
