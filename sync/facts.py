"""What is known about every position now, as one frame: what the rules judge.

Names, units and meanings are those of `rules.CATALOGUE`. A fact is null unless everything it needs is of
this moment: legs of one structure that were quoted at different times give absurd profits (69 % where 10 %
was true), so profit needs of every leg a live quote, or a mark modelled at the underlying's price of now.
What is only known by the day (the place of implied volatility in its year, days to announced events, how the
underlyings move together) comes from a page of the `Almanac`; without one it is null.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

from options import NEW_YORK, Right, SecType
from rules.facts import CATALOGUE
from sync.almanac import AlmanacPage
from sync.position import Position
from sync.quote_board import STATES, Floats, Quotes, epoch_us
from sync.value_at_risk import value_at_risk

SHARES_PER_UNIT = 100
"""Greeks per lot count in units of 100 shares, as an option's own Greeks do."""

NAME_SCHEMA = dict.fromkeys(("position", "structure", "strategy", "underlying"), pl.String())
POSITION_DTYPE = np.dtype(
    [
        ("underlying", np.intp),
        ("first_leg", np.intp),
        ("lots", np.float64),
        ("net_credit_usd", np.float64),
        ("max_loss_usd", np.float64),
        ("max_profit_usd", np.float64),
        ("expiry", np.float64),
        ("entry_time", np.float64),
        ("entry_iv", np.float64),
        ("entry_vix", np.float64),
    ]
)
LEG_DTYPE = np.dtype(
    [
        ("con_id", np.int64),
        ("underlying", np.intp),
        ("shares", np.float64),
        ("strike", np.float64),
        ("is_option", np.bool_),
        ("is_call", np.bool_),
        ("is_short", np.bool_),
    ]
)
UNDERLYING_DTYPE = np.dtype([(name, np.float64) for name in ("price", "change_1h", "change_1d")])
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
        "underlying_age_s": pl.Float64(),
        "vix_age_s": pl.Float64(),
        "account_age_s": pl.Float64(),
        "history_age_days": pl.Float64(),
        "calendar_age_days": pl.Float64(),
    }
)
VIX = "VIX"
BY_THE_DAY = ("iv_rank", "iv_percentile", "days_to_earnings", "days_to_ex_dividend")
EXPOSED = ("delta_usd", "gamma_usd", "vega_usd")
QUOTED = ("market_value_usd", "short_strike_distance", "extrinsic", "quote_age")
GREEKS_OF_A_SHARE = {"delta": 1.0, "gamma": 0.0, "theta": 0.0, "vega": 0.0}


@dataclass(frozen=True, slots=True, eq=False)
class PositionColumns:
    """What of the positions does not change with the market; build it when the book's revision grows.

    `positions` (`POSITION_DTYPE`) and `legs` (`LEG_DTYPE`) are records with NaN for unknown; a position's
    legs follow one another from `first_leg` on, and there is at least one. `underlying` is the place in
    `underlyings`, `expiry` a day's ordinal, `entry_time` `epoch_us`; `shares` is the signed quantity times
    the multiplier.
    """

    names: pl.DataFrame
    underlyings: tuple[str, ...]
    positions: NDArray[np.void]
    legs: NDArray[np.void]


def position_columns(positions: Iterable[Position]) -> PositionColumns:
    """The columns of these positions, in their order."""
    names, rows = [], []
    legs: list[tuple[object, ...]] = []
    underlyings: dict[str, int] = {}
    for position in positions:
        figures, expiry = position.payoff, position.expiry
        underlying = underlyings.setdefault(position.underlying, len(underlyings))
        names.append((position.id, position.structure.value, position.strategy, position.underlying))
        rows.append(
            (
                underlying,
                len(legs),
                position.lots,
                figures.net_credit_usd,
                figures.max_loss_usd,
                figures.max_profit_usd,
                expiry.toordinal() if expiry else None,
                epoch_us(position.entry_time),
                position.entry_iv,
                position.entry_vix,
            )
        )
        legs += [
            (
                leg.contract.con_id,
                underlying,
                leg.quantity * leg.contract.multiplier,
                leg.contract.strike,
                leg.contract.sec_type is SecType.OPTION,
                leg.contract.right is Right.CALL,
                leg.contract.sec_type is SecType.OPTION and leg.quantity < 0,
            )
            for leg in position.legs
        ]
    return PositionColumns(
        pl.DataFrame(names, schema=NAME_SCHEMA, orient="row"),
        tuple(underlyings),
        np.array(rows, POSITION_DTYPE),
        np.array(legs, LEG_DTYPE),
    )


