"""What the rules remember, as rows of the lake: changes, and all of it once a day, where a restart begins."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time

import polars as pl

from lake import LakeReader
from rules import RuleState, initial_state


class RuleMemory:
    """Gives the rows of `rule_state` that tell what has changed since it was asked last.

    `told`: what the lake knows already.
    """

    def __init__(self, told: RuleState) -> None:
        self._told = told
        self._day: date | None = None

    def rows(self, state: RuleState, revision: str, now: datetime) -> Iterator[dict[str, str | None]]:
        """One row per position that changed; the first of a UTC day (and of a process): per position."""
        changed = state.changed_since(self._told)
        if self._day != (day := now.astimezone(UTC).date()):
            changed |= state.texts()
        self._told, self._day = state, day
        for position, text in changed.items():
            yield {"position": position, "revision": revision, "state": text}


def remembered(reader: LakeReader) -> RuleState:
    """What the rules remembered in the last commit that tells of it."""
    last = reader.newest("rule_state")
    if last.is_empty():
        return initial_state()
    return _told_on(last["time"][0], reader.table("rule_state"))


def remembered_before(reader: LakeReader, seq: int) -> tuple[RuleState, str | None]:
    """What they remembered before a commit, and the revision that did; nothing where that is not recorded."""
    earlier = reader.table("rule_state", max(0, seq - 1))
    last = earlier.filter(pl.col("seq") == pl.col("seq").max()).select("time", "revision").tail(1).collect()
    if last.is_empty():
        return initial_state(), None
    return _told_on(last["time"][0], earlier), last["revision"][0]


def _told_on(last: datetime, rows: pl.LazyFrame) -> RuleState:
    """What the rows of the day of `last` tell, one after the other."""
    midnight = datetime.combine(last.date(), time(), UTC)
    of_the_day = rows.filter(pl.col("time") >= midnight)
    texts: dict[str, str] = {}
    for row in of_the_day.sort("seq", maintain_order=True).collect().iter_rows(named=True):
        if row["position"] is None:
            texts = RuleState.from_json(row["state"]).texts()
        elif row["state"] is None:
            texts.pop(row["position"], None)
        else:
            texts[row["position"]] = row["state"]
    return RuleState.from_texts(texts)
