"""Line use and mark error over a simulated trading day with 5,000 contracts on ninety lines, as a picture.

`python -m benchmarks.lines_and_marks --home DIR [--scenario NAME[:DAYS] ...] [--picture PNG]`: a day of a
scenario, its first or so many trading days later. What was measured stands in DIR, a file for each. The
model market quotes, the line budget and the queue decide who is listened to, and the marks know of nothing
else; every five minutes all marks are held against the quotes that the market would have given. Time is
simulated, so the figures are the same on every machine; the sockets are left out.
"""

import argparse
import csv
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from broker.events import QuoteChanged
from broker.gateway.markets.model.market import ModelMarket
from broker.gateway.markets.quotes import Quote
from options import NEW_YORK, ConId, Contract, SecType
from options.hours import next_trading_day, opening
from sync.line_budget import LineBudget, LinePriority, Wanted
from sync.marks import Marks
from sync.position_queue import PositionQueue
from sync.queue_worker import QueueWorker
from sync.quote_board import STATES, QuoteBoard, QuoteState

CONTRACTS = 5_000
BUDGET, RESERVE, VISITS = 90, 8, 10
START = datetime(2026, 3, 2, 9, 30, tzinfo=NEW_YORK)
DAY = timedelta(hours=6, minutes=30)
BEAT_S, ROUND_S, QUOTE_EVERY_S = 1, 5, 10
CHECK_EVERY = timedelta(minutes=5)
WITHIN = 0.15
"""Held are the contracts whose strike is this close to the share's price, as a share of it."""
NEAR_MONEY, NEAR_EXPIRY_DAYS = 0.03, 7
ORDER_EVERY, ORDER_LASTS = timedelta(minutes=30), timedelta(minutes=3)
PRICE_LIMIT_PCT, TICK_LIMIT, DELTA_LIMIT = 1.0, 1.0, 0.01
TICK_USD = 0.01
COLUMNS = (
    *("scenario", "time", "lines", "oldest_s", "modelled", "unknown"),
    *("median_pct", "median_ticks", "p95_pct", "within", "delta"),
)


