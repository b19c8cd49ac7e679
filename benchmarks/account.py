"""A large account, made up: iron condors on forty underlyings, each held for thirty trading days.

Everything is a function of the seed: the days are those of the exchange's calendar, the underlyings walk
at random, quotes and Greeks are Black-Scholes with a smile. `Account` knows the positions, `quotes` and
`facts` what they are worth at some moments, `happenings` (another module) what is done about them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import ndtr

from options import hours
from sync.tables import FACTS_TABLE

NAME = "DU1234567"
HELD_DAYS = 30
UNDERLYINGS = 40
LEGS = ("C", "C", "P", "P")
SIDES = np.array([-1, 1, -1, 1])
_RATE = 0.04
_FIRST_CON_ID = 1_000_000

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Account:
    """`days` are the trading days; `spot` is (underlying, day) from thirty days before the first on."""

    seed: int
    days: tuple[date, ...]
    spot: Array
    book: pl.DataFrame

    def held(self, day: int) -> pl.DataFrame:
        """The positions held after the day's trading, one row each."""
        return self.book.filter((pl.col("opened") <= day) & (pl.col("closes") > day))

    def opened(self, day: int) -> pl.DataFrame:
        """What is opened on this day; on the first day everything that is held, adopted."""
        return self.held(0) if day == 0 else self.book.filter(pl.col("opened") == day)

    def closed(self, day: int) -> pl.DataFrame:
        return self.book.clear() if day == 0 else self.book.filter(pl.col("closes") == day)


