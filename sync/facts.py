"""What is known about every position now, as one frame: what the rules judge.

Names, units and meanings are those of `rules.CATALOGUE`. A fact is null unless everything it needs is
live: legs of one structure that were quoted at different times give absurd profits (69 % where 10 % was
true), so profit needs a live quote of every leg. Not computed yet, hence null: `iv_rank` and
`iv_percentile` (need a year of vol history), `days_to_earnings` and `days_to_ex_dividend` (need a calendar
of events), `book_var_usd` (needs a covariance of underlyings).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

import polars as pl

from options import NEW_YORK, Right, SecType
from rules.facts import CATALOGUE
from sync.position import Position
from sync.quote_board import QuoteBoard, QuoteState

SHARES_PER_UNIT = 100
"""Greeks per lot count in units of 100 shares, as an option's own Greeks do."""

POSITION_SCHEMA = pl.Schema(
    {
        "position": pl.String(),
        "structure": pl.String(),
        "strategy": pl.String(),
        "underlying": pl.String(),
        "lots": pl.Float64(),
        "net_credit_usd": pl.Float64(),
        "max_loss_usd": pl.Float64(),
        "max_profit_usd": pl.Float64(),
        "expiry": pl.Date(),
        "entry_time": pl.Datetime("us", "UTC"),
        "entry_iv": pl.Float64(),
        "entry_vix": pl.Float64(),
    }
)
LEG_SCHEMA = pl.Schema(
    {
        "position": pl.String(),
        "underlying": pl.String(),
        "con_id": pl.Int64(),
        "quantity": pl.Float64(),
        "shares": pl.Float64(),
        "is_option": pl.Boolean(),
        "is_call": pl.Boolean(),
        "strike": pl.Float64(),
    }
)
UNDERLYING_SCHEMA = pl.Schema(
    {
        "underlying": pl.String(),
        "underlying_price": pl.Float64(),
        "underlying_change_1h": pl.Float64(),
        "underlying_change_1d": pl.Float64(),
    }
)
FACTS_SCHEMA = pl.Schema(
    {"position": pl.String()}
    | {fact.name: fact.dtype for fact in CATALOGUE if fact.scope != "book" and not fact.tracked}
)
DISPLAY_SCHEMA = pl.Schema(
    {
        "position": pl.String(),
        "last_market_value_usd": pl.Float64(),
        "last_profit_usd": pl.Float64(),
        "last_profit": pl.Float64(),
    }
)
NOT_COMPUTED = ("iv_rank", "iv_percentile", "days_to_earnings", "days_to_ex_dividend")


@dataclass(frozen=True, slots=True)
class PositionColumns:
    """What of the positions does not change with the market; build it when the book's revision grows."""

    positions: pl.DataFrame
    legs: pl.DataFrame


def position_columns(positions: Iterable[Position]) -> PositionColumns:
    """`shares` of a leg is its signed quantity times its multiplier; an unlimited payoff is null."""
    rows, legs = [], []
    for position in positions:
        figures = position.payoff
        rows.append(
            (
                position.id,
                position.structure.value,
                position.strategy,
                position.underlying,
                position.lots,
                figures.net_credit_usd,
                figures.max_loss_usd,
                figures.max_profit_usd,
                position.expiry,
                position.entry_time.astimezone(UTC),
                position.entry_iv,
                position.entry_vix,
            )
        )
        legs += [
            (
                position.id,
                position.underlying,
                leg.contract.con_id,
                leg.quantity,
                leg.quantity * leg.contract.multiplier,
                leg.contract.sec_type is SecType.OPTION,
                leg.contract.right is Right.CALL,
                leg.contract.strike,
            )
            for leg in position.legs
        ]
    return PositionColumns(
        _finite(pl.DataFrame(rows, schema=POSITION_SCHEMA, orient="row", strict=False)),
        pl.DataFrame(legs, schema=LEG_SCHEMA, orient="row", strict=False),
    )


