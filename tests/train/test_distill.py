"""The *distil* stage on a tiny network, made-up frames and made-up pictures of a teacher."""

from dataclasses import replace
from pathlib import Path

import torch
from made_frames import CONFIG, PARTNER, make_frames, taught_frames

from mien.model.network import Network
from mien.presets import tiny
from mien.train import checkpoint
from mien.train.animate import Run, train
from mien.train.distill import Distill, DistillStage, lift
from mien.train.reader import Reader
from mien.train.taught import Lesson


def student(seed: int = 1) -> Network:
    torch.manual_seed(seed)
    return Network(tiny())


def run(folder: Path, stage: DistillStage, **changes) -> tuple[Run, list[dict]]:
    logs: list[dict] = []
    state = folder / "state.safetensors"
    config = replace(CONFIG, **changes)
    return train(
        student(), make_frames(48), PARTNER, config, state, lambda _, x: logs.append(x), stage
    ), logs


def stage_of(frozen: Network | None) -> DistillStage:
    return DistillStage(taught=taught_frames(), batch=2, frozen=frozen)


def lesson(stage: DistillStage, count: int = 1) -> Lesson:
    sampler = stage.sampler(make_frames(48), PARTNER, CONFIG)
    torch.manual_seed(3)
    return sampler.draw(count, 48, torch.Generator().manual_seed(3))


def terms_of(module: Distill, batch: Lesson) -> dict[str, torch.Tensor]:
    torch.manual_seed(5)
    return module(batch, 8, torch.float32)[0]


def test_the_student_learns_and_the_frozen_one_does_not(tmp_path: Path) -> None:
    frozen = student()
    before = {name: value.clone() for name, value in frozen.state_dict().items()}
    done, logs = run(tmp_path, stage_of(frozen), steps=2, adversarial_from=2.0)
    assert logs[0]["lifted"] > 0.0
    for name, value in frozen.state_dict().items():
        assert torch.equal(value, before[name]), name
    for name, value in done.network.named_parameters():
        assert not torch.equal(value, before[name]), name
    assert not [key for key in checkpoint.flatten(done.tree())[0] if "frozen" in key]


def test_taught_pictures_lower_their_loss() -> None:
    stage, network = stage_of(None), student()
    module = stage.module(network, Reader(8), CONFIG)
    batch = lesson(stage)
    optimiser = torch.optim.Adam(network.parameters(), 3e-3)
    losses = []
    for _ in range(6):
        losses.append(module._taught(batch.taught, 8, torch.float32)["taught"])
        optimiser.zero_grad()
        losses[-1].backward()
        optimiser.step()
    assert losses[-1] < 0.9 * losses[0]


def test_lifted_truth_comes_of_the_teachers_picture_alone() -> None:
    stage = stage_of(student(2))
    module, batch = stage.module(student(), Reader(8), CONFIG), lesson(stage)
    taught = batch.taught
    shapes = lift(module.frozen, taught[slice(2)], 8)
    other_photo = replace(taught, source=taught.source * 0.5)
    assert torch.equal(lift(module.frozen, other_photo[slice(2)], 8).colors, shapes.colors)
    other_picture = replace(taught, target=taught.target * 0.5)
    assert not torch.equal(lift(module.frozen, other_picture[slice(2)], 8).colors, shapes.colors)
    # And it is what the term compares with: it moves with the picture, though the student's own
    # render, of the photo, stays.
    before = terms_of(module, batch)["lifted"]
    after = terms_of(module, replace(batch, taught=other_picture))["lifted"]
    assert not torch.equal(before, after)


def test_a_student_equal_to_the_frozen_one_shown_the_picture_has_nothing_to_learn() -> None:
    stage = stage_of(student())
    module, batch = stage.module(student(), Reader(8), CONFIG), lesson(stage)
    taught = batch.taught
    same = replace(
        taught,
        source=taught.target[:2],
        source_alpha=taught.target_alpha[:2],
        source_camera=taught.target_camera[slice(2)],
        source_landmarks=taught.target_landmarks[:2],
    )
    assert terms_of(module, replace(batch, taught=same))["lifted"] < 1e-5
    assert terms_of(module, batch)["lifted"] > 1e-3


def test_nothing_flows_into_the_frozen_student() -> None:
    stage = stage_of(student())
    module, batch = stage.module(student(), Reader(8), CONFIG), lesson(stage)
    terms_of(module, batch)["lifted"].backward()
    assert all(parameter.grad is None for parameter in module.frozen.parameters())
    assert module.network.decoder.net[0].weight.grad is not None


def test_front_views_alone_lift_nothing() -> None:
    stage = stage_of(None)
    terms = terms_of(stage.module(student(), Reader(8), CONFIG), lesson(stage))
    assert {"taught", "taught_reading"} <= terms.keys()
    assert "lifted" not in terms
    assert terms.keys() <= stage.weights.keys()


def test_the_reader_learns_nothing_from_the_teacher() -> None:
    stage, reader = stage_of(None), Reader(8)
    module, batch = stage.module(student(), reader, CONFIG), lesson(stage)
    module._taught(batch.taught, 8, torch.float32)["taught_reading"].backward()
    assert all(parameter.grad is None for parameter in reader.parameters())
    assert module.network.decoder.net[0].weight.grad is not None
