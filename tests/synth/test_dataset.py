import errno
import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mien.data.shards import read_shards
from mien.errors import MienError
from mien.synth import dataset
from mien.synth.dataset import TINY, SynthConfig, generate, photograph, sample_members
from mien.synth.scene import Picture
from mien.synth.studio import Studio


def config(folder: Path, **changes: object) -> SynthConfig:
    plain = {
        "facekit": Path(TINY), "count": 6, "size": 32, "faces": 1, "views": 3,
        "people_per_shard": 1, "supersample": 1, "dense": True,
    }  # fmt: skip
    return SynthConfig(out=folder, **(plain | changes))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def made(studio: Studio, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Path]]:
    folder = tmp_path_factory.mktemp("synth")
    return folder, generate(config(folder, preview=folder / "sheet.png"))


def test_shards_are_read_as_training_reads_them(made: tuple[Path, list[Path]]) -> None:
    samples = list(read_shards(made[1]))
    assert len(samples) == 6
    assert len({s.key for s in samples}) == 6
    assert len({s.person for s in samples}) == 2
    first = samples[0]
    assert first.image.shape == (32, 32, 3)
    assert first.alpha.mean() > 30
    with tarfile.open(made[1][0]) as tar:
        stream = tar.extractfile(f"{first.key}.npz")
        assert stream is not None
        labels = np.load(io.BytesIO(stream.read()))
        assert labels["arkit"].shape == (53,)
        assert labels["landmarks68"].shape == (68, 3)
        assert labels["backdrop"].dtype == np.uint8
        assert 0 <= labels["tongue"] <= 1
        assert labels["true_intrinsics"][2].tolist() == [0, 0, 1]
        true, told = (labels[k][:3, :3] for k in ("true_world_from_cam", "world_from_cam"))
        np.testing.assert_allclose(true, told, atol=1e-6)
        assert labels["depth"].shape == labels["parts"].shape == (32, 32)
    with Image.open(made[0] / "sheet.png") as sheet:
        assert sheet.width > 32


def test_a_broken_run_goes_on(made: tuple[Path, list[Path]], tmp_path: Path) -> None:
    folder, paths = made
    before = [path.read_bytes() for path in paths]
    paths[1].unlink()
    untouched = paths[0].stat().st_mtime_ns
    counts: list[tuple[int, int]] = []
    again = generate(config(folder), lambda done, total: counts.append((done, total)))
    assert counts == [(3, 6), (6, 6)]
    assert paths[0].stat().st_mtime_ns == untouched
    assert again == paths
    assert [path.read_bytes() for path in paths] == before


def test_another_configuration_is_refused(made: tuple[Path, list[Path]]) -> None:
    with pytest.raises(MienError, match="another configuration"):
        generate(config(made[0], size=48))


def test_a_full_disk_leaves_nothing_half_written(
    studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tarfile.TarFile, "addfile", full)
    with pytest.raises(MienError, match="disk is full"):
        generate(config(tmp_path))
    assert not list(tmp_path.glob("*.tar"))
    assert not list(tmp_path.glob("*.partial"))


@pytest.mark.parametrize("name", ["count", "faces", "workers", "gpus"])
def test_counts_are_at_least_one(name: str, tmp_path: Path) -> None:
    with pytest.raises(MienError, match=f"{name} is 0"):
        generate(config(tmp_path / "new", **{name: 0}))
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("seed", [89_999_999, 90_000_500])
def test_people_who_are_measured_on_are_not_made(seed: int, tmp_path: Path) -> None:
    with pytest.raises(MienError, match="measured on"):
        generate(config(tmp_path / "new", seed=seed, count=6))
    assert not (tmp_path / "new").exists()


def test_a_missing_facekit_is_named_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(MienError, match="does not exist"):
        generate(config(tmp_path / "new", facekit=tmp_path))
    assert not (tmp_path / "new").exists()


def test_pictures_lie_on_grey() -> None:
    image, alpha = np.full((2, 2, 3), 10, np.uint8), np.array([[0, 255], [0, 255]], np.uint8)
    assert dataset.on_grey(image, alpha)[0, :, 0].tolist() == [106, 10]


@pytest.mark.slow
def test_two_processes_make_what_one_makes(made: tuple[Path, list[Path]], tmp_path: Path) -> None:
    again = generate(config(tmp_path, workers=2))
    assert [p.read_bytes() for p in again] == [p.read_bytes() for p in made[1]]


def test_a_picture_ahead_is_the_picture(
    studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = config(tmp_path, faces=3, views=2)
    ahead = list(photograph(studio, wanted, 5))

    def at_once(*args: object) -> Callable[[], Picture]:
        picture = studio.shoot(*args)  # type: ignore[arg-type]
        return lambda: picture

    real = studio.expose
    monkeypatch.setattr(studio, "shoot", lambda *args: real(*args)())
    monkeypatch.setattr(studio, "expose", at_once)
    plain = list(photograph(studio, wanted, 5))
    assert [shot.key for shot in ahead] == [shot.key for shot in plain]
    assert [sample_members(s, True) for s in ahead] == [sample_members(s, True) for s in plain]
