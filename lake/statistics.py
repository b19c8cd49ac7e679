"""What is known of a data file without reading it: its rows, and the lowest and highest of some columns.

Moments, files to skip and rows to count are looked up by that. Every file of ours has it in the log; other
programs may leave it out, or have it left out: then the file itself is asked.
"""

from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote

import polars as pl
from deltalake import DeltaTable


def completed(files: pl.DataFrame, table: DeltaTable, looked_up: Sequence[str]) -> pl.DataFrame:
    """`files`, as the log tells of them, with num_records and min.* and max.* of the columns `looked_up`.

    Null where even the file does not tell, since it is damaged or gone.
    """
    dtypes = {field.name: field.type for field in table.schema().fields}
    columns = [name for name in looked_up if name in dtypes]
    wanted = ["num_records", *(f"{side}.{name}" for name in columns for side in ("min", "max"))]
    there = [name for name in wanted if name in files.columns]
    if there == wanted and not any(files.select(wanted).null_count().row(0)):
        return files
    rows = [
        _asked(table, row["path"], columns) if any(row.get(name) is None for name in wanted) else row
        for row in files.select("path", *there).iter_rows(named=True)
    ]
    told = pl.DataFrame(rows, schema={name: _type(name) for name in wanted})
    return files.drop(there).hstack(told)


def _type(name: str) -> pl.DataType:
    return pl.Int64() if name in ("num_records", "min.seq", "max.seq") else pl.Datetime("us", "UTC")


def _asked(table: DeltaTable, path: str, columns: Sequence[str]) -> dict[str, Any]:
    sides = [
        each
        for name in columns
        for each in (pl.col(name).min().alias(f"min.{name}"), pl.col(name).max().alias(f"max.{name}"))
    ]
    try:
        return (
            pl.scan_parquet(
                f"{table.table_uri.rstrip('/')}/{unquote(path)}",
                storage_options=table._storage_options,
                glob=False,
                hive_partitioning=False,
            )
            .select(pl.len().alias("num_records"), *sides)
            .collect()
            .row(0, named=True)
        )
    except (pl.exceptions.PolarsError, OSError):
        return {}