def facts_frame(
    columns: PositionColumns,
    board: QuoteBoard,
    account: Mapping[str, float | None],
    vix: float | None,
    now: datetime,
) -> pl.DataFrame:
    """One row per position: every fact of position and underlying scope, schema `FACTS_SCHEMA`.

    Ratios are plain numbers (0.8 = 80 %). `profit` is profit_usd over the net credit received or the
    debit paid. `delta`, `gamma`, `theta`, `vega` are per lot; their `_usd` companions are for the whole
    position: `delta_usd` USD per 100 % move of the underlying, `gamma_usd` its change per 1 % move,
    `theta_usd` per day, `vega_usd` per vol point. `iv` is the vega-weighted mean of the legs.
    """
    quoted = _quoted_legs(columns, board, now)
    sums = quoted.group_by("position").agg(
        _whole("sum", "live_value").alias("market_value_usd"),
        _whole("sum", "leg_width").alias("width_usd"),
        *(_whole("sum", f"leg_{name}").alias(name) for name in ("delta", "gamma", "theta", "vega")),
        _whole("sum", "iv_weight", "is_option").alias("iv_weight"),
        _whole("sum", "iv_weighted", "is_option").alias("iv_weighted"),
        _whole("min", "distance", "is_short").alias("short_strike_distance"),
        _whole("min", "extrinsic", "is_short").alias("extrinsic"),
        _whole("max", "age_s").alias("quote_age"),
        _worst_state(),
    )
    known = columns.positions.join(sums, on="position", how="left", maintain_order="left").join(
        _underlyings(columns, board, now), on="underlying", how="left", maintain_order="left"
    )
    facts = known.with_columns(*_money()).with_columns(
        *_per_lot(), *_against_entry(vix), *_times(now), *_risk_share(account), *_not_computed()
    )
    return _finite(facts.select(pl.col(name).cast(dtype) for name, dtype in FACTS_SCHEMA.items()))


def display_facts(columns: PositionColumns, board: QuoteBoard, now: datetime) -> pl.DataFrame:
    """Money at the last sane quotes, for the eye only; never given to rules.

    One row per position, schema `DISPLAY_SCHEMA`; null when a leg never had a sane quote. The fact
    `quote_state` says how good they are.
    """
    sums = (
        _quoted_legs(columns, board, now)
        .group_by("position")
        .agg(_whole("sum", "known_value").alias("last_market_value_usd"))
    )
    profit = pl.col("last_market_value_usd") + pl.col("net_credit_usd")
    shown = columns.positions.join(sums, on="position", how="left", maintain_order="left").with_columns(
        profit.alias("last_profit_usd"), (profit / pl.col("net_credit_usd").abs()).alias("last_profit")
    )
    return _finite(shown.select(DISPLAY_SCHEMA.names()))


def book_facts(
    facts: pl.DataFrame, account: Mapping[str, float | None], vix: float | None
) -> dict[str, float | str | None]:
    """Every fact of book scope. A sum over positions is None as soon as one of them is not known."""
    nlv, margin = account.get("nlv_usd"), account.get("maintenance_margin_usd")
    counts = facts["underlying"].value_counts()["count"].to_list()
    losses = facts.group_by("underlying").agg(_whole("sum", "max_loss_usd"))["max_loss_usd"].to_list()
    worst = None if None in losses else max(losses, default=0.0)
    return {
        "vix": vix,
        "regime": regime(vix),
        "book_delta_usd": _total(facts, "delta_usd"),
        "book_gamma_usd": _total(facts, "gamma_usd"),
        "book_theta_usd": _total(facts, "theta_usd"),
        "book_vega_usd": _total(facts, "vega_usd"),
        "book_var_usd": None,
        "book_buying_power_used": margin / nlv if nlv and margin is not None else None,
        "book_concentration": worst / nlv if nlv and worst is not None else None,
        "book_positions": facts.height,
        "book_positions_one_underlying": max(counts, default=0),
    }


def regime(vix: float | None) -> str | None:
    """The market's mood by VIX: crash above 35, high_vol above 25, low_vol below 15, else normal."""
    if vix is None:
        return None
    if vix > 35:
        return "crash"
    if vix > 25:
        return "high_vol"
    return "low_vol" if vix < 15 else "normal"


def _quoted_legs(columns: PositionColumns, board: QuoteBoard, now: datetime) -> pl.DataFrame:
    """Legs with their quotes, each leg's share of the position's sums, null where not known.

    A share of stock has a delta of one and no other Greek, whatever the market-data line says.
    """
    quotes = board.frame(now, columns.legs["con_id"].unique())
    legs = columns.legs.join(quotes, on="con_id", how="left").join(
        _underlyings(columns, board, now).select("underlying", pl.col("underlying_price").alias("spot")),
        on="underlying",
        how="left",
    )
    shares = pl.col("shares")
    otm = (
        pl.when("is_call")
        .then(pl.col("strike") - pl.col("spot"))
        .otherwise(pl.col("spot") - pl.col("strike"))
    )
    stock = {"delta": 1.0, "gamma": 0.0, "theta": 0.0, "vega": 0.0}
    return legs.with_columns(
        (shares * pl.col("live_mark")).alias("live_value"),
        (shares * pl.col("mark")).alias("known_value"),
        (shares.abs() * pl.col("spread")).alias("leg_width"),
        *(
            (shares * pl.when("is_option").then(pl.col(name)).otherwise(value)).alias(f"leg_{name}")
            for name, value in stock.items()
        ),
        (shares.abs() * pl.col("vega")).alias("iv_weight"),
        (shares.abs() * pl.col("vega") * pl.col("iv")).alias("iv_weighted"),
        (pl.col("is_option") & (pl.col("quantity") < 0)).alias("is_short"),
        (otm / pl.col("spot")).alias("distance"),
        (pl.col("live_mark") - pl.max_horizontal(-otm, 0.0)).alias("extrinsic"),
    ).with_columns(pl.when(pl.col("spot").is_not_null()).then("extrinsic").alias("extrinsic"))


