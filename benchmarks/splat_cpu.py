"""How long the rasteriser for processors takes: python benchmarks/splat_cpu.py [--threads 1 2]

The scene is like a head: splats of a few pixels, mostly opaque, on an ellipsoid, and a quarter of
them loosely behind it, seen as an FFHQ crop. Times are of whole frames, from tensors to tensors.
On a busy machine the least time says more than the median.
"""

import argparse
import time

import torch
from torch.nn.functional import normalize

from mien.render.cpu import CpuSplatter
from mien.render.reference import project
from mien.structures import FOV_FFHQ, Camera, Gaussians


def head(count: int) -> Gaussians:
    rng = torch.Generator().manual_seed(0)
    directions = normalize(torch.randn(count, 3, generator=rng), dim=-1)
    back = torch.rand(count, generator=rng) < 0.25
    radius = torch.where(back, 1.05 + 0.1 * torch.randn(count, generator=rng), 1.0)
    means = directions * torch.tensor([0.16, 0.2, 0.18]) * radius[:, None]
    means[:, 2] = torch.where(back, means[:, 2] - 0.03, means[:, 2].abs())
    opaque = torch.rand(count, generator=rng) < 0.85
    opacities = torch.rand(count, generator=rng)
    return Gaussians(
        means,
        normalize(torch.randn(count, 4, generator=rng), dim=-1),
        0.0025 + 0.0035 * torch.rand(count, 3, generator=rng),
        torch.where(opaque, 0.9 + 0.1 * opacities, opacities),
        (0.5 + 2 * means).clamp(0, 1),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gaussians", type=int, nargs="+", default=[20_000, 40_000, 80_000])
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 512])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--frames", type=int, default=100)
    options = parser.parse_args()

    camera = Camera.orbit(0.2, 0.1, fov=FOV_FFHQ)
    begun = time.perf_counter()
    CpuSplatter(1).render(head(100), camera, (64, 64))
    print(f"first picture, compiled or fetched from disk: {time.perf_counter() - begun:.1f} s")
    print("gaussians  size  threads  median ms  least ms  core ms  drawn  covered pixels")
    for count in options.gaussians:
        gaussians = head(count)
        for size in options.sizes:
            drawn = len(project(gaussians, camera, (size, size)).depths)
            for threads in options.threads:
                splatter = CpuSplatter(threads)
                picture = splatter.render(gaussians, camera, (size, size))
                walls, cores = [], []
                for _ in range(options.frames):
                    wall, core = time.perf_counter(), time.process_time()
                    splatter.render(gaussians, camera, (size, size))
                    walls.append(1e3 * (time.perf_counter() - wall))
                    cores.append(1e3 * (time.process_time() - core))
                covered = int((picture.alpha > 0).sum())
                median = sorted(walls)[len(walls) // 2]
                print(
                    f"{count:9,}  {size:4}  {threads:7}  {median:9.1f}  {min(walls):8.1f}  "
                    f"{min(cores):7.1f}  {drawn:5}  {covered:14,}"
                )


if __name__ == "__main__":
    main()