def make_account(first: date, days: int, contracts: int, seed: int) -> Account:
    """An account that always holds `contracts` contracts, from the first trading day on or after `first`."""
    calendar = [first if hours.is_trading_day(first) else hours.next_trading_day(first)]
    while len(calendar) < days:
        calendar.append(hours.next_trading_day(calendar[-1]))
    random = np.random.default_rng(seed)
    moves = random.normal(0, 0.011, (UNDERLYINGS, days + HELD_DAYS + 1))
    start = np.geomspace(30, 700, UNDERLYINGS)[:, None]
    spot = start * np.exp(np.cumsum(moves, axis=1))
    return Account(seed, tuple(calendar), spot, _book(tuple(calendar), spot, contracts // 4))


def _book(days: Sequence[date], spot: Array, slots: int) -> pl.DataFrame:
    """Every position that is ever held. A slot's next position is opened on the day the last one closes."""
    generations = len(days) // HELD_DAYS + 2
    slot = np.tile(np.arange(slots), generations)
    generation = np.repeat(np.arange(generations), slots)
    opened = slot % HELD_DAYS + HELD_DAYS * (generation - 1)
    kept = opened < len(days)
    number, slot, opened = (slot + slots * generation)[kept], slot[kept], opened[kept]
    price = spot[slot % UNDERLYINGS, opened + HELD_DAYS]
    step = np.where(price > 200, 5.0, 1.0)
    short_put, short_call = (np.round(price * k / step) * step for k in (0.95, 1.05))
    entry = [days[day] if day >= 0 else days[0] - timedelta(days=1 - int(day) * 7 // 5) for day in opened]
    return pl.DataFrame(
        {
            "number": number,
            "underlying": [f"U{n:02}" for n in slot % UNDERLYINGS],
            "market": slot % UNDERLYINGS,
            "opened": opened,
            "closes": opened + HELD_DAYS,
            "entry_day": entry,
            "expiry": [_friday(day + timedelta(days=52)) for day in entry],
            "k0": short_call,
            "k1": short_call + step,
            "k2": short_put,
            "k3": short_put - step,
            "lots": 1 + number % 3,
            "credit": (0.38 * step + 0.01 * (number % 20)).round(2),
            "entry_price": price.round(2),
        }
    ).with_columns(
        position=pl.format(
            "{}-{}-iron_condor-{}",
            "underlying",
            pl.col("expiry").dt.strftime("%Y%m%d"),
            pl.col("number").cast(pl.String).str.zfill(6),
        )
    )


def _friday(day: date) -> date:
    return day + timedelta(days=(4 - day.weekday()) % 7)


def legs(positions: pl.DataFrame) -> pl.DataFrame:
    """The legs of these positions, four rows each: short call, long call, short put, long put."""
    each = positions.select(pl.all().repeat_by(4).explode(empty_as_null=True, keep_nulls=True))
    leg = pl.int_range(pl.len()) % 4
    strike = pl.when(leg == 0).then("k0").when(leg == 1).then("k1").when(leg == 2).then("k2").otherwise("k3")
    return each.select(
        (_FIRST_CON_ID + 4 * pl.col("number") + leg).alias("con_id"),
        pl.col("underlying").alias("symbol"),
        "market",
        "expiry",
        strike.alias("strike"),
        pl.when(leg < 2).then(pl.lit("C")).otherwise(pl.lit("P")).alias("right"),
        (pl.col("lots") * (2 * (leg % 2) - 1)).alias("quantity"),
        (100 * (pl.col("credit") + 0.5 - 0.25 * (leg % 2))).alias("average_cost_usd"),
        "position",
    )


def quotes(account: Account, day: int, held: pl.DataFrame, moments: Sequence[datetime]) -> pl.DataFrame:
    """Rows of `snapshots` with their `moment` (its number), all contracts of each moment together."""
    contracts, count = legs(held), len(moments)
    random = np.random.default_rng((account.seed, int(moments[0].timestamp())))
    drift = 1 + 0.003 * np.cumsum(random.normal(0, 1, (count, UNDERLYINGS)), axis=0) / max(count, 1) ** 0.5
    spot = (account.spot[:, day + HELD_DAYS][None, :] * drift)[:, contracts["market"].to_numpy()]
    strike = contracts["strike"].to_numpy()[None, :]
    years = (contracts["expiry"] - account.days[day]).dt.total_days().to_numpy()[None, :] / 365 + 1e-4
    away = np.log(strike / spot)
    iv = 0.18 - 0.25 * away + 0.6 * away**2 + random.normal(0, 0.002, spot.shape)
    is_call = (contracts["right"] == "C").to_numpy()[None, :]
    priced = _black_scholes(spot, strike, years, iv, is_call)
    half = np.maximum(0.01, np.round(0.01 * priced["mark"] + 0.01, 2))
    bid = np.maximum(0.0, np.round(priced["mark"] - half, 2))
    columns: dict[str, Array] = {"bid": bid, "ask": np.round(priced["mark"] + half, 2), **priced}
    columns |= {"last": np.round(priced["mark"], 2), "iv": iv, "underlying_price": np.round(spot, 2)}
    number = np.repeat(np.arange(count), contracts.height)
    lag = timedelta(seconds=1)
    return pl.DataFrame(
        {
            "moment": number,
            "con_id": np.tile(contracts["con_id"].to_numpy(), count),
            **{name: values.ravel() for name, values in columns.items()},
            "quote_time": pl.Series(
                [moment - lag for moment in moments], dtype=pl.Datetime("us", "UTC")
            ).gather(number),
        }
    ).with_columns(
        bid=pl.when(pl.col("bid") > 0).then("bid"),
        quote_state=pl.when(pl.col("con_id") % 97 == 0).then(pl.lit("stale")).otherwise(pl.lit("live")),
    )


def _black_scholes(
    spot: Array, strike: Array, years: Array, iv: Array, is_call: NDArray[np.bool_]
) -> dict[str, Array]:
    root = iv * np.sqrt(years)
    d1 = (np.log(spot / strike) + (_RATE + iv**2 / 2) * years) / root
    sign = np.where(is_call, 1.0, -1.0)
    discounted = strike * np.exp(-_RATE * years)
    bell = np.exp(-(d1**2) / 2) / np.sqrt(2 * np.pi)
    delta = sign * ndtr(sign * d1)
    exercised = ndtr(sign * (d1 - root))
    return {
        "mark": np.maximum(spot * delta - sign * discounted * exercised, 0.0),
        "delta": delta,
        "gamma": bell / (spot * root),
        "theta": (-spot * bell * iv / (2 * np.sqrt(years)) - sign * _RATE * discounted * exercised) / 365,
        "vega": spot * bell * np.sqrt(years) / 100,
    }


def facts(account: Account, day: int, held: pl.DataFrame, seen: pl.DataFrame) -> pl.DataFrame:
    """Rows of `facts` with their `moment`, of the `quotes` of these positions; the rest is noise."""
    count = seen.height // (4 * held.height)
    numbers = {
        name: seen[name].to_numpy().reshape(-1, 4) @ SIDES
        for name in ("mark", "delta", "gamma", "theta", "vega")
    }
    random = np.random.default_rng((account.seed, day, 7))
    every = np.tile(np.arange(held.height), count)
    positions = held[every]
    credit, lots = positions["credit"].to_numpy(), positions["lots"].to_numpy()
    profit = credit + numbers["mark"]
    known: dict[str, object] = {
        "moment": np.repeat(np.arange(count), held.height),
        "position": positions["position"],
        "structure": "iron_condor",
        "underlying": positions["underlying"],
        "strategy": "condors",
        "quote_state": "live",
        "lots": lots,
        "profit": profit / credit,
        "profit_usd": 100 * lots * profit,
        "net_credit_usd": 100 * lots * credit,
        "market_value_usd": 100 * lots * numbers["mark"],
        "iv": seen["iv"].to_numpy().reshape(-1, 4).mean(axis=1),
        "dte": (positions["expiry"] - account.days[day]).dt.total_days(),
        **{name: numbers[name] for name in ("delta", "gamma", "theta", "vega")},
        **{f"{name}_usd": 100 * lots * numbers[name] for name in ("delta", "gamma", "theta", "vega")},
    }
    unknown = (
        "days_to_earnings",
        "days_to_ex_dividend",
        "iv_rank",
        "iv_percentile",
        "book_var_usd",
        "regime",
    )
    for column in FACTS_TABLE.columns:
        if column.name in known or column.name in unknown or column.dtype == pl.String():
            continue
        if column.dtype == pl.Int64():
            known[column.name] = held.height
        elif column.name.startswith("book_"):
            known[column.name] = float(day)
        else:
            known[column.name] = random.normal(0, 1, positions.height)
    return pl.DataFrame(known)
