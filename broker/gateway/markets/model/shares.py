"""The shares of the model market: how they move, what they pay, when they report, how their options trade.

Levels, volatilities and amounts are of the order that the real ones had in early 2026; the correlation
of shares with the market is that of daily returns in ordinary years.
"""

from dataclasses import dataclass
from datetime import date, timedelta

from options.hours import is_trading_day, next_trading_day

FRIDAY = 4


@dataclass(frozen=True, slots=True)
class Recurrence:
    """The `nth` (-1: the last) `weekday` (0 = Monday) of some `months`, and `plus_days` after it."""

    months: tuple[int, ...]
    nth: int
    weekday: int
    plus_days: int = 0

    def between(self, first: date, last: date) -> list[date]:
        """All within [first, last]; one on a closed day moves to the next trading day."""
        found = []
        for year in range(first.year, last.year + 1):
            for month in self.months:
                day = nth_weekday(year, month, self.nth, self.weekday) + timedelta(days=self.plus_days)
                day = day if is_trading_day(day) else next_trading_day(day)
                if first <= day <= last:
                    found.append(day)
        return found


def nth_weekday(year: int, month: int, nth: int, weekday: int) -> date:
    """The `nth` of a weekday in a month, -1 for the last one."""
    if nth < 0:
        following = date(year + month // 12, month % 12 + 1, 1)
        back = following - timedelta(days=1)
        return back - timedelta(days=(back.weekday() - weekday) % 7)
    first = date(year, month, 1)
    return first + timedelta(days=(weekday - first.weekday()) % 7 + 7 * (nth - 1))


@dataclass(frozen=True, slots=True)
class Earnings:
    """Reports come after the close of their day, or before its opening; `move` is one standard deviation."""

    days: Recurrence
    move: float
    after_close: bool = True


@dataclass(frozen=True, slots=True)
class Share:
    """`start_usd` at the beginning. `vol` is the short implied volatility when the market is calm (the index
    at 17.5), `fear` how much of a change of the market's it follows (in logarithms), `own_vol` how much it
    moves by itself (annual, in logarithms). `skew` and `curve` are rho and eta of the surface.
    `spread_usd` is how wide an option of 1 USD is quoted, `share_spread` the width of the share's own quote
    relative to its price. `volume` and `option_volume` are of an ordinary day. Strikes lie `step` apart
    and, near the money, `fine_step`.
    """

    symbol: str
    start_usd: float
    vol: float
    correlation: float
    fear: float
    own_vol: float
    skew: float
    curve: float
    spread_usd: float
    share_spread: float
    volume: int
    option_volume: int
    step: float
    fine_step: float
    dividend_usd: float = 0.0
    dividends: Recurrence | None = None
    earnings: Earnings | None = None
    daily: bool = False


QUARTERS = (3, 6, 9, 12)

SHARES = (
    Share(
        "SPY", 690.0, 0.154, 1.00, 1.0, 0.0, -0.68, 1.03, 0.013, 0.00001, 75_000_000, 9_000_000, 5.0, 1.0,
        dividend_usd=1.85, dividends=Recurrence(QUARTERS, 3, FRIDAY), daily=True,
    ),
    Share(
        "QQQ", 620.0, 0.218, 0.94, 0.9, 0.20, -0.69, 0.82, 0.022, 0.00002, 45_000_000, 4_000_000, 5.0, 1.0,
        dividend_usd=0.79, dividends=Recurrence(QUARTERS, 3, FRIDAY, plus_days=3),
    ),
    Share(
        "IWM", 262.0, 0.232, 0.86, 0.75, 0.25, -0.55, 0.70, 0.018, 0.00004, 30_000_000, 1_200_000, 5.0, 1.0,
        dividend_usd=0.62, dividends=Recurrence(QUARTERS, 3, 1),
    ),
    Share(
        "AAPL", 262.0, 0.245, 0.70, 0.6, 0.45, -0.40, 0.80, 0.050, 0.00004, 48_000_000, 900_000, 5.0, 2.5,
        dividend_usd=0.26, dividends=Recurrence((2, 5, 8, 11), 2, 0),
        earnings=Earnings(Recurrence((1, 4, 7, 10), -1, 3), 0.040),
    ),
    Share(
        "NVDA", 188.0, 0.380, 0.68, 0.6, 0.50, -0.30, 0.75, 0.045, 0.00006, 190_000_000, 2_500_000, 5.0, 2.5,
        dividend_usd=0.01, dividends=Recurrence(QUARTERS, 2, 2),
        earnings=Earnings(Recurrence((2, 5, 8, 11), 3, 2), 0.065),
    ),
    Share(
        "KO", 79.0, 0.150, 0.35, 0.5, 0.40, -0.45, 0.90, 0.040, 0.00013, 16_000_000, 60_000, 2.5, 1.0,
        dividend_usd=0.53, dividends=Recurrence(QUARTERS, 2, FRIDAY),
        earnings=Earnings(Recurrence((2, 4, 7, 10), 4, 1), 0.020, after_close=False),
    ),
    Share(
        "PLUG", 2.30, 0.850, 0.40, 0.3, 0.80, 0.15, 0.60, 0.030, 0.0035, 80_000_000, 90_000, 0.5, 0.5,
        earnings=Earnings(Recurrence((3, 5, 8, 11), 2, 1), 0.120),
    ),
)  # fmt: skip
SYMBOLS = tuple(share.symbol for share in SHARES)
INDEX = "VIX"
NEIGHBOURS = {("QQQ", "AAPL"): 0.76, ("QQQ", "NVDA"): 0.76, ("AAPL", "NVDA"): 0.55, ("QQQ", "IWM"): 0.78}
"""Correlations of returns that are not the product of both shares' correlations with the market."""
