"""The journal: what was acknowledged and is not yet in the lake, in one SQLite file.

One row in `commits` per cycle (`seq`, its time) and one in `rows` per table it wrote, as Arrow IPC. The
single row of `flush` says how far the lake is: everything up to `seq` is in Delta and synced, at the Delta
versions in `versions` with `rows` rows per table; `boundary` is the seq that a flush is working up to, null
when none is. `schemas` holds the tables as declared, so that readers know them, `notes` what the lake
remembers about its own upkeep.
"""

import json
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from types import MappingProxyType

import polars as pl
import structlog

from lake import failpoint
from lake.journal_file import (
    ADDED_IN_2,
    FORMAT,
    TABLES,
    Flushed,
    connect,
    flushed_of,
    format_of,
    held,
    last_seq,
    last_time,
    rows_of,
    to_ipc,
    to_time,
    to_us,
)
from lake.journal_view import copy

MIGRATIONS = "migrations"
"""Folder of the home: what it takes to get back to where an older optiond left it."""

RESERVE = 32 * 2**20  # bytes
_PAGE, _INDEX_PAGES, _INDEX_BLOCK = 4096, 4096, 32_768  # SQLite: an index block tells where so many pages are
_DROPPED_AT_ONCE = 50  # commits deleted per transaction, so that a commit never waits for a long delete

_log = structlog.get_logger(__name__)


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
        self._connection = connect(path)
        self._connection.execute("PRAGMA journal_mode = WAL")
        known = format_of(self._connection, path)
        if known < FORMAT:
            if known:
                _keep_way_back(path, known)
            with self._transaction():
                for statement in (*(TABLES if known == 0 else ()), *ADDED_IN_2):
                    self._connection.execute(statement)
                failpoint.reach("journal.creating")
        failpoint.reach("journal.created")
        self._index: int | None = _reserve(path, reserve)
        failpoint.reach("journal.reserved")
        self._reader = connect(path)
        flushed = flushed_of(self._connection)
        self.seq = last_seq(self._connection, flushed)
        self.flushed = flushed
        self._delete_up_to(flushed.seq)
        self.last_commit = last_time(self._connection, flushed)
        self.unflushed_rows, self.unflushed_bytes = held(self._connection, self.seq)

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
        blobs = [(entry.name, entry.rows.height, to_ipc(entry.rows)) for entry in entries]
        with self._lock:
            seq = self.seq + 1
            with self._transaction():
                self._connection.execute("INSERT INTO commits VALUES (?, ?)", (seq, to_us(time)))
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
            [(name, to_ipc(schema.to_frame())) for name, schema in schemas.items()],
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
        rows, size = held(self._reader, flushed.seq)
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
                        flushed.time and to_us(flushed.time),
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
        return None if time_us is None else to_time(time_us)

    def times(self, upto: int) -> list[datetime]:
        """The commit times of all unflushed seqs up to `upto`, in their order."""
        rows = self._reader.execute(
            "SELECT time_us FROM commits WHERE seq > ? AND seq <= ? ORDER BY seq", (self.flushed.seq, upto)
        )
        return [to_time(time_us) for (time_us,) in rows]

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


def _keep_way_back(path: Path, known: int) -> None:
    """A copy of a journal of an older format, which an older optiond can go back to."""
    kept = path.parent / MIGRATIONS / f"{path.stem}-format-{known}{path.suffix}"
    kept.parent.mkdir(exist_ok=True)
    kept.unlink(missing_ok=True)
    copy(path, kept)


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
