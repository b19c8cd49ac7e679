"""A past to compare rules over: iron condors through the spring of 2025, on recorded daily prices.

The VIX, and opening and closing prices, are those of the recorded days; the way between opening and closing
is drawn by chance (always the same), and the options are worth what Black-Scholes makes of prices and VIX.
The condors were held until a week before expiry, whatever happened.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

import rules
from lake import Lake
from options import hours
from options.pricing import greeks
from sync.facts import regime
from sync.tables import FACTS_TABLE, LAKE_TABLES

SYMBOLS = {"IWM": 1.25, "QQQ": 1.2, "SPY": 0.95}
"""With how much more than the VIX their options are worth."""
OPENED = date(2025, 3, 3), date(2025, 3, 17)
FIRST, LAST = date(2025, 3, 21), date(2025, 4, 11)
"""What was recorded; the condors were there before."""
LOTS = 2
COSTS_USD = 12.0
"""What spread and commission took when a condor was closed."""
ASLEEP = datetime(2025, 4, 3, 15, tzinfo=UTC), datetime(2025, 4, 3, 16, 30, tzinfo=UTC)
"""Nothing was recorded then."""


@dataclass(frozen=True)
class Condor:
    """Short strikes 1.2 standard deviations away from the price at its opening, wings 2 % beyond."""

    name: str
    symbol: str
    opened: date
    expiry: date

    @property
    def left(self) -> date:
        return self.expiry - timedelta(days=7)


@dataclass(frozen=True)
class Market:
    """Prices and volatilities at each of `times`."""

    times: list[datetime]
    price: dict[str, np.ndarray]
    iv: dict[str, np.ndarray]
    vix: np.ndarray


def make_past(
    home: Path,
    recorded: Path,
    opened: Sequence[date] = OPENED,
    days: tuple[date, date] = (FIRST, LAST),
    every: timedelta = timedelta(minutes=5),
) -> None:
    """Fill a new home: a condor per underlying and day of opening, all facts at every beat of the days."""
    market = _market(recorded, opened[0], days[1], every)
    condors = [
        Condor(f"{symbol}-{expiry:%Y%m%d}-iron_condor", symbol, day, expiry)
        for day in opened
        for expiry in [day + timedelta(days=46)]
        for symbol in SYMBOLS
    ]
    seen = pl.concat([_facts(condor, market) for condor in condors])
    seen = seen.filter(pl.col("time") >= hours.opening(days[0])).sort("time", "position")
    commits = {
        time: {"facts": frame.select(FACTS_TABLE.row.names())}
        for (time,), frame in seen.partition_by("time", as_dict=True, include_key=False).items()
    }
    endings = [_ending(each, seen.filter(position=each.name)) for each in condors if each.left <= days[1]]
    for time in {time for time, _ in endings}:
        rows = [row for when, row in endings if when == time]
        commits.setdefault(time, {})["strategies"] = _frame("strategies", rows)
    text = rules.default_rules_path().read_text(encoding="utf-8")
    kept = {"revision": rules.revision_of(text), "text": text, "path": "rules.yaml"}
    home.mkdir(parents=True, exist_ok=True)
    with Lake.open(home, LAKE_TABLES) as lake:
        before = hours.opening(days[0]) - timedelta(minutes=1)
        lake.commit(before, {"rules_revisions": _frame("rules_revisions", [kept])})
        for time in sorted(commits):
            lake.commit(time, commits[time])
        lake.flush()


def _market(recorded: Path, first: date, last: date, every: timedelta) -> Market:
    bars = pl.read_parquet(recorded / "underlying_daily_bars.parquet")
    fear = {row["date"]: row for row in pl.read_parquet(recorded / "vix_daily.parquet").to_dicts()}
    days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    days = [day for day in days if hours.is_trading_day(day)]
    per_day = hours.session_s(days[0]) // int(every.total_seconds())
    part = np.linspace(0, 1, per_day)
    price = {}
    for seed, symbol in enumerate(SYMBOLS):
        chance = np.random.default_rng(seed)
        by_day = {row["date"]: row for row in bars.filter(pl.col("symbol") == symbol).to_dicts()}
        steps = []
        for day in days:
            bar = by_day[day]
            walk = np.cumsum(chance.normal(0, 1, per_day)) / np.sqrt(per_day)
            bridge = (walk - part * walk[-1]) * (bar["high"] - bar["low"]) / 2
            steps.append(bar["open"] + part * (bar["close"] - bar["open"]) + bridge * np.sin(np.pi * part))
        price[symbol] = np.concatenate(steps)
    vix = np.concatenate([fear[d]["open"] + part * (fear[d]["close"] - fear[d]["open"]) for d in days])
    iv = {symbol: vix / 100 * against_vix for symbol, against_vix in SYMBOLS.items()}
    times = [hours.opening(day) + every * n for day in days for n in range(per_day)]
    awake = np.array([not ASLEEP[0] <= time < ASLEEP[1] for time in times])
    return Market(
        [time for time, is_awake in zip(times, awake, strict=True) if is_awake],
        {symbol: path[awake] for symbol, path in price.items()},
        {symbol: path[awake] for symbol, path in iv.items()},
        vix[awake],
    )


def _facts(condor: Condor, market: Market) -> pl.DataFrame:
    """`time` and all columns of the table, a row per beat while it was held."""
    opened, left = hours.opening(condor.opened), hours.opening(condor.left)
    mine = np.array([opened <= time < left for time in market.times])
    times = [time for time, is_mine in zip(market.times, mine, strict=True) if is_mine]
    spot, iv, vix = market.price[condor.symbol][mine], market.iv[condor.symbol][mine], market.vix[mine]
    end = hours.closing(condor.expiry)
    years = np.array([(end - time).total_seconds() / 86_400 / 365 for time in times])
    width = 1.2 * iv[0] * np.sqrt(years[0])
    strikes = np.round(spot[0] * np.array([1 - width - 0.02, 1 - width, 1 + width, 1 + width + 0.02]))
    legs = np.array([1, -1, -1, 1])
    found = greeks(spot[:, None], strikes, years[:, None], iv[:, None], strikes > spot[0])
    value, delta, gamma, theta, vega = (
        (figure * legs).sum(axis=1)
        for figure in (found.price, found.delta, found.gamma, found.theta, found.vega)
    )
    credit, shares = -value[0], 100 * LOTS
    # The first beat of a day comes before the quotes do.
    known = np.array([n > 0 and times[n - 1].date() == time.date() for n, time in enumerate(times)])
    hour = 12 if len(times) > 1 and times[1] - times[0] == timedelta(minutes=5) else 1
    before = (
        np.concatenate([np.full(hour, np.nan), spot[:-hour]])
        if len(spot) > hour
        else np.full(len(spot), np.nan)
    )
    figures = {
        "profit": (credit + value) / credit,
        "profit_usd": (credit + value) * shares,
        "market_value_usd": value * shares,
        "delta": delta, "gamma": gamma, "theta": theta, "vega": vega,
        "delta_usd": delta * shares * spot,
        "iv": iv, "iv_change": iv / iv[0] - 1,
        "underlying_price": spot, "underlying_change_1h": spot / before - 1,
        "vix": vix, "vix_change": vix - vix[0],
    }  # fmt: skip
    frame = pl.DataFrame({"time": times, **figures}).with_columns(
        pl.when(pl.lit(pl.Series(known))).then(pl.col(name)).fill_nan(None) for name in figures
    )
    return _whole(condor, frame, credit * shares, float(strikes[1] - strikes[0]) * shares)


def _whole(condor: Condor, frame: pl.DataFrame, credit_usd: float, width_usd: float) -> pl.DataFrame:
    moods = pl.Series([regime(vix) for vix in frame["vix"]], dtype=pl.String)
    frame = frame.with_columns(
        position=pl.lit(condor.name),
        structure=pl.lit("iron_condor"),
        underlying=pl.lit(condor.symbol),
        lots=pl.lit(LOTS, pl.Int64),
        positions_same_underlying=pl.lit(1, pl.Int64),
        net_credit_usd=pl.lit(credit_usd),
        max_profit_usd=pl.lit(credit_usd),
        max_loss_usd=pl.lit(width_usd - credit_usd),
        dte=(pl.lit(condor.expiry) - pl.col("time").dt.date()).dt.total_days(),
        days_held=(pl.col("time") - pl.lit(hours.opening(condor.opened))).dt.total_seconds() / 86_400,
        regime=moods,
        quote_state=pl.when(pl.col("profit").is_null()).then(pl.lit("stale")).otherwise(pl.lit("live")),
    )
    there = set(frame.columns)
    return frame.select(
        "time",
        *[pl.col(n).cast(t) if n in there else pl.lit(None, t).alias(n) for n, t in FACTS_TABLE.row.items()],
    )


def _ending(condor: Condor, seen: pl.DataFrame) -> tuple[datetime, dict[str, object]]:
    """The row of `strategies` that closes it, five minutes after its last beat."""
    last = seen.row(-1, named=True)
    return last["time"] + timedelta(minutes=5), {
        "position": condor.name,
        "event": "closed",
        "structure": "iron_condor",
        "underlying": condor.symbol,
        "lots": LOTS,
        "realized_pnl_usd": last["profit_usd"] - COSTS_USD,
        "reason": "by hand",
    }


def _frame(table: str, rows: Sequence[dict[str, object]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=LAKE_TABLES[table].row, orient="row")