def facts_frame(
    columns: PositionColumns,
    board: Quotes,
    account: Mapping[str, float | None],
    vix: float | None,
    now: datetime,
    page: AlmanacPage | None = None,
) -> pl.DataFrame:
    """One row per position: every fact of position and underlying scope, schema `FACTS_SCHEMA`.

    Ratios are plain numbers (0.8 = 80 %). `profit` is profit_usd over the net credit received or the
    debit paid. `delta`, `gamma`, `theta`, `vega` are per lot; their `_usd` companions are for the whole
    position: `delta_usd` USD per 100 % move of the underlying, `gamma_usd` its change per 1 % move,
    `theta_usd` per day, `vega_usd` per vol point. `iv` is the vega-weighted mean of the legs. `page` is that
    of today and of `columns.underlyings`.
    """
    held = columns.positions
    with np.errstate(all="ignore"):
        underlyings = _underlyings(columns, board, now)
        sums, worst = _sums_over_legs(columns, board, underlyings["price"], now)
        market = underlyings[held["underlying"]]
        figures = {
            **{name: held[name] for name in ("lots", "net_credit_usd", "max_loss_usd", "max_profit_usd")},
            **{name: sums[name] for name in QUOTED},
            **{f"underlying_{name}": market[name] for name in ("price", "change_1h", "change_1d")},
            **_profit(held, sums["market_value_usd"]),
            **_greeks(held, sums, market["price"]),
            **_against_entry(held, sums["iv_weighted"] / sums["iv_weight"], vix),
            "spread_pct": sums["width_usd"] / np.abs(sums["market_value_usd"]),
            "dte": held["expiry"] - now.astimezone(NEW_YORK).date().toordinal(),
            "days_held": (epoch_us(now) - held["entry_time"]) / 86_400e6,
            "buying_power_used": held["max_loss_usd"] / (account.get("nlv_usd") or np.nan),
            "positions_same_underlying": np.bincount(held["underlying"])[held["underlying"]],
            **_by_the_day(held, page),
        }
    states = pl.Series("quote_state", [STATES[state] for state in worst.tolist()], pl.String)
    return _frame(columns.names.hstack([states]), figures, FACTS_SCHEMA)


def display_facts(
    columns: PositionColumns,
    board: Quotes,
    now: datetime,
    page: AlmanacPage | None = None,
    account_age_s: float | None = None,
) -> pl.DataFrame:
    """Money at the last sane quotes, and how old the sources are: for the eye only, never given to rules.

    One row per position, schema `DISPLAY_SCHEMA`; null when a leg never had a sane quote, and when nothing
    was ever heard from a source. The facts `quote_state` and `quote_age` tell of the legs' quotes.
    """
    held, legs = columns.positions, columns.legs
    quotes, _ = board.figures(legs["con_id"].tolist(), now)
    with np.errstate(all="ignore"):
        value_usd = np.add.reduceat(legs["shares"] * quotes["mark"], held["first_leg"])
        profit = {f"last_{name}": values for name, values in _profit(held, value_usd).items()}
    ages = _ages(columns, board, now, page, account_age_s)
    return _frame(columns.names, {"last_market_value_usd": value_usd, **profit, **ages}, DISPLAY_SCHEMA)


def _ages(
    columns: PositionColumns,
    board: Quotes,
    now: datetime,
    page: AlmanacPage | None,
    account_age_s: float | None,
) -> dict[str, Floats]:
    """How old each source is, per position; NaN where nothing was ever heard from it."""
    of = columns.positions["underlying"]
    prices = np.array([board.underlying_age_s(symbol, now) for symbol in columns.underlyings], float)
    no_day = np.full(len(columns.underlyings), np.nan)
    history = no_day if page is None else page.daily["iv_age_days"]
    of_all = {
        "vix_age_s": board.underlying_age_s(VIX, now),
        "account_age_s": account_age_s,
        "calendar_age_days": None if page is None else page.calendar_age_days,
    }
    return {
        "underlying_age_s": prices[of],
        "history_age_days": history[of],
        **{name: np.full(len(of), np.nan if age is None else age) for name, age in of_all.items()},
    }


def book_facts(
    facts: pl.DataFrame,
    account: Mapping[str, float | None],
    vix: float | None,
    page: AlmanacPage | None = None,
) -> dict[str, float | str | None]:
    """Every fact of book scope. A sum over positions is None as soon as one of them is not known."""
    nlv, margin = account.get("nlv_usd"), account.get("maintenance_margin_usd")
    risked = facts.group_by("underlying").agg(pl.len(), pl.col("max_loss_usd").sum())
    is_known = not facts["max_loss_usd"].null_count()
    worst = max(risked["max_loss_usd"].to_list(), default=0.0) if is_known else None
    return {
        "vix": vix,
        "regime": regime(vix),
        "book_delta_usd": _total(facts, "delta_usd"),
        "book_gamma_usd": _total(facts, "gamma_usd"),
        "book_theta_usd": _total(facts, "theta_usd"),
        "book_vega_usd": _total(facts, "vega_usd"),
        "book_var_usd": _value_at_risk(facts, page),
        "book_buying_power_used": margin / nlv if nlv and margin is not None else None,
        "book_concentration": worst / nlv if nlv and worst is not None else None,
        "book_positions": facts.height,
        "book_positions_one_underlying": max(risked["len"].to_list(), default=0),
    }


