from pathlib import Path

import numpy as np
import pytest

from mien.evaluate import cache
from mien.evaluate.cache import Cache


def counted():
    calls = []

    def make():
        calls.append(1)
        return {"a": np.arange(3), "names": np.array(["x", "yy"])}

    return make, calls


def test_arrays_are_made_once(tmp_path: Path) -> None:
    make, calls = counted()
    for _ in range(2):
        arrays = Cache(tmp_path)(("clip", 512), make)
        assert arrays["a"].tolist() == [0, 1, 2]
        assert list(arrays["names"]) == ["x", "yy"]
    assert len(calls) == 1
    Cache(tmp_path)(("clip", 256), make)
    assert len(calls) == 2


def test_without_a_folder_nothing_is_kept() -> None:
    make, calls = counted()
    for _ in range(2):
        Cache()(("clip",), make)
    assert len(calls) == 2


def test_of_a_file_the_content_counts(tmp_path: Path) -> None:
    make, calls = counted()
    first, second = tmp_path / "a.mp4", tmp_path / "b.mp4"
    for path in (first, second):
        path.write_text("same")
        Cache(tmp_path)((path,), make)
    assert len(calls) == 1
    second.write_text("other")
    Cache(tmp_path)((second,), make)
    assert len(calls) == 2


def test_a_damaged_file_is_made_again(tmp_path: Path) -> None:
    make, calls = counted()
    Cache(tmp_path)(("clip",), make)
    next(tmp_path.glob("*.npz")).write_bytes(b"PK not an archive")
    assert Cache(tmp_path)(("clip",), make)["a"].tolist() == [0, 1, 2]
    assert len(calls) == 2


def test_other_code_uses_nothing_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make, calls = counted()
    Cache(tmp_path)(("clip",), make)
    monkeypatch.setattr(cache, "code", lambda sources: "another")
    Cache(tmp_path)(("clip",), make)
    assert len(calls) == 2


def test_heads_depend_on_more_code_than_faces() -> None:
    assert cache.code(cache.FACES) != cache.code(cache.FACES + cache.HEADS)
