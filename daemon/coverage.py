"""How much of a stretch of time was recorded: beats, pauses, gaps, facts that nobody knew."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import polars as pl

from options.hours import closing, is_trading_day, opening, trading_day
from rules import FACTS, Rulebook
from rules.columns import names_in
from rules.expression import Name, walk

GAP = timedelta(minutes=6)
"""So long without a beat in trading hours is a gap; under pressure one is recorded every five minutes."""

DAY = timedelta(days=1)


@dataclass(slots=True)
class Coverage:
    """What was there to look at. `known`: on how many rows each fact was known that the rules ask for."""

    known: dict[str, int]
    beats: int = 0
    rows: int = 0
    positions: set[str] = field(default_factory=set)
    first: datetime | None = None
    last: datetime | None = None
    gaps: list[tuple[datetime, datetime]] = field(default_factory=list)
    _pauses_s: Counter[int] = field(default_factory=Counter)

    @classmethod
    def of(cls, books: Iterable[Rulebook]) -> "Coverage":
        """Of what these rules ask for; nothing is looked at yet."""
        return cls({name: 0 for book in books for name in _asked(book)})

    def note(self, day: pl.DataFrame) -> None:
        """Look at the rows of the next day (`RecordedPast.day`)."""
        moments = day["time"].unique(maintain_order=True).to_list()
        for moment in moments:
            if self.last is not None:
                self._note_pause(self.last, moment)
            self.first, self.last = self.first or moment, moment
        self.beats += len(moments)
        self.rows += day.height
        self.positions.update(day["position"].unique())
        there = [name for name in self.known if name in day.columns]
        for name, count in day.select(pl.col(there).count()).row(0, named=True).items():
            self.known[name] += count

    @property
    def usual_pause_s(self) -> int | None:
        """The median pause between two beats that no gap is between; None when there is none."""
        pauses = sorted(self._pauses_s.elements())
        return pauses[len(pauses) // 2] if pauses else None

    @property
    def never_known(self) -> list[str]:
        """Facts that the rules ask for and that were unknown all the time."""
        return sorted(name for name, count in self.known.items() if not count)

    def _note_pause(self, before: datetime, after: datetime) -> None:
        if after - before <= GAP:
            self._pauses_s[round((after - before).total_seconds())] += 1
        else:
            self.gaps += [(start, end) for start, end in _open_between(before, after) if end - start > GAP]


def _asked(book: Rulebook) -> list[str]:
    """The facts of the catalogue that decide: in conditions, and in what is tracked for them."""
    names = names_in(book)
    tracked = {item.name: item for item in book.tracked if item.name in names}
    inner = [part.name for item in tracked.values() for part in walk(item.node) if isinstance(part, Name)]
    return [name for name in dict.fromkeys([*names, *inner]) if name in FACTS and name not in tracked]


def _open_between(before: datetime, after: datetime) -> Iterable[tuple[datetime, datetime]]:
    """The trading hours between two moments."""
    day = trading_day(before)
    while day <= trading_day(after):
        if is_trading_day(day):
            start, end = max(before, opening(day)), min(after, closing(day))
            if start < end:
                yield start, end
        day += DAY
