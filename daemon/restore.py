"""What the lake says was going on when the last daemon ended, taken up again."""

from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from daemon.account_state import AccountState
from daemon.pressure import RELEASED, STOPPED, Cause, Pressure
from lake import LakeReader
from options import NEW_YORK
from rules import RuleState
from trading.breaker import Breaker
from trading.intent import ENDED, Intent, IntentKind, IntentState


def restore(home: Path, state: AccountState, now: datetime) -> str:
    """Fill `state` from the lake of `home`; returns in words what was found. Nothing is sent."""
    reader = LakeReader.open(home)
    state.positions.restore(reader.table("strategies").collect())
    state.executions.restore(reader.table("fills").collect())
    last = reader.table("rule_state").sort("seq", maintain_order=True).tail(1).collect()
    if last.height:
        state.rule_state = RuleState.from_json(last["state"][0])
    _restore_brake(reader, state)
    for position in state.positions.positions:
        for leg in position.legs:
            state.contracts[leg.contract.con_id] = leg.contract
    intents = _latest_intents(reader.table("intents").collect())
    open_intents = [intent for intent in intents if intent.state not in ENDED]
    state.desk.restore(open_intents, now)
    for intent in intents:
        if intent.kind is not IntentKind.OPEN:
            state.closing_orders.setdefault(intent.position, set()).add(intent.intent)
        elif intent.is_open:
            state.positions.expect(intent.legs, intent.created, rolled_from=intent.rolled_from)
        for combo_leg in intent.legs:
            state.contracts[combo_leg.contract.con_id] = combo_leg.contract
    _resume_rolls(intents, state, now)
    state.day_start_nlv_usd = _day_start_nlv_usd(reader, now)
    return (
        f"{len(state.positions.positions)} positions, {len(open_intents)} open orders, "
        f"{len(state.executions.fills)} fills, trading {state.breaker.state.value}"
    )


def _restore_brake(reader: LakeReader, state: AccountState) -> None:
    """The owner's brake as it was left, and a stop for the disk's sake that nobody lived to end."""
    events = reader.table("breaker").sort("seq", maintain_order=True)
    by_disk = pl.col("event").is_in([STOPPED, RELEASED])
    if (brake := events.filter(~by_disk).tail(1).collect()).height:
        state.breaker = Breaker.from_row(brake.row(0, named=True))
    last = events.filter(by_disk).tail(1).collect()
    if last.height and last["event"][0] == STOPPED:
        state.pressure = Pressure({Cause.DISK: last["reason"][0]})


def _day_start_nlv_usd(reader: LakeReader, now: datetime) -> float | None:
    """The first net liquidation value of the New York day; None when none was recorded."""
    midnight = now.astimezone(NEW_YORK).replace(hour=0, minute=0, second=0, microsecond=0)
    today = reader.table("account").filter(
        (pl.col("time") >= midnight.astimezone(UTC)) & pl.col("nlv_usd").is_not_null()
    )
    first = today.sort("seq").head(1).collect()
    return first["nlv_usd"][0] if first.height else None


def _latest_intents(rows: pl.DataFrame) -> list[Intent]:
    latest = rows.sort("seq", maintain_order=True).unique("intent", keep="last", maintain_order=True)
    return [Intent.from_row(row) for row in latest.iter_rows(named=True)]


def _resume_rolls(intents: list[Intent], state: AccountState, now: datetime) -> None:
    """A roll whose close settled but whose opening was never recorded is opened now."""
    opened = {intent.decision for intent in intents if intent.kind is IntentKind.OPEN}
    for intent in intents:
        half_done = (
            intent.state is IntentState.SETTLED
            and intent.roll_dte is not None
            and intent.decision not in opened
            and (now - intent.created).total_seconds() < RESUME_ROLLS_WITHIN_S
        )
        if half_done:
            state.roller.begin(intent, now)


RESUME_ROLLS_WITHIN_S = 3600.0
"""A roll that waited longer than this was given up, or its reason is gone: it ends closed."""
