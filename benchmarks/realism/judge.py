"""Can a small network tell made faces from photographs? What gives them away?

    PYTHONPATH=src python benchmarks/realism/judge.py --photos PHOTOS.npz --renders RENDERS.npz ...

Renders are those of `portraits.py`, photos those of `faces.py`. Near-frontal faces are cut along
their outline, so that neither background nor hair around them counts, and each is given mean 0 and
deviation 1 in every channel.
Half of what the networks see in training is made. They are trained on three quarters of the people
and asked about the others, four times over. The balanced error is the mean of the share of made
faces taken for photographs and that of photographs taken for made: 50 % if nobody can tell.
Views show less than all there is, to find out what gives the faces away.
"""

import argparse
import itertools
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from faces import Faces
from found import GROUPS
from torch import Tensor, nn
from torch.nn import functional

SIDE = 64
YAW, PITCH = 25.0, 20.0
"""Degrees; what is turned farther is left out, of photos and renders alike."""

FOLDS = 4
STEPS, BATCH = 600, 64


def cut(crop: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """A face without surroundings, (SIDE, SIDE, 4) u8: colour, then what belongs to it."""
    oval = seen[GROUPS["oval"]]
    low, high = oval.min(0), oval.max(0)
    step = SIDE / ((high - low).max() * 1.02)
    matrix = np.array([[step, 0, 0], [0, step, 0]])
    matrix[:, 2] = SIDE / 2 - step * (low + high) / 2
    # Area means shrink without aliasing; renders and photos shrink alike.
    large = cv2.warpAffine(crop, matrix * 2, (2 * SIDE, 2 * SIDE), flags=cv2.INTER_CUBIC)
    mask = np.zeros((2 * SIDE, 2 * SIDE), np.uint8)
    outline = (oval @ matrix[:, :2].T + matrix[:, 2]) * 2
    cv2.fillConvexPoly(mask, cv2.convexHull(outline.astype(np.int32)), (255,))
    mask = cv2.erode(mask, np.ones((7, 7)))
    return cv2.resize(np.dstack([large[..., :3], mask]), (SIDE, SIDE), interpolation=cv2.INTER_AREA)


def normalise(cuts: np.ndarray) -> Tensor:
    """(N, S, S, 4) u8 to (N, 3, S, S): each channel mean 0 and deviation 1 within the face."""
    x = torch.from_numpy(cuts).permute(0, 3, 1, 2).float() / 255
    mask, color = (x[:, 3:] > 0.5).float(), x[:, :3]
    count = mask.sum((2, 3), keepdim=True)
    color = (color - (color * mask).sum((2, 3), keepdim=True) / count) * mask
    return color / (color.square().sum((2, 3), keepdim=True) / count).sqrt().clamp_min(1e-3)


def _blur(x: Tensor, factor: int) -> Tensor:
    small = functional.avg_pool2d(x, factor)
    return functional.interpolate(small, size=x.shape[-2:], mode="bilinear", align_corners=False)


def _part(top: float, bottom: float) -> Callable[[Tensor], Tensor]:
    rows = slice(int(top * SIDE), int(bottom * SIDE))

    def view(x: Tensor) -> Tensor:
        shown = torch.zeros_like(x)
        shown[..., rows, :] = x[..., rows, :]
        return shown

    return view


VIEWS: dict[str, Callable[[Tensor], Tensor]] = {
    "all": lambda x: x,
    "grey": lambda x: x.mean(1, keepdim=True).expand_as(x),
    "hues": lambda x: x - x.mean(1, keepdim=True),
    "coarse": lambda x: _blur(x, 4),
    "fine": lambda x: x - _blur(x, 4),
    "forehead": _part(0.0, 0.25),
    "eyes": _part(0.25, 0.5),
    "nose": _part(0.42, 0.68),
    "mouth": _part(0.65, 1.0),
}
"""What the judge gets to see, by name."""


def judge() -> nn.Sequential:
    """A small convolutional network: (N, 3, S, S) to the logit of being made (N, 1)."""
    widths = (3, 16, 32, 48)
    layers: list[nn.Module] = []
    for i, o in itertools.pairwise(widths):
        layers += [nn.Conv2d(i, o, 3, 2, 1), nn.ReLU()]
    head = nn.Linear(4 * widths[-1], 1)
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Dropout(0.3), head)


