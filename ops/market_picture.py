"""Draws the model market to look at: `python -m ops.market_picture` writes a day and the scenarios as PNG.

Everything is taken from the market as a client sees it: bars and quotes. Needs matplotlib (a tool of
development).
"""

import math
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from broker.gateway.markets.bars import DAY_S
from broker.gateway.markets.market import Bar
from broker.gateway.markets.model import DEFAULT_START, ModelMarket
from broker.gateway.markets.model.scenarios import SCENARIOS
from broker.gateway.markets.model.shares import SYMBOLS
from broker.gateway.markets.quotes import Quote
from options import NEW_YORK, ConId, Contract, Right
from options.hours import closing, opening

DOCS = Path(__file__).parents[1] / "docs"
SEED = 7
DAY = date(2026, 3, 5)
MONTHLY = date(2026, 4, 17)
SECOND = timedelta(seconds=1)
DAYS = 60
INK, FEAR_INK = "#1f4e79", "#c0392b"


def con_id(market: ModelMarket, symbol: str) -> ConId:
    contract = market.listings.find(symbol)
    assert contract is not None
    return contract.con_id


def day_bars(market: ModelMarket, symbol: str, seconds: int) -> list[Bar]:
    return market.bars(con_id(market, symbol), opening(DAY), closing(DAY), seconds)


def hours(moments: Sequence[datetime]) -> list[float]:
    """Of the day in New York."""
    local = [moment.astimezone(NEW_YORK) for moment in moments]
    return [time.hour + time.minute / 60 + time.second / 3600 for time in local]


def starts(bars: Sequence[Bar]) -> list[float]:
    return hours([bar.start for bar in bars])


def out_of_the_money(
    market: ModelMarket, symbol: str, expiry: date, now: datetime
) -> list[tuple[Contract, Quote, float]]:
    """(contract, quote, strike over spot) in order of strike: puts below the spot, calls above it."""
    spot = market.marks([con_id(market, symbol)], now)[con_id(market, symbol)]
    chain = [
        c
        for c in market.listings.chain(symbol)
        if c.expiry == expiry and c.strike and (c.right is Right.CALL) == (c.strike >= spot)
    ]
    quotes = market.quotes([c.con_id for c in chain], now)
    rows = [(c, quotes[c.con_id], (c.strike or 0.0) / spot) for c in chain]
    return sorted(rows, key=lambda row: row[2])


def at_the_money_vol(market: ModelMarket, symbol: str, expiry: date, now: datetime) -> float | None:
    rows = out_of_the_money(market, symbol, expiry, now)
    return min(rows, key=lambda row: abs(row[2] - 1))[1].iv if rows else None


def draw_prices(axes: Axes, market: ModelMarket) -> None:
    for symbol in SYMBOLS:
        bars = day_bars(market, symbol, 60)
        first = bars[0].open
        axes.plot(starts(bars), [100 * (bar.close / first - 1) for bar in bars], lw=1, label=symbol)
    axes.axhline(0, color="grey", lw=0.5)
    axes.legend(ncols=4, fontsize=7, frameon=False)
    axes.set_title(f"change since the open of {DAY}, %")


def draw_candles(axes: Axes, market: ModelMarket) -> None:
    bars = day_bars(market, "SPY", 300)
    for place, bar in enumerate(bars):
        ink = "#2e7d32" if bar.close >= bar.open else FEAR_INK
        axes.vlines(place, bar.low, bar.high, color=ink, lw=0.8)
        axes.vlines(place, min(bar.open, bar.close), max(bar.open, bar.close), color=ink, lw=3)
    axes.set_xticks(range(0, len(bars), 12), [f"{hour:g}" for hour in starts(bars)[::12]])
    axes.set_title("SPY, five-minute bars, USD")


def draw_index(axes: Axes, market: ModelMarket) -> None:
    bars = day_bars(market, "VIX", 60)
    axes.plot(starts(bars), [bar.close for bar in bars], color=FEAR_INK, lw=1)
    axes.set_title("VIX")


def draw_volume(axes: Axes, market: ModelMarket) -> None:
    bars = day_bars(market, "SPY", 60)
    axes.bar(starts(bars), [bar.volume / 1000 for bar in bars], width=1 / 60, color="#7f8c8d")
    axes.set_title("SPY, thousand shares a minute")


def draw_smile(axes: Axes, market: ModelMarket) -> None:
    moments = {
        "open": opening(DAY) + SECOND,
        "noon": opening(DAY) + timedelta(minutes=150),
        "close": closing(DAY) - SECOND,
    }
    for label, moment in moments.items():
        rows = out_of_the_money(market, "SPY", MONTHLY, moment)
        axes.plot([row[2] for row in rows], [100 * (row[1].iv or 0) for row in rows], lw=1.2, label=label)
    axes.legend(fontsize=7, frameon=False)
    axes.set_xlabel("strike over spot")
    axes.set_title(f"SPY {MONTHLY}: implied volatility, %")


def draw_smiles(axes: Axes, market: ModelMarket) -> None:
    now = opening(DAY) + timedelta(minutes=150)
    for symbol in ("SPY", "QQQ", "IWM", "AAPL", "NVDA", "KO"):
        rows = out_of_the_money(market, symbol, MONTHLY, now)
        axes.plot([row[2] for row in rows], [100 * (row[1].iv or 0) for row in rows], lw=1.2, label=symbol)
    axes.set_ylim(0, 75)
    axes.legend(fontsize=7, frameon=False, ncols=2)
    axes.set_xlabel("strike over spot")
    axes.set_title(f"{MONTHLY}, noon: implied volatility, %")


