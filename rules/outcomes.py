"""What became of every rule on every position, beat after beat, and which of it is worth a trace.

Cheap enough for every beat: outcomes are found for all positions at once in columns, and only where one has
changed it is explained. A near miss has to go half as far again as `NEAR` before it is over, so that it does
not flutter.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from rules.distance import NEAR
from rules.fold import Stepped

FAR = 1.5 * NEAR
"""A rule that was near is so until it is farther than this."""

TELLING_FIRST = ("near", "wins", "fires", "waits", "unknown", "quiet", "off")
"""Outcomes in the order in which people want to see them."""

_ROUNDING = 1e-9
_QUIET, _NEAR, _WAITS, _FIRES, _WINS, _UNKNOWN, _NEVER_SEEN = range(7)
_CODES = {
    "quiet": _QUIET,
    "near": _NEAR,
    "waits": _WAITS,
    "fires": _FIRES,
    "wins": _WINS,
    "unknown": _UNKNOWN,
}
_URGENT = np.array([0, 2, 3, 4, 5, 1, 0])
"""What is explained first when there is more than can be."""

Codes = NDArray[np.int8]
Pair = tuple[str, str]
"""Position ("" = the book) and rule."""


class Change(NamedTuple):
    """Rules of which something else became on a position than before; `row`: its row in the step's frame."""

    row: int
    position: str
    rules: tuple[str, ...]


@dataclass(slots=True)
class OutcomeWatch:
    """Remembers the outcomes of the last beat. Only one thread may use it at a time."""

    _positions: pl.Series = field(default_factory=lambda: pl.Series("position", [], pl.String))
    _rules: tuple[str, ...] = ()
    _codes: Codes = field(default_factory=lambda: np.empty((0, 0), np.int8))
    _told: dict[Pair, str] = field(default_factory=dict)
    _is_told: NDArray[np.bool_] = field(default_factory=lambda: np.empty((0, 0), np.bool_))
    _rows: dict[str, int] = field(default_factory=dict)

    def restore(self, told: Mapping[Pair, str]) -> None:
        """Go on from the outcomes that were told last; names as in an explanation."""
        self._told = {pair: outcome for pair, outcome in told.items() if outcome in _CODES}

    def changes(self, stepped: Stepped, room: Mapping[str, int], most: int) -> list[Change]:
        """At most `most` positions with the rules whose outcome has changed, the most urgent first; more of
        them come on the next beats. A rule with no `room` is passed over: it has changed often enough.

        That a rule is quiet, or not known on first sight, is nothing to tell; that it is so again is.
        """
        self._align(stepped)
        codes = _codes(stepped, self._codes)
        changed = codes != self._codes
        if not changed.any():
            return []
        at_first = self._codes == _NEVER_SEEN
        silent = ((codes == _QUIET) | (codes == _UNKNOWN) & at_first) & ~self._is_told
        silent |= np.array([[room.get(rule, 0) <= 0] for rule in self._rules])
        np.copyto(self._codes, codes, where=changed & silent)
        changed &= ~silent
        rows = np.flatnonzero(changed.any(axis=0))
        urgency = np.where(changed[:, rows], _URGENT[codes[:, rows]], 0).max(axis=0, initial=0)
        rows = rows[np.argsort(-urgency, kind="stable")][:most]
        self._codes[:, rows] = codes[:, rows]
        return [
            Change(
                row, self._positions[row], tuple(self._rules[at] for at in np.flatnonzero(changed[:, row]))
            )
            for row in rows.tolist()
        ]

    def tell(self, position: str, rule: str, outcome: str) -> str | None:
        """Take down what became of a rule; what was told before ("": nothing), None when that is the same."""
        before = self._told.get((position, rule), "")
        if outcome == before or (outcome == "quiet" and not before):
            return None
        if outcome == "quiet":
            del self._told[position, rule]
        else:
            self._told[position, rule] = outcome
        if position in self._rows:
            self._is_told[self._rules.index(rule), self._rows[position]] = outcome != "quiet"
        return before

    def _align(self, stepped: Stepped) -> None:
        """Bring what is remembered into the order of this step's positions and rules."""
        positions, rules = stepped.frame.get_column("position"), stepped.plan.rule_ids
        if rules == self._rules and positions.equals(self._positions):
            return
        codes = np.full((len(rules), len(positions)), _NEVER_SEEN, np.int8)
        rows = {position: row for row, position in enumerate(positions)}
        places = {rule: place for place, rule in enumerate(rules)}
        kept = [(old, rows[position]) for old, position in enumerate(self._positions) if position in rows]
        for old_place, rule in enumerate(self._rules):
            if rule in places and kept:
                old, new = np.array(kept).T
                codes[places[rule], new] = self._codes[old_place, old]
        for (position, rule), outcome in self._told.items():
            if position in rows and rule in places and codes[places[rule], rows[position]] == _NEVER_SEEN:
                codes[places[rule], rows[position]] = _CODES[outcome]
        self._told = {pair: outcome for pair, outcome in self._told.items() if pair[0] in rows}
        self._positions, self._rules, self._codes, self._rows = positions, rules, codes, rows
        self._is_told = np.zeros(codes.shape, np.bool_)
        for position, rule in self._told:
            if rule in places:
                self._is_told[places[rule], rows[position]] = True


def _codes(stepped: Stepped, before: Codes) -> Codes:
    """The outcome of every rule in every row; the order of what is asked is that of `explain`."""
    frame, plan = stepped.frame, stepped.plan
    gaps = stepped.gaps()
    codes = (gaps <= NEAR + _ROUNDING).astype(np.int8)
    was_near = before == _NEAR
    if was_near.any():
        codes[was_near & (gaps <= FAR + _ROUNDING)] = _NEAR
    unknown, fired = (frame.get_column(name).to_numpy() for name in ("@unknown", "@fired"))
    for place in range(len(plan.rule_ids)):
        bit = np.uint64(1 << place)
        np.putmask(codes[place], gaps[place] == 0, _WAITS)
        np.putmask(codes[place], (unknown & bit) != 0, _UNKNOWN)
        np.putmask(codes[place], (fired & bit) != 0, _FIRES)
    places = {rule: place for place, rule in enumerate(plan.rule_ids)}
    won = frame.get_column("@winner").to_numpy()
    rows = np.flatnonzero(won >= 0)  # where no rule wins it is NaN
    winners = np.array([places[rule] for rule in plan.outcomes["rule"]], np.int64)
    codes[winners[won[rows].astype(np.int64)], rows] = _WINS
    return codes
