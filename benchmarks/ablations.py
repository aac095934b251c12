"""What the paper's choices are worth at our size.

    python benchmarks/ablations.py --data SHARDS --start WEIGHTS --minutes 3 --out DIR

Trains the network and variants of it with `mien.train`, each for the same time on this machine, and
compares them on held-out people. Names after `--only` train those alone and leave the comparing to
a later call: on two GPUs, call it once a GPU (CUDA_VISIBLE_DEVICES), then once without. What is
trained already is not trained again. `--preset tiny` shows within a minute that all of it works.

| variant | the paper's choice | instead |
| --- | --- | --- |
| full | all of them | |
| position | motion changes features, and so colour, shape and opacity too | moves means alone |
| attention | scale and shift of each Gaussian's motion basis | cross-attention to motion tokens |
| driving | told the source's motion and the driver's | the driver's alone |

With `--start`, encoders begin from those weights, and what makes motion of them (fusion, decoder)
anew in every variant: minutes are then enough to tell them apart, though the encoder grew up with
the full one. A second `--seed`, to another folder, says what differences are worth.

dB are over the still photo. Expressions are read off renders and true frames by the readers of all
variants together, so that none is judged by the one it learned to please alone; 0 is no better than
the still photo, 1 the truth. Times are of `animate` on the largest grid, eight frames at once.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mien import presets
from mien.artifact import read_weights
from mien.data.shards import Frames
from mien.evaluate.tables import aligned
from mien.model.decoder import OFFSET_STEP, attributes
from mien.model.fusion import Fusion
from mien.model.network import Network, NetworkConfig
from mien.preprocess.pose import canonical
from mien.render import splat
from mien.structures import Avatar, Gaussians
from mien.train import checkpoint, desk, sheets
from mien.train.animate import AnimateConfig, train
from mien.train.reader import SIDE, Reader, face_camera, face_crop

SIZES = {
    "base": (presets.base(), AnimateConfig(batch=48, warmup=100, reading_from=200), 160),
    "tiny": (
        presets.tiny(),
        AnimateConfig(batch=1, view=48, grids=(8,), warmup=1, compile=False, log_every=5),
        8,
    ),
}
"""Of a preset the network, how it is trained, and the grid it is judged at."""

KEPT = ("encoder.", "motion.", "motion_image.")
"""What begins from the weights of `--start`."""

PER_TAKE, AT_ONCE, TIMED = 6, 8, 20


class PositionOnly(Network):
    """Motion moves means; opacity, colour and shape stay the photo's."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__(config)
        self.shift = nn.Linear(config.channels, 3)

    def animate(self, avatar: Avatar, latent: Tensor) -> tuple[Gaussians, Tensor]:
        assert avatar.anchors is not None
        delta = self.fusion(avatar.basis, avatar.source_latent, latent)
        still = attributes(self.decoder(avatar.features), avatar.anchors)
        moved = (OFFSET_STEP * self.shift(delta).float()) @ avatar.anchors.axes.transpose(-1, -2)
        return replace(still, means=still.means + moved), delta


class Attention(nn.Module):
    """In place of `Fusion`: Gaussians ask a few tokens, made of the pair of latents, what to do."""

    TOKENS, HEADS = 16, 3

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        channels = config.channels
        self.gain = config.gain
        self.tokens = nn.Linear(2 * config.latent, self.TOKENS * channels)
        self.query = nn.Linear(channels, channels)
        self.key_value = nn.Linear(channels, 2 * channels)
        self.proj = nn.Linear(channels, channels)
        self.net = nn.Sequential(
            nn.Linear(channels, config.hidden), nn.Softplus(), nn.Linear(config.hidden, channels)
        )

    def forward(self, basis: Tensor, source: Tensor, driving: Tensor) -> Tensor:
        own = F.layer_norm(basis, basis.shape[-1:])
        tokens = self.tokens(torch.cat([source, driving], -1)).unflatten(-1, (self.TOKENS, -1))
        tokens = F.layer_norm(tokens, tokens.shape[-1:])
        parts = self.query(own), *self.key_value(tokens).chunk(2, -1)
        heads = (part.unflatten(-1, (self.HEADS, -1)).transpose(-2, -3) for part in parts)
        answer = F.scaled_dot_product_attention(*heads).transpose(-2, -3).flatten(-2)
        return self.gain * self.net(self.proj(own + answer))


class CrossAttention(Network):
    """Attention in place of local fusion."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__(config)
        self.fusion = Attention(config)  # type: ignore[assignment]


class Blind(Fusion):
    """Local fusion that is not told what the photo expresses."""

    def forward(self, basis: Tensor, source: Tensor, driving: Tensor) -> Tensor:
        return super().forward(basis, torch.zeros_like(source), driving)


class DrivingOnly(Network):
    """The driver's latent alone."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__(config)
        self.fusion = Blind(config.latent, config.channels, config.hidden, config.gain)


VARIANTS = {
    "full": Network,
    "position": PositionOnly,
    "attention": CrossAttention,
    "driving": DrivingOnly,
}


def begin(name: str, config: NetworkConfig, start: Path | None, landmarks: Tensor) -> Network:
    """A variant, its encoders from `start` if that is named."""
    network = VARIANTS[name](config)
    if start is None:
        network.motion.fit_statistics(landmarks)
    else:
        state = read_weights(start).state
        kept = {key: value for key, value in state.items() if key.startswith(KEPT)}
        missing, unknown = network.load_state_dict(kept, strict=False)
        assert not unknown, unknown
        assert not [key for key in missing if key.startswith(KEPT)], missing
    return network


