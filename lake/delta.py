"""One table of the lake as Delta keeps it: open, append, heal, sync.

delta-rs has no fsync, and a table whose newest log file is torn cannot be opened (an empty one opens as if
nothing had been written). So the writer syncs what a flush wrote before it lets go of the journal, and
until then no version is *vouched for*: what is damaged there is removed and written again.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import unquote

import polars as pl
from arro3.core import DataType, Table
from arro3.core import Field as ArrowField
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
from deltalake.exceptions import CommitFailedError, TableNotFoundError
from deltalake.schema import ArrayType, PrimitiveType

from lake import failpoint
from lake.store import Store

APP = "flush"
RETENTION = timedelta(days=30)  # how long versions and files that were replaced can still be read
CHECKPOINT_EVERY = 20  # commits; a held handle slows down with every commit since the last one it saw

_PRIMITIVES = {
    pl.Int64(): "long",
    pl.Float64(): "double",
    pl.Boolean(): "boolean",
    pl.String(): "string",
    pl.Date(): "date",
}
_ARROW = {
    pl.String(): DataType.string(),
    pl.List(pl.String()): DataType.list(ArrowField("element", DataType.string(), nullable=True)),
}
HOOKS = PostCommitHookProperties(cleanup_expired_logs=False)
_POLARS = {"max_retries": 3, "retry_timeout_ms": 10_000}  # what polars calls its own, beside delta-rs's
_PARQUET_ENDS = b"PAR1"
_LOOKED_UP = ("seq", "time", "first_time")
_MARK = {"writer": "optiond"}
_OF_METADATA = ("CREATE TABLE", "ADD COLUMN", "SET TBLPROPERTIES")
_LAST_CHECKPOINT = "_last_checkpoint"


def kept_for(retention: timedelta) -> dict[str, str]:
    """The table properties that keep old versions for `retention`: log and files alike, since a version whose
    log outlives its files opens and cannot be read."""
    interval = f"interval {int(retention.total_seconds())} seconds"
    return {"delta.logRetentionDuration": interval, "delta.deletedFileRetentionDuration": interval}


def open_table(store: Store, name: str, version: int | None = None) -> DeltaTable | None:
    """The table at its newest version, or at the one given; None when there is none yet."""
    try:
        return DeltaTable(_uri(store, name), version=version, storage_options=_options(store))
    except TableNotFoundError:
        return None


def create_table(store: Store, name: str, schema: pl.Schema, statistics: Iterable[str]) -> DeltaTable:
    """A new, empty table by UTC date of `time`; `statistics` are the columns that files are skipped by."""
    fields = [*_fields(schema), Field("date", PrimitiveType("date"))]
    configuration = {
        "delta.dataSkippingStatsColumns": ",".join(statistics),
        "delta.checkpointInterval": str(CHECKPOINT_EVERY),
        **kept_for(RETENTION),
    }
    table = DeltaTable.create(
        _uri(store, name),
        Schema(fields),
        partition_by="date",
        configuration=configuration,
        storage_options=_options(store),
        post_commithook_properties=HOOKS,
    )
    failpoint.reach("delta.created")
    return table


def append(table: DeltaTable, rows: pl.DataFrame, seq: int) -> None:
    """Add rows in one version that remembers `seq`, the last seq in them.

    Raises CommitFailedError when another handle has committed the same since this one was opened.
    """
    write_deltalake(
        table,
        _plain(rows.with_columns(date=pl.col("time").dt.date())),
        mode="append",
        writer_properties=_writing(rows.schema),
        commit_properties=signed(APP, seq),
        post_commithook_properties=HOOKS,
    )


def fence(store: Store, name: str, tries: int) -> None:
    """Write a version without rows: an append through a handle that was opened before it fails from now on.

    Raises CommitFailedError when others have committed as often as it was tried.
    """
    for attempt in range(1, tries + 1):
        table = open_table(store, name)
        if table is None:
            return
        try:
            table.create_write_transaction(
                [],
                "append",
                table.schema(),
                commit_properties=signed(APP, table.transaction_version(APP) or 0),
                post_commithook_properties=HOOKS,
            )
        except CommitFailedError:
            if attempt == tries:
                raise
        else:
            return


def signed(app: str, number: int, max_commit_retries: int | None = None) -> CommitProperties:
    """What our commits carry: whose they are, and a transaction, which is the last line of their log file."""
    return CommitProperties(
        custom_metadata=dict(_MARK),
        max_commit_retries=max_commit_retries,
        app_transactions=[Transaction(app, number)],
    )


def widen(table: DeltaTable, schema: pl.Schema) -> None:
    """Add the columns that the table does not have yet; they are null in its older rows."""
    known = columns_of(table)
    if missing := [field for field in _fields(schema) if field.name not in known]:
        table.alter.add_columns(missing, post_commithook_properties=HOOKS)
        failpoint.reach("delta.widened")


def id_of(table: DeltaTable) -> str:
    """What tells the table from every other; a copy has the same."""
    return str(table.metadata().id)


def columns_of(table: DeltaTable) -> set[str]:
    """The names of the columns the table has."""
    return {field.name for field in table.schema().fields}


def mistyped(table: DeltaTable, schema: pl.Schema) -> list[str]:
    """The columns that the table has with another type than `schema`."""
    known = {field.name: field.type for field in table.schema().fields}
    return [field.name for field in _fields(schema) if known.get(field.name, field.type) != field.type]


def polars_schema(table: DeltaTable) -> pl.Schema:
    """The columns of the table's data files, which do not repeat the date."""
    schema = scan(table).collect_schema()
    return pl.Schema({name: dtype for name, dtype in schema.items() if name != "date"})


