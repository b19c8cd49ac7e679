"""Measures the model market beside recorded data: `python -m ops.market_comparison [FOLDER]` prints a table.

The folder holds the recorded files (default `../shared/data`); what they are says its DATA.md.
"""

import sys
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from broker.gateway.markets.model import DEFAULT_START, ModelMarket
from broker.gateway.markets.model.course import COUNT, FEAR, Course, index_of, index_years
from broker.gateway.markets.model.scenarios import SCENARIOS
from options import Right
from options.hours import closing, next_trading_day, opening
from options.normal import Floats

FOLDER = Path(__file__).parents[2] / "shared" / "data"
SYMBOLS = ("SPY", "QQQ", "IWM")
EXPIRY, MODEL_EXPIRY = date(2026, 3, 20), date(2026, 4, 17)
DELTAS = ((0.45, 0.55), (0.20, 0.30), (0.08, 0.12))
SEEDS, YEARS = 20, 1
Row = tuple[str, str, str]


def shape(returns: Floats) -> tuple[str, str]:
    """(annual volatility, kurtosis) of daily log returns."""
    spread = returns - returns.mean()
    return f"{returns.std() * 252**0.5:.1%}", f"{(spread**4).mean() / returns.var() ** 2:.1f}"


def model_closes() -> tuple[Floats, Floats]:
    """(logarithms of prices (seeds, days, shares), the index (seeds, days)) of calm years."""
    prices, index = [], []
    for seed in range(SEEDS):
        course, day = Course(seed, DEFAULT_START.date(), SCENARIOS["calm"]), DEFAULT_START.date()
        for _ in range(252 * YEARS):
            marks = course.marks(day)
            prices.append(marks.closing[:COUNT])
            index.append(float(index_of(marks.closing[FEAR : FEAR + 1], index_years(closing(day)))[0]))
            day = next_trading_day(day)
    return np.array(prices).reshape(SEEDS, -1, COUNT), np.array(index).reshape(SEEDS, -1)


def daily_rows(folder: Path) -> list[Row]:
    prices, index = model_closes()
    returns, moves = np.diff(prices, axis=1), np.diff(np.log(index), axis=1)
    bars = pl.read_parquet(folder / "underlying_daily_bars.parquet").sort("date")
    vix = pl.read_parquet(folder / "vix_daily.parquet").sort("date")
    rows: list[Row] = []
    closes: dict[str, Floats] = {}
    for place, symbol in enumerate(SYMBOLS):
        closes[symbol] = np.log(bars.filter(pl.col("symbol") == symbol)["close"].to_numpy())
        real, model = shape(np.diff(closes[symbol])), shape(returns[:, :, place].ravel())
        rows.append((f"{symbol}: realised volatility", real[0], model[0]))
        rows.append((f"{symbol}: kurtosis of daily returns", real[1], model[1]))
    for other, place in (("QQQ", 1), ("IWM", 2)):
        real_corr = np.corrcoef(np.diff(closes["SPY"]), np.diff(closes[other]))[0, 1]
        model_corr = np.corrcoef(returns[:, :, 0].ravel(), returns[:, :, place].ravel())[0, 1]
        rows.append((f"SPY and {other}: correlation", f"{real_corr:.2f}", f"{model_corr:.2f}"))
    joined = bars.filter(pl.col("symbol") == "SPY").join(vix, on="date", suffix="_vix")
    together = np.diff(np.log(joined.select("close", "close_vix").to_numpy()), axis=0)
    model_corr = np.corrcoef(returns[:, :, 0].ravel(), moves.ravel())[0, 1]
    rows.append(("SPY and VIX: correlation", f"{np.corrcoef(together.T)[0, 1]:.2f}", f"{model_corr:.2f}"))
    levels, steps = vix["close"].to_numpy(), np.diff(np.log(vix["close"].to_numpy()))
    for label, of, (real_values, model_values) in (
        ("VIX: median", np.median, (levels, index)),
        ("VIX: 1st percentile", lambda values: np.percentile(values, 1), (levels, index)),
        ("VIX: 99th percentile", lambda values: np.percentile(values, 99), (levels, index)),
    ):
        rows.append((label, f"{of(real_values):.1f}", f"{of(model_values):.1f}"))
    rows.append(("VIX: deviation of daily log changes", f"{steps.std():.3f}", f"{moves.std():.3f}"))
    return rows


def chain_rows(folder: Path) -> list[Row]:
    """Smile and spreads about 50 days out: recorded mid-session quotes beside those of a model noon."""
    recorded = pl.read_parquet(folder / "ibkr_option_snapshots.parquet").filter(
        (pl.col("expiry") == EXPIRY) & pl.col("iv").is_not_null() & (pl.col("ask") > pl.col("bid"))
    )
    columns = ("right", "delta", "iv", "bid", "ask")
    rows: list[Row] = []
    for symbol in SYMBOLS:
        real = recorded.filter(pl.col("symbol") == symbol).select(columns)
        model = model_chain(symbol, opening(DEFAULT_START.date()) + timedelta(minutes=150))
        for right, side in (("P", "put"), ("C", "call")):
            for low, high in DELTAS:
                cells = [cell(frame, right, low, high) for frame in (real, model)]
                name = f"{symbol} {side}, delta {low:g} to {high:g}: volatility, spread"
                rows.append((name, cells[0], cells[1]))
    return rows


def cell(frame: pl.DataFrame, right: str, low: float, high: float) -> str:
    found = frame.filter((pl.col("right") == right) & pl.col("delta").abs().is_between(low, high))
    if found.is_empty():
        return "not recorded"
    middle = (found["bid"] + found["ask"]) / 2
    width = found["ask"] - found["bid"]
    vol, usd, share = (np.median(values.to_numpy()) for values in (found["iv"], width, width / middle))
    return f"{vol:.1%}, {usd:.2f} USD ({share:.1%})"


def model_chain(symbol: str, now: datetime) -> pl.DataFrame:
    market = ModelMarket(7)
    chain = [c for c in market.listings.chain(symbol) if c.expiry == MODEL_EXPIRY]
    quotes = market.quotes([c.con_id for c in chain], now)
    seen = [(c.right, quotes[c.con_id]) for c in chain]
    data = [
        {
            "right": "P" if right is Right.PUT else "C",
            "delta": q.delta,
            "iv": q.iv,
            "bid": q.bid,
            "ask": q.ask,
        }
        for right, q in seen
        if q.two_sided
    ]
    return pl.DataFrame(data)


def main(words: Sequence[str]) -> None:
    folder = Path(words[0]) if words else FOLDER
    lines = ["| what | recorded | model |", "| --- | --- | --- |"]
    lines += [
        f"| {what} | {real} | {model} |" for what, real, model in daily_rows(folder) + chain_rows(folder)
    ]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
