"""What an adapter promises about orders, executions and holdings."""

from dataclasses import replace
from functools import partial

from broker.events import BrokerNotice, Commissioned, Executed, HoldingChanged, OrderChanged, OrderState
from broker.protocol import ComboLeg, OrderRequest
from tests.broker.conformance.promise import Promise, refusal, refused
from tests.broker.conformance.trial import Trial


async def a_combo_is_placed_once_and_filled_in_our_signs(trial: Trial) -> None:
    broker = await trial.connect()
    order = await trial.spread(-0.90, quantity=2)
    broker.place(order)
    done = await trial.order(order.order_ref, OrderState.FILLED)
    assert (done.filled, done.remaining, done.limit_price) == (2, 0, -0.90), f"{done}"
    assert _near(done.average_price, -0.95), f"0.95 received is told as {done.average_price}"
    assert await trial.placed(order.order_ref) == 1, "the broker has the order more than once"
    truth = {each.exec_id: each for each in await trial.market.executions()}
    mine = {each for each in truth if truth[each].order_ref == order.order_ref}
    legs = {each for each in mine if truth[each].con_id is not None}
    await trial.until(Commissioned, "every leg's commission", lambda _: legs <= _charged(trial).keys())
    executed = [event for event in trial.all(Executed) if event.order_ref == order.order_ref]
    assert {event.exec_id for event in executed} == mine, "an execution is missing or made up"
    for event in executed:
        true = truth[event.exec_id]
        assert event.is_combo is (true.con_id is None), f"{event}: the combo's line is not told from a leg's"
        assert event.is_combo or event.con_id == true.con_id, f"{event}: another contract than {true.con_id}"
        assert (event.quantity, _near(event.price, true.price)) == (true.quantity, True), f"{event}, {true}"
        charged = _charged(trial).get(event.exec_id)
        assert event.is_combo or _near(charged, true.commission_usd), f"{charged} USD, {true}"
    await _held(trial, {order.legs[0].contract.con_id: -2, order.legs[1].contract.con_id: 2})


async def a_single_contract_is_sold_for_a_negative_price(trial: Trial) -> None:
    broker = await trial.connect()
    put = await trial.market.list_put(2.00, 2.10)
    order = OrderRequest(trial.new_ref(), (ComboLeg(put, -1),), 1, -1.95, opens=True)
    broker.place(order)
    done = await trial.order(order.order_ref, OrderState.FILLED)
    assert done.limit_price == -1.95 and _near(done.average_price, -2.00), f"{done}"
    executed = await trial.until(Executed, "the sale", lambda event: event.con_id == put.con_id)
    assert (executed.quantity, executed.is_combo) == (-1, False) and _near(executed.price, 2.00), (
        f"{executed}"
    )


async def an_order_without_limit_is_filled_at_the_market(trial: Trial) -> None:
    broker = await trial.connect()
    put = await trial.market.list_put(2.00, 2.10)
    order = OrderRequest(trial.new_ref(), (ComboLeg(put, 1),), 1, None, opens=True)
    broker.place(order)
    done = await trial.order(order.order_ref, OrderState.FILLED)
    assert done.limit_price is None and _near(done.average_price, 2.10), f"{done}"
    await _held(trial, {put.con_id: 1})
    trial.forget()
    close = OrderRequest(trial.new_ref(), (ComboLeg(put, -1),), 1, None, opens=False)
    broker.place(close)
    await trial.order(close.order_ref, OrderState.FILLED)
    await _held(trial, {put.con_id: 0})


async def a_reference_is_sent_once(trial: Trial) -> None:
    broker = await trial.connect()
    order = await trial.working_spread()
    refused("the same order again", lambda: broker.place(order))
    trial.forget()
    await trial.market.drop()
    await trial.down()
    await trial.up_again()
    refused("the same order after a new connection", lambda: broker.place(order))
    broker = await trial.restart()
    refused("the same order after a restart of the program", lambda: broker.place(order))
    await trial.heard_out()
    assert await trial.placed(order.order_ref) == 1, "the broker has the order more than once"


async def an_order_that_cannot_be_expressed_is_not_sent(trial: Trial) -> None:
    broker = await trial.connect()
    good = await trial.spread(-1.50)
    short, wing = good.legs
    for legs, quantity in (((), 1), ((replace(short, ratio=0), wing), 1), ((short, wing), 0)):
        order = replace(good, order_ref=trial.new_ref(), legs=legs, quantity=quantity)
        refused(f"{len(legs)} legs, quantity {quantity}", partial(broker.place, order))
        await trial.heard_out()
        assert await trial.placed(order.order_ref) == 0, "what cannot be expressed was sent"
    refused("an order without reference", lambda: broker.place(replace(good, order_ref="")))


