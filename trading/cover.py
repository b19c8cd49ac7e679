"""Covering decisions: a short that has lost what covered it is bought back, whatever the rules say.

Only the shorts of an underlying that nothing covers any more are bought back, as whole lots of the positions
that they are: what is left of a spread stands alone by then. Shorts that somebody sold naked are his: the
decision about them is a veto.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from options import ConId, Leg, Right
from sync.naked_short import uncovered
from sync.position import Position, leg_fields, leg_from_fields
from trading.decision import Decision, Moment, decision_id, facts_text
from trading.price_walk import Urgency
from trading.verdict import Verdict

COVER = "cover"
"""The name of its decisions' rule."""
PRIORITY = -1
"""Before every rule and before the breaker's own closings: it is the smaller order of the two."""
REVISION = "cover-1"
"""Of how it is decided what is bought back; a decision is replayed only by the same."""

Held = Sequence[tuple[str, int, Sequence[Leg]]]
"""Positions as covering sees them: id, lots, legs."""


def covering_verdicts(naked: Mapping[ConId, int], positions: Iterable[Position]) -> list[Verdict]:
    """What buys back so many contracts of each; of equal positions the first."""
    return _verdicts(naked, [(each.id, each.lots, each.legs) for each in positions])


def _verdicts(naked: Mapping[ConId, int], positions: Held) -> list[Verdict]:
    legs = {leg.contract.con_id: leg.contract for _, _, held in positions for leg in held}
    wanted: dict[tuple[str, Right | None], int] = {}
    for con_id, count in naked.items():
        if con_id in legs:
            side = legs[con_id].symbol, legs[con_id].right
            wanted[side] = wanted.get(side, 0) + count
    found = []
    for name, lots, held in sorted(positions, key=lambda each: _preference(each[2], naked)):
        mine = uncovered(held)
        if not mine:
            continue
        side = (
            held[0].contract.symbol,
            next(leg.contract.right for leg in held if leg.contract.con_id in mine),
        )
        a_lot = max(1, sum(mine.values()) // lots)
        count = min(lots, -(-wanted.get(side, 0) // a_lot))
        if count > 0:
            wanted[side] -= count * a_lot
            found.append(_verdict(name, count, lots))
    return sorted(found, key=lambda verdict: verdict.position)


def _preference(legs: Sequence[Leg], naked: Mapping[ConId, int]) -> tuple[bool, bool]:
    """Single shorts first, and of these the ones that were found uncovered."""
    return len(legs) > 1, not any(leg.contract.con_id in naked for leg in legs)


def _verdict(position: str, count: int, lots: int) -> Verdict:
    params: dict[str, Any] = {"price": "mid"}
    return Verdict(
        position=position,
        rule=COVER,
        priority=PRIORITY,
        action="close" if count == lots else "reduce",
        params=params if count == lots else {**params, "count": count},
        urgency=Urgency.IMMEDIATE,
        fired=(COVER,),
        unknown=(),
    )


def is_covering(verdict: Verdict) -> bool:
    """Whether it is a covering decision's and not a rule's."""
    return verdict.priority == PRIORITY and verdict.rule == COVER


def covering_decision(
    verdict: Verdict,
    kind: str,
    reason: str,
    naked: Mapping[ConId, int],
    positions: Iterable[Position],
    moment: Moment,
) -> Decision:
    """The decision with what it takes to make it again: the shorts found uncovered and the positions of their
    underlying, in `state`; the position's facts of the moment beside it."""
    held = list(positions)
    underlying = next(each.underlying for each in held if each.id == verdict.position)
    mine = [each for each in held if each.underlying == underlying]
    contracts = {leg.contract.con_id: leg.contract for each in mine for leg in each.legs}
    counts = {con_id: count for con_id, count in naked.items() if con_id in contracts}
    told = ", ".join(f"{count} x {contracts[con_id].label}" for con_id, count in sorted(counts.items()))
    state = {
        "naked": {str(con_id): count for con_id, count in sorted(counts.items())},
        "positions": [[each.id, each.lots, [leg_fields(leg) for leg in each.legs]] for each in mine],
    }
    return Decision(
        decision=decision_id(verdict, moment.time),
        verdict=verdict,
        kind=kind,
        reason=reason,
        explanation=f"sold and not covered: {told}",
        time=moment.time,
        facts=facts_text({**moment.market, **moment.seen(verdict.position)}),
        state=json.dumps(state, allow_nan=False),
        contributors=None,
        rules_revision=REVISION,
    )


def is_of_cover(row: Mapping[str, Any]) -> bool:
    """Whether a row of `decisions` is a covering decision (of whatever version)."""
    return str(row["rules_revision"]).startswith(f"{COVER}-")


def covered_again(row: Mapping[str, Any]) -> dict[str, str]:
    """Action and params that follow from what the row was decided on; "nothing" where nothing does.

    Raises ValueError, KeyError or TypeError when the row is not as it was recorded.
    """
    state = json.loads(row["state"])
    naked = {ConId(int(con_id)): int(count) for con_id, count in state["naked"].items()}
    positions = [
        (name, lots, [leg_from_fields(fields) for fields in legs]) for name, lots, legs in state["positions"]
    ]
    mine = [each for each in _verdicts(naked, positions) if each.position == row["position"]]
    if not mine:
        return {"action": "nothing", "params": "{}"}
    return {"action": mine[0].action, "params": json.dumps(mine[0].params, sort_keys=True)}
