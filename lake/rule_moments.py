"""What the rules knew at a moment, as recorded, and what became of them: facts, memory, text, traces."""

import json
from typing import Any

import polars as pl

from lake.reader import LakeReader
from lake.views import AsOf
from options import LakeError

Row = dict[str, Any]


def rule_moment(reader: LakeReader, position: str, as_of: AsOf = None) -> Row:
    """The newest recorded facts of a position ("": of the book), and what belongs to them.

    `seq` and `time` of that record; `facts` by name, those of the book among them; `state`: what the rules
    remembered of the position and of the book, as `RuleState.to_json` writes it; `revision` and `rules`, the
    text in force, both None when none was recorded. Raises LakeError when no facts of it were recorded.
    """
    told = reader.table("facts", as_of)
    mine = told if position == "" else told.filter(pl.col("position") == position)
    newest = mine.select(pl.col("seq").max()).collect().item()
    if newest is None:
        who = position or "the book"
        raise LakeError(f"no facts of {who} are recorded by then; `optiond positions` lists what is held")
    facts = mine.filter(pl.col("seq") == newest).tail(1).collect().to_dicts()[0]
    seq, time = facts.pop("seq"), facts.pop("time")
    revision, text = _in_force(reader, seq)
    return {
        "seq": seq,
        "time": time,
        "facts": {"position": ""} if position == "" else facts,
        "market": facts,
        "state": _state(reader, position, seq),
        "revision": revision,
        "rules": text,
    }


def traces(
    reader: LakeReader,
    each: int,
    rule: str | None = None,
    position: str | None = None,
    near_only: bool = False,
    with_conditions: bool = True,
) -> list[Row]:
    """The last `each` traces of every rule, newest first: its outcomes on positions as they changed.

    `position`: only of this one ("": of the book); `near_only`: only near misses. `trace` is what an
    explanation of the rule had then, as data; without it (`with_conditions`) a long history is read much
    faster. Nothing from a lake that an older optiond has written.
    """
    if "traces" not in reader.names():
        return []
    wanted = [pl.col("outcome") == "near"] if near_only else []
    wanted += [] if rule is None else [pl.col("rule") == rule]
    wanted += [] if position is None else [pl.col("position") == position]
    rows = reader.table("traces").filter(*wanted)
    rows = (rows if with_conditions else rows.drop("trace")).sort("seq", "seen", maintain_order=True)
    newest = rows.group_by("rule", maintain_order=True).tail(each).sort("seq", "seen", maintain_order=True)
    found = newest.reverse().collect().to_dicts()
    return [{**row, "trace": json.loads(row["trace"])} for row in found] if with_conditions else found


def last_outcomes(reader: LakeReader) -> dict[tuple[str, str], str]:
    """What was told last of every position and rule, by (position, rule), where that is more than quiet."""
    if "traces" not in reader.names():
        return {}
    told = reader.table("traces").select("seq", "seen", "position", "rule", "outcome")
    last = told.sort("seq", "seen", maintain_order=True).group_by("position", "rule").last().collect()
    return {
        (row["position"], row["rule"]): row["outcome"]
        for row in last.filter(pl.col("outcome") != "quiet").iter_rows(named=True)
    }


def _in_force(reader: LakeReader, seq: int) -> tuple[str | None, str | None]:
    """Revision and text of the rules; an older optiond wrote down no others than those in force."""
    stored = reader.table("rules_revisions", seq).sort("seq", maintain_order=True)
    if "rules_changes" in reader.names():
        came = pl.col("event").is_in(["taken_up", "rolled_back"]) & pl.col("revision").is_not_null()
        changes = reader.table("rules_changes", seq).filter(came).sort("seq", maintain_order=True)
        if (last := changes.tail(1).collect()).height:
            stored = stored.filter(pl.col("revision") == last["revision"][0])
    found = stored.tail(1).collect().to_dicts()
    return (found[0]["revision"], found[0]["text"]) if found else (None, None)


def _state(reader: LakeReader, position: str, seq: int) -> str:
    remembered: dict[str, Any] = {}
    rows = reader.table("rule_state", seq).sort("seq", maintain_order=True)
    if "position" in rows.collect_schema():
        rows = rows.filter(pl.col("position").is_in([position, ""]) | pl.col("position").is_null())
    for row in rows.collect().iter_rows(named=True):
        if row.get("position") is None:
            # An older optiond wrote all positions at once.
            remembered = json.loads(row["state"])["positions"]
        elif row["state"] is None:
            remembered.pop(row["position"], None)
        else:
            remembered[row["position"]] = json.loads(row["state"])
    kept = {name: remembered[name] for name in ("", position) if name in remembered}
    return json.dumps({"version": 1, "positions": kept})
