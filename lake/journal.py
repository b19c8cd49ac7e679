"""The journal: what was acknowledged and is not yet in the lake, in one SQLite file.

One row in `commits` per cycle (`seq`, its time) and one in `rows` per table it wrote, as Arrow IPC. The
single row of `flush` says how far the lake is: everything up to `seq` is in Delta and synced, at the Delta
versions in `versions` with `rows` rows per table; `boundary` is the seq that a flush is working up to, null
when none is. `schemas` holds the tables as declared, so that readers know them, `notes` what the lake
remembers about its own upkeep.
"""

import errno
import io
import json
import os
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType

import numpy as np
import polars as pl
import structlog

from lake import failpoint
from options import LakeError

MIGRATIONS = "migrations"
"""Folder of the home: what it takes to get back to where an older optiond left it."""

RESERVE = 32 * 2**20  # bytes
_FORMAT = 2
_BUSY = (
    1.0  # seconds that a commit waits for another program that writes to the journal, before it is refused
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TABLES = (
    "CREATE TABLE commits (seq INTEGER PRIMARY KEY, time_us INTEGER NOT NULL)",
    "CREATE TABLE rows (seq INTEGER NOT NULL, name TEXT NOT NULL, count INTEGER NOT NULL, ipc BLOB NOT NULL, "
    "PRIMARY KEY (name, seq))",
    "CREATE TABLE flush (boundary INTEGER, seq INTEGER NOT NULL, time_us INTEGER, versions TEXT NOT NULL)",
    "INSERT INTO flush VALUES (NULL, 0, NULL, '{}')",
    "CREATE TABLE schemas (name TEXT PRIMARY KEY, ipc BLOB NOT NULL)",
)
_ADDED_IN_2 = (
    "ALTER TABLE flush ADD COLUMN rows TEXT NOT NULL DEFAULT '{}'",
    "CREATE TABLE notes (name TEXT PRIMARY KEY, text TEXT NOT NULL)",
    f"PRAGMA user_version = {_FORMAT}",
)
_WAL_PAGES = 16_384  # 64 MiB: the flush empties the WAL; a commit does so only when no flush comes
_PAGE, _INDEX_PAGES, _INDEX_BLOCK = 4096, 4096, 32_768  # SQLite: an index block tells where so many pages are
_DROPPED_AT_ONCE = 50  # commits deleted per transaction, so that a commit never waits for a long delete

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Flushed:
    """How far the lake is. `time` is the commit time of `seq`; None when nothing was flushed yet.

    `rows` counts the rows of each table at its version; a table that an older optiond wrote may be missing.
    """

    seq: int
    time: datetime | None
    boundary: int | None = None
    versions: Mapping[str, int] = field(default_factory=dict)
    rows: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Entry:
    """One table's rows of one commit."""

    name: str
    rows: pl.DataFrame


class Journal:
    """The writing side; its methods may be called from any thread."""

    def __init__(self, path: Path, reserve: int = RESERVE) -> None:
        """Open or create the journal, with `reserve` bytes of disk for commits when the disk is full.

        Raises sqlite3.Error, and LakeError for a format we do not know. A reserve that the disk has no room
        for is logged, no error.
        """
        self.path = path
        self._lock = threading.Lock()
        self._connection = _connect(path)
        self._connection.execute("PRAGMA journal_mode = WAL")
        known = _format(self._connection, path)
        if known < _FORMAT:
            if known:
                _keep_way_back(path, known)
            with self._transaction():
                for statement in (*(_TABLES if known == 0 else ()), *_ADDED_IN_2):
                    self._connection.execute(statement)
                failpoint.reach("journal.creating")
        failpoint.reach("journal.created")
        self._index: int | None = _reserve(path, reserve)
        failpoint.reach("journal.reserved")
        self._reader = _connect(path)
        flushed = flushed_of(self._connection)
        self.seq = _last_seq(self._connection, flushed)
        self.flushed = flushed
        self._delete_up_to(flushed.seq)
        self.last_commit = _last_time(self._connection, flushed)
        self.unflushed_rows, self.unflushed_bytes = _held(self._connection, self.seq)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        finally:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    def append(
        self,
        time: datetime,
        entries: Sequence[Entry],
        schemas: Mapping[str, pl.Schema] | None = None,
        notes: Mapping[str, str] | None = None,
    ) -> int:
        """Write one commit durably and give its seq; with it, tables as they are declared now, and notes.

        Nothing is written when this raises.
        """
        blobs = [(entry.name, entry.rows.height, _to_ipc(entry.rows)) for entry in entries]
        with self._lock:
            seq = self.seq + 1
            with self._transaction():
                self._connection.execute("INSERT INTO commits VALUES (?, ?)", (seq, _to_us(time)))
                self._connection.executemany(
                    "INSERT INTO rows VALUES (?, ?, ?, ?)", [(seq, *blob) for blob in blobs]
                )
                self._declare(schemas or {})
                for name, text in (notes or {}).items():
                    self._connection.execute("INSERT OR REPLACE INTO notes VALUES (?, ?)", (name, text))
                failpoint.reach("journal.written")
            if self.last_commit is not None and time < self.last_commit:
                _log.warning("clock.went_back", seq=seq, time=time, before=self.last_commit)
            self.seq = seq
            self.last_commit = time
            self.unflushed_rows += sum(count for _, count, _ in blobs)
            self.unflushed_bytes += sum(len(ipc) for _, _, ipc in blobs)
        failpoint.reach("journal.committed")
        return seq

    def declare(self, schemas: Mapping[str, pl.Schema]) -> None:
        """Remember the tables as they are declared now; nothing is written when they are the same."""
        if self.declared() == schemas:
            return
        with self._lock, self._transaction():
            self._declare(schemas)

    def _declare(self, schemas: Mapping[str, pl.Schema]) -> None:
        self._connection.executemany(
            "INSERT OR REPLACE INTO schemas VALUES (?, ?)",
            [(name, _to_ipc(schema.to_frame())) for name, schema in schemas.items()],
        )

    def declared(self) -> dict[str, pl.Schema]:
        """The tables as they were declared last."""
        return {
            name: pl.read_ipc_stream(ipc).schema
            for name, ipc in self._connection.execute("SELECT name, ipc FROM schemas")
        }

    def begin_flush(self) -> int | None:
        """Fix, durably, the seq that a flush goes up to: that of a flush which was cut off, if there was one.

        None when there is nothing to flush.
        """
        if self.flushed.boundary is None:
            with self._lock:
                boundary = self.seq
                if boundary == self.flushed.seq:
                    return None
                with self._transaction():
                    self._connection.execute("UPDATE flush SET boundary = ?", (boundary,))
                    failpoint.reach("journal.bounding")
            self.flushed = replace(self.flushed, boundary=boundary)
        return self.flushed.boundary

    def end_flush(self, flushed: Flushed) -> None:
        """Say, durably, that everything up to `flushed.seq` is in the lake, then drop it here."""
        rows, size = _held(self._reader, flushed.seq)
        self.adopt(flushed)
        failpoint.reach("flush.released")
        self._delete_up_to(flushed.seq)
        with self._lock:
            self.unflushed_rows -= rows
            self.unflushed_bytes -= size
        failpoint.reach("journal.dropped")
        self._reader.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        failpoint.reach("journal.checkpointed")

    def adopt(self, flushed: Flushed) -> None:
        """Say how far the lake is."""
        with self._lock:
            with self._transaction():
                self._connection.execute(
                    "UPDATE flush SET boundary = NULL, seq = ?, time_us = ?, versions = ?, rows = ?",
                    (
                        flushed.seq,
                        flushed.time and _to_us(flushed.time),
                        json.dumps(dict(flushed.versions)),
                        json.dumps(dict(flushed.rows)),
                    ),
                )
                failpoint.reach("journal.adopting")
            self.flushed = flushed
            self.seq = max(self.seq, flushed.seq)

    def vouch(self, versions: Mapping[str, int], rows: Mapping[str, int] = MappingProxyType({})) -> None:
        """Say, durably, that these tables are whole and synced at newer versions with the same contents."""
        flushed = replace(
            self.flushed,
            versions={**self.flushed.versions, **versions},
            rows={**self.flushed.rows, **rows},
        )
        with self._lock:
            with self._transaction():
                self._connection.execute(
                    "UPDATE flush SET versions = ?, rows = ?",
                    (json.dumps(flushed.versions), json.dumps(flushed.rows)),
                )
            self.flushed = flushed

    def note(self, name: str, text: str) -> None:
        """Remember a line under a name, in place of the one that was there."""
        with self._lock, self._transaction():
            self._connection.execute("INSERT OR REPLACE INTO notes VALUES (?, ?)", (name, text))

    def noted(self, name: str) -> str | None:
        """What was remembered under a name; None when nothing was."""
        with self._lock:
            row = self._connection.execute("SELECT text FROM notes WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def earliest(self) -> datetime | None:
        """The earliest commit time of all that is not yet flushed; None when everything is."""
        with self._lock:
            (time_us,) = self._connection.execute(
                "SELECT min(time_us) FROM commits WHERE seq > ?", (self.flushed.seq,)
            ).fetchone()
        return None if time_us is None else _to_time(time_us)

    def times(self, upto: int) -> list[datetime]:
        """The commit times of all unflushed seqs up to `upto`, in their order."""
        rows = self._reader.execute(
            "SELECT time_us FROM commits WHERE seq > ? AND seq <= ? ORDER BY seq", (self.flushed.seq, upto)
        )
        return [_to_time(time_us) for (time_us,) in rows]

    def names(self, upto: int) -> list[str]:
        """The tables that have unflushed rows up to `upto`."""
        rows = self._reader.execute("SELECT DISTINCT name FROM rows WHERE seq <= ? ORDER BY name", (upto,))
        return [name for (name,) in rows]

    def rows(self, name: str, schema: pl.Schema, upto: int) -> pl.DataFrame:
        """The unflushed rows of one table up to `upto`, with `seq` and `time`, in their order."""
        return rows_of(self._reader, name, schema, self.flushed.seq, upto)

    def close(self) -> None:
        """Close the file; every later call raises sqlite3.ProgrammingError."""
        with self._lock:
            self._reader.close()
            self._connection.close()
            if self._index is not None:
                os.close(self._index)
                self._index = None

    def _delete_up_to(self, seq: int) -> None:
        while True:
            with self._lock, self._transaction():
                done = self._connection.execute(
                    "SELECT seq FROM commits WHERE seq <= ? ORDER BY seq LIMIT ?", (seq, _DROPPED_AT_ONCE)
                ).fetchall()
                if not done:
                    return
                last = done[-1][0]
                names = self._connection.execute("SELECT DISTINCT name FROM rows").fetchall()
                self._connection.executemany(
                    "DELETE FROM rows WHERE name = ? AND seq <= ?", [(name, last) for (name,) in names]
                )
                failpoint.reach("journal.deleting")
                self._connection.execute("DELETE FROM commits WHERE seq <= ?", (last,))
            failpoint.reach("journal.deleted")


@dataclass(frozen=True, slots=True)
class JournalView:
    """The journal at one moment, for readers; see `look`."""

    connection: sqlite3.Connection
    flushed: Flushed
    seq: int

    def names(self) -> list[str]:
        """The tables that were declared."""
        return [name for (name,) in self.connection.execute("SELECT name FROM schemas ORDER BY name")]

    def schema(self, name: str) -> pl.Schema | None:
        """One table's columns, `seq` and `time` first; None when it was not declared."""
        found = self.connection.execute("SELECT ipc FROM schemas WHERE name = ?", (name,)).fetchone()
        return None if found is None else pl.read_ipc_stream(found[0]).schema

    def rows(self, name: str, schema: pl.Schema, upto: int) -> pl.DataFrame:
        """The unflushed rows of one table up to `upto`, in their order."""
        return rows_of(self.connection, name, schema, self.flushed.seq, upto)

    def commits(self) -> list[tuple[int, datetime]]:
        """The unflushed commits: seq and time."""
        found = self.connection.execute(
            "SELECT seq, time_us FROM commits WHERE seq > ? ORDER BY seq", (self.flushed.seq,)
        )
        return [(seq, _to_time(time_us)) for seq, time_us in found]

    def seq_at(self, time: datetime) -> int | None:
        """The largest unflushed seq committed at `time` or before; None when there is none."""
        (seq,) = self.connection.execute(
            "SELECT max(seq) FROM commits WHERE seq > ? AND time_us <= ?", (self.flushed.seq, _to_us(time))
        ).fetchone()
        return None if seq is None else int(seq)

    def time_of(self, seq: int) -> datetime | None:
        """When `seq` was committed; None when the journal no longer has it."""
        found = self.connection.execute("SELECT time_us FROM commits WHERE seq = ?", (seq,)).fetchone()
        return None if found is None else _to_time(found[0])

    def last_time(self) -> datetime | None:
        """The time of the last commit; None before the first."""
        return _last_time(self.connection, self.flushed)

    def last(self, name: str) -> tuple[int, int | None, datetime | None]:
        """Of one table's unflushed rows: how many, the last one's seq and time."""
        count, seq, time_us = self.connection.execute(
            "SELECT coalesce(sum(count), 0), max(rows.seq), max(time_us) FROM rows JOIN commits USING (seq) "
            "WHERE name = ? AND rows.seq > ?",
            (name, self.flushed.seq),
        ).fetchone()
        return int(count), seq, None if time_us is None else _to_time(time_us)


@contextmanager
def look(path: Path) -> Iterator[JournalView | None]:
    """One consistent look at the journal, beside a writer or without; None when there is no journal yet."""
    if not path.exists():
        yield None
        return
    with closing(_connect_to_read(path)) as connection:
        connection.execute("BEGIN")
        if _format(connection, path) == 0:
            yield None
            return
        flushed = flushed_of(connection)
        yield JournalView(connection, flushed, _last_seq(connection, flushed))


def copy(path: Path, target: Path) -> None:
    """The journal at one moment as a new file, beside a writer or without; its commits go on meanwhile.

    Raises FileNotFoundError when there is no journal.
    """
    if not path.exists():
        raise FileNotFoundError(errno.ENOENT, "there is no journal", str(path))
    with closing(_connect_to_read(path)) as source, closing(sqlite3.connect(target)) as copied:
        source.backup(copied)
        # One file, whole in itself; the next writer goes over to a write-ahead log again.
        copied.execute("PRAGMA journal_mode = DELETE").fetchall()


def _keep_way_back(path: Path, known: int) -> None:
    """A copy of a journal of an older format, which an older optiond can go back to."""
    kept = path.parent / MIGRATIONS / f"{path.stem}-format-{known}{path.suffix}"
    kept.parent.mkdir(exist_ok=True)
    kept.unlink(missing_ok=True)
    copy(path, kept)


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=_BUSY)
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"PRAGMA wal_autocheckpoint = {_WAL_PAGES}")
    return connection


