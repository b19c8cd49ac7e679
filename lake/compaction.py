"""Compaction: many small data files of a closed date become one, with exactly the same rows.

A date is closed when nothing is written to it any more. Rows are sorted by seq, those of one seq stay as
they were; what was written is read back and compared with its sources before it is committed.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from polars.io.plugins import register_io_source

from lake import delta
from lake.data_files import DataFile, statistics_of
from lake.store import Store
from options import LakeError

SMALL_BYTES = 64 * 2**20  # files below this are put together
LARGEST_BYTES = 128 * 2**20  # what goes into one new file, as it was compressed before
_ROWS_AT_ONCE = 250_000  # also the rows of one row group


@dataclass(frozen=True, slots=True)
class Rewrite:
    """One new data file: the rows of its sources, which are in the order of their seqs."""

    date: str
    sources: tuple[DataFile, ...]

    @property
    def path(self) -> str:
        """The new file's path in the table: the same for the same sources, whoever tries again."""
        names = "\n".join(file.path for file in self.sources)
        first, last = self.sources[0].first_seq, max(file.last_seq or 0 for file in self.sources)
        digest = hashlib.sha256(names.encode()).hexdigest()[:16]
        return f"date={self.date}/compact-{first}-{last}-{digest}.parquet"

    @property
    def size(self) -> int:
        """Bytes of its sources."""
        return sum(file.size for file in self.sources)

    @property
    def rows(self) -> int:
        """Rows of its sources."""
        return sum(file.rows or 0 for file in self.sources)


def is_small(file: DataFile) -> bool:
    """Whether a file is one to be put together with others, if there are others."""
    return file.size < SMALL_BYTES


def plan(files: Sequence[DataFile], before: date) -> list[Rewrite]:
    """What to rewrite of a table's live files: dates before `before` that have several small ones.

    Files without statistics, which none of ours lacks, are left alone.
    """
    small = [
        file
        for file in files
        if is_small(file) and file.date is not None and file.rows is not None and file.first_seq is not None
    ]
    small.sort(key=lambda file: (file.date or "", file.order))
    return [
        Rewrite(day, tuple(group))
        for day, of_day in groupby(small, key=lambda file: file.date or "")
        if day < before.isoformat()
        for group in _groups(list(of_day))
        if len(group) > 1
    ]


def _groups(files: list[DataFile]) -> Iterator[list[DataFile]]:
    """Files of one date in groups for one new file each; no seq is in two groups."""
    group: list[DataFile] = []
    size = 0
    for cluster in _clusters(files):
        of_cluster = sum(file.size for file in cluster)
        if group and size + of_cluster > LARGEST_BYTES:
            yield group
            group, size = [], 0
        group += cluster
        size += of_cluster
    if group:
        yield group


def _clusters(files: Sequence[DataFile]) -> Iterator[list[DataFile]]:
    """Files, ordered by seq, that share seqs go together."""
    cluster: list[DataFile] = []
    last = -1
    for file in files:
        if cluster and (file.first_seq or 0) > last:
            yield cluster
            cluster = []
        cluster.append(file)
        last = max(last, file.last_seq or 0)
    if cluster:
        yield cluster


@dataclass(slots=True)
class Sums:
    """What rows come to: their number, sums over seq, time and all columns, and one that knows their order.

    Sums are modulo 2**64. `extremes` are the lowest and highest values of the columns with statistics.
    """

    rows: int = 0
    seq: int = 0
    time: int = 0
    content: int = 0
    order: int = 0
    extremes: dict[str, tuple[Any, Any]] = field(default_factory=dict, compare=False)

    def add(self, rows: pl.DataFrame, measured: Sequence[str] = ()) -> None:
        """Take in the next rows; `measured` are the columns to know the extremes of."""
        hashes = rows.hash_rows().to_numpy()
        place = np.arange(self.rows + 1, self.rows + 1 + rows.height, dtype=np.uint64)
        self.rows += rows.height
        self.seq = _wrapped(self.seq, rows["seq"].to_numpy().view(np.uint64))
        self.time = _wrapped(self.time, rows["time"].to_physical().to_numpy().view(np.uint64))
        self.content = _wrapped(self.content, hashes)
        self.order = _wrapped(self.order, hashes * place)
        for name in measured:
            values = rows[name]
            known = [*self.extremes.get(name, ()), values.min(), values.max()]
            self.extremes[name] = (min(known), max(known))


