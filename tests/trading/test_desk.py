"""The desk against the real simulated gateway: no order is forgotten or waited for without end."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from broker.events import OrderChanged, OrderState
from broker.protocol import ComboLeg
from options import ConId, Contract, Leg, UsdPerContract
from tests.broker.bench import Bench
from trading.breaker import closing_verdict
from trading.combo import ComboQuote
from trading.desk import SETTLE_WITHIN, Desk, TooSmallToReduce
from trading.intent import Intent, IntentState
from trading.price_walk import Urgency
from trading.verdict import Verdict

NOON = datetime(2026, 3, 2, 17, tzinfo=UTC)
LATER = NOON + timedelta(seconds=61)
MARKS = (("P", "latch:take_profit:1"),)


def quotes(legs: Sequence[ComboLeg]) -> ComboQuote:
    return ComboQuote(0.90, 1.10, 0.01)


def verdict(action: str = "close", urgency: Urgency = Urgency.NORMAL, **params: object) -> Verdict:
    return Verdict("P", "take_profit", 7, action, params, urgency, ("take_profit",), ())


async def held_put(bench: Bench) -> tuple[Contract, Leg]:
    """Two short puts, as the desk is told that they are held."""
    put = await bench.list_put(245, 0.90, 1.10)
    return put, Leg(put, -2, UsdPerContract(100.0))


def planned(desk: Desk, leg: Leg, urgency: Urgency = Urgency.NORMAL, now: datetime = NOON) -> Intent:
    held = {leg.contract.con_id: leg.quantity}
    intent = desk.plan(verdict(urgency=urgency), "dec-1", [leg], 2, held, quotes, now, MARKS)
    desk.open(intent)
    return intent


async def follow(bench: Bench, desk: Desk, state: OrderState) -> None:
    """Take the broker's words in until that state is said."""
    event = await bench.until(OrderChanged, lambda event: event.state is state)
    for each in bench.all(OrderChanged):
        desk.absorb(each, NOON)
        if each is event:
            break
    bench.forget()


async def working(bench: Bench, desk: Desk, leg: Leg, urgency: Urgency = Urgency.NORMAL) -> Intent:
    await bench.fault("hold_fills")
    intent = planned(desk, leg, urgency)
    assert desk.send(intent, NOON) is None
    await follow(bench, desk, OrderState.WORKING)
    return desk.open_intents[0]


async def orders(bench: Bench) -> list[str]:
    return [order["status"] for order in (await bench.ask("orders"))["orders"]]


async def test_a_cancellation_that_the_broker_never_got_is_asked_for_again(bench: Bench) -> None:
    """The daemon ended, or the link broke, between its books and the wire."""
    desk = Desk(bench.broker)
    _, leg = await held_put(bench)
    intent = await working(bench, desk, leg)
    restarted = Desk(bench.broker)
    restarted.restore([intent.moved(IntentState.CANCELLING, "frozen: fire drill")], NOON)
    for order in (await bench.broker.picture()).open_orders:
        restarted.absorb(order, NOON)
    restarted.step(quotes, NOON)
    await follow(bench, restarted, OrderState.CANCELLED)
    assert await orders(bench) == ["Cancelled"]
    assert restarted.open_intents == ()


async def test_a_link_that_ends_within_a_cycle_does_not_end_the_daemon(bench: Bench) -> None:
    desk = Desk(bench.broker)
    _, leg = await held_put(bench)
    before = await working(bench, desk, leg, Urgency.IMMEDIATE)
    await bench.fault("refuse_connections", seconds=3600)
    await bench.fault("drop")
    await bench.until(object, lambda _: bench.broker.link != "up")
    desk.step(quotes, LATER)
    assert desk.open_intents == (before,), "the limit stays what the broker knows"


async def test_a_fill_whose_executions_never_come_does_not_block_its_position_for_ever(bench: Bench) -> None:
    desk = Desk(bench.broker)
    put, leg = await held_put(bench)
    planned(desk, leg)
    filled = replace(desk.open_intents[0], state=IntentState.FILLED, filled=2.0)
    desk.restore([filled], NOON)
    flat: dict[ConId, int] = {}
    assert desk.settle({}, flat, NOON) == []
    assert desk.settle({}, flat, NOON + SETTLE_WITHIN / 2) == []
    ((ended, agrees),) = desk.settle({}, flat, NOON + SETTLE_WITHIN)
    assert (ended.state, agrees, desk.open_intents) == (IntentState.SETTLED, False, ())
    assert "do not agree" in ended.reason
    assert put.con_id


