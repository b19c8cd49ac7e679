"""The last beats, as they were decided on: an edit of the rules is tried on them."""

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import polars as pl

from rules import FACTS, RuleState
from trading.decision import Moment
from trading.new_fires import with_known
from trading.what_if import Beat

Market = Mapping[str, float | str | None]


@dataclass(frozen=True, slots=True, eq=False)
class KeptBeat:
    """A beat, what the rules remembered before it, and the revision that decided it."""

    beat: Beat
    state: RuleState
    revision: str

    @property
    def size(self) -> int:
        """Bytes, about."""
        return int(self.beat.facts.estimated_size() + self.state.frame.estimated_size())


class KeptBeats:
    """The last `most` beats, fewer where they take more than `most_mb` of memory."""

    def __init__(self, most: int, most_mb: float) -> None:
        self._most = most
        self._most_bytes = most_mb * 1e6
        self._beats: deque[KeptBeat] = deque()
        self._bytes = 0
        self._known: pl.DataFrame | None = None
        self._known_market: dict[str, float | str | None] = {}
        self._recalled: pl.DataFrame | None = None
        self._recalled_market: dict[str, float | str | None] = {}

    def __len__(self) -> int:
        return len(self._beats)

    def __iter__(self) -> Iterator[KeptBeat]:
        return iter(tuple(self._beats))

    def add(self, moment: Moment) -> None:
        """Keep what a beat was decided on; the oldest make room for it."""
        facts = moment.facts
        last = self._beats[-1].beat.facts["position"] if self._beats else facts["position"]
        ended = () if last.equals(facts["position"]) else tuple(set(last) - set(facts["position"]))
        beat = Beat(moment.time, facts, moment.market, ended)
        kept = KeptBeat(beat, moment.state, moment.book.revision)
        self._known = facts if self._known is None else with_known(facts, self._known)
        self._known_market.update({n: value for n, value in moment.market.items() if value is not None})
        self._beats.append(kept)
        self._bytes += kept.size
        while self._beats and (len(self._beats) > self._most or self._bytes > self._most_bytes):
            self._bytes -= self._beats.popleft().size

    def recall(self, recorded: pl.LazyFrame) -> None:
        """Take what was known last from rows of the table `facts`, of before the start. Once is enough."""
        if self._recalled is not None:
            return
        names = [name for name in FACTS if name in recorded.collect_schema().names()]
        last = recorded.sort("seq").group_by("position").agg(pl.col(names).drop_nulls().last()).collect()
        self._recalled = last
        book = last.select(pl.col(n).drop_nulls().last() for n in names if FACTS[n].scope == "book")
        self._recalled_market = book.row(0, named=True) if book.height else {}

    def with_known(self, facts: pl.DataFrame, market: Market) -> tuple[pl.DataFrame, Market]:
        """These facts; those that are unknown as they were known last."""
        there = {name: value for name, value in market.items() if value is not None}
        for earlier in (self._known, self._recalled):
            facts = facts if earlier is None else with_known(facts, earlier)
        return facts, {**market, **self._recalled_market, **self._known_market, **there}
