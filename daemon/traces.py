"""Traces: a line in the lake whenever something else became of a rule on a position, near misses included."""

import json
from collections import deque
from typing import Any

import polars as pl

from lake import LakeReader
from lake.rule_moments import last_outcomes
from rules import explain
from rules.explanation_text import outcome_words
from rules.fold import Stepped
from rules.outcomes import OutcomeWatch
from rules.state import BOOK
from sync.tables import TRACES_TABLE
from trading.decision import Moment

LARGE_BOOK = 1_000
"""From so many positions on the beat has no time for more than the fewer of these."""
EXPLAINED_A_BEAT, EXPLAINED_A_BEAT_OF_MANY = 8, 2
"""So many positions at most; the others come on the beats that follow."""


class Traces:
    """What became of the rules since it was last recorded: at most `each` traces per rule."""

    def __init__(self, each: int) -> None:
        self._each = each
        self._watch = OutcomeWatch()
        self._rows: dict[str, deque[dict[str, Any]]] = {}

    def restore(self, reader: LakeReader) -> None:
        """Go on from what the lake has been told."""
        self._watch.restore(last_outcomes(reader))

    def look(self, moment: Moment, stepped: Stepped) -> None:
        """Take down what has changed with this step."""
        if not self._each:
            return
        room = {rule: self._each - len(self._rows.get(rule, ())) for rule in stepped.plan.rule_ids}
        most = EXPLAINED_A_BEAT if moment.facts.height < LARGE_BOOK else EXPLAINED_A_BEAT_OF_MANY
        for change in self._watch.changes(stepped, room, most):
            # The step's first row is the book's.
            facts = moment.facts.row(change.row - 1, named=True) if change.row else {"position": BOOK}
            explanation = explain(moment.book, moment.state, facts, moment.market, moment.time)
            for rule in change.rules:
                one = explanation[rule]
                was = self._watch.tell(change.position, rule, one.outcome)
                if was is None:
                    continue
                row = {
                    "seen": moment.time,
                    "rule": rule,
                    "position": change.position,
                    "outcome": one.outcome,
                    "was": was or None,
                    "distance": None if one.gap is None else one.gap.relative,
                    "words": outcome_words(one),
                    "trace": json.dumps(one.data(), allow_nan=False),
                    "revision": moment.book.revision,
                }
                self._rows.setdefault(rule, deque(maxlen=self._each)).append(row)

    def take(self) -> pl.DataFrame:
        """The traces that were not taken yet, by time."""
        rows = sorted((row for rows in self._rows.values() for row in rows), key=lambda row: row["seen"])
        self._rows = {}
        return pl.DataFrame(rows, schema=TRACES_TABLE.row, orient="row")