def train(made: Tensor, photos: Tensor, kinds: list[np.ndarray]) -> nn.Sequential:
    """A judge trained on both; of the photos each set (`kinds`, rows) is shown equally often."""
    network = judge().train()
    optimizer = torch.optim.AdamW(network.parameters(), 2e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    half = BATCH // 2
    wanted = torch.cat([torch.ones(half), torch.zeros(half)])
    for _ in range(STEPS):
        rows = [kinds[int(torch.randint(len(kinds), ()))] for _ in range(half)]
        picked = torch.tensor([int(r[int(torch.randint(len(r), ()))]) for r in rows])
        x = torch.cat([made[torch.randint(len(made), (half,))], photos[picked]])
        shift = torch.randint(-3, 4, (2,)).tolist()
        x = torch.roll(x, shift, (2, 3))
        x = x.flip(-1) if torch.rand(()) < 0.5 else x
        loss = functional.binary_cross_entropy_with_logits(network(x)[:, 0], wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return network.eval()


def folds(people: np.ndarray, seed: int) -> np.ndarray:
    """(N,) which fold each picture is in; all of a person's are in one."""
    names, which = np.unique(people, return_inverse=True)
    return np.random.default_rng(seed).permutation(len(names))[which] % FOLDS


@torch.no_grad()
def _called_made(network: nn.Module, pictures: Tensor) -> np.ndarray:
    return (network(pictures)[:, 0] > 0).numpy()


def ask(made: Faces, photos: Faces, view: Callable[[Tensor], Tensor], seed: int) -> tuple:
    """(made taken for photos (N,), photos taken for made (M,)) of all four folds."""
    torch.manual_seed(seed)
    x, y = view(normalise(made.crops)), view(normalise(photos.crops))
    mine, theirs = folds(made.person, seed), folds(photos.person, seed)
    missed, blamed = np.zeros(len(made), bool), np.zeros(len(photos), bool)
    for fold in range(FOLDS):
        learnt = y[theirs != fold]
        sources = photos.source[theirs != fold]
        kinds = [np.flatnonzero(sources == name) for name in np.unique(sources)]
        network = train(x[mine != fold], learnt, kinds)
        missed[mine == fold] = ~_called_made(network, x[mine == fold])
        blamed[theirs == fold] = _called_made(network, y[theirs == fold])
    return missed, blamed


def balanced(missed: np.ndarray, blamed: np.ndarray, photos: Faces) -> tuple[float, float, str]:
    """Balanced error, its standard error, and a line about its parts.

    Args:
        missed: (seeds, N) made faces taken for photos; blamed: (seeds, M) photos taken for made.
    """
    sets = [(name, blamed[:, photos.source == name].mean(0)) for name in np.unique(photos.source)]
    parts = [missed.mean(0), *(rate for _, rate in sets)]
    weight = [0.5, *[0.5 / len(sets)] * len(sets)]
    error = sum(w * p.mean() for w, p in zip(weight, parts, strict=True))
    spread = sum(w**2 * p.var() / len(p) for w, p in zip(weight, parts, strict=True)) ** 0.5
    said = ", ".join(f"{name.split('/')[-1]} {rate.mean():.1%}" for name, rate in sets)
    return float(error), float(spread), f"made taken for photos {missed.mean():.1%}; made: {said}"


def frontal(faces: Faces) -> Faces:
    """Those that look ahead."""
    return faces[faces.found & (np.abs(faces.angles) < (YAW, PITCH)).all(1)]


def cut_out(faces: Faces, count: int | None = None) -> Faces:
    """The faces cut along their outline; at most `count` people, one picture of each."""
    rows = np.arange(len(faces))
    if count:
        rows = np.unique(faces.person, return_index=True)[1][:count]
    kept = faces[rows]
    cuts = [cut(c, s) for c, s in zip(kept.crops, kept.seen, strict=True)]
    return Faces(np.array(cuts), *(getattr(kept, f) for f in list(vars(kept))[1:]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", nargs="+", type=Path, required=True)
    parser.add_argument("--renders", nargs="+", type=Path, required=True)
    parser.add_argument("--count", type=int, default=300, help="made people shown, one face each")
    parser.add_argument("--views", nargs="+", choices=list(VIEWS), default=["all"])
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    made = cut_out(frontal(Faces.load(arguments.renders)), arguments.count)
    photos = cut_out(frontal(Faces.load(arguments.photos)))
    print(f"{len(made)} made faces, {len(photos)} photographs")
    for name in arguments.views:
        rounds = [ask(made, photos, VIEWS[name], seed) for seed in range(arguments.seeds)]
        missed, blamed = (np.stack(part) for part in zip(*rounds, strict=True))
        error, spread, line = balanced(missed, blamed, photos)
        print(f"{name:>9}: balanced error {error:.1%} ± {spread:.1%} ({line})", flush=True)


if __name__ == "__main__":
    main()