def learn(names: Sequence[str], options: argparse.Namespace) -> None:
    """Train variants, one after another, on frames loaded once; those that are there are kept."""
    config, plain, _ = SIZES[options.preset]
    timed = replace(plain, minutes=options.minutes, steps=options.steps, seed=options.seed)
    left = [name for name in names if not trained_file(options.out, name).exists()]
    if not left:
        return
    with desk.processes() as (_, device):
        frames = desk.load(options.data, "train", "synth", workers=options.workers).to(device)
        partner = torch.from_numpy(canonical().mirror)
        if plain.compile:
            # Compiled once before anybody's time runs: the cache on disk serves all of them.
            warm = options.out / "warm.safetensors"
            network = begin("full", config, options.start, frames.landmarks.cpu())
            train(network, frames, partner, replace(timed, steps=1), warm, print)
            warm.unlink()
        for name in left:
            torch.compiler.reset()
            torch.manual_seed(options.seed)
            network = begin(name, config, options.start, frames.landmarks.cpu())
            state = options.out / name / "state.safetensors"
            state.parent.mkdir(parents=True, exist_ok=True)
            run = train(network, frames, partner, timed, state, lambda *said: print(*said))
            tree = {"network": run.average.state_dict(), "reader": run.reader.state_dict()}
            checkpoint.save(trained_file(options.out, name), tree | {"steps": run.step})
            state.unlink()


def trained_file(out: Path, name: str) -> Path:
    return out / name / "trained.safetensors"


def pairs(frames: Frames) -> list[tuple[Tensor, Tensor]]:
    """Of each filmed take its first frame and later ones, (6,) each."""
    found = []
    for take in range(len(frames.takes)):
        members = torch.nonzero(frames.take == take)[:, 0]
        if len(members) >= 4:
            picks = torch.linspace(1, len(members) - 1, PER_TAKE).round().long()
            found.append((members[:1].expand(PER_TAKE), members[picks.to(members.device)]))
    return found


@torch.no_grad()
def expression(
    network: Network, readers: Sequence[Reader], frames: Frames, grid: int
) -> tuple[float, float]:
    """How far expressions read off renders, and off still photos, are from those of true frames.

    In the reader's units: 1 is about a standard deviation of each signal.
    """
    errors = []
    for source, driven in pairs(frames):
        camera, landmarks = frames.camera[driven], frames.landmarks[driven]
        avatar = sheets.encode(network, frames, source, grid)
        gaussians, _ = network.animate(avatar, network.motion(landmarks))
        face = splat(gaussians, face_camera(camera, landmarks), (SIDE, SIDE)).image
        pixels = [frames.pixels[rows, :3].float() / 255.0 for rows in (driven, source)]
        truth = face_crop(pixels[0], camera, landmarks)
        still = face_crop(pixels[1], frames.camera[source], frames.landmarks[source])
        for reader in readers:
            right, made, left = (reader(shown)[0] for shown in (truth, face, still))
            errors.append(torch.stack([reader.error(made, right), reader.error(left, right)]))
    said, floor = torch.stack(errors).mean(0).tolist()
    return said, floor


@torch.no_grad()
def milliseconds(network: Network, frames: Frames, grid: int) -> float:
    """Of `animate`, a frame: one avatar, eight frames at once, as the networks are trained."""
    device = frames.pixels.device
    rows = torch.zeros(AT_ONCE, dtype=torch.long, device=device)
    avatar = sheets.encode(network, frames, rows, grid)
    latent = network.motion(frames.landmarks[rows])
    on_gpu = device.type == "cuda"

    def passed() -> float:
        began = time.perf_counter()
        for _ in range(TIMED):
            network.animate(avatar, latent)
        if on_gpu:
            torch.cuda.synchronize()
        return 1e3 * (time.perf_counter() - began)

    with torch.autocast(device.type, torch.bfloat16, enabled=on_gpu):
        passed()
        return passed() / (TIMED * AT_ONCE)


def compare(options: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Figures of every variant that is trained."""
    config, how, grid = SIZES[options.preset]
    trees = {
        name: checkpoint.load(trained_file(options.out, name))
        for name in VARIANTS
        if trained_file(options.out, name).exists()
    }
    with desk.processes() as (_, device):
        frames = desk.load(options.data, "heldout", workers=options.workers).to(device)
        readers = [Reader().to(device).eval() for _ in trees]
        for reader, tree in zip(readers, trees.values(), strict=True):
            reader.load_state_dict(tree["reader"])
        figures = {}
        for name, tree in trees.items():
            network = VARIANTS[name](config).to(device).eval()
            network.load_state_dict(tree["network"])
            psnr, _ = sheets.self_reenactment(network, frames, grid, how.view, how.backend)
            error, floor = expression(network, readers, frames, grid)
            figures[name] = {
                "steps": tree["steps"],
                "dB over still": psnr["heldout/psnr"] - psnr["heldout/still"],
                "expression error": error,
                "expression, 0–1": 1.0 - error / floor,
                "ms a frame": milliseconds(network, frames, max(how.grids)),
            }
    return figures


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="shards of `mien prepare`")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=3.0, help="of training, each")
    parser.add_argument("--steps", type=int, help="of training, each, if that comes first")
    parser.add_argument("--only", nargs="+", choices=VARIANTS, help="train these, compare nothing")
    parser.add_argument("--start", type=Path, help="weights whose encoders to begin from")
    parser.add_argument("--preset", choices=SIZES, default="base")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=8)
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    learn(options.only or list(VARIANTS), options)
    if options.only:
        return
    figures = compare(options)
    (options.out / "ablations.json").write_text(json.dumps(figures, indent=1) + "\n")
    head = ("", *next(iter(figures.values())))
    rows = [(name, *(f"{value:.3g}" for value in row.values())) for name, row in figures.items()]
    print(aligned([head, *rows]))


if __name__ == "__main__":
    main()
