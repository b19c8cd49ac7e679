"""The journal's file: its tables, how it is opened, and what is read of it by writer and readers alike."""

import io
import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from options import LakeError

FORMAT = 2
_BUSY_S = 1.0  # a commit waits so long for another program that writes to the journal; then it is refused
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TABLES = (
    "CREATE TABLE commits (seq INTEGER PRIMARY KEY, time_us INTEGER NOT NULL)",
    "CREATE TABLE rows (seq INTEGER NOT NULL, name TEXT NOT NULL, count INTEGER NOT NULL, ipc BLOB NOT NULL, "
    "PRIMARY KEY (name, seq))",
    "CREATE TABLE flush (boundary INTEGER, seq INTEGER NOT NULL, time_us INTEGER, versions TEXT NOT NULL)",
    "INSERT INTO flush VALUES (NULL, 0, NULL, '{}')",
    "CREATE TABLE schemas (name TEXT PRIMARY KEY, ipc BLOB NOT NULL)",
)
ADDED_IN_2 = (
    "ALTER TABLE flush ADD COLUMN rows TEXT NOT NULL DEFAULT '{}'",
    "CREATE TABLE notes (name TEXT PRIMARY KEY, text TEXT NOT NULL)",
    f"PRAGMA user_version = {FORMAT}",
)
_WAL_PAGES = 16_384  # 64 MiB: the flush empties the WAL; a commit does so only when no flush comes


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


def connect(path: Path) -> sqlite3.Connection:
    """For the writer: what it commits is on disk."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=_BUSY_S)
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"PRAGMA wal_autocheckpoint = {_WAL_PAGES}")
    return connection


def format_of(connection: sqlite3.Connection, path: Path) -> int:
    """The journal's format; 0 when it is new."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if not 0 <= version <= FORMAT:
        raise LakeError(
            f"the journal {path} has format {version} and this optiond knows {FORMAT}: "
            "run the optiond that wrote it"
        )
    return int(version)


def last_seq(connection: sqlite3.Connection, flushed: Flushed) -> int:
    """The last seq that was given out; 0: none."""
    (last,) = connection.execute("SELECT max(seq) FROM commits").fetchone()
    return max(int(last or 0), flushed.seq)


def last_time(connection: sqlite3.Connection, flushed: Flushed) -> datetime | None:
    """When the last commit was; None before the first."""
    last = connection.execute("SELECT time_us FROM commits ORDER BY seq DESC LIMIT 1").fetchone()
    return flushed.time if last is None else to_time(last[0])


def held(connection: sqlite3.Connection, upto: int) -> tuple[int, int]:
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
    time = None if time_us is None else to_time(time_us)
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


def to_ipc(frame: pl.DataFrame) -> bytes:
    """Rows as they lie in the journal."""
    buffer = io.BytesIO()
    frame.write_ipc_stream(buffer, compression="lz4")
    return buffer.getvalue()


def to_us(time: datetime) -> int:
    """Microseconds since 1970."""
    return (time - _EPOCH) // timedelta(microseconds=1)


def to_time(time_us: int) -> datetime:
    """The time so many microseconds after 1970, UTC."""
    return _EPOCH + timedelta(microseconds=time_us)
