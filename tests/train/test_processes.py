"""Two processes learn what one would from both of their batches."""

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from made_frames import CONFIG, PARTNER, make_frames, taught_frames
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from mien.model.network import Network
from mien.presets import tiny
from mien.train import checkpoint
from mien.train.adversary import Judge, judging, please
from mien.train.animate import Stage
from mien.train.distill import DistillStage
from mien.train.reader import Reader


def made_stage(name: str) -> Stage:
    if name == "animate":
        return Stage()
    return DistillStage(taught=taught_frames(48), batch=1, frozen=Network(tiny()))


def gradients(name: str, rank: int, world: int) -> dict[str, torch.Tensor]:
    """Gradients of one judged step on the rank's own batch, averaged over the world by DDP."""
    torch.manual_seed(2)
    stage = made_stage(name)
    module: nn.Module = stage.module(Network(tiny()), Reader(8), CONFIG)
    judge = Judge()
    sampler = stage.sampler(make_frames(48), PARTNER, CONFIG)
    torch.manual_seed(10 + rank)
    batch = sampler.draw(1, 48, torch.Generator().manual_seed(rank))
    torch.manual_seed(20 + rank)
    wrapped = DistributedDataParallel(module) if world > 1 else module
    wrapped_judge = DistributedDataParallel(judge, broadcast_buffers=False) if world > 1 else judge
    terms, views = wrapped(batch, 8, torch.float32, True)
    terms |= please(judge, batch, views)
    sum(stage.weights[name] * value for name, value in terms.items()).backward()
    judging(wrapped_judge, batch, views).backward()
    named = [*module.named_parameters(), *judge.named_parameters(prefix="judge")]
    return {name: p.grad for name, p in named if p.grad is not None}


def process(rank: int, folder: str, name: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"file://{folder}/meet", rank=rank, world_size=2)
    found = gradients(name, rank, 2)
    if rank == 0:
        checkpoint.save(Path(folder) / "gradients.safetensors", {"gradients": found})
    dist.destroy_process_group()


@pytest.mark.parametrize("name", ["animate", "distill"])
def test_two_processes_average_their_gradients(tmp_path: Path, name: str) -> None:
    torch.multiprocessing.spawn(process, (str(tmp_path), name), nprocs=2)
    together = checkpoint.load(tmp_path / "gradients.safetensors")["gradients"]
    alone = [gradients(name, rank, 1) for rank in range(2)]
    assert together.keys() == alone[0].keys()
    assert any(name.startswith("judge.details") for name in together)
    for key, value in together.items():
        expected = (alone[0][key] + alone[1][key]) / 2
        torch.testing.assert_close(value, expected, rtol=1e-3, atol=1e-6, msg=key)
