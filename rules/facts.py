"""The facts catalogue: the one vocabulary of rules files, lake columns and the page."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

import polars as pl

from options import Structure

Scope = Literal["position", "underlying", "book"]


class Unit(StrEnum):
    """What a number counts. Different units are never compared or added."""

    RATIO = "ratio"  # 0.5 = 50 %
    DAYS = "days"
    SECONDS = "seconds"
    POINTS = "points"  # VIX points
    PERCENTILE = "percentile"  # 0 to 100
    USD = "USD"
    NUMBER = "number"  # counts, and Greeks per share
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing the rules may ask about; null means that it is unknown.

    `stale_after_s`: how long an unknown value is normal before somebody should be told. `values`: the
    closed set of a text fact, empty when it is open. `tracked`: folded per position by the rules
    themselves; a value handed in counts as one that was already seen. `low`, `high`: what an open position
    never goes below or above, None where that is not certain; facts of dtype Int64 are whole numbers.
    """

    name: str
    unit: Unit
    scope: Scope
    meaning: str
    computed: str
    stale_after_s: float
    dtype: type[pl.DataType] = pl.Float64
    values: tuple[str, ...] = ()
    tracked: bool = False
    low: float | None = None
    high: float | None = None


REGIMES = ("crash", "high_vol", "normal", "low_vol")
QUOTE_STATES = ("live", "modelled", "stale", "missing")

_QUOTED_S = 120.0  # quotes and model Greeks
_DAILY_S = 86_400.0  # calendars and what is known once a day
_BOOK_S = 300.0  # account values arrive every three minutes

_R, _D, _S, _P, _C, _U, _N, _T = Unit


def _position(
    name: str,
    unit: Unit,
    meaning: str,
    computed: str,
    stale_after_s: float = _QUOTED_S,
    dtype: type[pl.DataType] = pl.Float64,
    low: float | None = None,
) -> Fact:
    return Fact(name, unit, "position", meaning, computed, stale_after_s, dtype, low=low)


def _text(
    name: str, scope: Scope, meaning: str, computed: str, stale_after_s: float, values: tuple[str, ...] = ()
) -> Fact:
    return Fact(name, _T, scope, meaning, computed, stale_after_s, pl.String, values)


def _underlying(
    name: str,
    unit: Unit,
    meaning: str,
    computed: str,
    stale_after_s: float,
    low: float | None = None,
    high: float | None = None,
) -> Fact:
    return Fact(name, unit, "underlying", meaning, computed, stale_after_s, low=low, high=high)


def _book(name: str, unit: Unit, meaning: str, computed: str) -> Fact:
    return Fact(name, unit, "book", meaning, computed, _BOOK_S)


def _book_count(name: str, meaning: str, computed: str) -> Fact:
    return Fact(name, _N, "book", meaning, computed, _BOOK_S, pl.Int64, low=0.0)


_PROFIT = (
    _position("profit", _R, "unrealized P&L against what was at stake", "profit_usd / abs(net_credit_usd)"),
    _position("profit_usd", _U, "unrealized P&L", "net_credit_usd + market_value_usd"),
    Fact(
        "peak_profit",
        _R,
        "position",
        "highest profit since the position was opened",
        "max(profit), folded by the rules",
        _QUOTED_S,
        tracked=True,
    ),
    _position(
        "net_credit_usd",
        _U,
        "received at entry, negative when paid",
        "-sum(quantity × average cost), commission included",
    ),
    _position(
        "market_value_usd",
        _U,
        "what the legs are worth now, negative when closing costs money",
        "sum(quantity × multiplier × mark)",
    ),
    _position("max_profit_usd", _U, "best result at expiry", "payoff of the legs; unknown when unlimited"),
    _position(
        "max_loss_usd",
        _U,
        "worst result at expiry, as a positive sum",
        "payoff; unknown when unlimited",
        low=0.0,
    ),
    _position(
        "buying_power_used",
        _R,
        "share of the account that the position ties up",
        "maintenance margin of the position (else max_loss_usd) / net liquidation value",
    ),
)

