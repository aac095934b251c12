"""What every training loop does between batches: pace, rate, descent, moving average."""

from __future__ import annotations

import math
import time
from typing import Protocol

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


class Schedule(Protocol):
    """The part of a training config that says how long and how fast to learn."""

    @property
    def steps(self) -> int | None:
        """Length of the cosine; None: as many as fit in `minutes`."""
        ...

    @property
    def minutes(self) -> float:
        """Time after which to stop."""
        ...

    @property
    def warmup(self) -> int:
        """Steps until the peak."""
        ...

    @property
    def learning_rate(self) -> float:
        """The peak."""
        ...


class Pace:
    """How far a run is, as all of its processes see it.

    Args:
        schedule: how long the run is.
        progress: how far it was when it was left, 0 to 1.
        device: where the processes meet.
    """

    CHECK = 20
    """Steps between looks at the clock: the processes must agree, and asking costs a wait."""

    def __init__(self, schedule: Schedule, progress: float, device: torch.device) -> None:
        self.schedule, self.progress, self.device = schedule, progress, device
        self._start = progress
        self._began = time.monotonic()
        self._spent = 0.0

    def goes_on(self, step: int) -> bool:
        """Whether `step` is still to be done; `progress` is up to date then."""
        if step % self.CHECK == 0:
            self._spent = self._agreed((time.monotonic() - self._began) / 60.0)
        if self._spent >= self.schedule.minutes:
            return False
        if self.schedule.steps is None:
            self.progress = self._start + self._spent / self.schedule.minutes
        else:
            self.progress = step / self.schedule.steps
        return self.progress < 1.0

    def _agreed(self, minutes: float) -> float:
        """The first process's clock decides."""
        if not dist.is_initialized():
            return minutes
        told = torch.tensor(minutes, device=self.device)
        dist.broadcast(told, 0)
        return told.item()


def rate(step: int, progress: float, schedule: Schedule) -> float:
    """Learning rate: linear warm-up by steps, then a cosine of progress down to 3 %."""
    cosine = 0.5 * (1.0 + math.cos(math.pi * min(1.0, progress)))
    warm = min(1.0, (step + 1) / schedule.warmup)
    return schedule.learning_rate * warm * (0.03 + 0.97 * cosine)


def descend(optimiser: torch.optim.Optimizer, loss: Tensor, learning_rate: float) -> None:
    """One step of `optimiser` down `loss`, gradients clipped to a norm of 1."""
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    nn.utils.clip_grad_norm_(parameters, 1.0)
    for group in optimiser.param_groups:
        group["lr"] = learning_rate
    optimiser.step()


@torch.no_grad()
def average(averaged: nn.Module, network: nn.Module, step: int, decay: float) -> None:
    """Move `averaged` towards `network`, in place."""
    # A young average follows fast, so that it forgets the random start.
    update = get_ema_multi_avg_fn(min(decay, (1.0 + step) / (10.0 + step)))
    update(list(averaged.parameters()), list(network.parameters()), step)
