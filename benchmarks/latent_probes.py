"""What motion latents betray of who makes the expression.

    PYTHONPATH=src python benchmarks/latent_probes.py SHARDS FACEKIT [WEIGHTS]

SHARDS holds `heldout-*.tar` of `mien prepare --part heldout`, FACEKIT the head of `mien synth`.
WEIGHTS are the shipped ones unless named.

Two questions. Who is it? A linear classifier learns that from the first half of each filmed
person's frames; how often is it right on the second half? People have habits, and a camera and a
light each, so the same is asked of rendered people who all make the same faces, half of which it
learns from. What is it? How far apart are two people who make the same face, over one person who
makes two faces?

Axis legend: F frames, P people, E expressions, D latent.
"""

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mien import presets
from mien.data.shards import Frames, load_frames
from mien.evaluate.tables import aligned
from mien.model.network import Network
from mien.structures import Camera
from mien.synth.dialect import load_dialect
from mien.synth.expression import sample_expression
from mien.synth.rig import load_rig
from mien.synth.seeds import HELD_OUT
from mien.synth.studio import Studio, sample_scene

FEWEST, MOST = 20, 40
"""Frames of a person: those with fewer are left out, of others the first so many are used."""

PEOPLE, EXPRESSIONS = 8, 12
"""How many are rendered."""

SIDE = 256
"""Side in pixels of what is rendered; the image encoder sees half of it, at 128."""

DECAY = 1e-3
"""Weight of the classifier's squared weights; from 1e-4 to 1e-2 it moves accuracies by .02."""


def halves(frames: Frames) -> tuple[Tensor, Tensor, Tensor]:
    """Frames of people who are filmed long enough.

    Returns:
        indices (F,) into the set, whose they are (F,), and whether they come late (F,).
    """
    names = sorted(set(frames.people))
    person = torch.tensor([names.index(name) for name in frames.people])[frames.take]
    rows, labels, late = [], [], []
    for number in range(len(names)):
        own = torch.nonzero(person == number)[:, 0]
        own = own[torch.argsort(frames.take[own], stable=True)][:MOST]
        if len(own) >= FEWEST:
            rows.append(own)
            labels.append(torch.full_like(own, len(labels)))
            late.append(torch.arange(len(own)) >= len(own) // 2)
    return torch.cat(rows), torch.cat(labels), torch.cat(late)


def probe(values: Tensor, labels: Tensor, late: Tensor) -> float:
    """Share of late frames that multinomial logistic regression on the early ones gets right.

    Args:
        values: (F, D); they are standardised by the early frames.
        labels: (F,) class of each.
        late: (F,) which are tested.
    """
    early = values[~late]
    scaled = (values - early.mean(0)) / early.std(0).clamp_min(1e-6)
    weights = torch.zeros(values.shape[1], int(labels.max()) + 1, requires_grad=True)
    bias = torch.zeros(weights.shape[1], requires_grad=True)
    optimiser = torch.optim.LBFGS([weights, bias], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimiser.zero_grad()
        error = F.cross_entropy(scaled[~late] @ weights + bias, labels[~late])
        error = error + DECAY * weights.square().sum() / 2
        error.backward()
        return error

    optimiser.step(loss)
    said = (scaled[late] @ weights + bias).argmax(1)
    return float((said == labels[late]).float().mean())


def closeness(values: Tensor) -> tuple[float, float]:
    """Whether latents (P, E, D) lie by expression or by person.

    Returns:
        The mean distance of two people who make one face, over that of one person who makes two;
        and how often the former is the smaller, of all pairs of such pairs that share a latent.
    """
    people = (values[:, None] - values[None]).norm(dim=-1)  # (P, P, E)
    faces = (values[:, :, None] - values[:, None]).norm(dim=-1)  # (P, E, E)
    others = ~torch.eye(values.shape[0], dtype=torch.bool)
    changes = ~torch.eye(values.shape[1], dtype=torch.bool)
    ratio = people[others].mean() / faces[:, changes].mean()
    wins = [
        people[p, others[p], e][:, None] < faces[p, e, changes[e]]
        for p in range(values.shape[0])
        for e in range(values.shape[1])
    ]
    return float(ratio), float(torch.stack(wins).float().mean())


def rendered(facekit: Path) -> tuple[Tensor, Tensor]:
    """Held-out people who all make the same faces, from the front.

    Returns:
        landmarks (P, E, 478, 3) in MediaPipe's dialect, and pictures (P, E, 3, S, S).
    """
    studio = Studio(load_rig(facekit), SIDE, supersample=1, dialect=load_dialect())
    rng = np.random.default_rng(0)
    faces = [sample_expression(rng) for _ in range(EXPRESSIONS)]
    still, camera = np.array([0.0, 1.0, 0.0, 0.0]), Camera.orbit()
    landmarks, pictures = [], []
    for seed in HELD_OUT[:PEOPLE]:
        studio.enter(studio.maker.make(seed))
        place = sample_scene(np.random.default_rng(seed))
        scene = dataclasses.replace(place, blur=0.0, noise=(0.0, 0.0))
        for face in faces:
            landmarks.append(studio.pose(face, scene, still).landmarks)
            pictures.append(studio.shoot(camera, scene, seed, dense=False).image)
    studio.renderer.close()
    points = torch.from_numpy(np.stack(landmarks)).float()
    images = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2) / 255
    shape = (PEOPLE, EXPRESSIONS)
    return points.unflatten(0, shape), images.unflatten(0, shape)


@torch.no_grad()
def encodings(
    network: Network, landmarks: Tensor, pictures: Sequence[Tensor] | Tensor
) -> dict[str, Tensor]:
    """What there is to probe of frames: their landmarks, and the latents of either encoder.

    Args:
        landmarks: (F, 478, 3) canonical.
        pictures: F of (3, S, S) in [0, 1].
    """
    motion = network.motion
    seen = torch.cat([network.motion_image(picture[None]) for picture in pictures])
    return {
        "landmarks themselves": (motion.signals(landmarks) - motion.mean) / motion.deviation,
        "latents of landmarks": motion(landmarks),
        "latents of pictures": seen,
    }


def main() -> None:
    shards, facekit, *named = map(Path, sys.argv[1:])
    network = presets.load_network(named[0] if named else None)
    frames = load_frames(sorted(shards.glob("heldout-*.tar")))
    rows, labels, late = halves(frames)
    pixels = [frames.pixels[i, :3] / 255 for i in rows.tolist()]
    filmed = encodings(network, frames.landmarks[rows], pixels)
    points, pictures = rendered(facekit)
    made = encodings(network, points.flatten(0, 1), pictures.flatten(0, 1))
    who = torch.arange(PEOPLE).repeat_interleave(EXPRESSIONS)
    other_face = torch.arange(EXPRESSIONS).repeat(PEOPLE) >= EXPRESSIONS // 2
    people = int(labels.max()) + 1
    table = [("", f"1 of {people} filmed", f"1 of {PEOPLE} rendered", "distance", "face nearer")]
    for name, values in filmed.items():
        read = probe(values, labels, late), probe(made[name], who, other_face)
        ratio, nearer = closeness(made[name].unflatten(0, (PEOPLE, EXPRESSIONS)))
        table.append((name, f"{read[0]:.2f}", f"{read[1]:.2f}", f"{ratio:.2f}", f"{nearer:.2f}"))
    table.append(("chance; pure expression", f"{1 / people:.2f}", f"{1 / PEOPLE:.2f}", "0", "1"))
    print(aligned(table))


if __name__ == "__main__":
    main()
