"""One table of the lake as Delta keeps it: open, append, heal, sync.

delta-rs has no fsync, and a table whose newest log file is torn cannot be opened (an empty one opens as if
nothing had been written). So the writer syncs what a flush wrote before it lets go of the journal, and
until then no version is *vouched for*: what is damaged there is removed and written again.
"""

import json
from collections.abc import Iterable, Iterator
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

from lake.store import Store

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
_POLARS = {"max_retries": 3, "retry_timeout_ms": 10_000}  # what polars calls its own, beside delta-rs's
_PARQUET_ENDS = b"PAR1"
_LAST_CHECKPOINT = "_last_checkpoint"


def open_table(store: Store, name: str) -> DeltaTable | None:
    """The table at its newest version; None when there is none yet."""
    try:
        return DeltaTable(_uri(store, name), storage_options=_options(store))
    except TableNotFoundError:
        return None


def create_table(store: Store, name: str, schema: pl.Schema, statistics: Iterable[str]) -> DeltaTable:
    """A new, empty table by UTC date of `time`; `statistics` are the columns that files are skipped by."""
    fields = [*_fields(schema), Field("date", PrimitiveType("date"))]
    configuration = {
        "delta.dataSkippingStatsColumns": ",".join(statistics),
        "delta.checkpointInterval": str(CHECKPOINT_EVERY),
    }
    return DeltaTable.create(
        _uri(store, name),
        Schema(fields),
        partition_by="date",
        configuration=configuration,
        storage_options=_options(store),
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


def mistyped(table: DeltaTable, schema: pl.Schema) -> list[str]:
    """The columns that the table has with another type than `schema`."""
    known = {field.name: field.type for field in table.schema().fields}
    return [field.name for field in _fields(schema) if known.get(field.name, field.type) != field.type]


def is_stale(table: DeltaTable, opened_at: int) -> bool:
    """Whether a checkpoint was written since the handle was opened at that version."""
    return (table.version() + 1) // CHECKPOINT_EVERY > (opened_at + 1) // CHECKPOINT_EVERY


def heal(store: Store, name: str, vouched: int) -> list[str]:
    """Remove the newest versions from the first damaged one on; versions up to `vouched` are left alone.

    A version is damaged when its log file is empty or torn or a data file it names is missing or cut.
    Unvouched checkpoints go too: they are only a short cut. Gives the names of the log files removed.
    """
    log = f"{name}/_delta_log"
    keys = store.keys(log)
    newer = {version: key for version, key in _log_files(keys) if version > vouched}
    damaged = next((version for version, key in sorted(newer.items()) if _is_damaged(store, name, key)), None)
    removed = [key for version, key in newer.items() if damaged is not None and version >= damaged]
    shortcuts = [key for key in _checkpoints(keys) if _version_of(key, 0) > vouched]
    if shortcuts:
        store.delete(f"{log}/{_LAST_CHECKPOINT}")
    for key in (*removed, *shortcuts):
        store.delete(key)
    if removed or shortcuts:
        store.sync_folder(log)
    return sorted(_file_name(key) for key in removed)


def is_whole(store: Store, name: str, version: int) -> bool:
    """Whether a version's log file and the data files it adds are there and not torn."""
    key = log_key(name, version)
    return store.size(key) is not None and not _is_damaged(store, name, key)


def sync(store: Store, name: str, after: int, upto: int) -> None:
    """Bring the versions after `after` up to `upto`, their data files and their folders safely to disk."""
    if upto <= after or store.is_durable:
        return
    # By name, not by listing: the folder of a table that has been written to all day holds hundreds of them.
    shortcuts = [_checkpoint_key(name, version) for version in range(after + 1, upto + 1)]
    wanted = {key for key in shortcuts if store.size(key) is not None}
    if wanted:
        wanted.add(f"{name}/_delta_log/{_LAST_CHECKPOINT}")
    for version in range(after + 1, upto + 1):
        key = log_key(name, version)
        wanted |= {key, *(f"{name}/{path}" for path, _ in added_files(store.read(key)))}
    store.sync(wanted)


def scan(table: DeltaTable) -> pl.LazyFrame:
    """The table's rows as of its handle; a bucket that is gone is told within seconds."""
    return pl.scan_delta(table, storage_options=None if table._storage_options is None else _POLARS)


def data_files(table: DeltaTable) -> pl.DataFrame:
    """The table's data files: path, size_bytes, num_records and per column min.*, max.*."""
    return pl.DataFrame(table.get_add_actions(flatten=True))


def files_at(store: Store, name: str, version: int) -> tuple[dict[str, int], list[str]]:
    """What the table at `version` consists of: its data files with their sizes, and its log files in order.

    Raises DeltaError when that version cannot be read.
    """
    table = DeltaTable(_uri(store, name), version=version, storage_options=_options(store))
    files = data_files(table).select("path", "size_bytes").iter_rows()
    data = {f"{name}/{unquote(path)}": size for path, size in files}
    keys = store.keys(f"{name}/_delta_log")
    log = [key for at, key in _log_files(keys) if at <= version]
    log += [key for key in _checkpoints(keys) if _version_of(key, version + 1) <= version]
    return data, sorted(log)


def read_whole(store: Store, key: str) -> int:
    """Read every value of one data file; gives its rows. Raises PolarsError when it is damaged."""
    scanned = pl.scan_parquet(f"{store.uri}/{key}", storage_options=_options(store), glob=False)
    return int(scanned.select(pl.len(), pl.all().is_null().any()).collect(engine="streaming")["len"][0])


def added_files(log_file: bytes) -> Iterator[tuple[str, int]]:
    """The data files that a log file adds, each with its size in bytes; paths are relative to the table."""
    for line in log_file.splitlines():
        if add := json.loads(line).get("add"):
            yield unquote(add["path"]), add["size"]


def _uri(store: Store, name: str) -> str:
    return f"{store.uri}/{name}"


def _options(store: Store) -> dict[str, str] | None:
    return None if store.options is None else dict(store.options)


def log_key(name: str, version: int) -> str:
    return f"{name}/_delta_log/{version:020}.json"


def _checkpoint_key(name: str, version: int) -> str:
    return f"{name}/_delta_log/{version:020}.checkpoint.parquet"


def _file_name(key: str) -> str:
    return key.rpartition("/")[2]


def _version_of(key: str, default: int) -> int:
    number = _file_name(key).split(".")[0]
    return int(number) if number.isdigit() else default


def _log_files(keys: Iterable[str]) -> Iterator[tuple[int, str]]:
    for key in keys:
        stem, _, kind = _file_name(key).partition(".")
        if kind == "json" and stem.isdigit():
            yield int(stem), key


def _checkpoints(keys: Iterable[str]) -> Iterator[str]:
    return (key for key in keys if ".checkpoint" in key and key.endswith(".parquet"))


def _is_damaged(store: Store, name: str, key: str) -> bool:
    try:
        content = store.read(key)
        actions = set().union(*(json.loads(line) for line in content.splitlines()))
        added = list(added_files(content))
    except ValueError:
        return True
    # Cut between two lines it is still JSON: an append ends with its transaction, the others change metadata.
    whole = "txn" in actions or ("metaData" in actions and not added)
    return not whole or not all(_is_whole_file(store, f"{name}/{path}", size) for path, size in added)


def _is_whole_file(store: Store, key: str, size: int) -> bool:
    return store.size(key) == size and store.read_end(key, len(_PARQUET_ENDS)) == _PARQUET_ENDS


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
