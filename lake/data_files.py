"""The data files of one table, and the commits that put some in the place of others."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import unquote

from deltalake import DeltaTable, Schema
from deltalake.transaction import AddAction, RemoveAction

from lake import delta
from lake.store import Store

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class DataFile:
    """One data file as the log names it. `path` is as written there; `rows`, `first_seq` and `last_seq` are
    None when whoever wrote it left its statistics out; `statistics` is the log's own text."""

    path: str
    size: int
    date: str | None
    rows: int | None
    first_seq: int | None
    last_seq: int | None
    statistics: str

    def key(self, table: str) -> str:
        """Where the store has it."""
        return f"{table}/{unquote(self.path)}"

    @property
    def order(self) -> tuple[int, int, str]:
        """By seq; parts of one flush by their number, which their path begins with."""
        return (self.first_seq or 0, self.last_seq or 0, self.path)


def live_files(table: DeltaTable) -> list[DataFile]:
    """The data files of the handle's version, in the order of their seqs."""
    return sorted(map(_of_row, delta.data_files(table).to_dicts()), key=lambda file: file.order)


def added_file(add: Mapping[str, Any]) -> DataFile:
    """What an `add` of the log adds."""
    text = add.get("stats") or "{}"
    told = json.loads(text)
    return DataFile(
        add["path"],
        add["size"],
        add["partitionValues"].get("date"),
        told.get("numRecords"),
        told.get("minValues", {}).get("seq"),
        told.get("maxValues", {}).get("seq"),
        text,
    )


def statistics_of(
    rows: int, values: Mapping[str, tuple[Any, Any]], nulls: Mapping[str, int] | None = None
) -> str:
    """The log's text of a file's statistics; `values` are the lowest and the highest of each column."""
    text = {
        "numRecords": rows,
        "minValues": {name: _plain(low) for name, (low, _) in values.items()},
        "maxValues": {name: _plain(high) for name, (_, high) in values.items()},
        "nullCount": dict(nulls) if nulls is not None else dict.fromkeys(values, 0),
    }
    return json.dumps(text)


def exchange(
    table: DeltaTable,
    removed: Iterable[DataFile],
    added: Iterable[DataFile],
    app: str,
    moment: datetime,
    changes_rows: bool = False,
    schema: Schema | None = None,
) -> None:
    """Put `added` in the place of `removed`, in one version that only follows the handle's own.

    With a `schema`, `removed` must be all files that the table has, and its columns become these.
    `moment` is when this happens by the machine's clock, which every program's vacuum goes by. Raises
    CommitFailedError when anybody has committed anything since the handle was opened. The handle stays at its
    version: open the table again.
    """
    stamp = (moment - _EPOCH) // _MS
    actions: list[AddAction | RemoveAction] = []
    if schema is None:  # else delta-rs removes them all by itself
        actions += [
            RemoveAction(file.path, changes_rows, stamp, size=file.size, partition_values={"date": file.date})
            for file in removed
        ]
    actions += [
        AddAction(file.path, file.size, {"date": file.date}, stamp, changes_rows, file.statistics)
        for file in added
    ]
    number = (table.transaction_version(app) or 0) + 1
    table.create_write_transaction(
        actions,
        "append" if schema is None else "overwrite",
        schema or table.schema(),
        ["date"],
        commit_properties=delta.signed(app, number, max_commit_retries=0),
        post_commithook_properties=delta.HOOKS,
    )


def is_there(store: Store, table: str, file: DataFile) -> bool:
    """Whether the store still has the file, with its size."""
    return store.size(file.key(table)) == file.size


def _of_row(row: Mapping[str, Any]) -> DataFile:
    columns = [name.removeprefix("min.") for name in row if name.startswith("min.")]
    known = {
        name: (row[f"min.{name}"], row.get(f"max.{name}"))
        for name in columns
        if row[f"min.{name}"] is not None
    }
    nulls = {
        name.removeprefix("null_count."): count
        for name, count in row.items()
        if name.startswith("null_count.") and count is not None
    }
    rows, day = row.get("num_records"), row.get("partition.date")
    return DataFile(
        row["path"],
        row["size_bytes"],
        None if day is None else str(day),
        rows,
        row.get("min.seq"),
        row.get("max.seq"),
        "{}" if rows is None else statistics_of(rows, known, nulls),
    )


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return value.isoformat() if isinstance(value, date) else value
