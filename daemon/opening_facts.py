"""What the gates of an opening look at, gathered from the books and the broker."""

from datetime import datetime
from typing import Any

from daemon.account_state import AccountState
from options import payoff as payoff_of
from options.contract import Leg
from options.money import UsdPerContract
from trading.gates import OpeningFacts
from trading.intent import Intent


async def opening_facts(
    intent: Intent, state: AccountState, rules_block: bool, now: datetime
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
        halted=not state.breaker.allows_opening or rules_block,
        lake=str(state.pressure),
    )


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
