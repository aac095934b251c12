"""The sampler: exact where lines are straight, better with Heun where they are not."""

import pytest
import torch

from mien.teacher import flow


def test_a_known_picture_is_reached_in_any_number_of_steps() -> None:
    truth, noise = torch.rand(2, 4, 8, 8), torch.randn(2, 4, 8, 8)
    for steps in (1, 3):
        made = flow.sample(lambda z, s: truth, noise, steps)
        torch.testing.assert_close(made, truth)


def test_mixing_and_velocity_agree() -> None:
    clean, noise, level = torch.rand(3, 4, 2, 2), torch.randn(3, 4, 2, 2), 0.3
    noisy = flow.mix(clean, noise, torch.full((3,), level))
    torch.testing.assert_close(flow.velocity(noisy, clean, level), noise - clean)


def gaussian(noisy: torch.Tensor, level: float, deviation: float = 0.3) -> torch.Tensor:
    """The best denoiser of data from N(0, deviation²)."""
    signal = (1.0 - level) * deviation**2
    return noisy * signal / ((1.0 - level) * signal + level**2)


def test_heun_comes_closer_than_euler_at_the_same_cost() -> None:
    # The exact flow carries N(0, 1) to N(0, 0.3²) linearly.
    noise = torch.randn(1000)
    errors = [
        (flow.sample(gaussian, noise, steps, heun) - 0.3 * noise).abs().max()
        for steps, heun in ((8, True), (16, False))
    ]
    assert errors[0] < 0.8 * errors[1]


def test_euler_is_that_of_diffusers() -> None:
    diffusers = pytest.importorskip("diffusers", reason="needs diffusers (mien[teach])")
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler()
    scheduler.set_timesteps(sigmas=[1.0, 0.75, 0.5, 0.25])
    noise = torch.randn(2, 4, 8, 8)
    theirs = noise
    for time, level in zip(scheduler.timesteps, scheduler.sigmas[:-1].tolist(), strict=True):
        slope = flow.velocity(theirs, gaussian(theirs, level), level)
        theirs = scheduler.step(slope, time, theirs).prev_sample
    ours = flow.sample(gaussian, noise, 4, heun=False)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_levels_lie_between_picture_and_noise() -> None:
    levels = flow.draw_levels(2000, torch.device("cpu"))
    assert 0.0 < levels.min() < 0.2
    assert 0.9 < levels.max() < 1.0
    assert 0.6 < levels.median() < 0.75