def _underlyings(columns: PositionColumns, board: QuoteBoard, now: datetime) -> pl.DataFrame:
    hour, day = timedelta(hours=1), timedelta(days=1)
    rows = [
        (
            symbol,
            board.underlying_price(symbol, now),
            board.underlying_change(symbol, hour, now),
            board.underlying_change(symbol, day, now),
        )
        for symbol in columns.positions["underlying"].unique()
    ]
    return pl.DataFrame(rows, schema=UNDERLYING_SCHEMA, orient="row")


def _money() -> list[pl.Expr]:
    profit = pl.col("market_value_usd") + pl.col("net_credit_usd")
    price = pl.col("underlying_price")
    return [
        profit.alias("profit_usd"),
        (profit / pl.col("net_credit_usd").abs()).alias("profit"),
        (pl.col("delta") * price).alias("delta_usd"),
        (pl.col("gamma") * price * price * 0.01).alias("gamma_usd"),
        pl.col("theta").alias("theta_usd"),
        pl.col("vega").alias("vega_usd"),
        (pl.col("iv_weighted") / pl.col("iv_weight")).alias("iv"),
        (pl.col("width_usd") / pl.col("market_value_usd").abs()).alias("spread_pct"),
    ]


def _per_lot() -> list[pl.Expr]:
    return [pl.col(name) / SHARES_PER_UNIT / pl.col("lots") for name in ("delta", "gamma", "theta", "vega")]


def _against_entry(vix: float | None) -> list[pl.Expr]:
    return [
        (pl.col("iv") / pl.col("entry_iv") - 1.0).alias("iv_change"),
        (pl.lit(vix, dtype=pl.Float64) - pl.col("entry_vix")).alias("vix_change"),
    ]


def _times(now: datetime) -> list[pl.Expr]:
    today = pl.lit(now.astimezone(NEW_YORK).date())
    held = pl.lit(now.astimezone(UTC)).dt.cast_time_unit("us") - pl.col("entry_time")
    return [
        (pl.col("expiry") - today).dt.total_days().alias("dte"),
        (held.dt.total_seconds(fractional=True) / 86_400.0).alias("days_held"),
    ]


def _risk_share(account: Mapping[str, float | None]) -> list[pl.Expr]:
    nlv = pl.lit(account.get("nlv_usd") or None, dtype=pl.Float64)
    return [
        (pl.col("max_loss_usd") / nlv).alias("buying_power_used"),
        pl.len().over("underlying").alias("positions_same_underlying"),
    ]


def _not_computed() -> list[pl.Expr]:
    return [pl.lit(None, dtype=pl.Float64).alias(name) for name in NOT_COMPUTED]


def _worst_state() -> pl.Expr:
    state = pl.col("quote_state")
    worst_first = (QuoteState.MISSING, QuoteState.STALE, QuoteState.MODELLED)
    worst = pl.coalesce(pl.when((state == s.value).any()).then(pl.lit(s.value)) for s in worst_first)
    return pl.coalesce(worst, pl.lit(QuoteState.LIVE.value)).alias("quote_state")


def _whole(how: Literal["sum", "min", "max"], name: str, among: str | None = None) -> pl.Expr:
    """Aggregate over a position's legs (those that are `among`): null as soon as one leg's value is."""
    column = pl.col(name) if among is None else pl.col(name).filter(pl.col(among))
    folded = {"sum": column.sum(), "min": column.min(), "max": column.max()}[how]
    return pl.when(column.null_count() == 0).then(folded)


def _finite(frame: pl.DataFrame) -> pl.DataFrame:
    floats = pl.selectors.float()
    return frame.with_columns(pl.when(floats.is_finite()).then(floats).name.keep())


def _total(frame: pl.DataFrame, name: str) -> float | None:
    column = frame.get_column(name)
    return None if column.null_count() else float(column.sum())
