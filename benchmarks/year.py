"""A year of a 5,000-contract account in the real tables, for `lake_year` and `analytics` to measure on.

`python -m benchmarks.year HOME [--days 252] [--contracts 5000] [--snapshots-per-day 16]`

HOME/year gets the days before the last one, thinned: a commit every five minutes instead of twice a
minute, quotes of all contracts 16 times a day instead of 780, facts four times, rule state once, two
flushes a day. Everything else is there in full: every decision, intent, order, execution, holding and
event. The last day comes at the full rate into HOME/year, and, as the only one, into HOME/day: 780
commits with all quotes and facts and what the rules remember anew, 390 flushes. Days before the last are
compacted, as the nightly upkeep leaves them; the last one is not.
"""

import argparse
import time
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from pathlib import Path

import polars as pl

from benchmarks.account import Account, facts, make_account, quotes
from benchmarks.happenings import figures, happenings, rule_state
from lake import Lake
from options import hours
from sync.tables import LAKE_TABLES

FIRST_DAY = date(2025, 1, 2)
SEED = 20250102
_THINNED = timedelta(minutes=5)
_FULL = timedelta(seconds=30)
_FACTS_PER_DAY = 4
_CHANGING = 10  # of so many positions, one has something new to remember at each commit
_AT_ONCE = 60  # moments of quotes made in one go

Frames = dict[str, pl.DataFrame]


def moments(day: date, every: timedelta) -> list[datetime]:
    """The moments of a day's commits, 09:30 to 16:00 also on short days."""
    opening = hours.opening(day)
    return [opening + every * n for n in range(timedelta(hours=6.5) // every)]


def write_thinned(lake: Lake, account: Account, day: int, snapshots_per_day: int) -> None:
    """One day of few commits and two flushes, so that the upkeep has something to put together."""
    when = moments(account.days[day], _THINNED)
    commits = _by_commit(happenings(account, day, when), len(when))
    held = account.held(day)
    quoted = [len(when) * n // snapshots_per_day for n in range(snapshots_per_day)]
    seen = quotes(account, day, held, [when[n] for n in quoted])
    for n, part in zip(quoted, seen.partition_by("moment", include_key=False), strict=True):
        commits[n]["snapshots"] = part
    every = max(1, snapshots_per_day // _FACTS_PER_DAY)
    with_facts = quoted[::every]
    told = facts(account, day, held, seen.filter(pl.col("moment") % every == 0))
    for n, part in zip(with_facts, told.partition_by("moment", include_key=False), strict=True):
        commits[n]["facts"] = part
    commits[-1]["rule_state"] = rule_state(held, when[-1])
    for n, frames in enumerate(commits):
        lake.commit(when[n], frames | {"account": figures(day, n)})
        if n + 1 in (len(when) // 2, len(when)):
            lake.flush()


def write_full(lake: Lake, account: Account, day: int) -> None:
    """One day at the full rate."""
    when = moments(account.days[day], _FULL)
    commits = _by_commit(happenings(account, day, when), len(when))
    held = account.held(day)
    for first in range(0, len(when), _AT_ONCE):
        seen = quotes(account, day, held, when[first : first + _AT_ONCE])
        seen_by, told_by = (
            frame.partition_by("moment", include_key=False)
            for frame in (seen, facts(account, day, held, seen))
        )
        for n, frames in enumerate(commits[first : first + _AT_ONCE]):
            moment = when[first + n]
            frames |= {"snapshots": seen_by[n], "facts": told_by[n], "account": figures(day, first + n)}
            frames["rule_state"] = rule_state(held, moment, first + n, _CHANGING if first + n else 1)
            lake.commit(moment, frames)
            frames.clear()
            if n % 2:
                lake.flush()


def _by_commit(rows: Frames, commits: int) -> list[Frames]:
    """The frames of each commit."""
    parted: list[Frames] = [{} for _ in range(commits)]
    for name, frame in rows.items():
        for (commit,), part in frame.partition_by(
            "commit", include_key=False, as_dict=True, maintain_order=True
        ).items():
            parted[int(commit)][name] = part
    return parted


def make(home: Path, days: int, contracts: int, snapshots_per_day: int) -> None:
    """Both homes."""
    account = make_account(FIRST_DAY, days, contracts, SEED)
    last = days - 1
    with _opened(home / "year") as lake:
        for day in range(last):
            begun = time.perf_counter()
            write_thinned(lake, account, day, snapshots_per_day)
            print(f"{account.days[day]}  {time.perf_counter() - begun:.1f} s", flush=True)
        lake.upkeep(hours.opening(account.days[last]), retention=timedelta(0))
        write_full(lake, account, last)
    with _opened(home / "day") as lake:
        write_full(lake, make_account(account.days[last], 1, contracts, SEED), 0)


def _opened(home: Path) -> Lake:
    home.mkdir(parents=True)
    return Lake.open(home, LAKE_TABLES)


def main(arguments: Sequence[str] | None = None) -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("home", type=Path, help="a folder that does not exist yet")
    options.add_argument("--days", type=int, default=252, help="trading days")
    options.add_argument("--contracts", type=int, default=5000, help="contracts held, a multiple of four")
    options.add_argument(
        "--snapshots-per-day", type=int, default=16, help="quotes of all contracts a thinned day"
    )
    given = options.parse_args(arguments)
    make(given.home, given.days, given.contracts, given.snapshots_per_day)


if __name__ == "__main__":
    main()
