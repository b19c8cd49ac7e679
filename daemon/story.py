"""The story of one decision, intent or position, in words."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import rules
from daemon.reading import new_york
from lake import LakeReader
from options import RuleError


def tell(reader: LakeReader, story: Mapping[str, Any]) -> Iterator[str]:
    """Each decision with the sub-conditions of its rule, then everything that followed, line by line."""
    for decision in story["decisions"]:
        yield f"{new_york(decision['time'])} New York"
        yield f"{decision['id']}: {decision['kind']} by rule {decision['priority']} {decision['rule']}"
        yield f"  {decision['action']} {decision['position']}, {decision['urgency']}"
        if decision["reason"]:
            yield f"  {decision['reason']}"
        yield f"  rules revision {decision['rules_revision'][:12]}, fired: {', '.join(decision['fired'])}"
        if decision["unknown"]:
            yield f"  could not be judged: {', '.join(decision['unknown'])}"
        yield from (f"  {line}" for line in _conditions(reader, decision))
        yield ""
    yield "what followed, in New York time:"
    yield from (f"  {new_york(line['time'])}  {line['text']}" for line in story["story"])


def _conditions(reader: LakeReader, decision: Mapping[str, Any]) -> list[str]:
    """The rule's own conditions with the facts as they were, under the revision that decided."""
    texts = reader.table("rules_revisions").collect()
    of_revision = texts.filter(texts["revision"] == decision["rules_revision"])
    if not of_revision.height:
        return ["(the rules of that revision are not in the lake)"]
    try:
        book = rules.parse(of_revision["text"][-1], of_revision["path"][-1])
    except RuleError as error:
        return [f"(the rules of that revision cannot be read any more: {error})"]
    state = rules.RuleState.from_json(decision["state"]) if decision.get("state") else rules.initial_state()
    explained = rules.explain(
        book,
        state,
        {"position": decision["position"], **decision["facts"]},
        decision["facts"],
        datetime.fromisoformat(decision["time"]),
    )
    return explained.text(decision["rule"]).splitlines()