def draw_terms(axes: Axes, market: ModelMarket) -> None:
    now = opening(DAY) + timedelta(minutes=150)
    for symbol in ("SPY", "QQQ", "AAPL", "KO", "PLUG"):
        expiries = sorted({c.expiry for c in market.listings.chain(symbol) if c.expiry and c.expiry > DAY})
        vols = [at_the_money_vol(market, symbol, expiry, now) for expiry in expiries]
        days = [(expiry - DAY).days for expiry in expiries]
        scale = 0.25 if symbol == "PLUG" else 1.0
        label = "PLUG / 4 (reports in 5 days)" if symbol == "PLUG" else symbol
        axes.plot(days, [100 * scale * (vol or 0) for vol in vols], marker=".", ms=4, lw=1, label=label)
    axes.legend(fontsize=7, frameon=False)
    axes.set_xlabel("days to expiry")
    axes.set_title("volatility at the money by expiry, %")


def draw_spreads(axes: Axes, market: ModelMarket) -> None:
    noon, early = opening(DAY) + timedelta(minutes=150), opening(DAY) + timedelta(minutes=1)
    for symbol, moment, style in (
        ("SPY", noon, "-"),
        ("SPY", early, "--"),
        ("IWM", noon, "-"),
        ("AAPL", noon, "-"),
    ):
        rows = out_of_the_money(market, symbol, MONTHLY, moment)
        sided = [(row[2], row[1].two_sided) for row in rows]
        shown = [(place, 200 * (s[1] - s[0]) / (s[0] + s[1])) for place, s in sided if s]
        label = f"{symbol} 09:31" if moment == early else symbol
        axes.plot([place for place, _ in shown], [width for _, width in shown], style, lw=1, label=label)
    axes.set_yscale("log")
    axes.legend(fontsize=7, frameon=False)
    axes.set_xlabel("strike over spot")
    axes.set_title(f"{MONTHLY}: spread, % of the middle")


def draw_year(axes: Axes, market: ModelMarket) -> None:
    since = opening(DAY) - timedelta(days=365)
    for symbol, ink, side in (("SPY", INK, axes), ("VIX", FEAR_INK, axes.twinx())):
        bars = market.bars(con_id(market, symbol), since, closing(DAY), DAY_S)
        side.plot(range(-len(bars), 0), [bar.close for bar in bars], color=ink, lw=1, label=symbol)
        side.tick_params(axis="y", colors=ink)
    axes.set_xlabel("trading days")
    axes.set_title("the year before: SPY (blue) and VIX (red)")


def draw_day(path: Path) -> None:
    market = ModelMarket(SEED, quote_every_s=1)
    market.quotes([], opening(DAY))
    figure, grid = plt.subplots(3, 3, figsize=(15, 11), layout="constrained")
    draws = (
        *(draw_prices, draw_candles, draw_index),
        *(draw_smile, draw_smiles, draw_terms),
        *(draw_volume, draw_spreads, draw_year),
    )
    for axes, draw in zip(grid.flat, draws, strict=True):
        draw(axes, market)
        if draw in (draw_prices, draw_candles, draw_index, draw_volume):
            axes.set_xlabel("hour in New York")
    figure.suptitle(f"The model market on {DAY}, seed {SEED}")
    figure.savefig(path, dpi=80)


def draw_scenario(axes: Axes, name: str) -> None:
    market = ModelMarket(SEED, scenario=name)
    squeeze = SCENARIOS[name].squeeze
    symbol = squeeze.symbol if squeeze else "SPY"
    begin, end = DEFAULT_START - timedelta(days=30), DEFAULT_START + timedelta(days=DAYS * 7 / 5)
    other = axes.twinx()
    for each, ink, side in ((symbol, INK, axes), ("VIX", FEAR_INK, other)):
        bars = market.bars(con_id(market, each), begin, end, DAY_S)
        before = sum(bar.start < opening(DEFAULT_START.date()) for bar in bars)
        days = range(-before, len(bars) - before)
        side.plot(days, [bar.close for bar in bars], color=ink, lw=1.2)
        low, high = [bar.low for bar in bars], [bar.high for bar in bars]
        side.fill_between(days, low, high, color=ink, alpha=0.2, lw=0)
        side.tick_params(axis="y", colors=ink)
    axes.axvline(-0.5, color="grey", lw=0.8, ls=":")
    axes.set_title(f"{name}: {symbol} (blue), VIX (red)", fontsize=10)


def draw_scenarios(path: Path) -> None:
    figure, grid = plt.subplots(4, 2, figsize=(15, 14), layout="constrained")
    for axes, name in zip(grid.flat, SCENARIOS, strict=True):
        if name == "frozen":
            draw_frozen(axes)
        else:
            draw_scenario(axes, name)
    figure.suptitle(f"The scenarios over {DAYS} trading days from the beginning (dotted), seed {SEED}")
    figure.savefig(path, dpi=80)


def draw_frozen(axes: Axes) -> None:
    market = ModelMarket(SEED, scenario="frozen")
    spy = con_id(market, "SPY")
    moments = [DEFAULT_START + timedelta(seconds=10 * n) for n in range(1080)]
    lasts = [market.quotes([spy], moment)[spy].last or math.nan for moment in moments]
    axes.plot(hours(moments), lasts, color=INK, lw=0.9)
    axes.set_xlabel("hour in New York")
    axes.set_title("frozen: SPY in three hours, five minutes of each half hour stand still", fontsize=10)


def main() -> None:
    mpl.use("Agg")
    draw_day(DOCS / "market-day.png")
    draw_scenarios(DOCS / "scenarios.png")


if __name__ == "__main__":
    main()
