"""The GPU rasteriser against the reference (for truth) and gsplat (for speed), in one run.

    PYTHONPATH=src python benchmarks/splat_gpu.py results.json

Draws a head-sized ball of Gaussians, as many to the area whatever their number. Times are medians
in milliseconds: `eager` as a caller sees it, CPU included; `busy` the sum of the kernels' times;
`graph` a replay of `splat_bounded` captured in a CUDA graph. Both draw RGB, alpha and depth of the
same Gaussians, and how far the pictures are apart is printed beside the times.
"""

from __future__ import annotations

import itertools
import json
import math
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mien.render import reference
from mien.render.triton_splat import splat, splat_bounded
from mien.structures import FOV_FFHQ, Camera, Gaussians, Rendered

CASES = [(1, n, s) for n in (20_000, 60_000, 200_000) for s in (256, 512, 1024)]
CASES.append((16, 20_000, 256))
"""Batch, Gaussians a picture, side of the picture."""

Draw = Callable[[Gaussians], tuple[Tensor, ...]]
Grads = dict[str, Tensor]


def head(batch: int, number: int, radius: float = 0.35) -> Gaussians:
    """Gaussians (batch, number) on a sphere, each about as large as its share of the area."""
    means = torch.nn.functional.normalize(torch.randn(batch, number, 3), dim=-1)
    means = means * (radius + 0.01 * torch.randn(batch, number, 1))
    step = math.sqrt(4 * math.pi * radius**2 / number)
    return Gaussians(
        means,
        torch.nn.functional.normalize(torch.randn(batch, number, 4), dim=-1),
        step * (0.8 + 0.8 * torch.rand(batch, number, 3)),
        0.5 + 0.5 * torch.rand(batch, number),
        torch.rand(batch, number, 3),
    )


def cameras(batch: int) -> Camera:
    return Camera.orbit(torch.linspace(-0.5, 0.5, batch), 0.1, fov=FOV_FFHQ)


def gsplat_draw(camera: Camera, size: int) -> Draw | None:
    """None where gsplat is not installed."""
    try:
        from gsplat import rasterization
    except ImportError:
        return None
    scale = torch.tensor([size, size, 1.0], device="cuda")[:, None]
    views, lenses = camera.cam_from_world[:, None], (camera.intrinsics * scale)[:, None]

    def draw(g: Gaussians) -> tuple[Tensor, ...]:
        picture, alpha, _ = rasterization(
            g.means, g.quats, g.scales, g.opacities, g.colors, views, lenses, size, size,
            near_plane=0.01, render_mode="RGB+ED", packed=False,
        )  # fmt: skip
        return picture, alpha

    return draw


def arranged(picture: Tensor, alpha: Tensor) -> Rendered:
    """What gsplat returns, (B, 1, H, W, 4) and (B, 1, H, W, 1), as we arrange it."""
    image, depth = picture[:, 0].movedim(-1, 1).split([3, 1], 1)
    return Rendered(image, alpha[:, 0].movedim(-1, 1), depth)


def waves(rendered: Rendered) -> Rendered:
    """A gradient for every pixel, smooth and of both signs."""
    return rendered.map(
        lambda t: torch.linspace(0, 40, t.numel(), device=t.device).sin().view_as(t).to(t)
    )


def backward(draw: Draw, gaussians: Gaussians, incoming: tuple[Tensor, ...]) -> Grads:
    """Draw, and return the Gaussians' gradients for those of the pixels."""
    leaves = gaussians.map(lambda t: t.detach().requires_grad_())
    grads = torch.autograd.grad(draw(leaves), list(vars(leaves).values()), incoming)
    return dict(zip(vars(leaves), grads, strict=True))


def eager(run: Callable[[], Any], repeats: int = 30) -> float:
    """Median time of a call in ms, by events, calls one after the other."""
    for _ in range(5):
        run()
    marks = [torch.cuda.Event(enable_timing=True) for _ in range(repeats + 1)]
    torch.cuda.synchronize()
    for mark in marks[:-1]:
        mark.record()
        run()
    marks[-1].record()
    torch.cuda.synchronize()
    return statistics.median(a.elapsed_time(b) for a, b in itertools.pairwise(marks))


def busy(run: Callable[[], Any], repeats: int = 5) -> tuple[float, dict[str, float]]:
    """Time of a call's kernels in ms, in all and by name."""
    run()
    torch.cuda.synchronize()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        for _ in range(repeats):
            run()
        torch.cuda.synchronize()
    spent = {
        e.key[:60]: e.self_device_time_total / repeats / 1e3
        for e in profile.key_averages()
        if e.self_device_time_total
    }
    spent = dict(sorted(spent.items(), key=lambda item: -item[1]))
    return sum(spent.values()), spent


