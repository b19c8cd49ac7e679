"""What we are about to do at the broker: durable before anything is sent.

An intent's id is its order's `orderRef`. Ids are hashes of (position, rule, moment), so the same facts
give the same ids and the same decision can never become two orders.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from broker.protocol import ComboLeg, OrderRequest
from options import contract_fields, contract_from_fields
from trading.price_walk import Urgency


class IntentKind(StrEnum):
    CLOSE = "close"
    REDUCE = "reduce"
    OPEN = "open"


class IntentState(StrEnum):
    """Open until settled, cancelled, rejected, abandoned or refused."""

    INTENDED = "intended"
    SENT = "sent"
    WORKING = "working"
    CANCELLING = "cancelling"
    FILLED = "filled"
    SETTLED = "settled"
    CANCELLED = "cancelled"
    REJECTED = "rejected"
    ABANDONED = "abandoned"
    REFUSED = "refused"


ENDED = frozenset(
    {
        IntentState.SETTLED,
        IntentState.CANCELLED,
        IntentState.REJECTED,
        IntentState.ABANDONED,
        IntentState.REFUSED,
    }
)

AT_BROKER = frozenset({IntentState.SENT, IntentState.WORKING, IntentState.CANCELLING})


def identity(prefix: str, *parts: str) -> str:
    """A short id that is a function of its parts alone."""
    return prefix + hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class Intent:
    """`quantity` combos of `legs` bought; `limit_price` USD per share of one combo, None = market.

    `held` is what the broker reported per leg when it was made; `filled` counts combos. `roll_dte` on a
    close says that the structure is opened again at that many days to expiry once the close has settled;
    `rolled_from` on an opening names the position whose roll it completes. `marks` are the cells of the
    rule state that the decision has set, to be undone when nothing comes of it.
    """

    intent: str
    decision: str
    position: str
    rule: str
    priority: int
    kind: IntentKind
    state: IntentState
    legs: tuple[ComboLeg, ...]
    quantity: int
    limit_price: float | None
    urgency: Urgency
    created: datetime
    held: tuple[int, ...] = ()
    reason: str = ""
    filled: float = 0.0
    roll_dte: int | None = None
    rolled_from: str | None = None
    marks: tuple[tuple[str, str], ...] = ()

    @property
    def is_open(self) -> bool:
        return self.state not in ENDED

    def moved(self, state: IntentState, reason: str = "", **changes: Any) -> "Intent":
        """The same intent in another state."""
        return replace(self, state=state, reason=reason, **changes)

    def request(self) -> OrderRequest:
        """The order that carries this intent out."""
        return OrderRequest(
            order_ref=self.intent,
            legs=self.legs,
            quantity=self.quantity,
            limit_price=self.limit_price,
            opens=self.kind is IntentKind.OPEN,
        )

    def row(self) -> dict[str, Any]:
        """The intent as a row of the lake's `intents` table."""
        order = {
            "rule": self.rule,
            "priority": self.priority,
            "quantity": self.quantity,
            "urgency": self.urgency.value,
            "created": self.created.isoformat(),
            "held": list(self.held),
            "roll_dte": self.roll_dte,
            "rolled_from": self.rolled_from,
            "marks": self.marks,
            "legs": [{"ratio": leg.ratio, **contract_fields(leg.contract)} for leg in self.legs],
        }
        return {
            "intent": self.intent,
            "decision": self.decision,
            "position": self.position,
            "kind": self.kind.value,
            "state": self.state.value,
            "order_ref": self.intent,
            "order": json.dumps(order),
            "limit_price": self.limit_price,
            "filled": self.filled,
            "reason": self.reason,
        }

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> "Intent":
        """The intent of a row of the lake's `intents` table."""
        order = json.loads(row["order"])
        return cls(
            intent=row["intent"],
            decision=row["decision"],
            position=row["position"],
            rule=order["rule"],
            priority=order["priority"],
            kind=IntentKind(row["kind"]),
            state=IntentState(row["state"]),
            legs=tuple(ComboLeg(contract_from_fields(leg), leg["ratio"]) for leg in order["legs"]),
            quantity=order["quantity"],
            limit_price=row["limit_price"],
            urgency=Urgency(order["urgency"]),
            created=datetime.fromisoformat(order["created"]),
            held=tuple(order["held"]),
            reason=row["reason"],
            filled=row["filled"],
            roll_dte=order["roll_dte"],
            rolled_from=order["rolled_from"],
            marks=tuple((position, column) for position, column in order.get("marks", ())),
        )
