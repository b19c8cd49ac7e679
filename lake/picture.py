"""The picture: every table of the lake as of one commit."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import cached_property

import polars as pl

from lake.faults import reported
from lake.queries import answer
from lake.reader import LakeReader
from lake.schemas import TableSchema
from lake.versions import newest
from options import LakeError


class Picture:
    """All tables as they were after the commit `seq`, read when they are asked for.

    Reads as a mapping from a table's name to its rows. It stays what it is while the lake grows.
    """

    def __init__(self, reader: LakeReader, schemas: Mapping[str, TableSchema], seq: int) -> None:
        """Use `LakeHistory.as_of`."""
        self._reader = reader
        self._schemas = schemas
        self.seq = seq
        """The last commit in the picture; 0: it is empty."""

    @cached_property
    def time(self) -> datetime | None:
        """When that commit was made (UTC); None for an empty picture."""
        return self._reader.time_of(self.seq)

    def __repr__(self) -> str:
        return f"Picture(seq={self.seq}, time={self.time})"

    @property
    def tables(self) -> list[str]:
        """The tables' names."""
        return self._reader.names()

    def __iter__(self) -> Iterator[str]:
        return iter(self.tables)

    def __len__(self) -> int:
        return len(self.tables)

    def __contains__(self, table: object) -> bool:
        return table in self.tables

    def __getitem__(self, table: str) -> pl.LazyFrame:
        """All rows written up to then, `seq` and `time` first; only those of one seq keep their order.

        Raises LakeError for an unknown table, and for files that are missing or damaged.
        """
        return self._reader.table(table, self.seq)

    def current(self, table: str, with_gone: bool = False) -> pl.LazyFrame:
        """What was true then: the newest row of every key, oldest first.

        What had ended by then (`TableSchema.gone`) is left out unless `with_gone`. Raises LakeError as
        `picture[table]`, and for a table whose key is not known.
        """
        rows, schema = self[table], key_of(table, self._schemas)
        with reported(f"cannot read the table {table}", self._reader.place(table)):
            return newest(rows, schema, with_gone)

    def sql(self, query: str) -> pl.LazyFrame:
        """The answer to a SELECT over the tables. Raises LakeError for anything else, in one line."""
        return answer(query, self.tables, self.__getitem__)


def key_of(table: str, schemas: Mapping[str, TableSchema]) -> TableSchema:
    """The table's declared key and end; its columns may be others. Raises LakeError when not known."""
    if table not in schemas:
        raise LakeError(f"the key of table {table!r} is not known to this optiond; read all its rows instead")
    return schemas[table]
