"""Teachers: Mien's own, and pipelines of other people's."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from mien.artifact import write_weights
from mien.errors import MienError
from mien.structures import LANDMARKS, Camera, Portrait
from mien.teacher.animator import FlowTeacher, PipelineTeacher, Teacher, load
from mien.teacher.network import FlowConfig, FlowNetwork

TINY = FlowConfig(side=32, widths=(16, 32), depths=(1, 1), latent=8, condition=32)


def portraits(count: int, side: int) -> Portrait:
    return Portrait(
        image=torch.rand(count, 3, side, side),
        alpha=torch.ones(count, 1, side, side),
        camera=Camera.orbit(torch.linspace(-0.2, 0.2, count)),
        landmarks=0.1 * torch.randn(count, LANDMARKS, 3),
        image_from_crop=torch.eye(2, 3).expand(count, 2, 3),
    )


def awake() -> FlowNetwork:
    network = FlowNetwork(TINY)
    for parameter in network.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.1)
    return network


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def test_own_teacher_draws_pictures_that_the_noise_decides() -> None:
    teacher: Teacher = FlowTeacher(awake())
    source, driving = portraits(2, 48), portraits(2, 32)
    first, again = (teacher.animate(source, driving, steps=2, generator=seeded()) for _ in range(2))
    assert first.shape == (2, 3, 32, 32)
    assert 0.0 <= first.min() < first.max() <= 1.0
    torch.testing.assert_close(first, again)


def test_guidance_exaggerates_the_driver_alone() -> None:
    network = awake()
    teacher = FlowTeacher(network)
    source, driving = portraits(1, 32), portraits(1, 32)

    def drawn(driver: Portrait, guidance: float) -> torch.Tensor:
        return teacher.animate(source, driver, steps=1, guidance=guidance, generator=seeded())

    assert (drawn(driving, 3.0) - drawn(driving, 1.0)).abs().max() > 1e-4
    # A driver who does what stands for "any motion" leaves guidance nothing to exaggerate.
    with torch.no_grad():
        network.no_motion.copy_(network.motion(driving.landmarks)[0])
    torch.testing.assert_close(drawn(driving, 3.0), drawn(driving, 1.0), rtol=1e-4, atol=1e-4)


def test_weights_come_back(tmp_path: Path) -> None:
    network, path = awake(), tmp_path / "teacher.safetensors"
    write_weights(path, network.state_dict(), preset="teacher", licence="none", exact=True)
    source, driving = portraits(1, 32), portraits(1, 32)
    ours, theirs = (
        teacher.animate(source, driving, steps=1, generator=seeded())
        for teacher in (FlowTeacher(network), load(path, TINY))
    )
    torch.testing.assert_close(ours, theirs)


def test_other_weights_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "teacher.safetensors"
    state = FlowNetwork(TINY).state_dict()
    write_weights(path, state, preset="base", licence="none")
    with pytest.raises(MienError, match="not those of a teacher"):
        load(path, TINY)
    write_weights(path, state, preset="teacher", licence="none")
    with pytest.raises(MienError, match="not those of a teacher"):
        load(path, replace(TINY, latent=4))


def tiny_pipeline() -> Any:
    """Random weights behind the calling convention of diffusers."""
    diffusers = pytest.importorskip("diffusers", reason="needs diffusers (mien[teach])")

    class Animation(diffusers.DiffusionPipeline):
        def __init__(self, unet, scheduler) -> None:
            super().__init__()
            self.register_modules(unet=unet, scheduler=scheduler)

        def __call__(
            self, image, driving_image, num_inference_steps, guidance_scale, generator, output_type
        ):
            assert output_type == "pt"
            self.scheduler.set_timesteps(num_inference_steps)
            x = torch.randn(image.shape, generator=generator)
            for time in self.scheduler.timesteps:
                slope = self.unet(torch.cat([x, image, guidance_scale * driving_image], 1), time)
                x = self.scheduler.step(slope.sample, time, x).prev_sample
            return diffusers.ImagePipelineOutput(images=x * 0.5 + 0.5)

    unet = diffusers.UNet2DModel(
        sample_size=16,
        in_channels=9,
        out_channels=3,
        layers_per_block=1,
        block_out_channels=(8, 16),
        norm_num_groups=4,
        down_block_types=("DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D"),
        add_attention=False,
    )
    return Animation(unet, diffusers.FlowMatchEulerDiscreteScheduler())


def test_a_pipeline_of_diffusers_can_teach() -> None:
    teacher: Teacher = PipelineTeacher(tiny_pipeline())
    source, driving = portraits(2, 16), portraits(2, 16)
    first, again = (teacher.animate(source, driving, steps=2, generator=seeded()) for _ in range(2))
    assert first.shape == (2, 3, 16, 16)
    assert 0.0 <= first.min() < first.max() <= 1.0
    torch.testing.assert_close(first, again)
    assert not first.requires_grad
    other = teacher.animate(source, portraits(2, 16), steps=2, generator=seeded())
    assert (other - first).abs().max() > 1e-4


def test_arguments_go_by_the_pipelines_own_names() -> None:
    source, driving = portraits(1, 16), portraits(1, 16)

    def pipeline(**given: Any) -> SimpleNamespace:
        assert given["reference"] is source.image
        assert given["pose"] is driving.image
        assert given["num_inference_steps"] == 4
        assert given["guidance_scale"] == 2.5
        return SimpleNamespace(images=given["reference"])

    made = PipelineTeacher(pipeline, "reference", "pose").animate(
        source, driving, steps=4, guidance=2.5
    )
    assert torch.equal(made, source.image)


@pytest.mark.parametrize("images", [["a picture"], torch.rand(1, 4, 16, 16)])
def test_a_pipeline_that_gives_no_pictures_is_refused(images: Any) -> None:
    teacher = PipelineTeacher(lambda **given: SimpleNamespace(images=images))
    with pytest.raises(MienError, match="output_type"):
        teacher.animate(portraits(1, 16), portraits(1, 16))
