"""One table of the lake as Delta keeps it: create, open, append, widen, scan."""

from collections.abc import Collection, Iterable
from datetime import timedelta
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

from lake import failpoint, log_files
from lake.statistics import completed
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
LOOKED_UP = ("seq", "time", "first_time")
MARK = {"writer": "optiond"}


def kept_for(retention: timedelta) -> dict[str, str]:
    """The table properties that keep old versions for `retention`: log and files alike, since a version whose
    log outlives its files opens and cannot be read."""
    interval = f"interval {int(retention.total_seconds())} seconds"
    return {"delta.logRetentionDuration": interval, "delta.deletedFileRetentionDuration": interval}


def measured(columns: Collection[str]) -> dict[str, str]:
    """The table property that says of which columns files have statistics."""
    return {"delta.dataSkippingStatsColumns": ",".join(name for name in LOOKED_UP if name in columns)}


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
        custom_metadata=dict(MARK),
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


def scan(table: DeltaTable) -> pl.LazyFrame:
    """The table's rows as of its handle; a bucket that is gone is told within seconds."""
    return pl.scan_delta(table, storage_options=None if table._storage_options is None else _POLARS)


def data_files(table: DeltaTable) -> pl.DataFrame:
    """The table's data files: path, size_bytes, num_records and per column min.*, max.*.

    Rows, seqs and times are always there: where another program had statistics left out, the file is asked.
    """
    files = pl.DataFrame(table.get_add_actions(flatten=True))
    return completed(files, table, LOOKED_UP)


def files_at(store: Store, name: str, version: int) -> tuple[dict[str, int], list[str]]:
    """What the table at `version` consists of: its data files with their sizes, and its log files in order.

    Raises DeltaError when that version cannot be read.
    """
    table = DeltaTable(_uri(store, name), version=version, storage_options=_options(store))
    files = data_files(table).select("path", "size_bytes").iter_rows()
    data = {f"{name}/{unquote(path)}": size for path, size in files}
    keys = store.keys(f"{name}/_delta_log")
    log = [key for at, key in log_files.commits(keys) if at <= version]
    log += [key for at, key in log_files.checkpoint_files(keys) if at <= version]
    return data, sorted(log)


def read_whole(store: Store, key: str) -> int:
    """Read every value of one data file; gives its rows. Raises PolarsError when it is damaged."""
    rows = scan_file(store, key)
    return int(rows.select(pl.len(), pl.all().is_null().any()).collect(engine="streaming")["len"][0])


def scan_file(store: Store, key: str) -> pl.LazyFrame:
    """The rows of one data file, without the date that its folder names."""
    return pl.scan_parquet(
        f"{store.uri}/{key}", storage_options=_options(store), glob=False, hive_partitioning=False
    )


def _uri(store: Store, name: str) -> str:
    return f"{store.uri}/{name}"


def _options(store: Store) -> dict[str, str] | None:
    return None if store.options is None else dict(store.options)


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
            statistics_enabled="CHUNK" if name in LOOKED_UP else "NONE",
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
