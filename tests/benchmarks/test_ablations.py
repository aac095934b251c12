"""What is left out of the variants, and that the whole of `benchmarks/ablations.py` runs."""

import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from mien.artifact import read_weights, write_weights
from mien.data.shards import Sample, write_shards
from mien.model.network import Network
from mien.presets import tiny
from mien.structures import Camera, Gaussians

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def ablations(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(FOLDER))
    import ablations

    return ablations


def driven(network: Network, source: float, driving: float) -> Gaussians:
    """A picture's Gaussians for two latents, all of whose numbers are alike."""
    generator = torch.Generator().manual_seed(0)
    image, alpha = torch.rand(1, 3, 64, 64, generator=generator), torch.ones(1, 1, 64, 64)
    latent = torch.full((1, network.config.latent), source)
    with torch.no_grad():
        avatar = network.encode(image, alpha, Camera.orbit(torch.zeros(1)), latent, 8)
        return network.animate(avatar, torch.full_like(latent, driving))[0]


def change(a: Gaussians, b: Gaussians) -> dict[str, bool]:
    return {name: not torch.equal(value, getattr(b, name)) for name, value in vars(a).items()}


@pytest.mark.parametrize("name", ["full", "attention", "driving"])
def test_motion_changes_all_that_a_gaussian_is(ablations: ModuleType, name: str) -> None:
    network = ablations.VARIANTS[name](tiny())
    assert all(change(driven(network, 0.0, 1.0), driven(network, 0.0, 2.0)).values())


def test_motion_changes_positions_alone(ablations: ModuleType) -> None:
    network = ablations.VARIANTS["position"](tiny())
    moved = change(driven(network, 0.0, 1.0), driven(network, 0.0, 2.0))
    assert [name for name, changed in moved.items() if changed] == ["means"]


@pytest.mark.parametrize("name", ["full", "attention", "position", "driving"])
def test_the_source_counts_but_for_driving_alone(ablations: ModuleType, name: str) -> None:
    network = ablations.VARIANTS[name](tiny())
    moved = change(driven(network, 0.0, 1.0), driven(network, 3.0, 1.0))
    assert moved["means"] == (name != "driving")


def test_encoders_begin_from_weights_and_fusion_anew(ablations: ModuleType, tmp_path: Path) -> None:
    torch.manual_seed(7)
    known = Network(tiny())
    path = tmp_path / "weights.safetensors"
    write_weights(path, known.state_dict(), preset="tiny", licence="of a test")
    for name in ablations.VARIANTS:
        begun = ablations.begin(name, tiny(), path, torch.zeros(0)).state_dict()
        kept = read_weights(path).state
        for key in ("encoder.stem.weight", "motion.net.0.weight"):
            assert torch.equal(begun[key], kept[key].float())
        assert not torch.equal(begun["decoder.net.0.weight"], kept["decoder.net.0.weight"].float())


def write_takes(folder: Path, part: str, takes: int) -> None:
    """Takes of five frames of noise each."""
    rng = np.random.default_rng(takes)
    samples = [
        Sample(
            key=f"{part}-{take}-{frame}",
            person=f"{part}-{take}",
            take=f"{part}-{take}",
            image=rng.integers(0, 255, (48, 48, 3), np.uint8),
            alpha=np.full((48, 48), 255, np.uint8),
            landmarks=0.05 * rng.standard_normal((478, 3)),
            world_from_cam=Camera.orbit().world_from_cam.numpy(),
            intrinsics=Camera.orbit().intrinsics.numpy(),
            inside=np.array([[0.0, 0], [1, 0], [1, 1], [0, 1]]),
        )
        for take in range(takes)
        for frame in range(5)
    ]
    write_shards(samples, folder, part)


def test_variants_are_trained_once_and_compared(
    ablations: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_takes(tmp_path, "train", 2)
    write_takes(tmp_path, "heldout", 1)
    given = ["--data", str(tmp_path), "--out", str(tmp_path / "out"), "--preset", "tiny"]
    given += ["--steps", "1", "--workers", "1"]
    ablations.main([*given, "--only", "full"])
    first = ablations.trained_file(tmp_path / "out", "full")
    written = first.stat().st_mtime_ns
    assert not (tmp_path / "out" / "ablations.json").exists()
    ablations.main(given)
    assert first.stat().st_mtime_ns == written
    figures = json.loads((tmp_path / "out" / "ablations.json").read_text())
    assert list(figures) == list(ablations.VARIANTS)
    for name, row in figures.items():
        assert row["steps"] == 1
        assert row["ms a frame"] > 0.0
        assert row["expression error"] > 0.0
        assert name in capsys.readouterr().out or name != "full"


def test_a_render_like_the_truth_has_no_expression_error(
    ablations: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Readers that see what the picture says, and a student who always draws one grey."""
    write_takes(tmp_path, "heldout", 1)
    frames = ablations.desk.load(tmp_path, "heldout", workers=1)
    grey = frames.pixels.clone().fill_(128)
    frames = ablations.replace(frames, pixels=grey)

    def drawn(_: object, __: object, size: tuple[int, int]) -> object:
        picture = torch.full((ablations.PER_TAKE, 3, *size), 128 / 255)
        return type("Rendered", (), {"image": picture})

    monkeypatch.setattr(ablations, "splat", drawn)
    crops = torch.full((ablations.PER_TAKE, 3, 192, 192), 128 / 255)
    monkeypatch.setattr(ablations, "face_crop", lambda *_: crops)
    said, floor = ablations.expression(Network(tiny()), [ablations.Reader()], frames, 8)
    assert said == floor == 0.0
