"""A small landmark network that only ever saw made heads.

    PYTHONPATH=src python benchmarks/realism/landmarker.py OUT.safetensors SHARD.tar [SHARD.tar ...]
        [--steps 3000] [--batch 32] [--device cuda --workers 16]

It learns MediaPipe's 478 landmarks, irises included, from shards of `mien synth`. How it fares on
photographs is for `transfer.py` to say. Needs PyTorch and the shards, nothing else.
Axis legend: B batch, S side of a stored picture, C side of what the network sees.
"""

import argparse
import time
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from mien.data.shards import Frames, load_frames
from mien.preprocess.pose import canonical
from mien.structures import FOV_FFHQ, FOV_WIDE, LANDMARKS, focal_from_fov

SIDE = 128
"""What the network sees: FFHQ's framing at this size."""

MARGIN = focal_from_fov(FOV_WIDE) / focal_from_fov(FOV_FFHQ)
"""Share of a wide framing's side that FFHQ's framing shows."""


class Block(nn.Module):
    """An inverted residual (Sandler et al. 2018): widen, look around, narrow."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        wide = 4 * inputs
        self.body = nn.Sequential(
            nn.Conv2d(inputs, wide, 1, bias=False),
            nn.BatchNorm2d(wide),
            nn.ReLU(inplace=True),
            nn.Conv2d(wide, wide, 3, stride, 1, groups=wide, bias=False),
            nn.BatchNorm2d(wide),
            nn.ReLU(inplace=True),
            nn.Conv2d(wide, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.skip = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x) if self.skip else self.body(x)


class Landmarker(nn.Module):
    """RGB in [0, 1], (B, 3, C, C), to landmarks (B, 478, 2), -1 and 1 at the crop's borders.

    Every landmark has a map of where it may be; its place is the mean over that (integral
    regression, Sun et al. 2018). Regressing places directly learnt poses and no expressions in the
    same time.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU(inplace=True)
        )
        self.fine = nn.Sequential(Block(16, 32, 2), Block(32, 32, 1))
        self.middle = nn.Sequential(Block(32, 64, 2), Block(64, 64, 1), Block(64, 64, 1))
        self.coarse = nn.Sequential(Block(64, 96, 2), *(Block(96, 96, 1) for _ in range(4)))
        self.down = nn.ModuleList([nn.Conv2d(96, 64, 1), nn.Conv2d(64, 32, 1)])
        self.join = nn.ModuleList([Block(64, 64, 1), Block(32, 64, 1)])
        self.maps = nn.Conv2d(64, LANDMARKS, 1)

    def forward(self, x: Tensor) -> Tensor:
        fine = self.fine(self.stem(2 * x - 1))
        middle = self.middle(fine)
        top = self.down[0](self.coarse(middle))
        middle = self.join[0](middle + functional.interpolate(top, scale_factor=2.0))
        fine = self.join[1](fine + functional.interpolate(self.down[1](middle), scale_factor=2.0))
        maps = self.maps(fine)
        chance = maps.flatten(2).softmax(-1).unflatten(-1, maps.shape[-2:])
        axis = (torch.arange(maps.shape[-1], device=x.device) + 0.5) * 2 / maps.shape[-1] - 1
        return torch.stack([(chance.sum(2) * axis).sum(-1), (chance.sum(3) * axis).sum(-1)], -1)


def mirror() -> Tensor:
    """(478,) the landmark on the other side of the face."""
    return torch.from_numpy(canonical().mirror)


@torch.no_grad()
def find(network: Landmarker, pictures: Tensor) -> Tensor:
    """Landmarks (B, 478, 2) in pixels of pictures (B, 3, S, S), seen straight and in a mirror."""
    side = pictures.shape[-1]
    x = functional.interpolate(pictures, (SIDE, SIDE), mode="bilinear", antialias=True)
    flipped = network(x.flip(-1))[:, mirror().to(x.device)] * x.new_tensor([-1.0, 1.0])
    return ((network(x) + flipped) / 2 + 1) * side / 2


def load(path: Path) -> Landmarker:
    """A trained network, ready to be asked."""
    network = Landmarker()
    network.load_state_dict({k: v.float() for k, v in load_file(path).items()})
    return network.eval()


def places(frames: Frames) -> Tensor:
    """(F, 478, 2) landmarks in their pictures, -1 and 1 at the borders."""
    return 2 * frames.camera.project(frames.landmarks) - 1


def crops(pixels: Tensor, marks: Tensor) -> tuple[Tensor, Tensor]:
    """Random level-ish crops (B, 4, C, C) of wide pictures (B, 4, S, S), and the marks in them."""
    count, device = len(pixels), pixels.device
    angle = torch.randn(count, device=device).clamp(-2.5, 2.5) * 0.2
    size = MARGIN * torch.exp(0.13 * torch.randn(count, device=device).clamp(-2.5, 2.5))
    shift = 0.08 * torch.randn(count, 2, 1, device=device).clamp(-2.5, 2.5)
    turn = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], -1).view(-1, 2, 2)
    matrix = torch.cat([turn * size[:, None, None], shift], -1)
    grid = functional.affine_grid(matrix, [count, 4, 2 * SIDE, 2 * SIDE], align_corners=False)
    drawn = functional.grid_sample(pixels, grid, align_corners=False, padding_mode="zeros")
    inside = torch.linalg.solve(matrix[..., :2], (marks - shift.mT).mT).mT
    flip = torch.rand(count, device=device) < 0.5
    drawn = torch.where(flip[:, None, None, None], drawn.flip(-1), drawn)
    other = inside[:, mirror().to(device)] * inside.new_tensor([-1.0, 1.0])
    return functional.avg_pool2d(drawn, 2), torch.where(flip[:, None, None], other, inside)


