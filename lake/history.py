"""Time travel for people: the lake as of any moment, the versions of one thing, what changed in between."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Self, TypeAlias

import polars as pl

from lake.faults import reported
from lake.moments import in_utc, read_moment
from lake.picture import Picture, key_of
from lake.reader import LakeReader
from lake.schemas import TableSchema, did_you_mean, facts_table
from lake.tables import LEDGER, TABLES
from lake.versions import difference
from options import LakeError

Moment: TypeAlias = str | datetime | int | None
"""A version (seq), a time, a text that says one of them or the id of a decision; None: now."""

_DECLARED: Mapping[str, TableSchema] = {**TABLES, LEDGER.name: LEDGER, "facts": facts_table(())}


class LakeHistory:
    """A home's lake, to be asked of any moment. Holds no lock; works beside a running daemon.

    A time without zone is UTC, as on the command line; `"2026-02-04 10:31 America/New_York"` is taken too.
    As of a decision is the picture just before it: the last commit before the decision's own. All errors
    are LakeErrors of one line.
    """

    def __init__(self, reader: LakeReader, schemas: Mapping[str, TableSchema] = _DECLARED) -> None:
        """Over a reader that is open already; see `LakeHistory.open`."""
        self._reader = reader
        self._schemas = schemas

    @classmethod
    def open(cls, home: Path | str, schemas: Mapping[str, TableSchema] = _DECLARED) -> Self:
        """The lake in `home`; `schemas` tell the tables' keys. Raises LakeError when there is no lake."""
        return cls(LakeReader.open(Path(home).expanduser()), schemas)

    def as_of(self, moment: Moment = None) -> Picture:
        """One consistent picture of all tables: everything committed up to `moment`, and nothing later.

        Raises LakeError for a version not yet given out and a text that is no moment.
        """
        return Picture(self._reader, self._schemas, self.seq_of(moment))

    def seq_of(self, moment: Moment) -> int:
        """The last version (seq) at `moment`; 0 when nothing was committed by then. Raises as `as_of`."""
        if isinstance(moment, str):
            read = read_moment(moment)
            return self._before_decision(moment) if read is None else self.seq_of(read)
        if isinstance(moment, datetime):
            return self._reader.seq_at(in_utc(moment))
        last = self._reader.seq
        if moment is not None and not 0 <= moment <= last:
            raise LakeError(f"the lake has no version {moment}: give a number from 0 to {last}")
        return last if moment is None else moment

    def history(self, table: str, /, **key: object) -> pl.LazyFrame:
        """All rows about one thing, oldest first: `history("intents", intent="opt-1")`.

        `key` is the table's key, or a part of it (without it: every row); None stands for null. Raises
        LakeError for an unknown table, a column that is not of its key, and a value of another type.
        """
        rows = self._reader.table(table)
        schema, types = key_of(table, self._schemas), rows.collect_schema()
        mine = [_is(table, name, value, schema, types) for name, value in key.items()]
        return (rows.filter(mine) if mine else rows).sort("seq", maintain_order=True)

    def diff(self, a: Moment, b: Moment, table: str) -> pl.DataFrame:
        """What is current in `table` at `b` against what was at `a`: added, changed and gone things.

        One row per thing: `change`, its key, `changed` (names of the columns with another value), then
        `seq`, `time` and all other columns as NAME_before and NAME_after (null: no such row). What came and
        went in between is not there. Raises LakeError as `as_of` and `Picture.current`.
        """
        before = self.as_of(a).current(table)
        after = self.as_of(b).current(table, with_gone=True)
        with reported(f"cannot read the table {table}", self._reader.place(table)):
            return difference(before.collect(), after.collect(), key_of(table, self._schemas))

    def _before_decision(self, name: str) -> int:
        decisions = self._reader.table("decisions") if "decisions" in self._reader.names() else None
        if decisions is not None:
            found = decisions.filter(pl.col("decision") == name).select(pl.col("seq").min()).collect().item()
            if found is not None:
                return int(found) - 1
        raise LakeError(
            f"'{name}' is neither a version (a whole number) nor a time such as 2026-02-04 10:31 nor the id "
            "of a decision; `optiond lake tables` and `optiond decisions` show them"
        )


def _is(table: str, name: str, value: object, schema: TableSchema, types: pl.Schema) -> pl.Expr:
    """Whether a row's key column `name` holds `value`."""
    if name not in schema.key:
        keys = ", ".join(schema.key) or "none: it is about one thing"
        hint = did_you_mean(name, schema.key)
        raise LakeError(f"table {table} has no key column {name!r}; its key is {keys}{hint}")
    try:
        wanted = pl.Series([value], dtype=types[name], strict=True)
    except (TypeError, ValueError, OverflowError, pl.exceptions.PolarsError) as error:
        raise LakeError(
            f"table {table}, key column {name} is {types[name]}, and {value!r} is none; give one"
        ) from error
    return pl.col(name).eq_missing(pl.lit(wanted).first())
