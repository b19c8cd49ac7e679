"""Option snapshots of other programs, brought into `contracts` and `snapshots`, each once however often it
is asked for.

A quote is known by its contract and its time, and what the lake has already is not added again. So the same
import adds nothing, a folder that has grown adds what is new, and one that was killed goes on.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from urllib.parse import unquote

import polars as pl
from deltalake import DeltaTable

from lake import delta, option_snapshots
from lake.faults import reported
from lake.option_snapshots import TERMS, Faults
from lake.reader import LakeReader
from lake.store import Folder
from lake.writer import Lake
from options import LakeError

ROWS_AT_ONCE = 250_000
_SMALL_ROWS, _MANY_FILES = 1_000, 1_000
_QUOTE = ("quote_time", *TERMS)

Progress = Callable[[int, int], None]
"""Told files read and files in all."""


@dataclass(slots=True)
class ImportReport:
    """What became of the rows that were read: `rows` = `added` + `known` (in the lake before) + `repeated`
    (the same row again within the source) + `conflicting` (another row of the same contract and time: the
    first is kept) + those that `faults` counts as refused. `unreadable` files hold no rows that could be
    read."""

    files: int = 0
    rows: int = 0
    added: int = 0
    known: int = 0
    repeated: int = 0
    conflicting: int = 0
    contracts: int = 0
    commits: int = 0
    unreadable: list[str] = field(default_factory=list)
    faults: Faults = field(default_factory=Faults)

    @property
    def is_fragmented(self) -> bool:
        """Whether the source has many small files, which every reader of it pays for."""
        return self.files > _MANY_FILES and self.rows < self.files * _SMALL_ROWS


@dataclass(frozen=True, slots=True)
class _File:
    """A Parquet file; `partition`: the columns that are in its path or the table's log instead of in it."""

    path: Path
    partition: Mapping[str, object]


def import_snapshots(
    lake: Lake,
    reader: LakeReader,
    source: Path,
    now: Callable[[], datetime],
    progress: Progress = lambda _done, _all: None,
    rows_at_once: int = ROWS_AT_ONCE,
) -> ImportReport:
    """Bring the snapshots in `source` (a Delta table, a folder of Parquet files, or one such file) into the
    lake that `lake` writes and `reader` reads; commits are made at `now()`, one per `rows_at_once` rows.

    Raises LakeError when `source` holds no option snapshots at all, or the lake cannot be written; what was
    committed until then stays, and the next import goes on from there.
    """
    files = _files(source)
    report, name = ImportReport(files=len(files)), source.name
    contracts = _contracts(reader)
    for frames, done in _batches(files, report, rows_at_once):
        rows = _cleaned(frames, report)
        _refuse_nothing_known(source, report, rows, is_last=done == len(files))
        if rows.height:
            fresh = option_snapshots.contract_ids(rows.select(TERMS).unique(maintain_order=True).iter_rows())
            _refuse_collisions(contracts, fresh)
            added = _new(reader, rows.join(fresh, on=TERMS), report)
            _commit(lake, now(), name, added, fresh.join(contracts, on="con_id", how="anti"), report)
            contracts = pl.concat([contracts, fresh]).unique(maintain_order=True)
        progress(done, len(files))
    return report


def _commit(
    lake: Lake, now: datetime, source: str, rows: pl.DataFrame, contracts: pl.DataFrame, report: ImportReport
) -> None:
    report.added += rows.height
    if not rows.height:
        return
    traded = contracts.join(rows, on="con_id", how="semi").with_columns(sec_type=pl.lit("OPT"))
    report.contracts += traded.height
    lake.commit(now, {"contracts": traded, "snapshots": option_snapshots.quotes(rows, source)})
    lake.flush()  # so that the journal never holds more than one batch
    report.commits += 1


def _cleaned(frames: Iterable[pl.DataFrame], report: ImportReport) -> pl.DataFrame:
    """The usable rows of frames of any schema, each quote once."""
    alike: dict[tuple[tuple[str, pl.DataType], ...], list[pl.DataFrame]] = {}
    for frame in frames:
        report.rows += frame.height
        alike.setdefault(tuple(frame.schema.items()), []).append(frame)
    parts = [option_snapshots.clean(pl.concat(each), report.faults) for each in alike.values()]
    rows = pl.concat([option_snapshots.EMPTY.to_frame(), *(part for part in parts if part.width)])
    different = rows.unique(maintain_order=True)
    quotes = different.unique(_QUOTE, keep="first", maintain_order=True)
    report.repeated += rows.height - different.height
    report.conflicting += different.height - quotes.height
    return quotes


def _new(reader: LakeReader, rows: pl.DataFrame, report: ImportReport) -> pl.DataFrame:
    """The rows whose quote the lake does not have, by contract and time."""
    span = pl.col("quote_time").is_between(rows["quote_time"].min(), rows["quote_time"].max())
    had = reader.table("snapshots").filter((pl.col("con_id") < 0) & span).select("con_id", "quote_time")
    new = rows.join(had.unique().collect(), on=["con_id", "quote_time"], how="anti")
    report.known += rows.height - new.height
    return new.sort("con_id", "quote_time")


