"""`mien train`: what it takes up and leaves beside the weights."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from made_shards import write_photos_and_takes

from mien.artifact import write_weights
from mien.data.shards import load_frames
from mien.errors import MienError
from mien.presets import tiny
from mien.train import run
from mien.train.animate import AnimateConfig
from mien.train.distill_filter import save_reader
from mien.train.reader import Reader
from mien.train.run import Train, read_reader

CONFIG = AnimateConfig(
    steps=2, batch=1, view=48, grids=(8,), warmup=1, compile=False, log_every=1, learning_rate=2e-2
)


def test_a_reader_is_gone_on_with_but_what_counts_is_todays(tmp_path: Path) -> None:
    old = Reader()
    expected = old.weights.clone()
    old.weights.fill_(0.5)
    path = tmp_path / "reader.safetensors"
    save_reader(old, path, "of a test")
    back = read_reader(path)
    torch.testing.assert_close(back.head[0].bias, old.head[0].bias, atol=1e-3, rtol=0)
    assert torch.equal(back.weights, expected)
    assert all(parameter.requires_grad for parameter in back.parameters())


def test_something_else_is_no_reader(tmp_path: Path) -> None:
    path = tmp_path / "reader.safetensors"
    write_weights(path, {"a": torch.zeros(2)}, preset="tiny", licence="of a test")
    with pytest.raises(MienError, match="no reader of this version"):
        read_reader(path)


def test_the_seed_says_how_a_network_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_photos_and_takes(tmp_path)
    begun = []
    monkeypatch.setattr(run, "train", lambda network, *_: begun.append(network.state_dict()))
    monkeypatch.setattr(run, "finish", lambda *_: None)
    for out, seed in (("a", 3), ("b", 3), ("c", 4)):
        torch.manual_seed(len(begun))
        config = replace(CONFIG, seed=seed)
        run.run(Train(tmp_path, tmp_path / out, config, workers=1), tiny())
    first, again, other = (state["encoder.stem.weight"] for state in begun)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_from_shards_to_weights_sheets_and_a_reader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The reader it is given shows in its figures, and comes out having learned on."""
    write_photos_and_takes(tmp_path)
    paths = sorted(tmp_path.glob("train-*.tar"))
    monkeypatch.setattr(run.desk, "load", lambda *_, workers: load_frames(paths, workers))
    given = Reader()
    with torch.no_grad():
        given.head[-1].bias.fill_(10.0)
    save_reader(given, tmp_path / "known.safetensors", "of a test")
    out = tmp_path / "out"
    command = Train(tmp_path, out, CONFIG, reader=tmp_path / "known.safetensors", workers=1)
    run.run(command, tiny())
    first = capsys.readouterr().out.splitlines()[0].split()
    assert float(first[first.index("reader") + 1]) > 5.0
    assert 9.0 < read_reader(out / "reader.safetensors").head[-1].bias.mean() < 10.0
    for name in ("weights.safetensors", "self.jpg", "portraits.jpg"):
        assert (out / name).stat().st_size > 500
