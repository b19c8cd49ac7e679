"""What is current among a table's rows, and how two moments differ. Pure; `seq` and `time` lead every row."""

from collections.abc import Sequence

import numpy as np
import polars as pl

from lake.schemas import TableSchema

ADDED, CHANGED, GONE = "added", "changed", "gone"
BEFORE, AFTER = "_before", "_after"
_NAME = "key"  # of a thing that goes by several names
_RANGES = 32


def identity(schema: TableSchema) -> dict[str, pl.Expr]:
    """The columns that tell one thing of the table from another, by name; null is a value like others."""
    if not schema.key:
        return {_NAME: pl.lit("the only one")}
    if not schema.alternatives:
        return {name: pl.col(name) for name in schema.key}
    first, *others = schema.key
    return {_NAME: pl.coalesce(pl.col(first), *(pl.format(f"{name} {{}}", pl.col(name)) for name in others))}


def newest(rows: pl.LazyFrame, schema: TableSchema, with_gone: bool) -> pl.LazyFrame:
    """The newest row of every thing; what is gone is left out unless `with_gone`.

    Looks at once where those rows are, in the key's columns only: the others of a long history, and the
    files without a newest row, are then not read.
    """
    names = identity(schema)
    latest = rows.select("seq", **names).group_by(*names).agg(pl.col("seq").max())
    found = latest.collect(engine="streaming")
    recent = rows.filter(_around(found["seq"])).sort("seq", maintain_order=True)
    ids = [f"_id_{name}" for name in names]
    current = (
        recent.with_columns(expression.alias(f"_id_{name}") for name, expression in names.items())
        .unique(ids, keep="last", maintain_order=True)
        .drop(ids)
    )
    return current if with_gone else current.filter(~is_gone(schema))


def _around(seqs: pl.Series) -> pl.Expr:
    """Rows of these seqs, and of those between them where they lie close together: a few ranges, since
    files are skipped by ranges and not by a list."""
    ordered = seqs.unique().sort().to_numpy()
    if not ordered.size:
        return pl.lit(False)
    widest = np.argsort(np.diff(ordered))[-(_RANGES - 1) :]
    parts = np.split(ordered, np.sort(widest) + 1)
    column = pl.col("seq")
    return pl.any_horizontal(column.is_between(int(part[0]), int(part[-1])) for part in parts)


def is_gone(schema: TableSchema) -> pl.Expr:
    """Whether a row says that its thing is no more."""
    if schema.gone is None:
        return pl.lit(False)
    return pl.col(schema.gone.column).is_in(schema.gone.values)


def difference(before: pl.DataFrame, after: pl.DataFrame, schema: TableSchema) -> pl.DataFrame:
    """What is added, changed or gone in `after` (the newest rows, also of what is gone) against `before`
    (the current ones).

    One row per thing: `change`, its key, `changed` (the columns whose value is another one), then `seq`,
    `time` and every other column twice, as NAME_before and NAME_after: null where there is no such row.
    A thing that was written again with the same values has not changed.
    """
    names = identity(schema)
    ids = list(names)
    values = [name for name in before.columns if name not in ids]
    of_row = {"seq", "time", *(column.name for column in schema.columns if column.of_row)}
    compared = [name for name in values if name not in of_row]
    both = _side(before, names, values, BEFORE).join(
        _side(after.with_columns(is_gone(schema).alias("_gone")), names, [*values, "_gone"], AFTER),
        on=ids,
        how="full",
        coalesce=True,
        nulls_equal=True,
    )
    was, now = pl.col(f"seq{BEFORE}").is_not_null(), pl.col(f"seq{AFTER}").is_not_null()
    there = now & ~pl.col(f"_gone{AFTER}").fill_null(False)
    change = (
        pl.when(was & ~there).then(pl.lit(GONE)).when(~was & there).then(pl.lit(ADDED))
        .when(was & there & (pl.col("changed").list.len() > 0)).then(pl.lit(CHANGED))
    )  # fmt: skip
    told = both.with_columns(_changed(compared)).with_columns(change.alias("change"))
    shown = [name + side for name in values for side in (BEFORE, AFTER)]
    rows = told.filter(pl.col("change").is_not_null()).select("change", *ids, "changed", *shown)
    kept = rows if schema.key else rows.drop(ids)
    return kept.sort("change", *(ids if schema.key else ()))


def _side(rows: pl.DataFrame, names: dict[str, pl.Expr], values: Sequence[str], suffix: str) -> pl.DataFrame:
    return rows.select(
        *(expression.alias(name) for name, expression in names.items()),
        *(pl.col(name).alias(name + suffix) for name in values),
    )


def _changed(names: Sequence[str]) -> pl.Expr:
    differ = [
        pl.when(pl.col(name + BEFORE).ne_missing(pl.col(name + AFTER))).then(pl.lit(name)) for name in names
    ]
    both = pl.col(f"seq{BEFORE}").is_not_null() & pl.col(f"seq{AFTER}").is_not_null()
    listed = pl.concat_list(differ).list.drop_nulls() if differ else pl.lit([], pl.List(pl.String()))
    return pl.when(both).then(listed).otherwise(pl.lit([], pl.List(pl.String()))).alias("changed")
