"""The journal as readers see it: one moment of it, beside a writer or without one."""

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import polars as pl

from lake.journal_file import Flushed, flushed_of, format_of, last_seq, last_time, rows_of, to_time, to_us


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
        return [(seq, to_time(time_us)) for seq, time_us in found]

    def seq_at(self, time: datetime) -> int | None:
        """The largest unflushed seq committed at `time` or before; None when there is none."""
        (seq,) = self.connection.execute(
            "SELECT max(seq) FROM commits WHERE seq > ? AND time_us <= ?", (self.flushed.seq, to_us(time))
        ).fetchone()
        return None if seq is None else int(seq)

    def time_of(self, seq: int) -> datetime | None:
        """When `seq` was committed; None when the journal no longer has it."""
        found = self.connection.execute("SELECT time_us FROM commits WHERE seq = ?", (seq,)).fetchone()
        return None if found is None else to_time(found[0])

    def last_time(self) -> datetime | None:
        """The time of the last commit; None before the first."""
        return last_time(self.connection, self.flushed)

    def last(self, name: str) -> tuple[int, int | None, datetime | None]:
        """Of one table's unflushed rows: how many, the last one's seq and time."""
        count, seq, time_us = self.connection.execute(
            "SELECT coalesce(sum(count), 0), max(rows.seq), max(time_us) FROM rows JOIN commits USING (seq) "
            "WHERE name = ? AND rows.seq > ?",
            (name, self.flushed.seq),
        ).fetchone()
        return int(count), seq, None if time_us is None else to_time(time_us)


@contextmanager
def look(path: Path) -> Iterator[JournalView | None]:
    """One consistent look at the journal, beside a writer or without; None when there is no journal yet."""
    if not path.exists():
        yield None
        return
    with closing(_connect_to_read(path)) as connection:
        connection.execute("BEGIN")
        if format_of(connection, path) == 0:
            yield None
            return
        flushed = flushed_of(connection)
        yield JournalView(connection, flushed, last_seq(connection, flushed))


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
