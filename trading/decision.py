"""What a rule wants of one position, as it is recorded: the reason that must be durable before an order."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from trading.intent import identity
from trading.price_walk import Urgency


@dataclass(frozen=True, slots=True)
class Verdict:
    """A position's winning rule on one beat, as `rules.step` gave it."""

    position: str
    rule: str
    priority: int
    action: str
    params: Mapping[str, Any]
    urgency: Urgency
    fired: tuple[str, ...]
    unknown: tuple[str, ...]
    is_shadow: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """A verdict that was acted on, vetoed (with the reason) or only shadowed.

    `kind` is "decision", "veto" or "shadow". `explanation` is the rule's
    conditions in words. `facts` is the row the rule saw, `state` the rule state of
    the position and of the book before the step, both needed to replay it.
    """

    decision: str
    verdict: Verdict
    kind: str
    reason: str
    explanation: str
    time: datetime
    facts: Mapping[str, Any]
    state: str
    rules_revision: str

    def row(self) -> dict[str, Any]:
        """The decision as a row of the lake's `decisions` table."""
        verdict = self.verdict
        return {
            "decision": self.decision,
            "position": verdict.position,
            "rule": verdict.rule,
            "priority": verdict.priority,
            "action": verdict.action,
            "params": json.dumps(verdict.params),
            "urgency": verdict.urgency.value,
            "kind": self.kind,
            "reason": self.reason,
            "explanation": self.explanation,
            "facts": json.dumps(self.facts, default=str),
            "state": self.state,
            "fired": list(verdict.fired),
            "unknown": list(verdict.unknown),
            "rules_revision": self.rules_revision,
        }


def decision_id(verdict: Verdict, now: datetime) -> str:
    """The same position, rule and moment always give the same id."""
    return identity("dec-", verdict.position, verdict.rule, now.isoformat())
