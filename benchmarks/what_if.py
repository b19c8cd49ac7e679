"""A past shown to one and to two revisions of the rules: 1,000 beats of 1,000 positions, and a long past.

The past is one frame, as the lake gives a day; taking it apart into beats is part of what is measured.
"""

import resource
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

import rules
from benchmarks.figure import Figure, show
from benchmarks.twelve_rules import positions
from daemon.recorded_past import beats_of
from rules import Rulebook
from trading.what_if import WhatIf

FIRST = datetime(2026, 1, 5, 14, 30, tzinfo=UTC)
BEAT = timedelta(seconds=30)
PER_DAY = 780


def recorded_day(day: int, beats: int, count: int) -> pl.DataFrame:
    """The facts of so many positions on each beat of a day, with a profit that wanders."""
    seen = positions(count, seed=7).drop("profit")
    chance = np.random.default_rng(day)
    profit = 0.2 + np.cumsum(chance.normal(0, 0.01, (beats, count)), axis=0)
    start = FIRST + timedelta(days=day)
    times = pl.datetime_range(start, start + BEAT * (beats - 1), BEAT, eager=True).alias("time")
    return pl.DataFrame({"time": times}).join(seen, how="cross").with_columns(
        profit=pl.Series(profit.ravel()),
        profit_usd=pl.Series(profit.ravel() * 400),
        lots=pl.lit(2, pl.Int64),
        vix=pl.lit(20.0),
        book_positions=pl.lit(count, pl.Int64),
        dte=pl.col("dte") + 30,
    )  # fmt: skip


def edited(book: Rulebook) -> Rulebook:
    """The rules with another profit to take."""
    return rules.parse(book.text.replace("full: 80%, half: 50%", "full: 70%, half: 50%"))


def seconds_of_one(book: Rulebook, past: pl.DataFrame) -> float:
    """One revision, step by step."""
    begun = time.perf_counter()
    state = rules.initial_state()
    for beat in beats_of(past):
        state, _ = rules.step(book, state, beat.facts, beat.market, beat.time)
    return time.perf_counter() - begun


def seconds_of_both(books: tuple[Rulebook, Rulebook], days: Iterator[pl.DataFrame]) -> tuple[float, int]:
    """Both revisions with all that is told of them; how many decisions differ."""
    begun = time.perf_counter()
    both = WhatIf(*books, rules.initial_state(), rules.initial_state())
    for past in days:
        for beat in beats_of(past):
            both.see(beat)
    differing = both.differing().height
    return time.perf_counter() - begun, differing


def main() -> None:
    book = rules.load(rules.default_rules_path())
    books = book, edited(book)
    past = recorded_day(0, 1_000, 1_000)
    one = seconds_of_one(book, past)
    both, differing = seconds_of_both(books, iter([past]))
    show(
        Figure("one revision, 1,000 beats of 1,000 positions", one, limit=4.0, unit="s"),
        Figure("two revisions and what differs / twice one", both, 2 * one, 1.3, "s"),
    )
    print(f"{differing} decisions differ")
    del past
    taken, mib = [], []
    for days in (1, 9):
        seconds, _ = seconds_of_both(books, (recorded_day(day, PER_DAY, 50) for day in range(days)))
        taken.append(seconds / days)
        mib.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    show(
        Figure("a day of 780 beats, 50 positions, two revisions", taken[-1], unit="s"),
        Figure("most memory over nine days / over one", mib[1], mib[0], 1.2, "MiB"),
    )


if __name__ == "__main__":
    main()
