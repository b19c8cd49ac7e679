"""The reader: any table, now or as of a moment, beside a running writer or without one."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import NamedTuple, Self
from urllib.parse import unquote

import polars as pl
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from lake import delta, healing
from lake.data_files import is_there, live_files
from lake.faults import reported
from lake.foreign import rows_up_to
from lake.journal_file import Flushed
from lake.journal_view import JournalView, look
from lake.location import JOURNAL, store_of
from lake.schemas import no_such_table
from lake.store import Store
from lake.tables import LEDGER
from options import LakeError


class TableInfo(NamedTuple):
    """One table at a glance. None: nothing was written, or for `version` flushed. Times are cut to ms."""

    name: str
    rows: int
    files: int
    last_seq: int | None
    last_time: datetime | None
    version: int | None


class LakeReader:
    """Reads a home's lake; holds no lock, and no file open between calls. May be used from any thread.

    Rows up to the flushed seq come from Delta, later ones from the journal. The journal is looked at first:
    what it calls flushed was in Delta before, and stays there, so no row is lost or doubled meanwhile.
    """

    def __init__(self, home: Path, as_found: bool = False) -> None:
        """Use `LakeReader.open`."""
        self._home = home
        self._as_found = as_found
        self._store = store_of(home)
        self._handles: dict[str, tuple[DeltaTable, int]] = {}
        self._whole: dict[str, set[str]] = {}
        self._lock = threading.Lock()

    @classmethod
    def open(cls, home: Path, as_found: bool = False) -> Self:
        """A reader of the lake in `home`. Raises LakeError when there is none, or it cannot be read.

        `as_found`: with what other programs did to the tables and nobody has undone yet.
        """
        reader = cls(home, as_found)
        _ = reader.seq
        return reader

    @property
    def seq(self) -> int:
        """The seq of the last commit; 0 before the first."""
        with self._look() as journal:
            return journal.seq

    @property
    def last_time(self) -> datetime | None:
        """The time of the last commit; None before the first."""
        with self._look() as journal:
            return journal.last_time()

    def seq_at(self, time: datetime) -> int:
        """The largest seq committed at `time` or before; 0 when there is none."""
        with self._look() as journal:
            return self._seq_at(time, journal)

    def time_of(self, seq: int) -> datetime | None:
        """When `seq` was committed; None for 0. Raises LakeError for a seq not yet given out."""
        with self._look() as journal:
            upto, flushed = self._resolve(seq, journal), journal.flushed
            time = journal.time_of(upto)
        if time is not None or upto == 0:
            return time
        with reported("cannot read the ledger", self.place(LEDGER.name)):
            return _flushed_time_of(upto, self._flushed(LEDGER.name, flushed))

    def names(self) -> list[str]:
        """The tables there are, the ledger among them."""
        with self._look() as journal:
            return journal.names()

    def table(self, name: str, as_of: datetime | int | None = None) -> pl.LazyFrame:
        """One table's rows with seq <= `as_of`: a seq, a time (its seq_at), or None for now.

        Columns are `seq`, `time`, then as declared; rows are in no promised order, except that those of one
        seq keep theirs. For one picture of several tables give each the same seq. Raises LakeError for an
        unknown table, a seq not yet given out, a time without zone, and files that are missing or damaged.
        """
        with self._look() as journal:
            schema = _schema(name, journal)
            upto = self._resolve(as_of, journal)
            fresh = journal.rows(name, schema, upto)
            flushed = journal.flushed
        if name not in flushed.versions:
            return fresh.lazy()
        stored = self._stored(name, schema, flushed).filter(pl.col("seq") <= min(upto, flushed.seq))
        return stored if fresh.is_empty() else pl.concat([stored, fresh.lazy()])

    def newest(self, name: str) -> pl.DataFrame:
        """The rows of the last commit that wrote to a table, as `table` gives them; none before the first.

        However long the history is, one file is read. Raises LakeError as `table` does.
        """
        with self._look() as journal:
            schema = _schema(name, journal)
            flushed = journal.flushed
            _, last, _ = journal.last(name)
        if last is None and name in flushed.versions:
            with reported(f"cannot read the table {name}", self.place(name)):
                files = delta.data_files(self._flushed(name, flushed))
                last = max(files["max.seq"].filter(files["max.seq"] <= flushed.seq), default=None)
        if last is None:
            return schema.to_frame()
        with reported(f"cannot read the table {name}", self.place(name)):
            return self.table(name).filter(pl.col("seq") == last).collect()

    def tables(self) -> list[TableInfo]:
        """Every table that was declared, and the ledger, by name."""
        with self._look() as journal:
            flushed = journal.flushed
            unflushed = {name: journal.last(name) for name in journal.names()}
        return [self._info(name, flushed, *last) for name, last in unflushed.items()]

    @contextmanager
    def _look(self) -> Iterator[JournalView]:
        path = self._home / JOURNAL
        with reported("cannot read the journal", path), look(path) as journal:
            if journal is None:
                raise no_journal(self._home, self._store)
            yield journal

    def _resolve(self, as_of: datetime | int | None, journal: JournalView) -> int:
        if as_of is None:
            return journal.seq
        if isinstance(as_of, datetime):
            return self._seq_at(as_of, journal)
        if not 0 <= as_of <= journal.seq:
            raise LakeError(f"the lake has no version {as_of}: give a number from 0 to {journal.seq}")
        return as_of

    def _seq_at(self, time: datetime, journal: JournalView) -> int:
        if time.tzinfo is None:
            raise LakeError(f"the time {time} has no time zone: give one, as in {time}Z")
        unflushed = journal.seq_at(time)
        if unflushed is not None or LEDGER.name not in journal.flushed.versions:
            return unflushed or 0
        with reported("cannot read the ledger", self.place(LEDGER.name)):
            table = self._flushed(LEDGER.name, journal.flushed)
            return _flushed_seq_at(time, table, journal.flushed.seq)

    def _stored(self, name: str, schema: pl.Schema, flushed: Flushed) -> pl.LazyFrame:
        with reported(f"cannot read the table {name}", self.place(name)):
            table = self._flushed(name, flushed)
            known = delta.columns_of(table)
            return delta.scan(table).select(
                pl.col(column) if column in known else pl.lit(None, dtype).alias(column)
                for column, dtype in schema.items()
            )

    def _info(
        self, name: str, flushed: Flushed, fresh: int, seq: int | None, time: datetime | None
    ) -> TableInfo:
        if name not in flushed.versions:
            return TableInfo(name, fresh, 0, seq, time, None)
        with reported(f"cannot read the table {name}", self.place(name)):
            table = self._flushed(name, flushed)
            files = delta.data_files(table).filter(pl.col("max.seq") <= flushed.seq)
        rows = int(files["num_records"].sum()) + fresh
        last = files.sort("max.seq").tail(1).to_dicts()
        if seq is None and last:
            seq, time = last[0]["max.seq"], last[0]["max.time"]
        return TableInfo(name, rows, files.height, seq, time, flushed.versions[name])

    def _flushed(self, name: str, flushed: Flushed) -> DeltaTable:
        """The table with what was flushed into it; where another program has added or removed rows since, and
        that is not undone yet, the version from before, as long as its files are there."""
        version, wanted = flushed.versions[name], flushed.rows.get(name)
        table = self._handle(name, version)
        if self._as_found or wanted is None or rows_up_to(table, flushed.seq) == wanted:
            return table
        if table.version() == version:
            self._miss_none(name, table, flushed.seq, wanted)
            return table
        try:
            before = delta.open_table(self._store, name, version)
        except DeltaError:
            return table
        is_readable = before is not None and all(
            is_there(self._store, name, file) for file in live_files(before)
        )
        return before if before is not None and is_readable else table

    def _miss_none(self, name: str, table: DeltaTable, seq: int, wanted: int) -> None:
        """An emptied log file looks like a version that added nothing; foreign files may lack statistics."""
        found = delta.scan(table).filter(pl.col("seq") <= seq).select(pl.len()).collect().item()
        if found < wanted:
            raise LakeError(
                f"the table {name} ({self.place(name)}) has lost rows: it has {found} and should have "
                f"{wanted}; restore this home from a backup"
            )

    def _handle(self, name: str, version: int) -> DeltaTable:
        """The table at `version` or later, its data files present and whole in size."""
        with self._lock:
            held = self._handles.get(name)
            if held is not None and held[0].version() >= version:
                return held[0]
            if held is not None:
                del self._handles[name]  # until its new files are seen to be whole
                held[0].update_incremental()
            if held is None or delta.is_stale(*held):
                table = delta.open_table(self._store, name)
                if table is None or not healing.is_whole(self._store, name, version, table):
                    raise LakeError(
                        f"the table {name} ({self.place(name)}) has lost its newest version {version} "
                        "or part of it: restore this home from a backup"
                    )
                held = (table, table.version())
            self._check_files(name, held[0])
            self._handles[name] = held
            return held[0]

    def _check_files(self, name: str, table: DeltaTable) -> None:
        """Every data file is there with its size; one that was seen is not looked at again."""
        seen = self._whole.setdefault(name, set())
        listed = delta.data_files(table).select("path", "size_bytes").iter_rows()
        fresh = {f"{name}/{unquote(path)}": (path, size) for path, size in listed if path not in seen}
        there = self._store.sizes(fresh)
        for key, (path, size) in fresh.items():
            if there[key] != size:
                raise LakeError(
                    f"the table {name} has lost a data file or part of it ({self._store.uri}/{key}): "
                    "restore this home from a backup"
                )
            seen.add(path)

    def place(self, name: str) -> str:
        """Where the table lies; it holds no credentials and may be shown."""
        return f"{self._store.uri}/{name}"


def no_journal(home: Path, store: Store) -> LakeError:
    """Nothing was written yet, or the journal is gone from beside its lake."""
    if LEDGER.name not in store.names():
        return LakeError(f"no lake at {home}: run optiond first")
    return LakeError(
        f"the journal {home / JOURNAL} is missing beside its lake {store.uri}: what was committed after the "
        "last flush is lost unless a backup has it; optiond run goes on after that flush"
    )


def _schema(name: str, journal: JournalView) -> pl.Schema:
    schema = journal.schema(name)
    if schema is None:
        if not journal.names():
            raise LakeError("nothing was written to this home yet: run optiond first")
        raise no_such_table(name, journal.names())
    return schema


def _flushed_seq_at(time: datetime, ledger: DeltaTable, upto: int) -> int:
    """By the ledger: its newest row that has a commit at `time` or before has the answer."""
    files = delta.data_files(ledger).filter(
        (pl.col("max.seq") <= upto) & (pl.col("min.first_time") <= time).fill_null(True)
    )
    rows = delta.scan(ledger).filter(pl.col("first_time") <= time)
    # Newest file first. Statistics are cut to milliseconds, so a file may turn out to have no such row.
    for lowest, highest in files.sort("max.seq", descending=True).select("min.seq", "max.seq").iter_rows():
        found = rows.filter(pl.col("seq").is_between(lowest, highest)).sort("seq").last().collect().to_dicts()
        for row in found:
            last = max(n for n, committed in enumerate(row["times"]) if committed <= time)
            return int(row["first_seq"]) + last
    return 0


def _flushed_time_of(seq: int, ledger: DeltaTable) -> datetime:
    """By the ledger: the first of its rows that goes as far has the answer."""
    files = delta.data_files(ledger).filter(pl.col("max.seq") >= seq).sort("min.seq")
    lowest, highest = files.select("min.seq", "max.seq").row(0)
    rows = delta.scan(ledger).filter(pl.col("seq").is_between(max(lowest, seq), highest))
    row = rows.sort("seq").first().collect().row(0, named=True)
    time: datetime = row["times"][seq - row["first_seq"]]
    return time
