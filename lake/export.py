"""Tables as files for other programs: one zstd Parquet or CSV per table, and what their columns mean.

All tables are of one moment. Every file appears under its name whole or not at all.
"""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from lake.faults import reported
from lake.reader import LakeReader
from lake.schemas import TIME, TableSchema
from lake.store import Folder

SCHEMA = "schema.json"
LARGE = frozenset(("facts", "snapshots"))
"""Tables that are written as they lie, in pieces; the others are sorted by `seq`."""

_CSV_TIME = "%Y-%m-%dT%H:%M:%S%.6fZ"


@dataclass(frozen=True, slots=True)
class Exported:
    """One table that was written: its rows, and the file with its size in bytes."""

    table: str
    rows: int
    file: str
    bytes: int


def export(
    reader: LakeReader,
    folder: Path,
    seq: int,
    tables: Mapping[str, TableSchema],
    names: Sequence[str] = (),
    as_csv: bool = False,
    progress: Callable[[str], None] = lambda _: None,
) -> list[Exported]:
    """Write the rows up to `seq` of the tables `names` (none: all) into `folder`, and `schema.json`.

    `tables` says what the columns mean. Files of these names are replaced, others left alone. Raises
    LakeError for an unknown table, and when the lake cannot be read or the folder not be written.
    """
    chosen = list(dict.fromkeys(names)) or [info.name for info in reader.tables()]
    frames = {name: reader.table(name, seq) for name in chosen}
    written = []
    with reported("cannot export to", folder):
        folder.mkdir(parents=True, exist_ok=True)
        for name, frame in frames.items():
            progress(name)
            written.append(_written(name, frame, folder, as_csv))
        described = {
            "seq": seq,
            "tables": {
                each.table: _described(each, frames[each.table], tables.get(each.table)) for each in written
            },
        }
        Folder(folder).write(SCHEMA, f"{json.dumps(described, indent=2)}\n".encode())
    return written


def _written(name: str, frame: pl.LazyFrame, folder: Path, as_csv: bool) -> Exported:
    path = folder / f"{name}.{'csv' if as_csv else 'parquet'}"
    fresh = path.with_name(f"{path.name}.new")
    rows = frame if name in LARGE else frame.sort("seq", maintain_order=True)
    if as_csv:
        _flat(rows).sink_csv(fresh, datetime_format=_CSV_TIME)
    else:
        rows.sink_parquet(fresh, compression="zstd")
    _sync(fresh)
    fresh.replace(path)
    Folder(folder).sync_folder("")
    count = frame.select(pl.len()).collect().item()
    return Exported(name, count, path.name, path.stat().st_size)


def _flat(rows: pl.LazyFrame) -> pl.LazyFrame:
    """Lists as JSON: a line of CSV has none."""
    lists = [name for name, dtype in rows.collect_schema().items() if isinstance(dtype, pl.List)]
    as_json = (
        pl.when(pl.col(name).is_not_null()).then(
            pl.struct(pl.col(name).alias("of")).struct.json_encode()
            .str.strip_prefix('{"of":').str.strip_suffix("}")
        ).alias(name)
        for name in lists
    )  # fmt: skip
    return rows.with_columns(as_json)


def _described(written: Exported, frame: pl.LazyFrame, table: TableSchema | None) -> dict[str, Any]:
    """What the columns of one file mean; of one that a newer optiond has added only the type is known."""
    known = {} if table is None else {column.name: column for column in table.columns}
    columns = []
    for name, dtype in frame.collect_schema().items():
        column = known.get(name)
        told: dict[str, Any] = {"name": name, "type": str(dtype)}
        if column is not None:
            told |= {"unit": column.unit, "meaning": column.meaning, "null": column.null}
        elif name in _ADDED:
            told |= {"unit": "UTC" if dtype == TIME else "", "meaning": _ADDED[name], "null": None}
        columns.append(told)
    return {
        "file": written.file,
        "rows": written.rows,
        "meaning": None if table is None else table.about.replace("`", ""),
        "key": [] if table is None else list(table.key),
        "columns": columns,
    }


_ADDED = {
    "seq": "number of the commit; of a key's rows the one with the highest is current",
    "time": "the daemon's time of that commit",
}


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
