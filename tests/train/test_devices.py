"""A training step keeps to one device; seen without a GPU.

Batches and networks are on PyTorch's "meta" device, and fake tensors, which know shapes and devices
but no numbers, refuse to mix that with the processor, as a GPU's would.
"""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch
from made_frames import make_frames
from torch._subclasses.fake_tensor import FakeTensorMode

import mien.train.distill
import mien.train.objective
from mien.model.network import Network
from mien.presets import tiny
from mien.structures import LANDMARKS, Camera, Gaussians, Rendered
from mien.train import adversary
from mien.train.batches import PairSampler
from mien.train.distill import Distill
from mien.train.objective import Animate
from mien.train.reader import Reader, turned
from mien.train.taught import Lesson

SIDE, COUNT = 48, 4
META = torch.device("meta")


def drawn(gaussians: Gaussians, camera: Camera, size: tuple[int, int], *, backend: str) -> Rendered:
    """Pictures of the right shape that everything has gone into, in place of `splat`."""
    del backend
    parts = [*vars(gaussians).values(), *vars(camera).values()]
    level = torch.stack([part.float().mean() for part in parts]).sum()
    count = len(camera.intrinsics)
    return Rendered(*(level.expand(count, channels, *size) for channels in (3, 1, 1)))


def lesson() -> Lesson:
    torch.manual_seed(0)
    sampler = PairSampler(make_frames(SIDE), 0.0, 0.0, torch.arange(LANDMARKS))
    batch = sampler.draw(COUNT, SIDE, torch.Generator().manual_seed(0))
    return Lesson(**vars(batch), taught=batch)


@pytest.mark.parametrize("lifts", [False, True])
def test_a_step_mixes_no_devices(lifts: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (mien.train.objective, mien.train.distill):
        monkeypatch.setattr(module, "splat", drawn)
    # There is no half precision on "meta".
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())
    batch = lesson().to("meta")
    parts = Network(tiny()), Reader(8), "reference", False
    student = Distill(*parts, Network(tiny())) if lifts else Animate(*parts)
    student.to(META)
    judge = adversary.Judge().to(META)
    with FakeTensorMode(allow_non_fake_inputs=True):
        terms, views = student(batch, 8, torch.bfloat16, True)
        terms |= adversary.please(judge, batch, views)
        terms["judge"] = adversary.judging(judge, batch, views)
        torch.stack(list(terms.values())).sum().backward()
    assert {value.device for value in terms.values()} == {META}


def test_fake_tensors_refuse_a_mix() -> None:
    """Or else the test above could not fail."""
    with FakeTensorMode(allow_non_fake_inputs=True), pytest.raises(RuntimeError, match="device"):
        torch.stack([torch.zeros(2, device=META), torch.zeros(2)])


def test_turned_cameras_are_where_the_others_are() -> None:
    camera = Camera.orbit(torch.zeros(3)).to("meta")
    with FakeTensorMode(allow_non_fake_inputs=True):
        assert turned(camera).world_from_cam.device == META
