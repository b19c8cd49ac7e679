"""What the gates of an opening look at, gathered from the books and the broker."""

from datetime import datetime
from typing import Any

from broker.connection_breaker import BreakerState
from broker.events import LinkHealth
from daemon.account_state import AccountState
from options import payoff as payoff_of
from options.contract import Leg
from options.money import UsdPerContract
from rules.breaker import Mode
from trading.gates import OpeningFacts
from trading.intent import Intent, IntentKind


async def opening_facts(
    intent: Intent, state: AccountState, blocking_rule: str, now: datetime
) -> OpeningFacts:
    """Raises BrokerError when the broker does not say what margin the order would need."""
    figures = state.account.figures(now)
    nlv, before = figures["nlv_usd"], state.day_start_nlv_usd
    quote = state.combo_quote(list(intent.legs), now)
    margin = await state.broker.margin(intent.request())
    return OpeningFacts(
        holdings=state.holding_legs(),
        nlv_usd=nlv,
        day_pnl_usd=None if nlv is None or before is None else nlv - before,
        available_funds_usd=figures["available_funds_usd"],
        margin_change_usd=margin.initial_change_usd,
        max_loss_usd=_max_loss_usd(intent, state.board.mid, now),
        quotes_live=quote is not None,
        breaker=why_closed(intent, state, blocking_rule),
        lake=str(state.pressure),
        blackout=state.desk.blackout(now),
        connection=why_untrusted(state.broker.health),
    )


def why_untrusted(health: LinkHealth) -> str:
    """Why nothing is opened over this connection yet; empty when it has proved itself."""
    if health.breaker is BreakerState.CLOSED:
        return ""
    return "on trial after a storm of reconnects"


def why_closed(intent: Intent, state: AccountState, blocking_rule: str) -> str:
    """Why nothing may be opened now, by the breaker or by a rule of the book; empty when it may."""
    breaker = state.breaker
    if not breaker.allows_opening:
        return f"{breaker.mode.value} by {breaker.actor}: {breaker.reason}"
    others = [i for i in state.desk.open_intents if i.kind is IntentKind.OPEN and i.intent != intent.intent]
    if breaker.mode is Mode.HALF_OPEN and others:
        return f"{breaker.mode.value}: one entry at a time, {others[0].position} is being opened"
    return f"rule {blocking_rule} blocks entries" if blocking_rule else ""


def _max_loss_usd(intent: Intent, mid: Any, now: datetime) -> float | None:
    """The most that the opening can lose, from its legs at their mids; None when a mid is unknown."""
    legs = []
    for leg in intent.legs:
        price = mid(leg.contract.con_id, now)
        if price is None:
            return None
        cost = UsdPerContract(price * leg.contract.multiplier)
        legs.append(Leg(leg.contract, leg.ratio * intent.quantity, cost))
    return payoff_of(legs).max_loss_usd
