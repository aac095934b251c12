"""What the adversary sees, asks for and learns."""

from dataclasses import replace

import torch
from made_frames import make_frames
from torch import nn

from mien.structures import LANDMARKS
from mien.train.adversary import (
    DETAIL_SIDE,
    DETAILS,
    WEIGHTS,
    Judge,
    Views,
    details,
    judging,
    please,
)
from mien.train.batches import Batch, PairSampler

SIDE = 48


def draw(count: int = 2) -> Batch:
    torch.manual_seed(0)
    sampler = PairSampler(make_frames(SIDE), 0.0, 0.0, torch.arange(LANDMARKS))
    return sampler.draw(count, SIDE, torch.Generator().manual_seed(0))


def views(batch: Batch) -> Views:
    generator = torch.Generator().manual_seed(1)
    return Views(
        torch.rand(batch.target.shape, generator=generator).requires_grad_(),
        torch.rand(1, 3, SIDE, SIDE, generator=generator).requires_grad_(),
    )


class Mean(nn.Module):
    """A judge whose scores are mean brightnesses."""

    def forward(self, shown: torch.Tensor, near: torch.Tensor) -> tuple:
        return tuple((x.mean((1, 2, 3), keepdim=True), [x]) for x in (shown, near))


def test_details_are_mouths_then_eyes_of_the_windows() -> None:
    batch = draw()
    landmarks = 0.02 * torch.randn(4, LANDMARKS, 3)
    for at, (part, _) in enumerate(DETAILS):
        landmarks[:, list(part)] += torch.tensor([0.1 * at - 0.1, 0.15 * (at % 2), 0.0])
    batch = replace(batch, target_landmarks=landmarks)
    pictures = torch.zeros(4, 3, SIDE, SIDE)
    for at, (part, _) in enumerate(DETAILS):
        where = batch.target_camera.project(landmarks[:, list(part)]).mean(1) * SIDE
        for row in (2, 3):
            x, y = where[row].long().tolist()
            pictures[row, at, y - 1 : y + 2, x - 1 : x + 2] = 1.0
    seen = details(batch, pictures)
    assert seen.shape == (6, 3, DETAIL_SIDE, DETAIL_SIDE)
    middle = slice(DETAIL_SIDE // 2 - 4, DETAIL_SIDE // 2 + 4)
    for row, crop in enumerate(seen):
        bright = crop[:, middle, middle].mean((1, 2))
        assert bright.argmax() == row // 2
        assert bright.max() > 0.5


def test_the_student_is_told_of_all_it_drew_and_the_judge_learns_nothing() -> None:
    batch, judge = draw(), Judge()
    drawn = views(batch)
    terms = please(judge, batch, drawn)
    assert terms.keys() == WEIGHTS.keys()
    torch.stack(list(terms.values())).sum().backward()
    for made in (drawn.picture, drawn.turned):
        assert made.grad is not None
        assert (made.grad.flatten(1).norm(dim=1) > 0).all()
    for parameter in judge.parameters():
        assert parameter.grad is None
        assert parameter.requires_grad


def test_renders_like_the_truth_match_it() -> None:
    batch, judge = draw(), Judge().eval()
    other = please(judge, batch, views(batch))
    same = please(judge, batch, replace(views(batch), picture=batch.target))
    for name in ("matching", "detail_matching"):
        assert same[name] < 1e-5 < other[name]


def test_turned_views_count_as_much_as_all_others_together() -> None:
    batch = draw()
    known = replace(batch, target=torch.full_like(batch.target, 0.5))
    fake = torch.full_like(batch.target, 0.25)
    turned = torch.full((1, 3, SIDE, SIDE), 0.75)
    near = details(known, torch.ones_like(fake)).mean().item()
    loss = judging(Mean(), known, Views(fake, turned)).item()
    whole = (1 - 0.5) + 0.5 * (1 + 0.25) + 0.5 * (1 + 0.75)
    assert abs(loss - (whole + (1 - 0.5 * near) + (1 + 0.25 * near))) < 1e-5


def test_a_judge_learns_to_tell_turned_views_from_true_ones() -> None:
    batch, judge = draw(), Judge()
    optimiser = torch.optim.Adam(judge.parameters(), 1e-3, (0.0, 0.99))
    drawn = Views(torch.rand(4, 3, SIDE, SIDE), torch.rand(1, 3, SIDE, SIDE) * 0.2)
    for _ in range(12):
        loss = judging(judge, batch, drawn)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    (score, _), _ = judge(torch.cat([batch.target, drawn.turned]), details(batch, batch.target))
    assert score[:-1].mean() > score[-1].mean() + 0.3
