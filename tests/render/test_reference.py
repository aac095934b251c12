"""The plain rasteriser against what can be worked out by hand, and against finite differences."""

import math

import pytest
import torch
from torch import Tensor

from mien.render import reference
from mien.structures import Camera, Gaussians, Rendered

FOCAL = 2.0
"""In units of picture size."""


def looking_along_z(centre: tuple[float, float] = (0.5, 0.5)) -> Camera:
    """A camera at the origin whose axes are the world's, (1)."""
    intrinsics = torch.tensor([[FOCAL, 0, centre[0]], [0, FOCAL, centre[1]], [0, 0, 1]])
    return Camera(torch.eye(4)[None].double(), intrinsics[None].double())


def balls(
    means: list[list[float]],
    scale: float = 0.05,
    opacities: list[float] | None = None,
    colors: list[list[float]] | None = None,
) -> Gaussians:
    """Round Gaussians, (1, N)."""
    count = len(means)
    return Gaussians(
        torch.tensor(means),
        torch.tensor([[1.0, 0, 0, 0]]).expand(count, 4),
        torch.full((count, 3), scale),
        torch.tensor(opacities or [0.8] * count),
        torch.tensor(colors or [[1.0, 0.5, 0.25]] * count),
    ).map(lambda t: t[None].double())


def alpha_of(mean: Tensor, covariance: Tensor, opacity: float, size: tuple[int, int]) -> Tensor:
    """What one splat hides of each pixel, (H, W), written as in the textbook."""
    y, x = torch.meshgrid(*(torch.arange(n).double() + 0.5 for n in size), indexing="ij")
    offset = torch.stack([x, y], -1) - mean
    power = 0.5 * (offset * (offset @ torch.linalg.inv(covariance))).sum(-1)
    alpha = opacity * torch.exp(-power)
    return torch.where(alpha < 1 / 255, 0, alpha)


def test_one_ball() -> None:
    size, depth = (33, 33), 2.0
    picture = reference.splat(balls([[0.0, 0.0, depth]]), looking_along_z(), size)[0]
    deviation = 33 * FOCAL * 0.05 / depth
    covariance = torch.eye(2).double() * (deviation**2 + 0.3)
    alpha = alpha_of(torch.tensor([16.5, 16.5]).double(), covariance, 0.8, size)
    assert alpha[16, 16] == 0.8
    torch.testing.assert_close(picture.alpha[0], alpha)
    color = torch.tensor([1.0, 0.5, 0.25]).double()
    torch.testing.assert_close(picture.image, alpha * color[:, None, None])
    torch.testing.assert_close(picture.depth[0], torch.where(alpha > 0, depth, 0.0).double())


def test_an_ellipsoid_seen_aslant() -> None:
    size = (40, 52)
    camera = Camera.orbit(0.5, -0.3, 0.2, radius=2.0).to(torch.float64)
    mean = torch.tensor([0.12, -0.05, 0.1]).double()
    quat = torch.nn.functional.normalize(torch.tensor([0.9, 0.3, -0.2, 0.5]).double(), dim=0)
    scales = torch.tensor([0.12, 0.03, 0.06]).double()
    gaussian = Gaussians(mean, quat, scales, torch.tensor(0.75), torch.ones(3))
    gaussian = gaussian.to(torch.float64).map(lambda t: t[None, None])
    picture = reference.splat(gaussian, camera.map(lambda t: t[None]), size)[0]

    w, x, y, z = quat.tolist()
    cross = torch.tensor([[0, -z, y], [z, 0, -x], [-y, x, 0]], dtype=torch.float64)
    axes = torch.eye(3).double() + 2 * w * cross + 2 * cross @ cross
    extent = torch.tensor([size[1], size[0]]).double()

    def pixels(point: Tensor) -> Tensor:
        return camera.project(point[None])[0] * extent

    jacobian = torch.autograd.functional.jacobian(pixels, mean)
    covariance = jacobian @ axes @ scales.square().diag() @ axes.T @ jacobian.T
    covariance = covariance + 0.3 * torch.eye(2).double()
    torch.testing.assert_close(
        picture.alpha[0], alpha_of(pixels(mean), covariance, 0.75, size), rtol=0, atol=1e-12
    )


@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
def test_the_nearer_hides_the_farther(order: list[int]) -> None:
    pair = balls(
        [[0.0, 0.0, 2.0], [0.0, 0.0, 3.0]],
        opacities=[0.6, 0.5],
        colors=[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]],
    )
    picture = reference.splat(pair.map(lambda t: t[:, order]), looking_along_z(), (9, 9))[0]
    front, back = 0.6, 0.4 * 0.5
    middle = (slice(None), 4, 4)
    expected = torch.tensor([front, back, 0.0]).double()
    torch.testing.assert_close(picture.image[middle], expected, rtol=1e-6, atol=0)
    assert picture.alpha[middle].item() == pytest.approx(front + back, rel=1e-6)
    depth = (front * 2 + back * 3) / (front + back)
    assert picture.depth[middle].item() == pytest.approx(depth, rel=1e-6)


def test_an_opaque_splat_ends_the_pixel() -> None:
    column = balls(
        [[0.0, 0.0, 2.0], [0.0, 0.0, 2.5]],
        opacities=[1.0, 1.0],
        colors=[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]],
    )
    picture = reference.splat(column, looking_along_z(), (9, 9))[0]
    assert picture.alpha[0, 4, 4].item() == pytest.approx(0.999)
    assert picture.image[1, 4, 4] == 0
    assert picture.depth[0, 4, 4].item() == pytest.approx(2.0)