def is_stale(table: DeltaTable, opened_at: int) -> bool:
    """Whether a checkpoint was written since the handle was opened at that version."""
    return (table.version() + 1) // CHECKPOINT_EVERY > (opened_at + 1) // CHECKPOINT_EVERY


def heal(store: Store, name: str, vouched: int) -> list[str]:
    """Remove the newest versions from the first damaged one on; versions up to `vouched` are left alone.

    A version is damaged when its log file is missing, empty or torn, or a data file it names, which no later
    version replaced, is missing or cut. Unvouched checkpoints go too, where the log stands in for them: they
    are only a short cut. Gives the names of the log files removed.
    """
    log = f"{name}/_delta_log"
    keys = store.keys(log)
    logged, checkpoints = dict(_log_files(keys)), list(_checkpoints(keys))
    newer = {version: key for version, key in logged.items() if version > vouched}
    kept = max((_version_of(key, 0) for key in checkpoints if _version_of(key, 0) <= vouched), default=-1)
    is_short_cut = all(version in logged for version in range(kept + 1, vouched + 1))
    shortcuts = [key for key in checkpoints if is_short_cut and _version_of(key, 0) > vouched]
    gap = next((version for n, version in enumerate(sorted(newer), vouched + 1) if version != n), None)
    damaged = [_first_damaged(store, name, newer), gap if is_short_cut else None]
    first = min((version for version in damaged if version is not None), default=None)
    removed = [key for version, key in newer.items() if first is not None and version >= first]
    if shortcuts:
        store.delete(f"{log}/{_LAST_CHECKPOINT}")
    for key in (*removed, *shortcuts):
        store.delete(key)
        failpoint.reach("delta.healing")
    if removed or shortcuts:
        store.sync_folder(log)
    return sorted(_file_name(key) for key in removed)


def drop_damaged_checkpoint(store: Store, name: str) -> str | None:
    """Remove the newest checkpoint when it is damaged, or the hint at one that is missing.

    Only where the log files tell the same. Gives the name of what was removed; None: it is not that.
    """
    log = f"{name}/_delta_log"
    keys = store.keys(log)
    logged, checkpoints = dict(_log_files(keys)), list(_checkpoints(keys))
    *_, before, newest = [-1, -1, *sorted({_version_of(key, 0) for key in checkpoints})]
    doomed = [key for key in checkpoints if _version_of(key, 0) == newest]
    hint = f"{log}/{_LAST_CHECKPOINT}"
    is_damaged = any(_is_damaged_checkpoint(store, key) for key in doomed) if doomed else hint in keys
    if not is_damaged or not all(version in logged for version in range(before + 1, max(0, newest) + 1)):
        return None
    for key in (hint, *doomed):
        store.delete(key)
    store.sync_folder(log)
    return _file_name([hint, *doomed][-1])


def is_whole(store: Store, name: str, version: int, table: DeltaTable) -> bool:
    """Whether a version's log file and the data files it adds are there and not torn; `table` is a handle at
    that version or later. What was cleaned up since (a log that a checkpoint took the place of, data files
    that were replaced) is not missed."""
    if table.version() < version:
        return False
    key = log_key(name, version)
    if store.size(key) is None:
        return any(
            _version_of(path, -1) >= version for path in _checkpoints(store.keys(f"{name}/_delta_log"))
        )
    try:
        actions = actions_of(store.read(key))
    except ValueError:
        return False
    added = _added(actions)
    if not _is_complete(actions):
        return False
    if table.version() > version:
        live = set(data_files(table)["path"])
        added = [add for add in added if add["path"] in live]
    return all(_is_whole_file(store, name, add) for add in added)