@dataclass
class Account:
    """5,000 contracts of the model market and the parts of the daemon that watch them."""

    market: ModelMarket
    start: datetime
    budget: LineBudget = field(default_factory=lambda: LineBudget(BUDGET, reserve=RESERVE, visits=VISITS))
    board: QuoteBoard = field(default_factory=lambda: QuoteBoard(120.0))
    queue: PositionQueue = field(default_factory=PositionQueue)
    shares: list[Contract] = field(default_factory=list)
    held: list[Contract] = field(default_factory=list)
    wanted: list[Wanted] = field(default_factory=list)
    most_lines: int = 0

    def __post_init__(self) -> None:
        self.worker = QueueWorker(self.queue)
        self.marks = Marks(self.board)
        listed = list(self.market.listings)
        self.shares = [c for c in listed if c.sec_type is not SecType.OPTION]
        quotes = self.market.quotes([c.con_id for c in self.shares], self.start)
        self._price = {c.symbol: quotes[c.con_id].mark or 0.0 for c in self.shares}
        near = [c for c in listed if c.sec_type is SecType.OPTION and self._distance(c) <= WITHIN]
        self.held = [near[int(at)] for at in np.linspace(0, len(near) - 1, CONTRACTS)]
        for share in self.shares:
            self.board.watch(share.symbol, share.con_id)
        self.marks.know(self.held)
        self.wanted = sorted((self._wanted(n, c) for n, c in enumerate(self.held)), key=_rank)
        self._wanted_of = {each.con_id: each for each in self.wanted}

    def _distance(self, contract: Contract) -> float:
        return abs((contract.strike or 0.0) / self._price[contract.symbol] - 1.0)

    def _wanted(self, number: int, contract: Contract) -> Wanted:
        """Every second contract is sold, and urgent near the money or expiry."""
        days = (contract.expiry - self.start.date()).days if contract.expiry else 0
        is_near = days <= NEAR_EXPIRY_DAYS or self._distance(contract) <= NEAR_MONEY
        is_risky = number % 2 == 1 and is_near
        return Wanted(contract.con_id, LinePriority.RISKY_SHORT if is_risky else LinePriority.REST)

    # --- one beat --------------------------------------------------------------------------------

    def beat(self, now: datetime) -> None:
        """Turns, lines, what is heard on them, and marks: in the order of the daemon's cycle. An answer comes
        within the beat and its line is free on the next: as often as with the daemon's shorter beats."""
        second = int(now.timestamp())
        self.worker.finish(lambda _: True, now)
        self.worker.start(self.budget.visit_lines, now)
        underlyings = [Wanted(share.con_id, LinePriority.UNDERLYING) for share in self.shares]
        streams = self.budget.streams
        held = self.wanted[: self.budget.budget + 1]
        held += [self._wanted_of[con_id] for con_id in streams if con_id in self._wanted_of]
        orders = [Wanted(con_id, LinePriority.WORKING_ORDER) for con_id in self._at_work(now)]
        visits = [Wanted(con_id, LinePriority.VISIT) for con_id in self.worker.visiting]
        to_open, to_close = self.budget.plan([*underlyings, *orders, *visits, *held], now)
        self.board.release(to_close)
        self.worker.keep(set(self.budget.open_lines))
        self.most_lines = max(self.most_lines, len(self.budget.open_lines))
        if second % ROUND_S == 0:
            streams = self.budget.streams
            waiting = {
                w.con_id: w.priority < LinePriority.REST for w in self.wanted if w.con_id not in streams
            }
            self.worker.round(waiting, self.budget.visit_lines, lambda _: True, now)
        self._listen(to_open if second % QUOTE_EVERY_S else self.budget.open_lines, now)
        self.worker.finish(lambda _: True, now)
        self.marks.remark(now)

    def _at_work(self, now: datetime) -> list[ConId]:
        """Four legs of an order that works for three minutes of every thirty."""
        since = now - self.start
        if since % ORDER_EVERY >= ORDER_LASTS or since < ORDER_EVERY:
            return []
        first = 40 * (since // ORDER_EVERY)
        return [contract.con_id for contract in self.held[first : first + 4]]

    def _listen(self, con_ids: Sequence[ConId], now: datetime) -> None:
        standing = now - timedelta(seconds=now.timestamp() % QUOTE_EVERY_S)
        for con_id, quote in self.market.quotes(con_ids, standing).items():
            said = _heard(con_id, quote, now)
            self.board.apply(said, now)
            self.worker.heard(said)

    # --- how well it is known --------------------------------------------------------------------

    def check(self, now: datetime) -> dict[str, Any]:
        """Every mark against the market's own quote of this moment."""
        con_ids = [contract.con_id for contract in self.held]
        standing = now - timedelta(seconds=now.timestamp() % QUOTE_EVERY_S)
        figures, states = self.marks.figures(con_ids, now)
        true = self.market.quotes(con_ids, standing)
        sides = [true[con_id].two_sided or (np.nan, np.nan) for con_id in con_ids]
        mid = np.array(sides).mean(axis=1)
        delta = np.array([np.nan if (d := true[c].delta) is None else d for c in con_ids], np.float64)
        is_modelled = states == STATES.index(QuoteState.MODELLED)
        counted = is_modelled & np.isfinite(mid) & np.isfinite(figures["current_mark"])
        error = np.abs(figures["current_mark"] - mid)[counted]
        pct, ticks = 100.0 * error / mid[counted], error / TICK_USD
        off = np.abs(figures["delta"] - delta)[counted]
        row = {
            "time": now.astimezone(NEW_YORK).replace(tzinfo=None),
            "lines": self.most_lines,
            "oldest_s": self.queue.oldest_s(now),
            "modelled": int(counted.sum()),
            "unknown": int((~np.isfinite(figures["current_mark"])).sum()),
        }
        self.most_lines = 0
        if not counted.any():
            return row | dict.fromkeys(("median_pct", "median_ticks", "p95_pct", "within", "delta"))
        return row | {
            "median_pct": float(np.median(pct)),
            "median_ticks": float(np.median(ticks)),
            "p95_pct": float(np.quantile(pct, 0.95)),
            "within": float(((pct <= PRICE_LIMIT_PCT) | (ticks <= TICK_LIMIT + 1e-9)).mean()),
            "delta": float(np.nanmedian(off)),
        }


def _rank(wanted: Wanted) -> tuple[LinePriority, ConId]:
    return wanted.priority, wanted.con_id


def _heard(con_id: ConId, quote: Quote, now: datetime) -> QuoteChanged:
    return QuoteChanged(
        con_id=con_id,
        bid=quote.bid,
        ask=quote.ask,
        bid_size=float(quote.bid_size),
        ask_size=float(quote.ask_size),
        last=quote.last,
        close=quote.close,
        iv=quote.iv,
        delta=quote.delta,
        gamma=quote.gamma,
        theta=quote.theta,
        vega=quote.vega,
        underlying_price=quote.underlying_price,
        quote_time=now,
        greeks_time=now,
        is_live=True,
    )


def measure(scenario: str, seed: int, span: timedelta, file: Path) -> None:
    """A day of one scenario (`NAME`, or `NAME:DAYS` after its first): a row of `file` every five minutes."""
    name, _, days = scenario.partition(":")
    market, day = ModelMarket(seed, START, QUOTE_EVERY_S, name), START.date()
    for _ in range(int(days or 0)):
        day = next_trading_day(day)
    start = opening(day).astimezone(NEW_YORK)
    market.quotes([], start)
    account, now = Account(market, start), start
    with file.open("w", newline="") as open_file:
        rows = csv.DictWriter(open_file, COLUMNS)
        rows.writeheader()
        while now < start + span:
            account.beat(now)
            now += timedelta(seconds=BEAT_S)
            if (now - start) % CHECK_EVERY == timedelta(0) and now < start + DAY:
                rows.writerow({"scenario": scenario, **account.check(now)})
                open_file.flush()


def draw(measured: pl.DataFrame, picture: Path) -> None:
    """Line use above, then the age of what is known, the error of prices and that of deltas."""
    from matplotlib.dates import DateFormatter
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 10), layout="constrained")
    panels = figure.subplots(4, sharex=True)
    # The days may be different ones: all are drawn over the hours of the first.
    first_day = pl.col("time").dt.truncate("1d").first()
    over = measured.with_columns(time=pl.col("time") - (first_day.over("scenario") - first_day))
    for (scenario,), day in over.group_by("scenario", maintain_order=True):
        panels[0].plot(day["time"], day["lines"], label=f"{scenario}: most lines open", drawstyle="steps-pre")
        panels[1].plot(day["time"], day["oldest_s"] / 60, label=f"{scenario}: longest wait for a visit")
        (line,) = panels[2].plot(day["time"], day["median_pct"], label=f"{scenario}: median")
        panels[2].plot(day["time"], day["p95_pct"], ":", color=line.get_color(), label=f"{scenario}: 95 %")
        panels[3].plot(day["time"], day["delta"], label=f"{scenario}: median")
    panels[0].axhline(BUDGET, color="tab:red", linestyle="--", label=f"budget {BUDGET}")
    panels[0].set_ylim(0, BUDGET * 1.1)
    panels[2].axhline(PRICE_LIMIT_PCT, color="tab:red", linestyle="--", label="limit of the median")
    panels[2].set_yscale("log")
    panels[3].axhline(DELTA_LIMIT, color="tab:red", linestyle="--", label="limit of the median")
    for panel, least in zip(panels[1:], (0.0, 0.01, -0.003), strict=True):
        panel.set_ylim(bottom=least)
    names = ("lines", "minutes", "error of the mark, % of price", "error of delta")
    for panel, name in zip(panels, names, strict=True):
        panel.set_ylabel(name)
        panel.grid(visible=True, alpha=0.3)
        panel.legend(fontsize="small", ncols=5, loc="lower left")
    panels[0].set_title(
        f"{CONTRACTS:,} contracts on {BUDGET} lines: who is heard, and how well the rest is known"
    )
    panels[3].xaxis.set_major_formatter(DateFormatter("%H:%M"))  # type: ignore[no-untyped-call]
    figure.savefig(picture, dpi=110)