def test_outside_the_view_the_projection_is_taken_at_the_guard() -> None:
    camera = looking_along_z(centre=(0.3, 0.5))[0]
    ball = balls([[3.0, 0.0, 2.0]], scale=0.5)[0]
    splats = reference.project(ball, camera, (32, 32))
    focal, depth = 32 * FOCAL, 2.0
    torch.testing.assert_close(splats.means, torch.tensor([[focal * 1.5 + 9.6, 16.0]]).double())
    guard = (1 - 0.3) / FOCAL + 0.3 * 0.5 / FOCAL
    variance = (focal / depth * 0.5) ** 2
    expected = torch.tensor([variance * (1 + guard**2) + 0.3, variance + 0.3]).double()
    torch.testing.assert_close(1 / splats.conics[0, [0, 2]], expected)


def test_antialiased_splats_fade_as_they_shrink() -> None:
    ball, camera, size = balls([[0.0, 0.0, 2.0]], scale=0.01), looking_along_z(), (33, 33)
    variance = (33 * FOCAL * 0.01 / 2) ** 2
    crisp = reference.splat(ball, camera, size)[0]
    faded = reference.splat(ball, camera, size, antialiased=True)[0]
    assert crisp.alpha[0, 16, 16].item() == pytest.approx(0.8)
    expected = 0.8 * variance / (variance + 0.3)
    assert faded.alpha[0, 16, 16].item() == pytest.approx(expected)


def test_what_is_behind_or_too_faint_is_not_drawn_and_gets_no_gradient() -> None:
    unseen = balls([[0.0, 0.0, -2.0], [0.0, 0.0, 0.0], [0.0, 0.0, 2.0]], opacities=[1, 1, 0.003])
    unseen = unseen.map(lambda t: t.clone().requires_grad_())
    picture = reference.splat(unseen, looking_along_z(), (9, 9))
    assert all((plane == 0).all() for plane in vars(picture).values())
    (picture.image.sum() + picture.depth.sum()).backward()
    grads = [value.grad for value in vars(unseen).values()]
    assert all(grad is None or (grad == 0).all() for grad in grads)


def test_splats_of_no_size_have_finite_gradients() -> None:
    points = balls([[0.0, 0.0, 2.0], [0.1, 0.0, 2.0]]).map(torch.clone)
    points.scales[:, 0] = 0
    points = points.map(lambda t: t.requires_grad_())
    for antialiased in (False, True):
        picture = reference.splat(points, looking_along_z(), (9, 9), antialiased=antialiased)
        picture.image.sum().backward()
        assert all(value.grad.isfinite().all() for value in vars(points).values())


def small_scene(count: int = 6) -> tuple[Gaussians, Camera]:
    gaussians = Gaussians(
        0.25 * torch.randn(1, count, 3),
        torch.randn(1, count, 4),
        0.03 + 0.1 * torch.rand(1, count, 3),
        0.2 + 0.7 * torch.rand(1, count),
        torch.rand(1, count, 3),
    ).to(torch.float64)
    return gaussians, Camera.orbit(torch.tensor([0.3]), 0.1, 0.2).to(torch.float64)


def weighted(picture: Rendered, plane: str) -> Tensor:
    values = getattr(picture, plane)
    return (values * torch.linspace(0, 40, values.numel()).sin().view_as(values)).sum()


@pytest.mark.parametrize("antialiased", [False, True])
@pytest.mark.parametrize("plane", ["image", "alpha", "depth"])
def test_gradients_are_finite_differences(plane: str, antialiased: bool) -> None:
    gaussians, camera = small_scene()
    size, step = (20, 24), 1e-6
    values = vars(gaussians) | {"world_from_cam": camera.world_from_cam}

    def value(changed: dict[str, Tensor]) -> Tensor:
        camera_now = Camera(changed["world_from_cam"], camera.intrinsics)
        scene = Gaussians(**{name: changed[name] for name in vars(gaussians)})
        return weighted(reference.splat(scene, camera_now, size, antialiased=antialiased), plane)

    leaves = {name: tensor.clone().requires_grad_() for name, tensor in values.items()}
    value(leaves).backward()
    with torch.no_grad():
        for name, tensor in values.items():
            for index in range(tensor.numel()):
                nudge = torch.zeros_like(tensor)
                nudge.view(-1)[index] = step
                more, less = (value(values | {name: tensor + s * nudge}) for s in (1, -1))
                expected = (more - less).item() / (2 * step)
                found = leaves[name].grad.view(-1)[index].item()
                assert math.isclose(found, expected, rel_tol=1e-5, abs_tol=1e-5), (name, index)


def test_the_cut_into_tiles_and_chunks_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    gaussians, camera = small_scene(40)
    gaussians = gaussians.map(lambda t: t.requires_grad_())

    def draw() -> list[Tensor]:
        picture = reference.splat(gaussians, camera, (37, 29))
        loss = sum(weighted(picture, plane) for plane in vars(picture))
        return [*vars(picture).values(), *torch.autograd.grad(loss, [*vars(gaussians).values()])]

    whole = draw()
    monkeypatch.setattr(reference, "TILE", 5)
    monkeypatch.setattr(reference, "CHUNK", 3)
    for one, other in zip(whole, draw(), strict=True):
        torch.testing.assert_close(one, other)
