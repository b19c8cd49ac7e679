"""Two revisions of the rules over the same recorded past: what changes, and what it would have brought."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

from daemon.coverage import Coverage
from daemon.recorded_past import RecordedPast, beats_of
from daemon.replay import decisions_between, replayed, rulebooks_of
from daemon.seen_positions import SeenPositions
from lake import LakeReader
from rules import Rulebook
from rules.carry import carried
from sync.position import ENDING
from trading.hindsight import Hindsight, results
from trading.replay import Outcome
from trading.what_if import WhatIf

REPLAYED = 500


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """`old` and `new` over what `coverage` tells. `decided` and `changes` are as of `WhatIf`; `lines` has the
    P&L of every position, to be drawn (`SeenPositions.lines`)."""

    old: Rulebook
    new: Rulebook
    coverage: Coverage
    decided: pl.DataFrame
    changes: pl.DataFrame
    found: list[Hindsight]
    lines: pl.DataFrame
    replayed: Counter[Outcome]
    """Recorded decisions of that time, the newest of many, decided again by their own rules."""

    @property
    def changed_positions(self) -> list[str]:
        """The positions on which the revisions decide differently, in the order in which they first do."""
        return [name for name in self.changes["position"].unique(maintain_order=True) if name]


def compare(
    reader: LakeReader,
    commits: tuple[int, int],
    books: tuple[Rulebook, Rulebook],
    progress: Callable[[str], None] = lambda _: None,
) -> Comparison:
    """Show both revisions all facts recorded from the first to the last of `commits` (seq, both included).

    Both start from what an edit would have left of the rules' memory then. `progress` is told the day that
    is read. Raises LakeError as `LakeReader.table` does.
    """
    past = RecordedPast(reader, *commits, books)
    endings, days = past.endings(), past.days()
    both, coverage, seen = _begun(reader, past, books), Coverage.of(books), SeenPositions(len(days))
    gone = endings.filter(pl.col("event").is_in(list(ENDING))).select("time", "position")
    for number, day in enumerate(days, start=1):
        progress(f"{day}, day {number} of {len(days)}")
        rows = past.day(day)
        ended = gone.filter(pl.col("time") > (coverage.last or rows["time"][0]))
        coverage.note(rows)
        seen.note(rows)
        for beat in beats_of(rows, ended.rows()):
            both.see(beat)
    found = results(both.carried_out(), seen.held(endings))
    again = replayed(reader, decisions_between(reader, *commits, newest=REPLAYED))
    outcomes = Counter(one.outcome for one in again)
    return Comparison(*books, coverage, both.decided(), both.differing(), found, seen.lines(), outcomes)


def _begun(reader: LakeReader, past: RecordedPast, books: tuple[Rulebook, Rulebook]) -> WhatIf:
    state, revision = past.state_before()
    then = None if revision is None else rulebooks_of(reader, {revision})[revision]
    # Without the rules of then, what is remembered is taken by the names of the rules.
    old, new = (carried(state, then, book) if isinstance(then, Rulebook) else state for book in books)
    return WhatIf(*books, old, new)