def told(measured: pl.DataFrame) -> list[str]:
    """The figures of each scenario with their limits, from the end of the first turn on."""
    lines = []
    settled = measured.filter(pl.col("unknown") <= 0.01 * CONTRACTS)
    for (scenario,), day in settled.group_by("scenario", maintain_order=True):
        worst, mean = day.max().row(0, named=True), day.select(pl.col(pl.Float64).mean()).row(0, named=True)
        lines += [
            f"{scenario}, {day['time'][0]:%F %H:%M} to {day['time'][-1]:%H:%M}, every five minutes:",
            f"  most lines open {worst['lines']} (budget {BUDGET})",
            f"  longest wait for a visit {worst['oldest_s']:.0f} s",
            f"  error of the mark, median {mean['median_pct']:.3f} %, at worst {worst['median_pct']:.3f} % "
            f"(limit {PRICE_LIMIT_PCT:g} %, or a tick)",
            f"  contracts within a percent or a tick {mean['within']:.1%}",
            f"  error of delta, median {mean['delta']:.4f}, at worst {worst['delta']:.4f} "
            f"(limit {DELTA_LIMIT})",
        ]
    return lines


def main() -> None:
    """Measure what was not measured yet, print the figures and draw them."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("--scenario", nargs="+", default=["calm", "crash_2020", "crash_2020:12"])
    options.add_argument("--seed", type=int, default=7)
    options.add_argument("--minutes", type=int, default=390, help="how much of the day")
    options.add_argument("--home", type=Path, required=True, help="folder of what is measured")
    options.add_argument("--picture", type=Path, help="PNG to draw; its numbers are written beside it")
    given = options.parse_args()
    files = [given.home / f"{scenario}.csv" for scenario in given.scenario]
    for scenario, file in zip(given.scenario, files, strict=True):
        if not file.exists():
            measure(scenario, given.seed, timedelta(minutes=given.minutes), file)
    measured = pl.concat(pl.read_csv(file, try_parse_dates=True) for file in files)
    print("\n".join(told(measured)))
    if given.picture:
        measured.write_csv(given.picture.with_suffix(".csv"))
        draw(measured, given.picture)


if __name__ == "__main__":
    main()
