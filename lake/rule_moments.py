"""What the rules knew at a moment: facts as recorded, what was remembered, and which rules were in force."""

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
    rules = reader.table("rules_revisions", seq).sort("seq", maintain_order=True).tail(1).collect().to_dicts()
    return {
        "seq": seq,
        "time": time,
        "facts": {"position": ""} if position == "" else facts,
        "market": facts,
        "state": _state(reader, position, seq),
        "revision": rules[0]["revision"] if rules else None,
        "rules": rules[0]["text"] if rules else None,
    }


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