def sync(store: Store, name: str, after: int, upto: int) -> None:
    """Bring the versions after `after` up to `upto`, their data files and their folders safely to disk.

    Another program may have cleaned up meanwhile: data files that were replaced again need not be there.
    """
    if upto <= after or store.is_durable:
        return
    # By name, not by listing: the folder of a table that has been written to all day holds hundreds of them.
    shortcuts = [_checkpoint_key(name, version) for version in range(after + 1, upto + 1)]
    wanted = {key for key in shortcuts if store.size(key) is not None}
    if wanted:
        wanted.add(f"{name}/_delta_log/{_LAST_CHECKPOINT}")
    added: dict[str, bool] = {}
    for version in range(after + 1, upto + 1):
        key = log_key(name, version)
        wanted.add(key)
        for action in actions_of(store.read(key)):
            if remove := action.get("remove"):
                added[remove["path"]] = False
            if add := action.get("add"):
                added[add["path"]] = True
    wanted |= {f"{name}/{unquote(path)}" for path, is_live in added.items() if is_live}
    store.sync(wanted)
    failpoint.reach("delta.synced")


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
    for add in _added(actions_of(log_file)):
        yield unquote(add["path"]), add["size"]


def actions_of(log_file: bytes) -> list[dict[str, Any]]:
    """What one version does, action by action. Raises ValueError when the file is torn."""
    actions = [json.loads(line) for line in log_file.splitlines()]
    if not all(isinstance(action, dict) for action in actions):
        raise ValueError("a line of the log is no action")
    return actions


def version_actions(store: Store, name: str, version: int) -> list[dict[str, Any]] | None:
    """What one version of a table does; None when its log file was cleaned up."""
    key = log_key(name, version)
    return None if store.size(key) is None else actions_of(store.read(key))


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


def _added(actions: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return [action["add"] for action in actions if "add" in action]


def _first_damaged(store: Store, name: str, log_keys: Mapping[int, str]) -> int | None:
    """The first damaged one of these versions; None when all are whole."""
    added: dict[int, list[dict[str, Any]]] = {}
    removed: dict[str, int] = {}
    for version, key in sorted(log_keys.items()):
        try:
            actions = actions_of(store.read(key))
        except ValueError:
            actions = []
        if not _is_complete(actions):
            break
        added[version] = _added(actions)
        removed |= {action["remove"]["path"]: version for action in actions if "remove" in action}
    lost = next((version for version in sorted(log_keys) if version not in added), None)
    for version, adds in added.items():
        needed = [add for add in adds if removed.get(add["path"], -1) <= version]
        if not all(_is_whole_file(store, name, add) for add in needed):
            return version
    return lost


def _is_damaged_checkpoint(store: Store, key: str) -> bool:
    try:
        read_whole(store, key)
    except (pl.exceptions.PolarsError, OSError):
        return True
    return False


def _is_complete(actions: list[dict[str, Any]]) -> bool:
    """Whether the log file of a version is all there: cut between two lines it is still JSON.

    It starts with its commit info. What we write is marked there and ends with its transaction; changes of
    metadata have metadata. What other programs wrote is judged by what it does, later.
    """
    kinds = set().union(*actions)
    info: dict[str, Any] = next((action["commitInfo"] for action in actions if "commitInfo" in action), {})
    if _MARK.items() <= info.items():
        return "txn" in kinds
    return bool(info) and ("metaData" in kinds or info.get("operation") not in _OF_METADATA)


def _is_whole_file(store: Store, name: str, add: Mapping[str, Any]) -> bool:
    key = f"{name}/{unquote(add['path'])}"
    return store.size(key) == add["size"] and store.read_end(key, len(_PARQUET_ENDS)) == _PARQUET_ENDS


def _plain(rows: pl.DataFrame) -> Table:
    """The rows without Arrow's view types, which would be noted in the file and which many readers refuse."""
    table = Table.from_arrow(rows)
    for place, (name, dtype) in enumerate(rows.schema.items()):
        if dtype in _ARROW:
            table = table.set_column(place, name, table.column(place).cast(_ARROW[dtype]))
    return table


def _writing(schema: pl.Schema) -> WriterProperties:
    """Only what pays in a small file that is soon put together with others: dictionaries for words, and
    statistics of what everything is looked up by. The rest costs time on writing and on reading."""

    def wanted(name: str, dtype: pl.DataType) -> ColumnProperties:
        return ColumnProperties(
            dictionary_enabled=dtype in (pl.String(), pl.List(pl.String())),
            statistics_enabled="CHUNK" if name in _LOOKED_UP else "NONE",
        )

    return WriterProperties(column_properties={name: wanted(name, dtype) for name, dtype in schema.items()})


def _fields(schema: pl.Schema) -> list[Field]:
    return [Field(name, _delta_type(dtype)) for name, dtype in schema.items()]


def _delta_type(dtype: pl.DataType) -> PrimitiveType | ArrayType:
    if isinstance(dtype, pl.List):
        return ArrayType(_delta_type(pl.Schema({"": dtype.inner})[""]), contains_null=True)
    if isinstance(dtype, pl.Datetime):
        return PrimitiveType("timestamp")
    return PrimitiveType(_PRIMITIVES[dtype])