def _wrapped(total: int, values: np.ndarray[Any, np.dtype[np.uint64]]) -> int:
    return (total + int(values.sum(dtype=np.uint64))) % 2**64


def sorted_rows(
    store: Store, table: str, files: Sequence[DataFile], schema: pl.Schema
) -> Iterator[pl.DataFrame]:
    """The rows of these files by seq, as `schema`, some at a time; those of one seq keep their order."""
    waiting: list[pl.DataFrame] = []
    count = 0
    for cluster in _clusters(sorted(files, key=lambda file: file.order)):
        rows = pl.concat([_read(store, table, file, schema) for file in cluster])
        if not rows["seq"].is_sorted():
            rows = rows.sort("seq", maintain_order=True)
        waiting.append(rows)
        count += rows.height
        if count >= _ROWS_AT_ONCE:
            yield from pl.concat(waiting).iter_slices(_ROWS_AT_ONCE)
            waiting, count = [], 0
    if waiting:
        yield from pl.concat(waiting).iter_slices(_ROWS_AT_ONCE)


def _read(store: Store, table: str, file: DataFile, schema: pl.Schema) -> pl.DataFrame:
    rows = pl.read_parquet(store.read(file.key(table)))
    return rows.select(
        pl.col(name).cast(dtype) if name in rows.columns else pl.lit(None, dtype).alias(name)
        for name, dtype in schema.items()
    )


def sums_of(store: Store, table: str, files: Sequence[DataFile], schema: pl.Schema) -> Sums:
    """What the rows of these files come to, by seq."""
    sums = Sums()
    for rows in sorted_rows(store, table, files, schema):
        sums.add(rows)
    return sums


def write(store: Store, table: str, rewrite: Rewrite, schema: pl.Schema, measured: Sequence[str]) -> DataFile:
    """Write the new file safely to disk and read it back; it is in no version of the table yet.

    `schema` are the table's columns but `date`, `measured` those with statistics. Raises LakeError when what
    was read back is not what the sources hold.
    """
    sums = Sums()
    key = f"{table}/{rewrite.path}"
    with store.placing(key) as fresh:
        _sink(sorted_rows(store, table, rewrite.sources, schema), fresh, schema, sums, measured)
        size = fresh.stat().st_size
    back = Sums()
    for rows in delta.scan_file(store, key).collect_batches(maintain_order=True):
        back.add(rows)
    if sums.rows != rewrite.rows or sums != back:
        store.delete(key)
        raise LakeError(
            f"compacting {rewrite.date} of the table {table} ({store.uri}/{key}) did not keep its rows: "
            "nothing was changed; check the disk, and that no other program writes to the lake"
        )
    first, last = sums.extremes["seq"]
    text = statistics_of(sums.rows, sums.extremes)
    return DataFile(rewrite.path, size, rewrite.date, sums.rows, first, last, text)


def _sink(
    source: Iterator[pl.DataFrame], path: Path, schema: pl.Schema, sums: Sums, measured: Sequence[str]
) -> None:
    """Write the rows as one zstd Parquet file; what passes through is taken into `sums`.

    Into a file, since a buffer of Python's would stop every other thread for each piece that is added.
    """

    def rows(
        columns: list[str] | None, predicate: pl.Expr | None, count: int | None, size: int | None
    ) -> Iterator[pl.DataFrame]:
        for part in source:
            sums.add(part, measured)
            yield part

    register_io_source(rows, schema=schema).sink_parquet(
        path, compression="zstd", row_group_size=_ROWS_AT_ONCE, maintain_order=True
    )