_TIME = (
    _position(
        "dte", _D, "calendar days to the nearest expiry of a leg", "New York date", _DAILY_S, pl.Int64, 0.0
    ),
    _position("days_held", _D, "days since entry", "(now - entry time) / 24 h", _DAILY_S, low=0.0),
    _position(
        "days_to_earnings",
        _D,
        "calendar days to the next earnings report; 9999: there is none",
        "calendar file",
        _DAILY_S,
        pl.Int64,
        0.0,
    ),
    _position(
        "days_to_ex_dividend",
        _D,
        "calendar days to the next ex-dividend day; 9999: there is none",
        "calendar file",
        _DAILY_S,
        pl.Int64,
        0.0,
    ),
)

_GREEKS = (
    _position("delta", _N, "delta per lot and share", "sum(signed ratio × leg delta)"),
    _position("gamma", _N, "gamma per lot and share", "sum(signed ratio × leg gamma)"),
    _position("theta", _U, "theta per lot, share and day", "sum(signed ratio × leg theta)"),
    _position("vega", _U, "vega per lot, share and vol point", "sum(signed ratio × leg vega)"),
    _position("delta_usd", _U, "value of the equivalent shares", "delta × multiplier × lots × price"),
    _position(
        "gamma_usd",
        _U,
        "change of delta_usd when the underlying moves 1 %",
        "gamma × multiplier × lots × price² / 100",
    ),
    _position("theta_usd", _U, "P&L of one day passing", "theta × multiplier × lots"),
    _position("vega_usd", _U, "P&L of one vol point", "vega × multiplier × lots"),
)

_VOLATILITY = (
    _position("iv", _R, "implied volatility of the position", "vega-weighted mean over the legs", low=0.0),
    _position(
        "iv_change", _R, "iv against its value at entry, 0.5 = half as much again", "iv / entry - 1", low=-1.0
    ),
    _underlying(
        "iv_rank",
        _C,
        "where the underlying's implied volatility lies between the lows and highs of a year",
        "100 × (iv - low) / (high - low) of the broker's daily iv",
        _DAILY_S,
        0.0,
        100.0,
    ),
    _underlying(
        "iv_percentile",
        _C,
        "share of a year's days on which the underlying's implied volatility was lower",
        "100 × days below / days before, of the broker's daily iv",
        _DAILY_S,
        0.0,
        100.0,
    ),
)

_MARKET = (
    _underlying("underlying_price", _U, "price of the underlying", "last, else mid", _QUOTED_S, 0.0),
    _underlying(
        "underlying_change_1h", _R, "move within one hour", "price / price an hour ago - 1", 4200.0, -1.0
    ),
    _underlying(
        "underlying_change_1d", _R, "move since yesterday", "price / previous close - 1", 600.0, -1.0
    ),
    Fact("vix", _P, "book", "the VIX index", "last", 600.0, low=0.0),
    _position("vix_change", _P, "VIX against its value at entry", "vix - entry vix", 600.0),
    _text("regime", "book", "mood of the market", "from VIX and its moves", 600.0, REGIMES),
)

_QUALITY = (
    _position(
        "short_strike_distance",
        _R,
        "room to the nearest short strike, negative once in the money",
        "signed (price - strike) / price, smallest over the short legs",
    ),
    _position("extrinsic", _U, "smallest time value of a short leg, per share", "mark - intrinsic value"),
    _position("quote_age", _S, "age of the oldest leg quote", "now - quote time", low=0.0),
    _position("spread_pct", _R, "bid-ask spread against the mark", "(ask - bid) / abs(mark) of the combo"),
    _text("quote_state", "position", "the worst quote of the legs", "live to missing", 120.0, QUOTE_STATES),
)

_IDENTITY = (
    _text(
        "structure",
        "position",
        "what the legs are together",
        "classified legs",
        _DAILY_S,
        tuple(s.value for s in Structure),
    ),
    _text("strategy", "position", "the strategy that opened it", "its id; unknown when adopted", _DAILY_S),
    _text("underlying", "position", "symbol of the underlying", "contract", _DAILY_S),
    _position("lots", _N, "how many times the structure is held", "holdings", _DAILY_S, pl.Int64, 1.0),
    _position(
        "positions_same_underlying",
        _N,
        "open positions on the same underlying, this one included",
        "count",
        _DAILY_S,
        pl.Int64,
        1.0,
    ),
)