def _reserve(path: Path, size: int) -> int:
    """Give SQLite's log `size` bytes of disk (it ignores zeros after its last transaction) and their index.

    Gives the descriptor of the index, which must stay open as long as SQLite's: closing it would let go of
    the locks that SQLite holds on it.
    """
    index = os.open(path.with_name(f"{path.name}-shm"), os.O_RDWR)
    try:
        with path.with_name(f"{path.name}-wal").open("r+b") as log:
            os.posix_fallocate(log.fileno(), 0, max(1, size))
            os.fsync(log.fileno())
        os.posix_fallocate(index, 0, _INDEX_BLOCK * (2 + size // (_INDEX_PAGES * _PAGE)))
    except OSError as error:
        _log.warning("journal.reserve_missing", path=str(path), bytes=size, reason=error.strerror)
    return index


def _connect_to_read(path: Path) -> sqlite3.Connection:
    uri = path.absolute().as_uri()
    connection = sqlite3.connect(f"{uri}?mode=ro", uri=True, isolation_level=None, timeout=10)
    try:
        connection.execute("PRAGMA user_version").fetchone()
    except sqlite3.OperationalError as error:
        connection.close()
        # The lower byte is the kind of error, the rest its detail.
        without_memory = error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)
        if not without_memory or path.with_name(f"{path.name}-wal").exists():
            raise
        # A home that this user cannot write to and that nobody writes to now: SQLite cannot put its
        # shared-memory file there, and needs none.
        connection = sqlite3.connect(f"{uri}?immutable=1", uri=True, isolation_level=None)
    return connection


def _format(connection: sqlite3.Connection, path: Path) -> int:
    """The journal's format; 0 when it is new."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if not 0 <= version <= _FORMAT:
        raise LakeError(
            f"the journal {path} has format {version} and this optiond knows {_FORMAT}: "
            "run the optiond that wrote it"
        )
    return int(version)


def _last_seq(connection: sqlite3.Connection, flushed: Flushed) -> int:
    (last,) = connection.execute("SELECT max(seq) FROM commits").fetchone()
    return max(int(last or 0), flushed.seq)


def _last_time(connection: sqlite3.Connection, flushed: Flushed) -> datetime | None:
    last = connection.execute("SELECT time_us FROM commits ORDER BY seq DESC LIMIT 1").fetchone()
    return flushed.time if last is None else _to_time(last[0])


def _held(connection: sqlite3.Connection, upto: int) -> tuple[int, int]:
    """Rows of commits up to `upto` that the journal holds, and their bytes."""
    rows, size = connection.execute(
        "SELECT coalesce(sum(count), 0), coalesce(sum(length(ipc)), 0) FROM rows WHERE seq <= ?", (upto,)
    ).fetchone()
    return int(rows), int(size)


def flushed_of(connection: sqlite3.Connection) -> Flushed:
    """How far the lake is, as the journal says."""
    (known,) = connection.execute("PRAGMA user_version").fetchone()
    seq, time_us, boundary, versions, rows = connection.execute(
        "SELECT seq, time_us, boundary, versions, " + ("rows FROM flush" if known > 1 else "'{}' FROM flush")
    ).fetchone()
    time = None if time_us is None else _to_time(time_us)
    return Flushed(seq, time, boundary, json.loads(versions), json.loads(rows))


def rows_of(
    connection: sqlite3.Connection, name: str, schema: pl.Schema, after: int, upto: int
) -> pl.DataFrame:
    """One table's rows with `after` < seq <= `upto` as `schema`, which starts with `seq` and `time`."""
    found = connection.execute(
        "SELECT seq, time_us, ipc FROM rows JOIN commits USING (seq) "
        "WHERE name = ? AND seq > ? AND seq <= ? ORDER BY seq",
        (name, after, upto),
    ).fetchall()
    if not found:
        return schema.to_frame()
    frames = [pl.read_ipc_stream(ipc) for _, _, ipc in found]
    counts = [frame.height for frame in frames]
    seqs = np.repeat(np.array([seq for seq, _, _ in found], dtype=np.int64), counts)
    times = np.repeat(np.array([time_us for _, time_us, _ in found], dtype=np.int64), counts)
    rows = pl.concat(frames, how="diagonal").with_columns(
        pl.Series("seq", seqs), pl.Series("time", times).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    )
    return pl.concat([schema.to_frame(), rows], how="diagonal")


def _to_ipc(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.write_ipc_stream(buffer, compression="lz4")
    return buffer.getvalue()


def _to_us(time: datetime) -> int:
    return (time - _EPOCH) // timedelta(microseconds=1)


def _to_time(time_us: int) -> datetime:
    return _EPOCH + timedelta(microseconds=time_us)
