"""How a table of the lake looks, declared once, and what it takes for a frame to fit."""

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from math import isfinite

import polars as pl
from polars._typing import PolarsDataType

from options import LakeError

TIME = pl.Datetime("us", "UTC")
TEXTS = pl.List(pl.String())

# What Delta keeps exactly. Left out on purpose: Categorical and Enum (delta-rs panics), UInt64
# (overflows), nanoseconds (cut silently), datetimes without a zone (taken for UTC).
_KEPT: tuple[PolarsDataType, ...] = (
    pl.Int64(),
    pl.Float64(),
    pl.Boolean(),
    pl.String(),
    pl.Date(),
    TIME,
    TEXTS,
    pl.List(TIME),
)
_ADDED = ("seq", "time", "date")
_LARGEST = 2**63 - 1
_PER_UNIT = {"us": 1, "ms": 1000}  # microseconds


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its meaning, its unit ("" = none) and what null means in it (None: null is refused).

    `of_row`: it says why the row was written, so that another value alone is no change of the thing.
    """

    name: str
    dtype: PolarsDataType
    meaning: str
    unit: str = ""
    null: str | None = None
    of_row: bool = False


@dataclass(frozen=True, slots=True)
class Gone:
    """What the newest row of a thing says once the thing is no more: one of `values` in `column`."""

    column: str
    values: tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class TableSchema:
    """One table: what a row is about (`key`, its natural key) and its columns.

    The lake puts `seq` (Int64, one number per commit) and `time` (µs UTC) in front of every row. A key may
    occur in many rows: the latest by `seq`, then by order within the commit, is the current one. A table
    without key is about one thing only. With `alternatives` the key's columns name the same thing, and the
    first that is known counts. `gone` is None where nothing ends: events, and what was measured.
    Raises LakeError when a declared type is none that the lake keeps exactly.
    """

    name: str
    meaning: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    gone: Gone | None = None
    alternatives: bool = False

    def __post_init__(self) -> None:
        names = [column.name for column in self.columns]
        for column in self.columns:
            if column.dtype not in _KEPT:
                raise LakeError(
                    f"table {self.name}, column {column.name}: the lake does not keep {column.dtype}; "
                    f"declare one of {', '.join(map(str, _KEPT))}"
                )
            if column.name in _ADDED or names.count(column.name) > 1:
                raise LakeError(f"table {self.name}, column {column.name}: the name is taken; choose another")
        needed = self.key if self.gone is None else (*self.key, self.gone.column)
        if missing := [name for name in needed if name not in names]:
            raise LakeError(f"table {self.name}: its key {missing[0]!r} is no column of it; declare it")

    @property
    def about(self) -> str:
        """What a row is, what tells one thing from another, and when a thing is gone; names in backticks."""
        parted = ", else " if self.alternatives else ", "
        key = parted.join(f"`{name}`" for name in self.key) or "none, there is only one"
        told = f"One row per {self.meaning}. Key: {key}."
        if self.gone is None:
            return told
        return f"{told} Gone when `{self.gone.column}` is {' or '.join(map(str, self.gone.values))}."

    @property
    def row(self) -> pl.Schema:
        """What a frame for this table holds."""
        return pl.Schema({column.name: column.dtype for column in self.columns})

    @property
    def stored(self) -> pl.Schema:
        """What reading the table gives: `seq`, `time`, then the declared columns."""
        return pl.Schema({"seq": pl.Int64(), "time": TIME, **self.row})

    def fit(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The frame with exactly the declared columns and types.

        Missing columns that may be null are filled with null, and types widened where nothing is lost.
        Raises LakeError naming table and column for everything else: unknown or missing columns, other
        types, nulls where none may be, NaN and infinities.
        """
        declared = {column.name for column in self.columns}
        if extra := [name for name in frame.columns if name not in declared]:
            raise LakeError(
                f"table {self.name} has no column {extra[0]!r}; declare it in the schema or leave it out"
            )
        return pl.DataFrame([self._fit_column(column, frame) for column in self.columns])

    def _fit_column(self, column: Column, frame: pl.DataFrame) -> pl.Series:
        where = f"table {self.name}, column {column.name}"
        if column.name in frame.columns:
            values = _widened(frame.get_column(column.name), column.dtype, where)
        elif column.null is None:
            raise LakeError(f"{where} is missing; it may not be null, so give it")
        else:
            values = pl.Series(column.name, [None], dtype=column.dtype).new_from_index(0, frame.height)
        if column.null is None and values.null_count():
            raise LakeError(f"{where} is null in {values.null_count()} rows; it may not be: give a value")
        # A finite sum has finite parts, and costs a thirtieth of looking at each.
        if column.dtype == pl.Float64() and not isfinite(values.sum()) and not values.is_finite().all():
            raise LakeError(f"{where} holds NaN or infinity; write null where a number is not known")
        return values


def _widened(values: pl.Series, dtype: PolarsDataType, where: str) -> pl.Series:
    """`values` as `dtype`, if every value stays what it was."""
    if values.dtype == dtype:
        return values
    if not _may_become(values.dtype, dtype):
        raise LakeError(f"{where} is {values.dtype} and must be {dtype}; convert it before writing")
    if isinstance(values.dtype, pl.Datetime):
        farthest = _LARGEST // _PER_UNIT[values.dtype.time_unit]
        if not values.to_physical().is_between(-farthest, farthest).all():
            raise _does_not_fit(values, dtype, where)  # polars would panic
        return values.dt.cast_time_unit("us").dt.convert_time_zone("UTC")
    try:
        wide = values.cast(dtype)
        unchanged = values.dtype == pl.Null or wide.cast(values.dtype).equals(values)
    except pl.exceptions.InvalidOperationError as error:
        raise _does_not_fit(values, dtype, where) from error
    if not unchanged:
        raise LakeError(
            f"{where} is {values.dtype} and holds a value that would change as {dtype}; "
            "correct it before writing"
        )
    return wide


def _does_not_fit(values: pl.Series, dtype: PolarsDataType, where: str) -> LakeError:
    return LakeError(
        f"{where} is {values.dtype} and holds a value that does not fit into {dtype}; "
        "correct it before writing"
    )


def _may_become(given: PolarsDataType, dtype: PolarsDataType) -> bool:
    if given == pl.Null or (given == pl.List(pl.Null) and isinstance(dtype, pl.List)):
        return True
    if dtype == pl.Int64():
        return given.is_integer()
    if dtype == pl.Float64():
        return given.is_integer() or given == pl.Float32
    if dtype == TIME and isinstance(given, pl.Datetime):
        return given.time_zone is not None and given.time_unit in ("us", "ms")
    return False


def no_such_table(name: str, names: Iterable[str]) -> LakeError:
    """What to say of a table that is not there."""
    known = sorted(names)
    return LakeError(f"the lake has no table {name!r}; it has {', '.join(known)}{did_you_mean(name, known)}")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of a sentence that offers what looks most like `name`; empty when nothing does."""
    close = get_close_matches(name.lower(), list(known), 1)
    return f"; did you mean {close[0]}?" if close else ""


def facts_table(columns: Iterable[Column]) -> TableSchema:
    """The `facts` table with one column per fact of the catalogue, which the rules own."""
    position = Column("position", pl.String(), "the Position the facts are about")
    meaning = "position and 30 s, and every row on which a rule fired"
    return TableSchema("facts", meaning, ("position",), (position, *columns))
