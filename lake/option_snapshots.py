"""Option quotes as other programs kept them, made fit for our tables: what is unusable is refused or nulled.

Pure: frames in, frames and counts out. The rules are those of `docs/lake.md`, section "Export and import".
"""

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date

import polars as pl

from lake.schemas import TIME

TERMS = ("symbol", "expiry", "strike", "right")
REQUIRED = ("timestamp", *TERMS)
PRICES = ("bid", "ask", "last")
MODEL = ("iv", "delta", "gamma", "theta", "vega")
COUNTS = ("volume", "open_interest")
KNOWN = (*REQUIRED, *PRICES, *MODEL, *COUNTS)

# Values outside are not known: an offer, a trade or a volatility of nothing does not exist.
_POSSIBLE = {
    "bid": pl.col("bid") >= 0,
    "ask": pl.col("ask") > 0,
    "last": pl.col("last") > 0,
    "iv": pl.col("iv") > 0,
    "delta": pl.col("delta").abs() <= 1,
    "gamma": pl.col("gamma") >= 0,
    "theta": pl.lit(value=True),
    "vega": pl.col("vega") >= 0,
    "volume": pl.col("volume") >= 0,
    "open_interest": pl.col("open_interest") >= 0,
}
_RIGHTS = {"C": "C", "CALL": "C", "P": "P", "PUT": "P"}


@dataclass(slots=True)
class Faults:
    """What was wrong, counted: rows refused by reason, values nulled by column, columns not kept."""

    refused: Counter[str] = field(default_factory=Counter)
    nulled: Counter[str] = field(default_factory=Counter)
    ignored: set[str] = field(default_factory=set)


def clean(frame: pl.DataFrame, faults: Faults) -> pl.DataFrame:
    """The usable rows: `quote_time` (UTC), the TERMS, and prices, model values and counts, null where not
    known; what was wrong is added to `faults`."""
    faults.ignored |= set(frame.columns) - set(KNOWN)
    reason = _not_snapshots(frame)
    if reason is not None:
        faults.refused[reason] += frame.height
        return pl.DataFrame()
    numbers = pl.DataFrame([_number(frame, name) for name in (*PRICES, *MODEL, *COUNTS)])
    rows = pl.DataFrame(
        [
            frame["timestamp"].dt.cast_time_unit("us").dt.convert_time_zone("UTC").alias("quote_time"),
            frame["symbol"].cast(pl.String).str.strip_chars(),
            _date(frame["expiry"]),
            _number(frame, "strike"),
            _right(frame["right"]),
            *numbers,
        ]
    )
    refusal = (
        pl.when(pl.col("quote_time").is_null()).then(pl.lit("no time"))
        .when(pl.col("symbol").fill_null("") == "").then(pl.lit("no symbol"))
        .when(pl.col("expiry").is_null()).then(pl.lit("no expiry"))
        .when(~(pl.col("strike").fill_null(0) > 0)).then(pl.lit("no strike above 0"))
        .when(pl.col("right").is_null()).then(pl.lit("neither call nor put"))
    )  # fmt: skip
    reasons = rows.select(refusal.alias("reason"))["reason"]
    for row in reasons.drop_nulls().value_counts().to_dicts():
        faults.refused[row["reason"]] += row["count"]
    given = frame.filter(reasons.is_null())
    usable = rows.filter(reasons.is_null())
    possible = usable.with_columns(pl.when(holds).then(pl.col(name)) for name, holds in _POSSIBLE.items())
    for name in _POSSIBLE:
        known = given.height - given[name].null_count() if name in given.columns else 0
        faults.nulled[name] += known - (possible.height - possible[name].null_count())
    crossed = (pl.col("ask") < pl.col("bid")).fill_null(value=False)
    faults.nulled["bid and ask (crossed)"] += possible.filter(crossed).height
    return possible.with_columns(pl.when(~crossed).then(pl.col(name)) for name in ("bid", "ask"))


def quotes(rows: pl.DataFrame, source: str) -> pl.DataFrame:
    """Clean rows with their `con_id` as rows of the `snapshots` table."""
    two_sided = pl.col("bid").is_not_null() & pl.col("ask").is_not_null()
    return rows.select(
        "con_id", *PRICES, pl.when(two_sided).then((pl.col("bid") + pl.col("ask")) / 2).alias("mark"),
        *MODEL, "quote_time",
        pl.when(two_sided).then(pl.lit("live")).otherwise(pl.lit("missing")).alias("quote_state"),
        *(pl.col(name).cast(pl.Int64) for name in COUNTS),
        pl.lit(source).alias("source"),
    )  # fmt: skip


def contract_ids(terms: Iterable[tuple[str, date, float, str]]) -> pl.DataFrame:
    """The TERMS with our own id of each contract: negative, and a function of its terms alone."""
    rows = [(_contract_id(*each), *each) for each in terms]
    schema = {
        "con_id": pl.Int64(),
        "symbol": pl.String(),
        "expiry": pl.Date(),
        "strike": pl.Float64(),
        "right": pl.String(),
    }
    return pl.DataFrame(rows, schema=schema, orient="row")


def _contract_id(symbol: str, expiry: date, strike: float, right: str) -> int:
    terms = f"{symbol}|{expiry.isoformat()}|{strike:.6f}|{right}"
    return -1 - (int.from_bytes(hashlib.sha256(terms.encode()).digest()[:8]) >> 1)


def _not_snapshots(frame: pl.DataFrame) -> str | None:
    missing = [name for name in REQUIRED if name not in frame.columns]
    if missing:
        return f"no column {missing[0]}"
    when = frame.schema["timestamp"]
    if when == pl.Null:
        return "no time"
    if not isinstance(when, pl.Datetime):
        return "the timestamp is no time"
    return "the time has no zone" if when.time_zone is None else None


def _number(frame: pl.DataFrame, name: str) -> pl.Series:
    """A column as finite numbers; what is none is null."""
    if name not in frame.columns:
        return pl.Series(name, [None], dtype=pl.Float64).new_from_index(0, frame.height)
    values = frame[name]
    if not (values.dtype.is_numeric() or values.dtype == pl.String):
        return pl.Series(name, [None], dtype=pl.Float64).new_from_index(0, frame.height)
    numbers = values.cast(pl.Float64, strict=False)
    return numbers.to_frame().select(pl.when(pl.col(name).is_finite()).then(pl.col(name)))[name]


def _date(values: pl.Series) -> pl.Series:
    if values.dtype == pl.String:
        dashed, plain = (values.str.to_date(form, strict=False) for form in ("%Y-%m-%d", "%Y%m%d"))
        return dashed.zip_with(dashed.is_not_null(), plain)
    if values.dtype == pl.Date:
        return values
    return pl.Series(values.name, [None], dtype=pl.Date).new_from_index(0, values.len())


def _right(values: pl.Series) -> pl.Series:
    if values.dtype != pl.String:
        return pl.Series(values.name, [None], dtype=pl.String).new_from_index(0, values.len())
    return (
        values.str.strip_chars()
        .str.to_uppercase()
        .replace_strict(_RIGHTS, default=None, return_dtype=pl.String)
    )


EMPTY = pl.Schema(
    {
        "quote_time": TIME,
        "symbol": pl.String(),
        "expiry": pl.Date(),
        "strike": pl.Float64(),
        "right": pl.String(),
        **dict.fromkeys((*PRICES, *MODEL, *COUNTS), pl.Float64()),
    }
)