def _contracts(reader: LakeReader) -> pl.DataFrame:
    """The contracts that imports have named so far."""
    ours = reader.table("contracts").filter(pl.col("con_id") < 0)
    return ours.select("con_id", *TERMS).unique().collect()


def _refuse_collisions(known: pl.DataFrame, fresh: pl.DataFrame) -> None:
    """Two contracts never share an id. Raises LakeError; no such pair has been seen."""
    both = pl.concat([known, fresh]).unique()
    twice = both.filter(pl.col("con_id").is_duplicated()).sort("con_id")
    if twice.height:
        raise LakeError(
            f"two contracts have the same id {twice['con_id'][0]}: {twice.row(0)[1:]} and "
            f"{twice.row(1)[1:]}; import them into two homes"
        )


def _refuse_nothing_known(source: Path, report: ImportReport, rows: pl.DataFrame, is_last: bool) -> None:
    """Raises LakeError when the whole source has not one usable row, and says why."""
    if rows.height or not is_last or report.added or report.known:
        return
    if report.faults.refused:
        reason, _ = report.faults.refused.most_common(1)[0]
        raise LakeError(f"{source} holds no option snapshots that can be used ({reason}): see docs/lake.md")
    if report.unreadable:
        raise LakeError(f"{source}: no file of it can be read ({report.unreadable[0]})")


def _batches(
    files: list[_File], report: ImportReport, rows_at_once: int
) -> Iterator[tuple[list[pl.DataFrame], int]]:
    """The rows of the files in pieces of about `rows_at_once`, and how many files they reach."""
    held: list[pl.DataFrame] = []
    count = 0
    for done, file in enumerate(files, start=1):
        for frame in _frames(file, report, rows_at_once):
            if count and count + frame.height > rows_at_once:
                yield held, done - 1
                held, count = [], 0
            held.append(frame)
            count += frame.height
    yield held, len(files)


def _frames(file: _File, report: ImportReport, rows_at_once: int) -> Iterator[pl.DataFrame]:
    """One file, at most `rows_at_once` rows at a time; one that cannot be read is reported."""
    offset = 0
    while True:
        try:
            scanned = pl.scan_parquet(file.path, glob=False, hive_partitioning=False)
            missing = file.partition.keys() - set(scanned.collect_schema().names())
            frame = scanned.slice(offset, rows_at_once).collect()
        except (pl.exceptions.PolarsError, OSError) as error:
            report.unreadable.append(f"{file.path.name}: {str(error).splitlines()[0]}")
            return
        if frame.height:
            yield frame.with_columns(pl.lit(file.partition[name]).alias(name) for name in sorted(missing))
        if frame.height < rows_at_once:
            return
        offset += rows_at_once


def _files(source: Path) -> list[_File]:
    """The Parquet files of a Delta table, a folder, or the file itself, in a lasting order."""
    if source.is_file():
        return [_File(source, {})]
    if (source / "_delta_log").is_dir():
        with reported("cannot read the Delta table", source):
            return _delta_files(source)
    tables = sorted(log.parent.name for log in source.rglob("_delta_log"))
    if tables:
        raise LakeError(f"{source} holds Delta tables ({', '.join(tables[:5])}): name one of them")
    found = sorted(path for path in source.rglob("*.parquet") if path.is_file())
    if not found:
        raise LakeError(f"{source} holds no Delta table and no Parquet file: name a folder of snapshots")
    return [_File(path, _hive(path.relative_to(source))) for path in found]


def _delta_files(source: Path) -> list[_File]:
    table = delta.open_table(Folder(source.parent), source.name)
    if table is None:
        raise LakeError(f"{source} holds a Delta log that no table can be read from: name another folder")
    _refuse_unreadable_features(source, table)
    files = delta.data_files(table)
    prefix = "partition."
    columns = [name for name in files.columns if name.startswith(prefix)]
    return [
        _File(source / unquote(row["path"]), {name.removeprefix(prefix): row[name] for name in columns})
        for row in files.sort("path").iter_rows(named=True)
    ]


def _refuse_unreadable_features(source: Path, table: DeltaTable) -> None:
    """Rows deleted without a trace in the files, and columns that have other names there."""
    features = set(table.protocol().reader_features or ())
    mapping = table.metadata().configuration.get("delta.columnMapping.mode", "none")
    if "deletionVectors" in features or mapping != "none":
        raise LakeError(
            f"{source} uses deletion vectors or column mapping, which this import does not read: have the "
            "program that wrote it write plain Parquet files"
        )


def _hive(path: Path) -> dict[str, object]:
    """The columns that folder names give, as in `strike=450.0/part-0.parquet`."""
    pairs = (part.partition("=") for part in path.parent.parts)
    return {name: unquote(value) for name, equals, value in pairs if equals}
