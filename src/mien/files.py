"""Writing files whole or not at all, and saying plainly why one cannot be read or written."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import tempfile
from collections.abc import Iterator
from pathlib import Path

from mien.errors import MienError

REASONS = {
    errno.ENOSPC: "the disk is full; free some space or choose another disk",
    errno.EDQUOT: "your disk quota is used up; free some space or choose another disk",
    errno.EACCES: "permission is denied; choose a place that you may write to",
    errno.EPERM: "permission is denied; choose a place that you may write to",
    errno.EROFS: "the disk is read-only; choose another one",
    errno.ENAMETOOLONG: "the name is too long; choose a shorter one",
    errno.EFBIG: "the file is too large for this disk; choose another one",
}


def check_readable(path: str | os.PathLike[str]) -> Path:
    """Make sure that a file can be read, with an error that a person can act on.

    Returns:
        `path` as a `Path`.

    Raises:
        MienError: it is missing, a folder or no regular file, or it may not be read.
    """
    path = Path(path)
    try:
        if path.is_dir():
            raise MienError(f"{path} is a folder, not a file; give the path of a file inside it.")
        if not path.exists():
            raise MienError(f"{path} does not exist; check the path.")
        if not path.is_file():
            raise MienError(f"{path} is not a regular file; give the path of a file on disk.")
        path.open("rb").close()
    except (OSError, ValueError) as error:
        raise MienError(f"{path} cannot be read: {_reason(error)}.") from error
    return path


def check_writable(path: str | os.PathLike[str]) -> Path:
    """Make sure, before long work begins, that its result can be written.

    Nothing is changed on disk; whether there is room enough is not known yet.

    Returns:
        `path` as a `Path`.

    Raises:
        MienError: it is a folder or no regular file, its folder is missing, or files may not be
            created there.
    """
    path = Path(path)
    try:
        if path.is_dir():
            raise MienError(f"{path} is a folder; give the name of a file to write inside it.")
        if path.exists() and not path.is_file():
            raise MienError(f"{path} is not a regular file; choose another place to write to.")
        # Through a symbolic link, what is written is the file that the link names.
        folder = path.resolve().parent
        if not folder.is_dir():
            raise MienError(
                f"{path} cannot be written: the folder {folder} does not exist; make it."
            )
        with tempfile.TemporaryFile(dir=folder):
            pass
    except (OSError, ValueError, RuntimeError) as error:
        raise _unwritable(path, error) from error
    return path


@contextlib.contextmanager
def atomic_output(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Write a file whole or not at all.

        with atomic_output("out.mp4") as temporary_path:
            ...  # any writer that takes a path

    What stands at `path` is replaced only once the block has ended and its bytes are on disk. When
    the block raises, Ctrl-C included, nothing is left behind and an older file stays as it was.

    Yields:
        A path in the same folder, with the same suffix, where no file exists yet.

    Raises:
        MienError: as `check_writable`; or the operating system refused while writing (a full disk,
            say). Errors that name another file, such as one read in the block, pass unchanged.
    """
    path = check_writable(path)
    target = path.resolve()
    temporary = target.with_name(f".mien-{secrets.token_hex(8)}{target.suffix}")
    try:
        yield temporary
        with temporary.open("rb+") as written:
            os.fsync(written.fileno())
        temporary.replace(target)
    except OSError as error:
        if error.filename not in (None, str(temporary), temporary):
            raise
        raise _unwritable(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_bytes(path: str | os.PathLike[str], *parts: bytes | memoryview) -> None:
    """Write `parts`, one after the other, to a file, whole or not at all.

    Raises:
        MienError: as `atomic_output`.
    """
    with atomic_output(path) as temporary, temporary.open("wb") as file:
        for part in parts:
            file.write(part)


def _unwritable(path: Path, error: Exception) -> MienError:
    return MienError(f"{path} cannot be written: {_reason(error)}.")


def _reason(error: Exception) -> str:
    code = error.errno if isinstance(error, OSError) else None
    if code in REASONS:
        return REASONS[code]
    detail = os.strerror(code).lower() if code else str(error)
    return f"{detail}; check the path and the disk"