def graphed(run: Callable[[], Any]) -> float:
    """Median time of a replay in ms."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        run()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    return eager(graph.replay, 100)


def furthest(a: Rendered, b: Rendered) -> float:
    """Greatest difference of colour or alpha, in 255ths."""
    return 255 * max((a.image - b.image).abs().max(), (a.alpha - b.alpha).abs().max()).item()


def relative(a: dict[str, Tensor], b: dict[str, Tensor]) -> float:
    """Greatest ‖a − b‖ / ‖b‖ over the attributes."""
    return max(((a[k] - b[k]).norm() / b[k].norm()).item() for k in b)


def check() -> dict[str, float]:
    """Distance from the reference, in float64, of values and gradients, in a small scene."""
    gaussians, camera, size = head(2, 5000).to("cuda"), cameras(2).to("cuda"), (200, 252)
    truth, camera64 = gaussians.to(torch.float64), camera.to(torch.float64)
    result = {}
    for antialiased in (False, True):

        def ours(g: Gaussians, a: bool = antialiased) -> tuple[Tensor, ...]:
            return tuple(vars(splat(g, camera, size, antialiased=a)).values())

        def plain(g: Gaussians, a: bool = antialiased) -> tuple[Tensor, ...]:
            return tuple(vars(reference.splat(g, camera64, size, antialiased=a)).values())

        picture, expected = Rendered(*ours(gaussians)), Rendered(*plain(truth))
        incoming = waves(expected)
        grads = backward(ours, gaussians, tuple(vars(incoming.to(torch.float32)).values()))
        expected_grads = backward(plain, truth, tuple(vars(incoming).values()))
        errors = 255 * (picture.image - expected.image).abs().flatten()
        name = "antialiased " if antialiased else ""
        result[f"{name}values / 255"] = furthest(picture, expected)
        result[f"{name}values but one in a thousand / 255"] = (
            errors.kthvalue(int(0.999 * len(errors))).values.item()
        )  # fmt: skip
        result[f"{name}depth"] = (picture.depth - expected.depth).abs().max().item()
        result[f"{name}gradients"] = relative(grads, expected_grads)
    for key, value in result.items():
        print(f"check against the reference: {key} {value:.2e}", flush=True)
    return result


def measure(batch: int, number: int, side: int) -> dict[str, Any]:
    """All that is measured of a case."""
    gaussians, camera, size = (
        head(batch, number).to("cuda"),
        cameras(batch).to("cuda"),
        (side, side),
    )
    capacity = int(splat_bounded(gaussians, camera, size, 1)[1])

    def ours(g: Gaussians) -> tuple[Tensor, ...]:
        return tuple(vars(splat(g, camera, size)).values())

    def bounded() -> Rendered:
        return splat_bounded(gaussians, camera, size, capacity)[0]

    picture = splat(gaussians, camera, size)
    incoming = waves(picture)
    row: dict[str, Any] = {
        "batch": batch,
        "gaussians": number,
        "side": side,
        "pairs": capacity,
        "covered": (picture.alpha > 0.5).float().mean().item(),
        "bounded_difference": furthest(bounded(), picture),
        "ours_graph": graphed(bounded),
    }
    native = tuple(vars(incoming).values())
    row |= timed("ours", ours, gaussians, native)
    theirs = gsplat_draw(camera, side)
    if theirs is not None:
        native = (
            torch.cat([incoming.image, incoming.depth], 1).movedim(1, -1)[:, None].contiguous(),
            incoming.alpha.movedim(1, -1)[:, None].contiguous(),
        )
        row |= timed("gsplat", theirs, gaussians, native)
        other = arranged(*theirs(gaussians))
        row["difference"] = furthest(other, picture)
        row["visibly_different"] = (
            ((other.image - picture.image).abs() > 1 / 255).float().mean().item()
        )
        row["gradients"] = relative(
            backward(theirs, gaussians, native),
            backward(ours, gaussians, tuple(vars(incoming).values())),
        )
    return row


def timed(
    name: str, draw: Draw, gaussians: Gaussians, incoming: tuple[Tensor, ...]
) -> dict[str, Any]:
    """Times of drawing, and of drawing and going back."""
    row: dict[str, Any] = {}
    runs = {"forward": lambda: draw(gaussians), "both": lambda: backward(draw, gaussians, incoming)}
    for key, run in runs.items():
        row[f"{name}_{key}"] = eager(run)
        row[f"{name}_{key}_busy"], row[f"{name}_{key}_kernels"] = busy(run)
    return row


def main(path: Path) -> None:
    torch.manual_seed(0)
    results = {"device": torch.cuda.get_device_name(), "check": check(), "cases": []}
    columns = ["ours_forward", "gsplat_forward", "ours_forward_busy", "gsplat_forward_busy",
               "ours_graph", "ours_both", "gsplat_both", "ours_both_busy",
               "gsplat_both_busy"]  # fmt: skip
    lines = []
    for case in CASES:
        row = measure(*case)
        results["cases"].append(row)
        path.write_text(json.dumps(results, indent=1))
        times = " ".join(f"{row.get(c, math.nan):7.3f}" for c in columns)
        lines.append(
            f"{row['batch']:2d}×{row['gaussians']:6d} {row['side']:4d}² {row['pairs']:8d} "
            f"{row['covered']:4.0%} {times}  {row.get('difference', math.nan):6.3f} "
            f"{row.get('visibly_different', math.nan):7.1e} "
            f"{row.get('gradients', math.nan):7.1e}"
        )
        print(lines[-1], flush=True)
    print(f"""
{results["device"]}, ms a call: forward as called ours, gsplat; its kernels ours, gsplat; in a graph
ours; forward and backward as called ours, gsplat; its kernels ours, gsplat. Then how far the two
are apart: the most in 255ths, the share of values by more than one (splats at one depth but for
rounding, drawn in another order), gradients relative. Before: batch, Gaussians, side, pairs of
splat and tile, share of the picture covered.""")
    print("\n".join(lines))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
