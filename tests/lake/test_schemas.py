"""What fits a table of the lake, and how it is told when something does not."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from polars._typing import PolarsDataType

from lake import LEDGER, TABLES, Column, TableSchema, facts_table
from options import LakeError

NAMED = "not known"
TABLE = TableSchema(
    "things",
    "one of every kind",
    ("name",),
    (
        Column("name", pl.String(), "name"),
        Column("count", pl.Int64(), "count", null=NAMED),
        Column("size", pl.Float64(), "size", "USD", NAMED),
        Column("there", pl.Boolean(), "there", null=NAMED),
        Column("day", pl.Date(), "day", null=NAMED),
        Column("moment", pl.Datetime("us", "UTC"), "moment", "UTC", NAMED),
        Column("tags", pl.List(pl.String()), "tags", null=NAMED),
    ),
)
NEW_YORK = ZoneInfo("America/New_York")


def test_columns_that_may_be_null_are_filled_in_declared_order() -> None:
    fitted = TABLE.fit(pl.DataFrame({"size": [None, 1.5], "name": ["a", "b"]}))
    assert fitted.schema == TABLE.row
    assert fitted["size"].to_list() == [None, 1.5]
    assert fitted["tags"].null_count() == 2


@pytest.mark.parametrize(
    ("column", "given", "kept"),
    [
        ("size", pl.Series([1, None], dtype=pl.Int64), [1.0, None]),
        ("size", pl.Series([1.5, None], dtype=pl.Float32), [1.5, None]),
        ("size", pl.Series([1.7e308, 1.7e308]), [1.7e308, 1.7e308]),  # their sum is infinite
        ("count", pl.Series([1, 2], dtype=pl.Int16), [1, 2]),
        ("count", pl.Series([1, 2], dtype=pl.UInt64), [1, 2]),
        ("moment", pl.Series([None, None]), [None, None]),
        ("tags", pl.Series([[], []]), [[], []]),
        (
            "moment",
            pl.Series([datetime(2026, 2, 4, 9, 30, tzinfo=NEW_YORK), None]),
            [datetime(2026, 2, 4, 14, 30, tzinfo=UTC), None],
        ),
    ],
)
def test_types_are_widened_where_nothing_is_lost(column: str, given: pl.Series, kept: list[object]) -> None:
    fitted = TABLE.fit(pl.DataFrame({"name": ["a", "b"], column: given}))
    assert fitted.schema == TABLE.row
    assert fitted[column].to_list() == kept


@pytest.mark.parametrize(
    ("column", "given", "said"),
    [
        ("name", ["a", None], "null in 1 rows"),
        ("name", [1, 2], "is Int64 and must be String"),
        ("size", [1.0, float("nan")], "NaN or infinity"),
        ("size", [float("-inf"), None], "NaN or infinity"),
        ("size", [float("inf"), float("-inf")], "NaN or infinity"),
        ("size", [2**53 + 1, 1], "would change"),
        ("size", ["1.0", "2.0"], "is String and must be Float64"),
        ("count", [1.0, 2.0], "is Float64 and must be Int64"),
        ("count", pl.Series([2**63, 1], dtype=pl.UInt64), "does not fit"),
        ("moment", [datetime(2026, 2, 4), None], "must be Datetime"),
        ("moment", pl.Series([1, 2]).cast(pl.Datetime("ns", "UTC")), "must be Datetime"),
        ("day", [datetime(2026, 2, 4, tzinfo=UTC), None], "must be Date"),
        ("tags", pl.Series(["a", "b"], dtype=pl.Categorical), "must be List"),
        ("name", pl.Series(["a", "b"], dtype=pl.Categorical), "must be String"),
        ("name", pl.Series(["a", "b"], dtype=pl.Enum(["a", "b"])), "must be String"),
    ],
)
def test_a_column_that_does_not_fit_is_refused_by_table_and_name(
    column: str, given: list[object], said: str
) -> None:
    with pytest.raises(LakeError, match=f"table things, column {column}") as refused:
        TABLE.fit(pl.DataFrame({"name": ["a", "b"], column: given}))
    assert said in str(refused.value)


TWO_OF_EVERY_TYPE = (
    *(
        pl.Series([1, 2], dtype=dtype)
        for dtype in (pl.Int8, pl.Int64, pl.Int128, pl.UInt64, pl.Float32, pl.Float64)
    ),
    *(
        pl.Series([1, 2]).cast(pl.Datetime(unit, zone))
        for unit in ("ms", "us", "ns")
        for zone in ("UTC", None)
    ),
    *(pl.Series([["a"], ["b"]], dtype=pl.List(dtype)) for dtype in (pl.String, pl.Categorical)),
    *(pl.Series(["a", "b"], dtype=dtype) for dtype in (pl.String, pl.Categorical, pl.Enum(["a", "b"]))),
    pl.Series([1, 2], dtype=pl.Decimal(10, 2)),
    pl.Series([True, False]),
    pl.Series([b"a", b"b"]),
    pl.Series([date(2026, 2, 4)] * 2),
    pl.Series([time(10, 31)] * 2),
    pl.Series([timedelta(1)] * 2),
    pl.Series([object(), object()], dtype=pl.Object),
    pl.Series([{"a": 1}] * 2),
    pl.Series([[1], [2]]),
    pl.Series([[["a"]], [["b"]]]),
    pl.Series([[1, 2]] * 2, dtype=pl.Array(pl.Int64, 2)),
    pl.Series([["a"], ["b"]], dtype=pl.Array(pl.String, 1)),
)
FITTING = {
    "name": {"String"},
    "count": {"Int8", "Int64", "Int128", "UInt64"},
    "size": {"Int8", "Int64", "Int128", "UInt64", "Float32", "Float64"},
    "there": {"Boolean"},
    "day": {"Date"},
    "moment": {str(pl.Datetime(unit, "UTC")) for unit in ("ms", "us")},
    "tags": {"List(String)"},
}


@pytest.mark.parametrize("column", TABLE.row.names())
@pytest.mark.parametrize("given", TWO_OF_EVERY_TYPE, ids=lambda given: str(given.dtype))
def test_every_type_fits_or_is_refused_by_table_column_given_and_wanted_type(
    column: str, given: pl.Series
) -> None:
    frame = pl.DataFrame({"name": ["a", "b"], **{column: given}})
    if str(given.dtype) in FITTING[column]:
        assert TABLE.fit(frame).schema == TABLE.row
        return
    with pytest.raises(LakeError) as refused:
        TABLE.fit(frame)
    wanted = TABLE.row[column]
    assert str(refused.value) == (
        f"table things, column {column} is {given.dtype} and must be {wanted}; convert it before writing"
    )


@pytest.mark.parametrize(
    ("column", "given"),
    [
        ("count", pl.Series([2**63, 1], dtype=pl.UInt64)),
        ("moment", pl.Series([2**62, 1]).cast(pl.Datetime("ms", "UTC"))),
        ("size", pl.Series([2**53 + 1, 1])),
    ],
)
def test_a_value_that_is_too_large_is_refused_by_both_types(column: str, given: pl.Series) -> None:
    with pytest.raises(LakeError, match=f"table things, column {column} is ") as refused:
        TABLE.fit(pl.DataFrame({"name": ["a", "b"], column: given}))
    assert str(given.dtype) in str(refused.value)
    assert str(TABLE.row[column]) in str(refused.value)


def test_missing_and_unknown_columns_are_refused_by_name() -> None:
    with pytest.raises(LakeError, match="table things, column name is missing"):
        TABLE.fit(pl.DataFrame({"count": [1]}))
    with pytest.raises(LakeError, match="table things has no column 'colour'"):
        TABLE.fit(pl.DataFrame({"name": ["a"], "colour": ["red"]}))


@pytest.mark.parametrize(
    "dtype", [pl.Categorical(), pl.UInt64(), pl.Datetime("us"), pl.Datetime("ns", "UTC"), pl.Float32()]
)
def test_a_type_that_delta_does_not_keep_cannot_be_declared(dtype: PolarsDataType) -> None:
    with pytest.raises(LakeError, match="table bad, column value: the lake does not keep"):
        TableSchema("bad", "", (), (Column("value", dtype, ""),))


def test_the_names_that_the_lake_adds_cannot_be_declared() -> None:
    for name in ("seq", "time", "date"):
        with pytest.raises(LakeError, match="the name is taken"):
            facts_table([Column(name, pl.Int64(), "")])
    with pytest.raises(LakeError, match="the name is taken"):
        facts_table([Column("position", pl.String(), "")])
    with pytest.raises(LakeError, match="its key 'id' is no column"):
        TableSchema("bad", "", ("id",), ())


def test_every_shipped_column_says_what_it_means() -> None:
    for table in (*TABLES.values(), LEDGER):
        assert table.meaning
        assert table.key or table.name == "breaker", "there is only one of those"
        for column in table.columns:
            assert column.meaning
            assert column.null != ""
    assert TABLES["contracts"].row["expiry"] == pl.Date()
    assert TABLES["contracts"].fit(pl.DataFrame({"con_id": [1], "expiry": [date(2026, 3, 20)]})).height
