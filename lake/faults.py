"""What goes wrong below the lake, told in one line: what, where, what to do."""

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl
from deltalake.exceptions import DeltaError

from options import LakeError

_FULL = ("no space left", "disk is full", "file too large", "disk quota exceeded")
_FORBIDDEN = ("permission denied", "read-only", "readonly", "not permitted")


@contextmanager
def reported(what: str, where: Path | str) -> Iterator[None]:
    """Turn errors of files, SQLite, Delta and polars into a LakeError: `what`, `where`, what to do."""
    try:
        yield
    except (DeltaError, OSError, sqlite3.Error, pl.exceptions.PolarsError) as error:
        raise LakeError(f"{what} ({where}): {_first_line(error)}; {_advice(error, where)}") from error
    except BaseException as error:
        # A panic in delta-rs or polars is a BaseException of a class that cannot be imported.
        if type(error).__name__ != "PanicException":
            raise
        raise LakeError(f"{what} ({where}): {_first_line(error)}; {_DAMAGED}") from error


def is_disk_full(error: LakeError) -> bool:
    """Whether it was told because a disk has no room left."""
    return isinstance(error.__cause__, Exception) and _is_full(error.__cause__)


_NO_LONGER_WRITABLE = "look after its disk, then start again; nothing that was acknowledged is lost"
_DAMAGED = "its files seem to be damaged: restore this home from a backup"


def _first_line(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return (str(error).splitlines() or [type(error).__name__])[0].strip()


def _advice(error: Exception, where: Path | str) -> str:
    text = str(error).lower()
    if _is_full(error):
        return "free space on its disk and try again; nothing that was acknowledged is lost"
    if isinstance(error, PermissionError) or any(sign in text for sign in _FORBIDDEN):
        return "make it writable for the user who runs optiond, or choose another --home"
    if isinstance(error, (FileExistsError, NotADirectoryError)):
        return "a file is in the way of a folder: move it, or choose another --home"
    if isinstance(error, sqlite3.OperationalError) and "locked" in text:
        return "another program holds it: close that program and try again"
    if isinstance(error, sqlite3.ProgrammingError):
        return "the lake was closed: open it again"
    if isinstance(error, sqlite3.OperationalError):
        return _NO_LONGER_WRITABLE
    return _DAMAGED if Path(where).exists() else "check that the folder exists and its disk is mounted"


def _is_full(error: Exception) -> bool:
    if isinstance(error, sqlite3.Error):
        return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return True
    return any(sign in str(error).lower() for sign in _FULL)