async def a_working_order_is_repriced_and_a_finished_one_is_not(trial: Trial) -> None:
    broker = await trial.connect()
    order = await trial.working_spread()
    ref = order.order_ref
    assert broker.reprice(ref, -1.40), "a working order is not repriced"
    await trial.until(OrderChanged, "the new limit", lambda event: event.limit_price == -1.40)
    (true,) = [each for each in await trial.market.orders() if each.order_ref == ref]
    assert true.limit_usd == -1.40, f"the broker's limit is {true.limit_usd}"
    assert not broker.reprice("nobody's", -1.0), "an order that nobody placed was repriced"
    assert broker.reprice(ref, -0.90)
    await trial.order(ref, OrderState.FILLED)
    assert not broker.reprice(ref, -0.80), "a filled order was repriced"
    assert not broker.cancel(ref), "a filled order was cancelled"


async def a_part_is_told_and_the_rest_lives(trial: Trial) -> None:
    broker = await trial.connect()
    put = await trial.market.list_put(2.00, 2.10)
    order = OrderRequest(trial.new_ref(), (ComboLeg(put, 1),), 15, 2.10, opens=True)
    ref = order.order_ref
    broker.place(order)
    part = await trial.until(
        OrderChanged, "a part is filled", lambda event: event.order_ref == ref and event.filled > 0
    )
    assert part.state is OrderState.WORKING, f"a part of it filled, and it is {part.state.value}"
    assert (part.filled, part.remaining) == (10, 5) and _near(part.average_price, 2.10), f"{part}"
    assert broker.cancel(ref), "the rest is not cancelled"
    end = await trial.order(ref, OrderState.CANCELLED)
    assert end.filled == 10, f"cancelled with {end.filled} filled, 10 were"
    await trial.heard_out()
    executed = sum(event.quantity for event in trial.all(Executed) if event.order_ref == ref)
    assert executed == 10, f"executions of {executed} contracts, 10 were filled"


async def a_cancel_is_final_when_the_broker_says_so(trial: Trial) -> None:
    broker = await trial.connect()
    order = await trial.working_spread()
    ref = order.order_ref
    assert broker.cancel(ref), "a working order is not cancelled"
    assert not broker.reprice(ref, -1.40), "an order was repriced while being cancelled"
    await trial.order(ref, OrderState.CANCELLED)
    states = [event.state for event in trial.all(OrderChanged) if event.order_ref == ref]
    assert states[-2:] == [OrderState.CANCELLING, OrderState.CANCELLED], f"{states}"
    assert not broker.cancel(ref), "a cancelled order was cancelled"
    assert not broker.cancel("nobody's"), "an order that nobody placed was cancelled"


async def an_order_being_cancelled_may_still_fill(trial: Trial) -> None:
    broker = await trial.connect()
    order = await trial.working_spread()
    await trial.market.hold_cancels()
    assert broker.cancel(order.order_ref)
    await trial.heard_out()
    await trial.market.quote(order.legs[0].contract, 2.60, 2.70)
    await trial.order(order.order_ref, OrderState.FILLED)


async def a_refused_order_is_rejected_with_the_reason(trial: Trial) -> None:
    broker = await trial.connect()
    await trial.market.refuse_next_order("no such luck")
    order = await trial.spread()
    broker.place(order)
    rejected = await trial.order(order.order_ref, OrderState.REJECTED)
    assert "no such luck" in rejected.text, f"the broker's reason is lost: {rejected.text!r}"


async def only_the_brokers_word_ends_an_order(trial: Trial) -> None:
    broker = await trial.connect()
    order = await trial.working_spread()
    await trial.market.cry_wolf(order.order_ref)
    await trial.until(BrokerNotice, "the notice", lambda event: event.order_ref == order.order_ref)
    await trial.heard_out()
    assert broker.reprice(order.order_ref, -0.90), "a living order is taken for finished"
    await trial.order(order.order_ref, OrderState.FILLED)
    assert await trial.placed(order.order_ref) == 1, "the order was sent again"


async def what_is_told_twice_is_said_once(trial: Trial) -> None:
    broker = await trial.connect()
    await trial.market.tell_twice()
    order = await trial.spread()
    broker.place(order)
    await trial.order(order.order_ref, OrderState.FILLED)
    await trial.heard_out()
    executed = [event.exec_id for event in trial.all(Executed) if event.order_ref == order.order_ref]
    assert len(executed) == 3, f"{len(executed)} executions are told of 3: {executed}"


async def a_corrected_execution_keeps_the_head_of_its_id(trial: Trial) -> None:
    broker = await trial.connect()
    await trial.market.correct_next_execution(0.01)
    put = await trial.market.list_put(2.00, 2.10)
    order = OrderRequest(trial.new_ref(), (ComboLeg(put, 1),), 1, 2.10, opens=True)
    broker.place(order)
    await trial.order(order.order_ref, OrderState.FILLED)
    first = await trial.until(Executed, "the execution", lambda event: event.con_id == put.con_id)
    await trial.market.correct_now()
    second = await trial.until(
        Executed,
        "the correction",
        lambda event: event.con_id == put.con_id and event.exec_id != first.exec_id,
    )
    assert _head(first) == _head(second) and second.exec_id > first.exec_id, f"{first} and {second}"
    assert _near(second.price, first.price + 0.01), f"corrected to {second.price}"