async def test_a_fill_that_executions_and_holdings_show_settles_at_once(bench: Bench) -> None:
    desk = Desk(bench.broker)
    put, leg = await held_put(bench)
    planned(desk, leg)
    desk.restore([replace(desk.open_intents[0], state=IntentState.FILLED, filled=2.0)], NOON)
    executed = {desk.open_intents[0].intent: {put.con_id: 2}}
    ((_, agrees),) = desk.settle(executed, {}, NOON)
    assert agrees


async def test_a_settled_order_tells_what_it_was_filled_at(bench: Bench) -> None:
    desk = Desk(bench.broker)
    put, leg = await held_put(bench)
    planned(desk, leg)
    filled = replace(desk.open_intents[0], state=IntentState.FILLED, filled=2.0)
    for limit, words in ((0.55, "filled 2 at 0.55"), (None, "filled 2 at the market")):
        desk.restore([replace(filled, limit_price=limit)], NOON)
        ((ended, _),) = desk.settle({filled.intent: {put.con_id: 2}}, {}, NOON)
        assert ended.reason == words


@pytest.mark.parametrize("filled", [0.0, 1.0])
async def test_the_last_step_of_a_limit_is_not_told_as_why_the_broker_ended_it(
    bench: Bench, filled: float
) -> None:
    desk = Desk(bench.broker)
    _, leg = await held_put(bench)
    planned(desk, leg)
    stepped = replace(desk.open_intents[0], state=IntentState.WORKING, reason="stepped to 0.95")
    desk.restore([stepped], NOON)
    ended = OrderChanged(stepped.intent, 1, 1, OrderState.CANCELLED, filled, 2 - filled, None, 0.95)
    desk.absorb(ended, NOON)
    reason = desk.take_changes()[-1].reason
    assert "expired, or cancelled elsewhere" in reason
    assert "stepped" not in reason


async def test_an_order_whose_position_somebody_else_closed_is_cancelled_before_it_opens_the_opposite(
    bench: Bench,
) -> None:
    desk = Desk(bench.broker)
    put, leg = await held_put(bench)
    await working(bench, desk, leg)
    desk.withdraw_beyond({put.con_id: -2}, NOON)
    desk.withdraw_beyond({}, NOON)
    assert desk.open_intents[0].state is IntentState.WORKING, "our own fill may be on its way"
    desk.withdraw_beyond({}, NOON + timedelta(seconds=3))
    await follow(bench, desk, OrderState.CANCELLED)
    await bench.fault("hold_fills", on=False)
    assert await orders(bench) == ["Cancelled"]
    assert (await bench.ask("holdings"))["holdings"] == []


async def test_what_a_win_has_set_survives_the_lake_with_its_intent(bench: Bench) -> None:
    desk = Desk(bench.broker)
    _, leg = await held_put(bench)
    intent = planned(desk, leg)
    assert Intent.from_row(intent.row()).marks == MARKS


async def test_a_single_lot_has_no_half_and_no_second_try_will_find_one(bench: Bench) -> None:
    put = await bench.list_put(245, 0.90, 1.10)
    leg = Leg(put, -1, UsdPerContract(100.0))
    with pytest.raises(TooSmallToReduce):
        Desk(bench.broker).plan(
            verdict("reduce", count="half"), "dec-1", [leg], 1, {put.con_id: -1}, quotes, NOON
        )


async def test_after_a_flattening_that_a_human_ended_the_rules_act_at_once(bench: Bench) -> None:
    _, leg = await held_put(bench)
    desk, held = Desk(bench.broker), {leg.contract.con_id: leg.quantity}
    for reason, rests in (("halted before it was sent: by hand", False), ("quotes: none", True)):
        intent = desk.plan(closing_verdict("P"), "dec-1", [leg], 2, held, quotes, NOON)
        desk.open(intent)
        desk.refuse(intent, reason, NOON)
        assert desk.wants(verdict(), NOON) is not rests
