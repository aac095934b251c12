"""*Ray* and *plane* instantiation against slow loops over single samples, in float64."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mien.model.rays import (
    RayDraws,
    cast_rays,
    even_depths,
    instantiate_plane,
    instantiate_rays,
    matter_depths,
    ray_weights,
    read_triplane,
)
from mien.structures import FOV_FFHQ, FOV_WIDE, Camera

CAMERAS = {
    "frontal": Camera.orbit(fov=FOV_FFHQ),
    "turned": Camera.orbit(0.4, -0.2, 0.1, fov=FOV_WIDE),
}


def smooth_planes(channels: int = 6, side: int = 24) -> Tensor:
    coarse = torch.randn(3, channels, 5, 5)
    return F.interpolate(coarse, size=(side, side), mode="bicubic")


def density_of(features: Tensor) -> Tensor:
    return F.softplus(6.0 * features[..., 0] - 2.0 * features[..., 1])


def solid_density(features: Tensor) -> Tensor:
    """Never under the threshold, so that every point is kept and its place is known."""
    return density_of(features) + 0.01


def draws() -> RayDraws:
    return RayDraws.draw(torch.Generator().manual_seed(3))


# Slow twins: one point, one ray.


def pixel(plane: Tensor, row: int, column: int) -> Tensor:
    height, width = plane.shape[1:]
    if 0 <= row < height and 0 <= column < width:
        return plane[:, row, column]
    return torch.zeros(plane.shape[0], dtype=plane.dtype)


def read_point(planes: Tensor, point: list[float]) -> Tensor:
    x, y, z = (2 * c for c in point)
    total = torch.zeros(planes.shape[1], dtype=planes.dtype)
    for plane, (across, down) in zip(planes, ((x, y), (x, z), (z, y)), strict=True):
        column = (across + 1) / 2 * plane.shape[2] - 0.5
        row = (down + 1) / 2 * plane.shape[1] - 0.5
        left, top = math.floor(column), math.floor(row)
        for r, wr in ((top, top + 1 - row), (top + 1, row - top)):
            for c, wc in ((left, left + 1 - column), (left + 1, column - left)):
                total += wr * wc * pixel(plane, r, c)
    return total / 3


def ray_through(camera: Camera, ray: int) -> tuple[list[float], list[float]]:
    k = camera.intrinsics.double().tolist()
    pose = camera.world_from_cam.double().tolist()
    u, v = (ray % 64 + 0.5) / 64, (ray // 64 + 0.5) / 64
    local = [(u - k[0][2]) / k[0][0], (v - k[1][2]) / k[1][1], 1.0]
    world = [sum(pose[i][j] * local[j] for j in range(3)) for i in range(3)]
    length = math.sqrt(sum(w * w for w in world))
    return [pose[i][3] for i in range(3)], [w / length for w in world]


def weights_of(sigmas: list[float]) -> list[float]:
    alphas = [1 - math.exp(-s) for s in sigmas]
    return [a * math.prod(1 - other + 1e-10 for other in alphas[:k]) for k, a in enumerate(alphas)]


def fine_of(t: list[float], w: list[float], quantiles: list[float]) -> list[float]:
    a = [max(w[max(i - 1, 0) : i + 1]) for i in range(25)]
    smooth = [(a[i] + a[i + 1]) / 2 + 0.01 for i in range(24)]
    b = [(t[i] + t[i + 1]) / 2 for i in range(23)]
    inner = [s + 1e-5 for s in smooth[1:23]]
    cdf = [0.0]
    for s in inner:
        cdf.append(cdf[-1] + s / sum(inner))
    result = []
    for r in quantiles:
        i = sum(entry <= r for entry in cdf)
        lo, hi = max(i - 1, 0), min(i, 22)
        gap = cdf[hi] - cdf[lo]
        gap = 1.0 if gap < 1e-5 else gap
        result.append(b[lo] + (r - cdf[lo]) / gap * (b[hi] - b[lo]))
    return result


def instantiate_ray(planes: Tensor, camera: Camera, draws: RayDraws, ray: int) -> Tensor:
    """(48, 2C): all that one ray reads, in order."""
    planes = planes.double()
    origin, direction = ray_through(camera, ray)

    def read(t: float) -> Tensor:
        return read_point(planes, [o + t * d for o, d in zip(origin, direction, strict=True)])

    step = 1.25 / 23
    t = [2.25 + k * step + step * u for k, u in enumerate(draws.coarse[ray].tolist())]
    coarse = [read(each) for each in t]
    channels = planes.shape[1] // 2
    weights = weights_of([solid_density(value[:channels]).item() for value in coarse])
    fine = [read(each) for each in fine_of(t, weights, draws.fine[ray].tolist())]
    return torch.stack(coarse + fine)


@pytest.mark.parametrize("camera", CAMERAS.values(), ids=CAMERAS.keys())
def test_rays_read_what_a_slow_loop_reads(camera):
    planes, chance = smooth_planes(), draws()
    features, basis = instantiate_rays(planes, solid_density, camera, chance)
    assert features.shape == basis.shape == (64 * 64 * 48, 3)
    by_ray = torch.cat([features, basis], 1).unflatten(0, (64 * 64, 48))
    for ray in (0, 63, 700, 1500, 2047, 2080, 2112, 2500, 4095):
        expected = instantiate_ray(planes, camera, chance, ray)
        torch.testing.assert_close(by_ray[ray].double(), expected, rtol=0, atol=2e-4)


def test_fine_depths_match_a_slow_loop_on_thin_and_thick_matter():
    chance = draws()
    depths = even_depths(chance.coarse[:40])
    density = torch.rand(40, 24) ** 8 * 50
    density[0], density[1] = 0.0, 1e4
    weights = ray_weights(density)
    fine = matter_depths(depths, weights, chance.fine[:40])
    for ray in range(40):
        slow = weights_of(density[ray].tolist())
        assert weights[ray].tolist() == pytest.approx(slow, abs=1e-6)
        expected = fine_of(depths[ray].tolist(), slow, chance.fine[ray].tolist())
        assert fine[ray].tolist() == pytest.approx(expected, abs=1e-4)


def test_fine_depths_gather_where_matter_is():
    density = torch.zeros(1, 24)
    density[0, 10] = 5.0
    depths = even_depths(torch.full((1, 24), 0.5))
    fine = matter_depths(depths, ray_weights(density), torch.rand(1, 24))
    assert ((fine - depths[0, 10]).abs() < 0.1).float().mean() > 0.7


def test_only_dense_points_are_kept_in_order():
    planes, camera, chance = smooth_planes(), CAMERAS["frontal"], draws()

    def density(features: Tensor) -> Tensor:
        return density_of(features) * (features[..., 0] > 0.1)

    features, basis = instantiate_rays(planes, density, camera, chance)
    assert 0 < len(features) < 64 * 64 * 48
    assert (density(features) >= 1 / 255).all()

    # The same density plus a constant that moves no sample but keeps all: filter it by hand.
    calls: list[Tensor] = []

    def keep_all(values: Tensor) -> Tensor:
        calls.append(density(values))
        return calls[-1] if len(calls) == 1 else torch.ones_like(calls[-1])

    every, every_basis = instantiate_rays(planes, keep_all, camera, chance)
    fine = density(every) >= 1 / 255
    coarse_kept = calls[0] >= 1 / 255
    assert len(every) == coarse_kept.sum() + 64 * 64 * 24
    assert torch.equal(every[fine], features)
    assert torch.equal(every_basis[fine], basis)


def test_triplane_axes():
    """Plane 0 spans (x, y), plane 1 (x, z), plane 2 (z, y); rows grow with their coordinate."""
    ramp = (torch.arange(64) + 0.5) / 64 * 2 - 1
    columns, rows = ramp.expand(64, 64), ramp[:, None].expand(64, 64)
    planes = torch.zeros(3, 6, 64, 64)
    for plane in range(3):
        planes[plane, 2 * plane], planes[plane, 2 * plane + 1] = columns, rows
    point = torch.tensor([[0.1, -0.2, 0.35]])
    expected = 2 * point[:, [0, 1, 0, 2, 2, 1]] / 3
    torch.testing.assert_close(read_triplane(planes, point), expected)
    assert (read_triplane(planes + 5, torch.tensor([[0.6, 0.6, 0.6]])) == 0).all()


def test_reading_keeps_leading_axes_and_passes_gradients():
    planes = smooth_planes().requires_grad_()
    points = torch.rand(4, 5, 3) - 0.5
    values = read_triplane(planes, points)
    torch.testing.assert_close(values[2, 3], read_triplane(planes, points[2, 3]))
    features, _ = instantiate_rays(planes, solid_density, CAMERAS["frontal"], draws())
    features.square().mean().backward()
    assert planes.grad is not None
    assert planes.grad.abs().sum() > 0


def test_draws_are_those_of_a_seed():
    torch.manual_seed(7)
    coarse, fine = torch.rand(1, 4096, 24, 1), torch.rand(4096, 24)
    seeded = RayDraws.draw(torch.Generator().manual_seed(7))
    assert torch.equal(seeded.coarse, coarse[0, ..., 0])
    assert torch.equal(seeded.fine, fine)


def test_plane_is_the_mean_resized():
    planes = smooth_planes(channels=4, side=256)
    features, basis = instantiate_plane(planes, solid_density)
    assert features.shape == basis.shape == (512 * 512, 2)
    mean = planes.double().mean(0)
    for n in (0, 511, 1000, 131_328, 262_143):
        row, column = (n // 512 + 0.5) / 2 - 0.5, (n % 512 + 0.5) / 2 - 0.5
        expected = torch.zeros(4, dtype=torch.float64)
        for r, wr in ((math.floor(row), 1 - row % 1), (math.floor(row) + 1, row % 1)):
            for c, wc in (
                (math.floor(column), 1 - column % 1),
                (math.floor(column) + 1, column % 1),
            ):
                expected += wr * wc * mean[:, min(max(r, 0), 255), min(max(c, 0), 255)]
        found = torch.cat([features[n], basis[n]]).double()
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_plane_keeps_density_at_the_threshold():
    planes = smooth_planes(channels=4, side=256)

    def density(features: Tensor) -> Tensor:
        result = torch.zeros(len(features))
        result[[5, 9, 70]] = torch.tensor([1 / 255, 0.5 / 255, 2.0])
        return result

    features, basis = instantiate_plane(planes, density)
    every, every_basis = instantiate_plane(planes, solid_density)
    assert torch.equal(features, every[[5, 70]])
    assert torch.equal(basis, every_basis[[5, 70]])


# Cameras as the published code makes them.


def look_at(h: float, v: float) -> Tensor:
    theta, phi = h, math.acos(1 - 2 * min(max(v, 1e-5), math.pi - 1e-5) / math.pi)
    origin = 2.7 * torch.tensor(
        [
            math.sin(phi) * math.cos(math.pi - theta),
            math.cos(phi),
            math.sin(phi) * math.sin(math.pi - theta),
        ]
    )
    forward = F.normalize(-origin, dim=0)
    up = torch.tensor([0.0, 1.0, 0.0])
    right = -F.normalize(torch.linalg.cross(up, forward), dim=0)
    down = F.normalize(torch.linalg.cross(forward, right), dim=0)
    matrix = torch.eye(4)
    matrix[:3] = torch.stack([right, down, forward, origin], 1)
    return matrix


@pytest.mark.parametrize(("yaw", "pitch"), [(0.0, 0.0), (0.5, 0.0), (0.0, 0.3), (-0.7, -0.4)])
def test_orbit_is_the_published_look_at(yaw, pitch):
    published = look_at(math.pi / 2 + yaw, math.pi / 2 * (1 - math.sin(pitch)))
    camera = Camera.orbit(yaw, pitch)
    torch.testing.assert_close(camera.world_from_cam, published, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("fov", "focal"), [(FOV_FFHQ, 4.263391), (FOV_WIDE, 3.433109)])
def test_frontal_camera_is_the_published_one(fov, focal):
    camera = Camera.orbit(fov=fov)
    expected = torch.diag(torch.tensor([1.0, -1.0, -1.0, 1.0]))
    expected[2, 3] = 2.7
    assert torch.equal(camera.world_from_cam, expected)
    assert camera.intrinsics[0, 0].item() == pytest.approx(focal, abs=1e-6)
    assert camera.intrinsics[1, 1] == camera.intrinsics[0, 0]
    assert camera.intrinsics[:2, 2].tolist() == [0.5, 0.5]


def test_rays_leave_the_frontal_camera_row_by_row():
    origin, directions = cast_rays(CAMERAS["frontal"])
    assert torch.equal(origin, torch.tensor([0.0, 0.0, 2.7]))
    torch.testing.assert_close(directions.norm(dim=-1), torch.ones(4096))
    grid = directions.unflatten(0, (64, 64))
    # The image's right is +x, its bottom −y, and the camera looks along −z.
    assert (grid[:, 1:, 0] > grid[:, :-1, 0]).all()
    assert (grid[1:, :, 1] < grid[:-1, :, 1]).all()
    assert (grid[..., 2] < -0.9).all()
