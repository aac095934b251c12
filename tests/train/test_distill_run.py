"""`mien train --taught`, from shards to weights, and what it refuses."""

from dataclasses import replace
from pathlib import Path

import pytest
from made_frames import CONFIG
from made_shards import TEACHER, keep_all, write_photos_and_takes, write_teacher

from mien.artifact import read_weights, write_weights
from mien.errors import MienError
from mien.model.network import Network
from mien.presets import tiny
from mien.train.distill_make import Make, make
from mien.train.run import Train, run

ONE_STEP = replace(CONFIG, steps=1, log_every=1, adversarial_from=2.0)


def weights_of_a_student(path: Path) -> Path:
    write_weights(path, Network(tiny()).state_dict(), preset="tiny", licence="of a test")
    return path


@pytest.mark.parametrize("taught", ["front", "lifted"])
def test_a_teacher_becomes_a_better_student(
    tmp_path: Path,
    taught: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    keep_all(monkeypatch)
    monkeypatch.setattr(
        "mien.train.run.finish",
        lambda command, preset, done, *_: write_weights(
            command.out / "weights.safetensors",
            done.average.state_dict(),
            preset=preset,
            licence="x",
        ),
    )
    data, start = tmp_path / "data", weights_of_a_student(tmp_path / "start.safetensors")
    write_photos_and_takes(data)
    teacher = write_teacher(tmp_path / "teacher")
    command = Make(data, teacher, data, drivers=2, steps=1, network=TEACHER, workers=1)
    make(command, Network(tiny()).encoder, None, 0, 1)
    out = tmp_path / "out"
    run(Train(data, out, ONE_STEP, start, taught, taught_batch=1, workers=1), tiny())
    said = capsys.readouterr().out
    assert ("lifted" in said) == (taught == "lifted")
    assert "taught_reading" in said
    assert read_weights(out / "weights.safetensors").preset == "tiny"


def test_without_a_student_or_taught_shards_it_is_said(tmp_path: Path) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    write_photos_and_takes(data)
    with pytest.raises(MienError, match="--start"):
        run(Train(data, out, ONE_STEP, taught="front", workers=1), tiny())
    start = weights_of_a_student(tmp_path / "start.safetensors")
    with pytest.raises(MienError, match="mien distill make"):
        run(Train(data, out, ONE_STEP, start, "lifted", workers=1), tiny())
