"""What goes wrong below the lake, told in one line: what, where, what to do."""

import errno
import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl
from deltalake.exceptions import CommitFailedError, DeltaError

from options import LakeError

NO_BUCKET = "NoSuchBucket"  # S3's word; a bare 404 may be a missing object

_FULL = ("no space left", "disk is full", "file too large", "disk quota exceeded")
_FORBIDDEN = ("permission denied", "read-only", "readonly", "not permitted")
_OF_A_BUCKET = ("S3 error", "Server returned", "object-store error")
_STATUS = re.compile(r"\b[45]\d\d [A-Z][A-Za-z ]*[a-z]")
_KEEPS = "nothing that was acknowledged is lost"
_REFUSALS = (  # signs in what the libraries say of a bucket; what happened; what to do
    ((NO_BUCKET,), "the bucket does not exist", "create it, or correct lake.uri"),
    (
        ("403 Forbidden", "401 Unauthorized", "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch"),
        "access denied",
        "check the access key, and that it may read, write, list and delete there",
    ),
    (
        ("timed out", "Timeout", "TimedOut"),
        "no answer in time",
        f"check lake.endpoint, the network and the store; {_KEEPS}",
    ),
    (
        ("(Connect)", "kind: Connect", "connect error", "dns error", "error sending request"),
        "no connection",
        f"check lake.endpoint, the network and the store; {_KEEPS}",
    ),
)


class BucketError(OSError):
    """What went wrong with a bucket, in our words: servers repeat requests in theirs, keys and all."""

    def __init__(self, said: str, advice: str) -> None:
        super().__init__(said)
        self.advice = advice


def bucket_error(error: Exception) -> BucketError:
    """What obstore, delta-rs or polars said of a bucket, in our words; and takes their words out of `error`,
    which tracebacks with variables would show."""
    text = str(error)
    told = _in_our_words(text)
    error.args = told.args
    return told


def _in_our_words(text: str) -> BucketError:
    for signs, said, advice in _REFUSALS:
        if any(sign in text for sign in signs):
            return BucketError(said, advice)
    status = _STATUS.search(text)
    said = f"it answers {status[0]}" if status else "it cannot be used"
    return BucketError(said, f"look after the store and try again; {_KEEPS}")


@contextmanager
def reported(what: str, where: Path | str) -> Iterator[None]:
    """Turn errors of files, SQLite, Delta and polars into a LakeError: `what`, `where`, what to do."""
    try:
        yield
    except (DeltaError, OSError, sqlite3.Error, pl.exceptions.PolarsError) as caught:
        error = _without_answers(caught)
        raise LakeError(f"{what} ({where}): {_first_line(error)}; {_advice(error, where)}") from error
    except BaseException as error:
        # A panic in delta-rs or polars is a BaseException of a class that cannot be imported.
        if type(error).__name__ != "PanicException":
            raise
        raise LakeError(f"{what} ({where}): {_first_line(error)}; {_DAMAGED}") from error


def is_disk_full(error: LakeError) -> bool:
    """Whether it was told because a disk has no room left."""
    return isinstance(error.__cause__, Exception) and _is_full(error.__cause__)


_LONGEST = 200  # characters of another library's message
_NO_LONGER_WRITABLE = "look after its disk, then start again; nothing that was acknowledged is lost"
_DAMAGED = "its files seem to be damaged: restore this home from a backup"


def _without_answers(error: Exception) -> Exception:
    """The error itself, or, when it repeats what a bucket's server said, one that does not."""
    text = str(error)
    if isinstance(error, (BucketError, CommitFailedError)) or not any(s in text for s in _OF_A_BUCKET):
        return error
    return bucket_error(error)


def _first_line(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return (str(error).splitlines() or [type(error).__name__])[0].strip()[:_LONGEST]


def _advice(error: Exception, where: Path | str) -> str:
    if isinstance(error, BucketError):
        return error.advice
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
    if Path(where).exists() or str(where).startswith("s3://"):
        return _DAMAGED
    return "check that the folder exists and its disk is mounted"


def _is_full(error: Exception) -> bool:
    if isinstance(error, sqlite3.Error):
        return getattr(error, "sqlite_errorcode", None) in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return True
    return any(sign in str(error).lower() for sign in _FULL)
