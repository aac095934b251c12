"""Files are written whole or not at all."""

import errno
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from mien.errors import MienError
from mien.files import atomic_output, check_readable, check_writable, write_bytes

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX")


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A file that stands where something is going to be written."""
    path = tmp_path / "out.mp4"
    path.write_bytes(b"old")
    return path


@pytest.fixture
def locked() -> Iterator[Path]:
    """A folder that may be read but not written; root gives up its rights for as long."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "file").write_bytes(b"old")
        (folder / "file").chmod(0 if os.geteuid() else 0o600)
        folder.chmod(0o555)
        was_root = os.geteuid() == 0
        if was_root:
            os.seteuid(65534)
        yield folder
        if was_root:
            os.seteuid(0)
        folder.chmod(0o755)


def test_a_file_is_written_under_a_temporary_name_with_its_suffix(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    with atomic_output(path) as temporary:
        assert temporary.parent == tmp_path
        assert temporary.suffix == ".mp4"
        assert not temporary.exists()
        temporary.write_bytes(b"new")
        assert not path.exists()
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_an_older_file_is_replaced(old: Path) -> None:
    write_bytes(old, b"ne", memoryview(b"w"))
    assert old.read_bytes() == b"new"


@posix_only
def test_a_new_file_has_the_usual_permissions(tmp_path: Path) -> None:
    (tmp_path / "usual").touch()
    write_bytes(tmp_path / "ours", b"")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "usual").stat().st_mode


@posix_only
def test_a_symbolic_link_keeps_pointing_to_what_is_written(old: Path) -> None:
    link = old.with_name("link")
    link.symlink_to(old)
    write_bytes(link, b"new")
    assert link.is_symlink()
    assert old.read_bytes() == b"new"


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, ValueError])
def test_an_interruption_leaves_nothing_behind(old: Path, error: type[BaseException]) -> None:
    def write_half() -> None:
        with atomic_output(old) as temporary:
            temporary.write_bytes(b"half")
            raise error

    with pytest.raises(error):
        write_half()
    assert old.read_bytes() == b"old"
    assert list(old.parent.iterdir()) == [old]


@pytest.mark.parametrize(
    ("code", "words"),
    [(errno.ENOSPC, "disk is full"), (errno.EROFS, "read-only"), (errno.EIO, "check the path")],
)
def test_a_failing_disk_leaves_nothing_behind(
    old: Path, monkeypatch: pytest.MonkeyPatch, code: int, words: str
) -> None:
    def fail(_: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(MienError, match=words) as caught:
        write_bytes(old, b"new")
    assert str(old) in str(caught.value)
    assert old.read_bytes() == b"old"
    assert list(old.parent.iterdir()) == [old]


@posix_only
def test_a_file_beyond_the_size_limit_leaves_nothing_behind(old: Path) -> None:
    import resource

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(MienError, match="too large"):
            write_bytes(old, bytes(2000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert old.read_bytes() == b"old"
    assert list(old.parent.iterdir()) == [old]


def test_an_error_about_another_file_passes_unchanged(old: Path) -> None:
    with pytest.raises(FileNotFoundError, match="other"), atomic_output(old):
        (old.parent / "other").read_bytes()


def test_a_writer_that_writes_nothing_is_told_so(old: Path) -> None:
    with pytest.raises(MienError, match="cannot be written"), atomic_output(old):
        pass
    assert old.read_bytes() == b"old"


def test_check_writable_changes_nothing(old: Path) -> None:
    assert check_writable(str(old)) == old
    assert check_writable(old.with_name("new")) == old.with_name("new")
    assert list(old.parent.iterdir()) == [old]
    assert old.read_bytes() == b"old"


@pytest.mark.parametrize("check", [check_writable, lambda path: write_bytes(path, b"new")])
class TestPlacesThatCannotBeWritten:
    def test_a_folder(self, tmp_path: Path, check) -> None:
        with pytest.raises(MienError, match="is a folder; give the name"):
            check(tmp_path)

    def test_a_missing_folder(self, tmp_path: Path, check) -> None:
        with pytest.raises(MienError, match="does not exist; make it"):
            check(tmp_path / "missing" / "out.mp4")

    def test_a_file_for_a_folder(self, old: Path, check) -> None:
        with pytest.raises(MienError, match="cannot be written"):
            check(old / "out.mp4")

    def test_a_nul_in_the_name(self, tmp_path: Path, check) -> None:
        with pytest.raises(MienError, match="cannot be written"):
            check(tmp_path / "a\0b")

    @posix_only
    def test_a_device(self, check) -> None:
        with pytest.raises(MienError, match="not a regular file"):
            check("/dev/null")
        assert not Path("/dev/null").is_file()

    @posix_only
    def test_a_folder_without_permission(self, locked: Path, check) -> None:
        with pytest.raises(MienError, match="permission is denied; choose"):
            check(locked / "out.mp4")

    @posix_only
    def test_a_circle_of_links(self, tmp_path: Path, check) -> None:
        (tmp_path / "a").symlink_to(tmp_path / "b")
        (tmp_path / "b").symlink_to(tmp_path / "a")
        with pytest.raises(MienError, match="cannot be written"):
            check(tmp_path / "a")


def test_a_name_too_long(tmp_path: Path) -> None:
    with pytest.raises(MienError, match="too long"):
        write_bytes(tmp_path / ("a" * 300), b"new")
    assert not list(tmp_path.iterdir())


class TestReadable:
    def test_a_file(self, old: Path) -> None:
        assert check_readable(str(old)) == old

    def test_a_folder(self, tmp_path: Path) -> None:
        with pytest.raises(MienError, match="is a folder, not a file"):
            check_readable(tmp_path)

    def test_a_missing_file(self, tmp_path: Path) -> None:
        with pytest.raises(MienError, match="does not exist; check the path"):
            check_readable(tmp_path / "missing")

    @posix_only
    def test_a_device(self) -> None:
        with pytest.raises(MienError, match="not a regular file"):
            check_readable("/dev/zero")

    @posix_only
    def test_a_file_without_permission(self, locked: Path) -> None:
        with pytest.raises(MienError, match="permission is denied"):
            check_readable(locked / "file")
