"""One table of the lake as Delta keeps it: open, append, heal, sync.

delta-rs has no fsync, and a table whose newest log file is torn cannot be opened (an empty one opens as if
nothing had been written). So the writer syncs what a flush wrote before it lets go of the journal, and
until then no version is *vouched for*: what is damaged there is removed and written again.
"""

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import unquote

import polars as pl
from deltalake import (
    ColumnProperties,
    CommitProperties,
    DeltaTable,
    Field,
    PostCommitHookProperties,
    Schema,
    Transaction,
    WriterProperties,
    write_deltalake,
)
from deltalake.exceptions import TableNotFoundError
from deltalake.schema import ArrayType, PrimitiveType

APP = "flush"
CHECKPOINT_EVERY = 20  # commits; a held handle slows down with every commit since the last one it saw

_PRIMITIVES = {
    pl.Int64(): "long",
    pl.Float64(): "double",
    pl.Boolean(): "boolean",
    pl.String(): "string",
    pl.Date(): "date",
}
_HOOKS = PostCommitHookProperties(cleanup_expired_logs=False)
_PARQUET_ENDS = b"PAR1"


def open_table(folder: Path) -> DeltaTable | None:
    """The table at its newest version; None when there is none yet."""
    if not (folder / "_delta_log").is_dir():
        return None
    try:
        return DeltaTable(folder)
    except TableNotFoundError:
        return None


def create_table(folder: Path, schema: pl.Schema, statistics: Iterable[str]) -> DeltaTable:
    """A new, empty table by UTC date of `time`; `statistics` are the columns that files are skipped by."""
    folder.mkdir(parents=True, exist_ok=True)
    fields = [*_fields(schema), Field("date", PrimitiveType("date"))]
    configuration = {
        "delta.dataSkippingStatsColumns": ",".join(statistics),
        "delta.checkpointInterval": str(CHECKPOINT_EVERY),
    }
    return DeltaTable.create(
        folder,
        Schema(fields),
        partition_by="date",
        configuration=configuration,
        post_commithook_properties=_HOOKS,
    )


def append(table: DeltaTable, rows: pl.DataFrame, seq: int) -> None:
    """Add rows in one version that remembers `seq`, the last seq in them.

    Raises CommitFailedError when another handle has committed the same since this one was opened.
    """
    write_deltalake(
        table,
        rows.with_columns(date=pl.col("time").dt.date()),
        mode="append",
        writer_properties=_writing(rows.schema),
        commit_properties=CommitProperties(app_transactions=[Transaction(APP, seq)]),
        post_commithook_properties=_HOOKS,
    )


def widen(table: DeltaTable, schema: pl.Schema) -> None:
    """Add the columns that the table does not have yet; they are null in its older rows."""
    known = columns_of(table)
    if missing := [field for field in _fields(schema) if field.name not in known]:
        table.alter.add_columns(missing, post_commithook_properties=_HOOKS)


def columns_of(table: DeltaTable) -> set[str]:
    """The names of the columns the table has."""
    return {field.name for field in table.schema().fields}


def is_stale(table: DeltaTable, opened_at: int) -> bool:
    """Whether a checkpoint was written since the handle was opened at that version."""
    return (table.version() + 1) // CHECKPOINT_EVERY > (opened_at + 1) // CHECKPOINT_EVERY


def heal(folder: Path, vouched: int) -> list[str]:
    """Remove the newest versions from the first damaged one on; versions up to `vouched` are left alone.

    A version is damaged when its log file is empty or torn or a data file it names is missing or cut.
    Unvouched checkpoints go too: they are only a short cut. Gives the names of the log files removed.
    """
    log = folder / "_delta_log"
    newer = {version: path for version, path in _log_files(log) if version > vouched}
    damaged = next((version for version, path in sorted(newer.items()) if _is_damaged(folder, path)), None)
    removed = [path for version, path in newer.items() if damaged is not None and version >= damaged]
    shortcuts = [path for path in log.glob("*.checkpoint*.parquet") if int(path.name.split(".")[0]) > vouched]
    if shortcuts:
        (log / "_last_checkpoint").unlink(missing_ok=True)
    for path in (*removed, *shortcuts):
        path.unlink()
    if removed or shortcuts:
        _sync(log)
    return sorted(path.name for path in removed)


def is_whole(folder: Path, version: int) -> bool:
    """Whether a version's log file and the data files it adds are there and not torn."""
    path = folder / "_delta_log" / f"{version:020}.json"
    return path.is_file() and not _is_damaged(folder, path)


def sync(folder: Path, after: int, upto: int) -> None:
    """Bring the versions after `after` up to `upto`, their data files and their folders safely to disk."""
    log = folder / "_delta_log"
    files = {log / "_last_checkpoint", *log.glob("*.checkpoint*.parquet")} if upto > after else set()
    files = {path for path in files if path.exists() and _version_of(path, upto) > after}
    for version in range(after + 1, upto + 1):
        path = log / f"{version:020}.json"
        files |= {path, *(folder / name for name, _ in added_files(path))}
    for path in files:
        _sync(path)
    for path in {path.parent for path in files} | {folder, folder.parent, folder.parent.parent}:
        _sync(path)


def data_files(table: DeltaTable) -> pl.DataFrame:
    """The table's data files: path, size_bytes, num_records and per column min.*, max.*."""
    return pl.DataFrame(table.get_add_actions(flatten=True))


def _log_files(log: Path) -> Iterator[tuple[int, Path]]:
    for path in log.glob("*.json"):
        if path.stem.isdigit():
            yield int(path.stem), path


def _version_of(path: Path, default: int) -> int:
    number = path.name.split(".")[0]
    return int(number) if number.isdigit() else default


def added_files(path: Path) -> Iterator[tuple[str, int]]:
    """The data files that a log file adds, each with its size in bytes."""
    for line in path.read_text().splitlines():
        if add := json.loads(line).get("add"):
            yield unquote(add["path"]), add["size"]


def _is_damaged(folder: Path, path: Path) -> bool:
    try:
        actions = set().union(*(json.loads(line) for line in path.read_text().splitlines()))
        added = list(added_files(path))
    except ValueError:
        return True
    # Cut between two lines it is still JSON: an append ends with its transaction, the others change metadata.
    whole = "txn" in actions or ("metaData" in actions and not added)
    return not whole or not all(_is_whole_file(folder / name, size) for name, size in added)


def _is_whole_file(path: Path, size: int) -> bool:
    if not path.is_file() or path.stat().st_size != size:
        return False
    with path.open("rb") as file:
        file.seek(-len(_PARQUET_ENDS), os.SEEK_END)
        return file.read() == _PARQUET_ENDS


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _writing(schema: pl.Schema) -> WriterProperties:
    """Dictionaries for words only: for numbers and ids they cost a third of the time and save nothing."""
    words = [name for name, dtype in schema.items() if dtype in (pl.String(), pl.List(pl.String()))]
    return WriterProperties(
        default_column_properties=ColumnProperties(dictionary_enabled=False),
        column_properties={name: ColumnProperties(dictionary_enabled=True) for name in words},
    )


def _fields(schema: pl.Schema) -> list[Field]:
    return [Field(name, _delta_type(dtype)) for name, dtype in schema.items()]


def _delta_type(dtype: pl.DataType) -> PrimitiveType | ArrayType:
    if isinstance(dtype, pl.List):
        return ArrayType(_delta_type(pl.Schema({"": dtype.inner})[""]), contains_null=True)
    if isinstance(dtype, pl.Datetime):
        return PrimitiveType("timestamp")
    return PrimitiveType(_PRIMITIVES[dtype])