async def an_order_of_the_last_connection_is_still_ours(trial: Trial) -> None:
    broker = await trial.connect()
    order = await trial.working_spread()
    trial.forget()
    await trial.market.drop()
    await trial.down()
    await trial.up_again()
    assert broker.reprice(order.order_ref, -1.40), "an order of the last connection cannot be repriced"
    await trial.until(OrderChanged, "the new limit", lambda event: event.limit_price == -1.40)
    broker = await trial.restart()
    assert broker.cancel(order.order_ref), "an order of before the restart cannot be cancelled"
    await trial.order(order.order_ref, OrderState.CANCELLED)


async def fills_while_away_are_told_afterwards(trial: Trial) -> None:
    broker = await trial.connect()
    order = await trial.working_spread()
    trial.forget()
    await trial.market.drop()
    await trial.down()
    await trial.market.quote(order.legs[0].contract, 2.60, 2.70)
    await trial.up_again()
    picture = await broker.picture()
    told = [event for event in trial.all(Executed) if event.order_ref == order.order_ref]
    assert len(told) == 3, f"{len(told)} executions are told of three that happened while away"
    asked = {each.exec_id for each in picture.executions if each.order_ref == order.order_ref}
    assert asked == {event.exec_id for event in told}, "picture and events know different executions"
    await trial.order(order.order_ref, OrderState.FILLED)
    await _held(trial, {order.legs[0].contract.con_id: -1, order.legs[1].contract.con_id: 1})


async def a_picture_is_what_the_broker_has_now(trial: Trial) -> None:
    broker = await trial.connect()
    await broker.picture()
    put, sold = await trial.market.list_put(2.00, 2.10), await trial.market.list_put(1.00, 1.05)
    await trial.market.trade_elsewhere(put, 2, None)
    await trial.market.trade_elsewhere(put, 1, 0.50)
    await trial.market.trade_elsewhere(sold, 1, None)
    await trial.market.trade_elsewhere(sold, -1, None)
    working = await trial.working_spread()
    picture = await broker.picture()
    held = [(each.contract.con_id, each.quantity) for each in picture.holdings]
    assert len(held) == len(dict(held)), "a holding comes twice"
    assert dict(held) == await trial.market.holdings(), f"holdings {held}"
    living = sorted(each.order_ref for each in await trial.market.orders() if each.lives)
    assert sorted(each.order_ref for each in picture.open_orders) == living, "open orders are not all there"
    assert working.order_ref in living
    asked = sorted(each.exec_id for each in picture.executions)
    assert asked == sorted(each.exec_id for each in await trial.market.executions()), "executions differ"
    done = [each.state for each in picture.completed_orders]
    assert set(done) <= {OrderState.FILLED, OrderState.CANCELLED, OrderState.REJECTED}, f"completed: {done}"
    assert {each.account for each in picture.holdings} == {broker.account}, "another account's holdings"


async def margin_is_asked_without_placing(trial: Trial) -> None:
    broker = await trial.connect()
    put = await trial.market.list_put(2.00, 2.10)
    order = OrderRequest(trial.new_ref(), (ComboLeg(put, -1),), 5, -2.00, opens=True)
    margin = await broker.margin(order)
    assert margin.initial_change_usd > 0, f"5 naked puts ask for {margin.initial_change_usd} USD"
    await trial.heard_out()
    assert await trial.placed(order.order_ref) == 0, "the question placed the order"
    broker.place(replace(order, quantity=1))
    await trial.order(order.order_ref, OrderState.FILLED)
    await refusal("the margin of a price off the tick", broker.margin(await trial.spread(-0.905)))


async def _held(trial: Trial, wanted: dict[int, int]) -> None:
    """Told as events, the last of each contract."""

    def told() -> bool:
        last = {event.contract.con_id: event.quantity for event in trial.all(HoldingChanged)}
        return wanted.items() <= last.items()

    await trial.heard_out()
    await trial.until(HoldingChanged, f"holdings {wanted}", lambda _: told())


def _charged(trial: Trial) -> dict[str, float | None]:
    return {event.exec_id: event.commission_usd for event in trial.all(Commissioned)}


def _head(executed: Executed) -> str:
    return executed.exec_id.rpartition(".")[0]


def _near(value: float | None, wanted: float) -> bool:
    return value is not None and abs(value - wanted) < 1e-6


PROMISES: tuple[Promise, ...] = (
    a_combo_is_placed_once_and_filled_in_our_signs,
    a_single_contract_is_sold_for_a_negative_price,
    an_order_without_limit_is_filled_at_the_market,
    a_reference_is_sent_once,
    an_order_that_cannot_be_expressed_is_not_sent,
    a_working_order_is_repriced_and_a_finished_one_is_not,
    a_part_is_told_and_the_rest_lives,
    a_cancel_is_final_when_the_broker_says_so,
    an_order_being_cancelled_may_still_fill,
    a_refused_order_is_rejected_with_the_reason,
    only_the_brokers_word_ends_an_order,
    what_is_told_twice_is_said_once,
    a_corrected_execution_keeps_the_head_of_its_id,
    an_order_of_the_last_connection_is_still_ours,
    fills_while_away_are_told_afterwards,
    a_picture_is_what_the_broker_has_now,
    margin_is_asked_without_placing,
)