def _value_at_risk(facts: pl.DataFrame, page: AlmanacPage | None) -> float | None:
    """Of one day, from the sums over the positions of each underlying."""
    exposed = facts.select("underlying", *EXPOSED)
    if page is None or any(exposed[name].null_count() for name in EXPOSED):
        return None
    sums = exposed.group_by("underlying").agg(pl.col(*EXPOSED).sum())
    of = {row[0]: row[1:] for row in sums.iter_rows()}
    delta, gamma, vega = np.array([of[symbol] for symbol in page.underlyings], float).reshape(-1, 3).T
    return value_at_risk(delta, gamma, vega, page.covariance)


def regime(vix: float | None) -> str | None:
    """The market's mood by VIX: crash above 35, high_vol above 25, low_vol below 15, else normal."""
    if vix is None:
        return None
    if vix > 35:
        return "crash"
    if vix > 25:
        return "high_vol"
    return "low_vol" if vix < 15 else "normal"


def _sums_over_legs(
    columns: PositionColumns, board: Quotes, spots: Floats, now: datetime
) -> tuple[dict[str, Floats], NDArray[np.int64]]:
    """What the legs of each position are together, and the place of their worst quote in `STATES`.

    One unknown leg makes a sum unknown: NaN goes through every ufunc used here. A share of stock has a
    delta of one and no other Greek, whatever the market-data line says.
    """
    legs, first = columns.legs, columns.positions["first_leg"]
    quotes, states = board.figures(legs["con_id"].tolist(), now)
    shares, is_option, spot = legs["shares"], legs["is_option"], spots[legs["underlying"]]
    otm = np.where(legs["is_call"], legs["strike"] - spot, spot - legs["strike"])
    vega = np.where(is_option, np.abs(shares) * quotes["vega"], 0.0)
    added = {
        "market_value_usd": shares * quotes["current_mark"],
        "width_usd": np.abs(shares) * quotes["spread"],
        **{
            name: shares * np.where(is_option, quotes[name], of_share)
            for name, of_share in GREEKS_OF_A_SHARE.items()
        },
        "iv_weight": vega,
        "iv_weighted": np.where(is_option, vega * quotes["iv"], 0.0),
    }
    of_shorts = {
        "short_strike_distance": otm / spot,
        "extrinsic": quotes["current_mark"] - np.maximum(-otm, 0.0),
    }
    sums = {
        **{name: np.add.reduceat(values, first) for name, values in added.items()},
        **{
            name: np.minimum.reduceat(np.where(legs["is_short"], values, np.inf), first)
            for name, values in of_shorts.items()
        },
        "quote_age": np.maximum.reduceat(quotes["age_s"], first),
    }
    return sums, np.maximum.reduceat(states, first)


def _underlyings(columns: PositionColumns, board: Quotes, now: datetime) -> NDArray[np.void]:
    """Price and changes of `columns.underlyings` in their order, as `UNDERLYING_DTYPE`."""
    hour, day = timedelta(hours=1), timedelta(days=1)
    rows = [
        (
            board.underlying_price(symbol, now),
            board.underlying_change(symbol, hour, now),
            board.underlying_change(symbol, day, now),
        )
        for symbol in columns.underlyings
    ]
    return np.array(rows, UNDERLYING_DTYPE)


def _by_the_day(held: NDArray[np.void], page: AlmanacPage | None) -> dict[str, Floats]:
    if page is None:
        return dict.fromkeys(BY_THE_DAY, np.full(len(held), np.nan))
    daily = page.daily[held["underlying"]]
    return {name: daily[name] for name in BY_THE_DAY}


def _profit(held: NDArray[np.void], value_usd: Floats) -> dict[str, Floats]:
    profit_usd = value_usd + held["net_credit_usd"]
    return {"profit_usd": profit_usd, "profit": profit_usd / np.abs(held["net_credit_usd"])}


def _greeks(held: NDArray[np.void], sums: Mapping[str, Floats], price: Floats) -> dict[str, Floats]:
    return {
        **{name: sums[name] / SHARES_PER_UNIT / held["lots"] for name in GREEKS_OF_A_SHARE},
        "delta_usd": sums["delta"] * price,
        "gamma_usd": sums["gamma"] * price * price * 0.01,
        "theta_usd": sums["theta"],
        "vega_usd": sums["vega"],
    }


def _against_entry(held: NDArray[np.void], iv: Floats, vix: float | None) -> dict[str, Floats]:
    return {
        "iv": iv,
        "iv_change": iv / held["entry_iv"] - 1.0,
        "vix_change": (np.nan if vix is None else vix) - held["entry_vix"],
    }


def _frame(names: pl.DataFrame, figures: Mapping[str, Floats], schema: pl.Schema) -> pl.DataFrame:
    """Names and figures together, in the order of the schema; what is not finite is null."""
    columns = [
        pl.Series(name, np.where(np.isfinite(values), values, np.nan), nan_to_null=True).cast(schema[name])
        for name, values in figures.items()
    ]
    return names.hstack(columns).select(schema.names())


def _total(frame: pl.DataFrame, name: str) -> float | None:
    column = frame.get_column(name)
    return None if column.null_count() else float(column.sum())
