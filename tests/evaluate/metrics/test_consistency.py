import torch

from mien.evaluate.metrics.consistency import multi_view_consistency
from mien.structures import Camera, Rendered

SIZE = 64


def wall(camera: Camera, shift: float = 0.0) -> Rendered:
    """A striped wall in the plane z = 0, seen through a camera; `shift` moves the stripes."""
    steps = (torch.arange(SIZE) + 0.5) / SIZE
    u, v = torch.meshgrid(steps, steps, indexing="xy")
    pixels = torch.stack([u, v, torch.ones_like(u)], -1).reshape(-1, 3)
    local = pixels @ torch.linalg.inv(camera.intrinsics).T
    axes, origin = camera.world_from_cam[:3, :3], camera.world_from_cam[:3, 3]
    depth = -origin[2] / (local @ axes.T)[:, 2]
    x = (local @ axes.T)[:, 0] * depth + origin[0]
    brightness = 0.5 + 0.4 * torch.sin(12 * (x + shift))
    image = brightness.reshape(1, 1, SIZE, SIZE).expand(1, 3, SIZE, SIZE)
    return Rendered(image, torch.ones(1, 1, SIZE, SIZE), depth.reshape(1, 1, SIZE, SIZE))


def test_one_wall_seen_twice_agrees() -> None:
    a, b = Camera.orbit(-0.2), Camera.orbit(0.2, 0.1)
    first, second = wall(a), wall(b)
    error, share = multi_view_consistency(first, a[None], second, b[None])
    assert error.item() < 0.005
    assert 0.8 < share.item() <= 1.0
    naive = (first.image - second.image).abs().mean()
    assert naive > 20 * error


def test_a_texture_that_swims_is_seen() -> None:
    a, b = Camera.orbit(-0.2), Camera.orbit(0.2)
    error, _ = multi_view_consistency(wall(a), a[None], wall(b, shift=0.1), b[None])
    assert error.item() > 0.1


def test_hidden_surfaces_do_not_count() -> None:
    a, b = Camera.orbit(0.0), Camera.orbit(0.2)
    first, second = wall(a), wall(b)
    in_front = Rendered(first.image * 0, first.alpha, first.depth - 0.5)
    error, share = multi_view_consistency(in_front, a[None], second, b[None])
    assert error.isnan().all()
    assert share.item() == 0.0


def test_opposite_cameras_share_nothing() -> None:
    a, b = Camera.orbit(3.0), Camera.orbit(0.0)
    second = wall(b)
    empty = Rendered(second.image, second.alpha * 0, second.depth)
    error, share = multi_view_consistency(empty, a[None], second, b[None])
    assert error.isnan().all()
    assert share.item() == 0.0