def clouds(count: int, device: torch.device) -> Tensor:
    """Soft random colour (B, 3, C, C) in [0, 1], of coarse and fine shapes."""
    total = torch.rand(count, 3, 1, 1, device=device).expand(-1, -1, SIDE, SIDE)
    for cells in (3, 8, 24, 64):
        noise = torch.rand(count, 3, cells, cells, device=device) - 0.5
        amount = torch.rand(count, 1, 1, 1, device=device) ** 2
        smooth = functional.interpolate(noise, (SIDE, SIDE), mode="bilinear", align_corners=False)
        total = total + amount * smooth
    return total.clamp(0, 1)


def surroundings(heads: Tensor) -> Tensor:
    """Backgrounds (B, 3, C, C): colours, shapes, and other heads' pictures, zoomed into."""
    count, device = len(heads), heads.device
    scale = 0.15 + 0.5 * torch.rand(count, device=device)
    matrix = torch.zeros(count, 2, 3, device=device)
    matrix[:, 0, 0], matrix[:, 1, 1] = scale, scale * torch.where(scale > 0.4, 1.0, -1.0)
    matrix[..., 2] = torch.rand(count, 2, device=device) - 0.5
    grid = functional.affine_grid(matrix, [count, 3, SIDE, SIDE], align_corners=False)
    others = heads[torch.randperm(count, device=device), :3]
    pieces = functional.grid_sample(others, grid, align_corners=False, padding_mode="reflection")
    base = clouds(count, device)
    share = (torch.rand(count, 1, 1, 1, device=device) * 1.6 - 0.6).clamp(0, 1)
    return base * (1 - share) + pieces * share


def photograph(x: Tensor) -> Tensor:
    """What cameras, files and hands do to pictures (B, 3, C, C) in [0, 1]."""
    count, device = len(x), x.device

    def some(*shape: int) -> Tensor:
        return torch.rand(count, *shape, 1, 1, device=device)

    x = x.clamp(1e-4, 1) ** torch.exp(0.5 * (some(1) - 0.5) * 2)
    x = x * torch.exp(0.3 * (some(3) - 0.5)) + 0.2 * (some(1) - 0.5)
    grey = x.mean(1, keepdim=True)
    x = grey + (x - grey) * torch.where(some(1) < 0.05, 0.0, 0.6 + 0.8 * some(1))
    small = functional.avg_pool2d(x, 4 if torch.rand(()) < 0.3 else 2)
    soft = functional.interpolate(small, (SIDE, SIDE), mode="bilinear", align_corners=False)
    x = torch.lerp(x, soft, torch.where(some(1) < 0.5, 0.0, some(1)))
    # Something in front: hands, hair, microphones.
    axis = torch.linspace(-1, 1, SIDE, device=device)
    far_x = (axis - (2 * some(1) - 1)) / (0.1 + 0.4 * some(1))
    far_y = (axis[:, None] - (2 * some(1) - 1)) / (0.1 + 0.4 * some(1))
    hidden = (far_x**2 + far_y**2 < 1) & (some(1) < 0.3)
    x = torch.where(hidden, clouds(count, device), x)
    return (x + 0.06 * some(1) ** 2 * torch.randn_like(x)).clamp(0, 1)


def weights() -> Tensor:
    """(478, 1) how much a landmark counts: irises, lids and lips are few but say most."""
    weight = torch.ones(LANDMARKS, 1)
    rim = [33, 133, 159, 145, 158, 153, 160, 144, 157, 154, 161, 163, 173, 155, 246, 7]
    lips = [61, 291, 13, 14, 0, 17, 78, 308, 81, 311, 178, 402, 80, 310, 88, 318, 82, 312, 87, 317]
    weight[rim] = weight[mirror()[rim]] = 3.0
    weight[lips] = 2.0
    weight[468:] = 8.0
    return weight / weight.mean()


def train(frames: Frames, steps: int, batch: int, device: torch.device) -> Landmarker:
    """A network trained on these heads; the same for the same seed, frames and device."""
    torch.manual_seed(0)
    pixels, marks = frames.pixels.to(device), places(frames).to(device)
    # Twice as fast on a processor.
    network = Landmarker().to(device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(network.parameters(), 3e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, steps, pct_start=0.1)
    weight, start = weights().to(device), time.perf_counter()
    for step in range(steps):
        rows = torch.randint(len(pixels), (batch,), device=device)
        heads, wanted = crops(pixels[rows].float() / 255, marks[rows])
        cover = heads[:, 3:]
        x = photograph(heads[:, :3] + (1 - cover) * surroundings(heads))
        loss = (weight * (network(x) - wanted).abs()).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % max(1, steps // 20) == 0 or step == steps - 1:
            spent = time.perf_counter() - start
            print(f"step {step}: loss {loss.item():.4f}, {spent:.0f} s", flush=True)
    return network.eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("shards", nargs="+", type=Path)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--workers", type=int, default=1, help="processes that decode shards")
    arguments = parser.parse_args()
    frames = load_frames(arguments.shards, arguments.workers)
    print(f"{len(frames)} pictures of {len(set(frames.people))} made people", flush=True)
    network = train(frames, arguments.steps, arguments.batch, torch.device(arguments.device))
    state = {k: v.half().contiguous() for k, v in network.cpu().state_dict().items()}
    save_file(state, arguments.out)


if __name__ == "__main__":
    main()
