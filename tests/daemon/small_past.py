"""A home with as much of a past as a test needs: facts of some positions at some minutes."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

import rules
from lake import Lake
from sync.tables import FACTS_TABLE, LAKE_TABLES

OPENING = datetime(2026, 1, 5, 14, 30, tzinfo=UTC)
"""A Monday, 09:30 in New York."""
TAKE = """rules:
  - {{id: roll, priority: 1, when: dte <= 21d, do: {{roll: {{dte: 45d}}}}}}
  - {{id: take, priority: 2, when: profit >= {take}%, do: close}}
  - {{id: rank, priority: 3, when: iv_rank >= 90, do: close}}
"""


def take_rules(take: int) -> str:
    """A rules file that takes so many percent of profit."""
    return TAKE.format(take=take)


class SmallPast:
    """Open it, put in what happened, minute by minute, close it."""

    def __init__(self, home: Path, without: str = "") -> None:
        """`without`: a table that the optiond of then did not have."""
        self.home = home
        home.mkdir(parents=True, exist_ok=True)
        tables = {name: table for name, table in LAKE_TABLES.items() if name != without}
        self._lake = Lake.open(home, tables)

    def commit(self, minute: float, table: str, *rows: Mapping[str, Any]) -> None:
        schema = LAKE_TABLES[table].row
        frame = pl.DataFrame(list(rows), schema=schema, orient="row", strict=False)
        self._lake.commit(OPENING + timedelta(minutes=minute), {table: frame})

    def rules(self, minute: float, text: str) -> str:
        """Take rules up; returns their revision."""
        revision = rules.revision_of(text)
        self.commit(minute, "rules_revisions", {"revision": revision, "text": text, "path": "rules.yaml"})
        return revision

    def seen(self, minute: float, **profits: float | None) -> None:
        """Positions of two lots at a profit, 100 % of which are 200 USD."""
        self.facts(
            minute,
            *(
                {"position": name, "profit": profit, "profit_usd": None if profit is None else 200 * profit}
                for name, profit in profits.items()
            ),
        )

    def facts(self, minute: float, *rows: Mapping[str, Any]) -> None:
        always = {"structure": "iron_condor", "lots": 2, "dte": 40}
        self.commit(minute, FACTS_TABLE.name, *({**always, **row} for row in rows))

    def ended(self, minute: float, position: str, event: str, realized_usd: float | None, lots: int) -> None:
        row = {"position": position, "event": event, "lots": lots, "realized_pnl_usd": realized_usd}
        self.commit(minute, "strategies", {**row, "structure": "iron_condor", "underlying": "XYZ"})

    def close(self) -> Path:
        self._lake.flush()
        self._lake.close()
        return self.home