_BOOK = (
    _book("book_delta_usd", _U, "delta of the whole book", "sum(delta_usd)"),
    _book("book_gamma_usd", _U, "gamma of the whole book", "sum(gamma_usd)"),
    _book("book_theta_usd", _U, "theta of the whole book", "sum(theta_usd)"),
    _book("book_vega_usd", _U, "vega of the whole book", "sum(vega_usd)"),
    _book(
        "book_var_usd",
        _U,
        "loss of one day that 95 % of days stay under, positive",
        "delta, gamma and vega per underlying against the covariance of a year's daily moves",
    ),
    _book("book_buying_power_used", _R, "margin in use", "maintenance margin / net liquidation value"),
    _book(
        "book_concentration",
        _R,
        "largest risk on one underlying",
        "max over underlyings of sum(max_loss_usd) / net liquidation value",
    ),
    _book_count("book_positions", "open positions", "count"),
    _book_count("book_positions_one_underlying", "most positions on one underlying", "max of counts"),
)


class Source(StrEnum):
    """What a fact is made of; how old that is stands beside the facts, in the column of `AGE_OF`."""

    HOLDINGS = "holdings"  # told with every change
    QUOTES = "quotes of the legs"
    UNDERLYING = "price of the underlying"
    VIX = "VIX"
    ACCOUNT = "account figures"
    HISTORY = "daily history"
    CALENDAR = "calendar"


AGE_OF: dict[Source, str] = {
    Source.QUOTES: "quote_age",
    Source.UNDERLYING: "underlying_age_s",
    Source.VIX: "vix_age_s",
    Source.ACCOUNT: "account_age_s",
    Source.HISTORY: "history_age_days",
    Source.CALENDAR: "calendar_age_days",
}

_MADE_OF: dict[tuple[Source, ...], str] = {
    (Source.HOLDINGS,): "structure strategy underlying lots positions_same_underlying net_credit_usd "
    "max_profit_usd max_loss_usd dte days_held book_positions book_positions_one_underlying",
    (Source.QUOTES,): "profit profit_usd peak_profit market_value_usd delta gamma theta vega theta_usd "
    "vega_usd iv iv_change quote_age spread_pct quote_state book_theta_usd book_vega_usd",
    (Source.QUOTES, Source.UNDERLYING): "delta_usd gamma_usd extrinsic book_delta_usd book_gamma_usd",
    (Source.UNDERLYING,): "underlying_price underlying_change_1h underlying_change_1d short_strike_distance",
    (Source.VIX,): "vix vix_change regime",
    (Source.ACCOUNT,): "book_buying_power_used",
    (Source.HOLDINGS, Source.ACCOUNT): "buying_power_used book_concentration",
    (Source.HISTORY,): "iv_rank iv_percentile",
    (Source.CALENDAR,): "days_to_earnings days_to_ex_dividend",
    (Source.QUOTES, Source.UNDERLYING, Source.HISTORY): "book_var_usd",
}
SOURCES: dict[str, tuple[Source, ...]] = {
    name: sources for sources, names in _MADE_OF.items() for name in names.split()
}
"""What each fact of the catalogue is made of."""

CATALOGUE: tuple[Fact, ...] = (
    *_IDENTITY,
    *_PROFIT,
    *_TIME,
    *_GREEKS,
    *_VOLATILITY,
    *_MARKET,
    *_QUALITY,
    *_BOOK,
)

FACTS: dict[str, Fact] = {fact.name: fact for fact in CATALOGUE}

_STOCK = frozenset({Structure.STOCK})
_NO_SHORT_OPTION = frozenset(
    {
        Structure.LONG_PUT,
        Structure.LONG_CALL,
        Structure.LONG_STRANGLE,
        Structure.LONG_STRADDLE,
        Structure.STOCK,
    }
)
NEVER_KNOWN: dict[str, frozenset[Structure]] = {
    "dte": _STOCK,
    "iv": _STOCK,
    "iv_change": _STOCK,
    "short_strike_distance": _NO_SHORT_OPTION,
    "extrinsic": _NO_SHORT_OPTION,
    "max_loss_usd": frozenset({Structure.SHORT_CALL, Structure.SHORT_STRANGLE, Structure.SHORT_STRADDLE}),
    "max_profit_usd": frozenset({Structure.LONG_CALL, Structure.LONG_STRANGLE, Structure.LONG_STRADDLE}),
}
"""Structures for which a fact is null by nature: no expiry, no short option, no limit."""

ZERO_OF_STOCK = frozenset({"gamma", "theta", "vega", "gamma_usd", "theta_usd", "vega_usd"})
"""Facts that are zero, if known, for shares alone."""
