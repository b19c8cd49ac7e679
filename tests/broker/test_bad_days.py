"""Every way in which the broker's connection goes wrong, done by the simulated gateway's faults over a real
socket; docs/connection.md lists them by row."""

import asyncio
import logging
from contextlib import suppress

import pytest

from broker.events import (
    ALARM,
    BrokerNotice,
    Commissioned,
    Executed,
    LinkChanged,
    LinkState,
    OrderChanged,
    OrderState,
    QuoteChanged,
)
from broker.interactive_brokers import InteractiveBrokers
from broker.protocol import ComboLeg, OrderRequest
from options import BrokerError
from sync.executions import ExecutionLedger
from tests.broker.bench import Bench, Start, SystemClock


async def spread(bench: Bench, ref: str, limit: float) -> OrderRequest:
    """A put credit spread that can be sold for 0.95 at once."""
    short = await bench.list_put(245, 2.00, 2.10)
    wing = await bench.list_put(240, 1.00, 1.05)
    return OrderRequest(ref, (ComboLeg(short, -1), ComboLeg(wing, 1)), 1, limit, opens=True)


async def working(bench: Bench, ref: str) -> OrderRequest:
    """An order that rests at the broker."""
    order = await spread(bench, ref, -1.50)
    bench.broker.place(order)
    await bench.until(OrderChanged, lambda event: event.state is OrderState.WORKING)
    return order


async def let_fill(bench: Bench, order: OrderRequest) -> None:
    """Quotes at which the resting order fills."""
    await bench.quote(order.legs[0].contract.con_id, 2.60, 2.70)


def is_working(event: OrderChanged, ref: str) -> bool:
    return event.order_ref == ref and event.state is OrderState.WORKING


def states(bench: Bench, ref: str) -> list[OrderState]:
    return [event.state for event in bench.all(OrderChanged) if event.order_ref == ref]


# --- the connection ends ---------------------------------------------------------------------------


@pytest.mark.row("server-drops")
@pytest.mark.parametrize("how", ["fin", "rst", "torn"])
async def test_nothing_of_a_dropped_connection_can_be_read_after_it(bench: Bench, how: str) -> None:
    put = await bench.list_put(245, 2.00, 2.10)
    bench.broker.subscribe(put)
    await bench.until(QuoteChanged, lambda event: event.bid == 2.00)
    await bench.fault("drop", how=how)
    await bench.until(LinkChanged, lambda event: event.state is LinkState.DOWN)
    bench.forget()
    assert bench.broker.lines_used == 0
    await bench.until(LinkChanged, lambda event: event.state is LinkState.UP and event.resubscribe)
    await bench.fault("no_quote", con_id=put.con_id)
    bench.broker.subscribe(put)
    await bench.broker.picture()
    assert {event.bid for event in bench.all(QuoteChanged)} <= {None}


@pytest.mark.row("own-disconnect")
async def test_stopping_ends_what_is_asked_with_an_error(bench: Bench) -> None:
    second = InteractiveBrokers("127.0.0.1", bench.port, 2, SystemClock(), request_timeout_s=60)
    running = asyncio.create_task(second.run())
    await Bench(bench.port, bench.control_port, bench.control, second).connected()
    await bench.fault("unanswered", request="positions", client=2)
    asking = asyncio.create_task(second.picture())
    await bench.broker.picture()
    assert not asking.done()
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    async with asyncio.timeout(2):
        with pytest.raises(BrokerError, match="lost"):
            await asking


@pytest.mark.row("half-synchronised")
@pytest.mark.parametrize("of", ["open_orders", "account_updates", "executions"])
async def test_a_start_up_that_was_not_answered_is_no_connection(start: Start, of: str) -> None:
    bench = await start(connect_timeout_s=0.5)
    await bench.fault("missing_end", of=of)
    await bench.fault("drop")
    bench.forget()
    await bench.until(LinkChanged, lambda event: "no connection" in event.reason)
    assert LinkState.UP not in {event.state for event in bench.all(LinkChanged)}


@pytest.mark.row("half-synchronised")
async def test_a_read_only_gateway_is_told_as_such(start: Start) -> None:
    bench = await start(connect_timeout_s=0.5)
    await bench.fault("read_only")
    await bench.fault("drop")
    down = await bench.until(LinkChanged, lambda event: "no connection" in event.reason)
    assert "321" in down.reason


@pytest.mark.row("client-id-in-use")
async def test_326_for_an_id_that_is_free_again_costs_one_attempt(start: Start) -> None:
    bench = await start(connect_timeout_s=30)
    await bench.fault("client_id_in_use")
    bench.forget()
    await bench.fault("drop")
    refused = await bench.until(LinkChanged, lambda event: "326" in event.reason, within_s=5)
    assert refused.state is LinkState.DOWN
    await bench.until(LinkChanged, lambda event: event.state is LinkState.UP)


# --- orders ----------------------------------------------------------------------------------------


@pytest.mark.row("fills-while-away")
async def test_a_fill_while_away_is_told_once_by_order_and_by_executions(bench: Bench) -> None:
    await bench.fault("hold_fills")
    order = await spread(bench, "away", -0.90)
    bench.broker.place(order)
    await bench.until(OrderChanged, lambda event: event.state is OrderState.WORKING)
    bench.forget()
    await bench.fault("fill_while_away", seconds=5)
    await bench.until(LinkChanged, lambda event: event.state is LinkState.DOWN)
    await bench.ask("step", seconds=6)
    await bench.until(LinkChanged, lambda event: event.state is LinkState.UP)
    for _ in range(2):
        picture = await bench.broker.picture()
        assert [each.state for each in picture.completed_orders] == [OrderState.FILLED]
    executed = [event.exec_id for event in bench.all(Executed)]
    assert len(executed) == len(set(executed)) == 3
    assert states(bench, "away")[-1] is OrderState.FILLED


@pytest.mark.row("fills-while-away")
async def test_a_corrected_execution_replaces_the_first_and_a_doubled_one_counts_once(bench: Bench) -> None:
    await bench.fault("duplicate_execution")
    await bench.fault("correction", delay_s=5, price_by_usd=0.05)
    put = await bench.list_put(245, 2.00, 2.10)
    bench.broker.place(OrderRequest("corrected", (ComboLeg(put, 1),), 1, 2.10, opens=True))
    await bench.until(OrderChanged, lambda event: event.state is OrderState.FILLED)
    await bench.ask("step", seconds=6)
    await bench.until(Executed, lambda event: event.exec_id.endswith(".02"))
    await bench.broker.picture()
    ledger = ExecutionLedger()
    for event in bench.all(Executed):
        ledger.execute(event)
    (fill,) = ledger.fills
    assert (fill.execution.quantity, fill.execution.price) == (1, pytest.approx(2.15))


@pytest.mark.row("false-cancel")
@pytest.mark.parametrize("code", [10349, 10148, 10147, 103, 104])
async def test_an_order_that_an_error_calls_cancelled_lives_until_the_broker_says_so(
    bench: Bench, code: int
) -> None:
    order = await working(bench, "lives")
    await bench.fault("false_cancel", order_ref="lives", code=code)
    await bench.until(BrokerNotice, lambda event: event.code == code and event.order_ref == "lives")
    assert [each.order_ref for each in (await bench.broker.picture()).open_orders] == ["lives"]
    assert bench.broker.reprice("lives", -1.40)
    with pytest.raises(BrokerError, match="once"):
        bench.broker.place(order)
    await let_fill(bench, order)
    await bench.until(OrderChanged, lambda event: event.state is OrderState.FILLED)
    assert not {OrderState.CANCELLED, OrderState.REJECTED} & set(states(bench, "lives"))
    assert len((await bench.ask("orders"))["orders"]) == 1


@pytest.mark.row("false-cancel")
async def test_a_storm_of_false_cancels_makes_no_second_order(bench: Bench) -> None:
    await working(bench, "one")
    for _ in range(15):
        await bench.fault("false_cancel", order_ref="one")
    await bench.until(BrokerNotice, lambda _: len(bench.all(BrokerNotice)) >= 15)
    assert len((await bench.broker.picture()).open_orders) == 1
    assert states(bench, "one")[-1] is OrderState.WORKING
    assert len((await bench.ask("orders"))["orders"]) == 1


@pytest.mark.row("warned-or-cancelling")
@pytest.mark.parametrize("code", [399, 404, 2109])
async def test_a_warned_order_is_live_and_fills(bench: Bench, code: int) -> None:
    order = await working(bench, "warned")
    await bench.fault("order_warning", order_ref="warned", code=code)
    await bench.until(BrokerNotice, lambda event: event.code == code)
    assert states(bench, "warned")[-1] is OrderState.WORKING
    await let_fill(bench, order)
    await bench.until(OrderChanged, lambda event: event.state is OrderState.FILLED)


@pytest.mark.row("warned-or-cancelling")
async def test_an_order_that_is_being_cancelled_may_fill(bench: Bench) -> None:
    order = await working(bench, "late")
    await bench.fault("slow_cancel", delay_s=60)
    assert bench.broker.cancel("late")
    await bench.until(OrderChanged, lambda event: event.state is OrderState.CANCELLING)
    await let_fill(bench, order)
    await bench.until(OrderChanged, lambda event: event.state is OrderState.FILLED)
    assert OrderState.CANCELLED not in states(bench, "late")
    assert not bench.broker.cancel("late")


@pytest.mark.row("warned-or-cancelling")
async def test_a_cancel_that_is_never_acknowledged_leaves_the_order_live(bench: Bench) -> None:
    order = await working(bench, "unheard")
    await bench.fault("unanswered", request="cancel_order")
    assert bench.broker.cancel("unheard")
    await bench.broker.picture()
    assert states(bench, "unheard")[-1] is OrderState.CANCELLING
    await let_fill(bench, order)
    await bench.until(OrderChanged, lambda event: event.state is OrderState.FILLED)


@pytest.mark.row("finished-trade")
@pytest.mark.parametrize("end", ["filled", "cancelled"])
async def test_a_finished_order_is_not_modified_and_nothing_is_sent(bench: Bench, end: str) -> None:
    order = await working(bench, "done")
    if end == "filled":
        await let_fill(bench, order)
    else:
        bench.broker.cancel("done")
    await bench.until(OrderChanged, lambda event: event.state.value == end)
    sent = bench.broker.frames_sent
    assert not bench.broker.reprice("done", -1.30)
    assert not bench.broker.cancel("done")
    assert bench.broker.frames_sent == sent


@pytest.mark.row("finished-trade")
async def test_a_change_that_crosses_the_fill_stays_a_fill(bench: Bench) -> None:
    await bench.fault("late_answers", delay_s=5)
    order = await spread(bench, "crossed", -1.50)
    bench.broker.place(order)
    await bench.ask("step", seconds=6)
    await bench.until(OrderChanged, lambda event: event.state is OrderState.WORKING)
    assert bench.broker.reprice("crossed", -1.40)
    await let_fill(bench, order)
    await bench.ask("step", seconds=6)
    await bench.until(OrderChanged, lambda event: event.state is OrderState.FILLED)
    await bench.ask("heal")
    assert (await bench.broker.picture()).open_orders == ()
    assert states(bench, "crossed")[-1] is OrderState.FILLED


@pytest.mark.row("what-if")
@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        ("empty", "did not answer"),
        ("rejected", "201"),
        ("warning", "did not answer"),
        ("silence", "did not answer"),
    ],
)
async def test_a_what_if_without_an_answer_is_an_error_in_time(
    start: Start, answer: str, complaint: str
) -> None:
    bench = await start(request_timeout_s=0.3)
    order = await spread(bench, "what-if", -0.90)
    await bench.fault("what_if", answer=answer)
    with pytest.raises(BrokerError, match=complaint):
        await bench.broker.margin(order)
    assert (await bench.ask("orders"))["orders"] == []
    await bench.ask("heal")
    assert (await bench.broker.margin(order)).initial_change_usd > 0


@pytest.mark.row("what-if")
async def test_a_what_if_waits_for_the_real_margins_and_an_unset_commission_is_unknown(
    bench: Bench,
) -> None:
    order = await spread(bench, "what-if", -0.90)
    await bench.fault("what_if", answer="unset_first")
    real = await bench.broker.margin(order)
    assert 0 < real.initial_change_usd < 1e6
    await bench.ask("heal")
    await bench.fault("what_if", answer="no_commission")
    assert (await bench.broker.margin(order)).commission_usd is None


# --- requests --------------------------------------------------------------------------------------


@pytest.mark.row("request-321")
async def test_a_request_answered_by_321_fails_at_once_or_where_it_has_no_id_in_time(start: Start) -> None:
    bench = await start(request_timeout_s=0.5)
    put = await bench.list_put(245, 2.00, 2.10)
    await bench.fault("request_error", request="contract_details", code=321)
    async with asyncio.timeout(0.4):
        with pytest.raises(BrokerError, match="321"):
            await bench.broker.qualify([put])
    await bench.fault("request_error", request="positions", code=321)
    with pytest.raises(BrokerError, match="did not answer within"):
        await bench.broker.picture()


@pytest.mark.row("request-321")
async def test_only_legs_are_asked_about_never_the_combo(start: Start) -> None:
    bench = await start(request_timeout_s=1)
    order = await spread(bench, "combo", -0.90)
    bench.broker.place(order)
    await bench.until(OrderChanged, lambda event: event.state is OrderState.FILLED)
    found = await bench.broker.qualify([leg.contract for leg in order.legs])
    assert all(each is not None for each in found)


# --- quotes ----------------------------------------------------------------------------------------


@pytest.mark.row("double-line")
async def test_subscribing_twice_opens_one_line_and_closing_leaves_none(bench: Bench) -> None:
    put = await bench.list_put(245, 2.00, 2.10)
    for _ in range(3):
        bench.broker.subscribe(put)
    await bench.broker.picture()
    assert (await bench.ask("status"))["lines"]["1"] == bench.broker.lines_used == 1
    bench.broker.unsubscribe(put.con_id)
    bench.broker.unsubscribe(put.con_id)
    await bench.broker.picture()
    assert (await bench.ask("status"))["lines"]["1"] == bench.broker.lines_used == 0


@pytest.mark.row("stale-fields")
async def test_a_line_opened_again_shows_nothing_of_what_it_showed_before(bench: Bench) -> None:
    put = await bench.list_put(245, 2.00, 2.10)
    bench.broker.subscribe(put)
    await bench.until(QuoteChanged, lambda event: event.delta is not None)
    bench.broker.unsubscribe(put.con_id)
    await bench.fault("stale", con_id=put.con_id)
    bench.forget()
    bench.broker.subscribe(put)
    await bench.broker.picture()
    for quote in bench.all(QuoteChanged):
        assert (quote.bid, quote.ask, quote.delta, quote.quote_time) == (None, None, None, None)


@pytest.mark.row("reader")
async def test_a_quote_that_was_handed_over_does_not_change_with_the_next_tick(bench: Bench) -> None:
    put = await bench.list_put(245, 2.00, 2.10)
    bench.broker.subscribe(put)
    first = await bench.until(QuoteChanged, lambda event: event.bid == 2.00)
    bench.forget()
    for cent in range(1, 20):
        await bench.quote(put.con_id, 2.00 + cent / 100, 2.50)
    await bench.until(QuoteChanged, lambda event: event.bid == 2.19)
    assert first.bid == 2.00


@pytest.mark.row("sentinels")
@pytest.mark.parametrize("value", ["not_computed", "nan", "unset", "empty", "missing"])
async def test_greeks_that_are_no_numbers_are_unknown(bench: Bench, value: str) -> None:
    put = await bench.list_put(245, 2.00, 2.10)
    await bench.fault("greeks", value=value)
    bench.broker.subscribe(put)
    quote = await bench.until(QuoteChanged, lambda event: event.bid == 2.00)
    await bench.broker.picture()
    quote = bench.all(QuoteChanged)[-1]
    assert (quote.iv, quote.delta, quote.gamma, quote.theta, quote.vega) == (None,) * 5


@pytest.mark.row("sentinels")
async def test_no_quote_at_all_is_unknown_on_both_sides(bench: Bench) -> None:
    put = await bench.list_put(245, 2.00, 2.10)
    bench.broker.subscribe(put)
    await bench.until(QuoteChanged, lambda event: event.bid == 2.00)
    bench.forget()
    await bench.fault("no_quote", con_id=put.con_id)
    quote = await bench.until(QuoteChanged, lambda event: event.bid is None and event.ask is None)
    assert (quote.bid_size, quote.ask_size) == (None, None)


@pytest.mark.row("delayed-data")
@pytest.mark.parametrize("kind", ["frozen", "delayed", "delayed_frozen"])
async def test_data_that_are_not_live_are_said_not_to_be(bench: Bench, kind: str) -> None:
    put = await bench.list_put(245, 2.00, 2.10)
    bench.broker.subscribe(put)
    assert (await bench.until(QuoteChanged, lambda event: event.bid == 2.00)).is_live
    bench.forget()
    await bench.fault("data_type", type=kind)
    await bench.until(QuoteChanged, lambda event: not event.is_live)
    bench.forget()
    await bench.fault("data_type", type="live")
    await bench.quote(put.con_id, 2.01, 2.11)
    assert (await bench.until(QuoteChanged, lambda event: event.bid == 2.01)).is_live


# --- executions ------------------------------------------------------------------------------------


@pytest.mark.row("time-zone")
async def test_an_execution_that_cannot_be_read_raises_the_alarm_and_the_order_still_ends(
    bench: Bench,
) -> None:
    await bench.fault("execution_time_zone", zone="GMT Standard Time")
    put = await bench.list_put(245, 2.00, 2.10)
    bench.broker.place(OrderRequest("zone", (ComboLeg(put, 1),), 1, 2.10, opens=True))
    alarm = await bench.until(BrokerNotice, lambda event: event.code == ALARM)
    assert "GMT Standard Time" in alarm.text
    await bench.until(OrderChanged, lambda event: event.state is OrderState.FILLED)
    held = (await bench.broker.picture()).holdings
    assert {each.contract.con_id: each.quantity for each in held} == {put.con_id: 1}


@pytest.mark.row("sentinels")
@pytest.mark.parametrize("value", ["pending", "unset"])
async def test_a_commission_that_is_no_amount_is_unknown(bench: Bench, value: str) -> None:
    await bench.fault("commission", value=value)
    put = await bench.list_put(245, 2.00, 2.10)
    bench.broker.place(OrderRequest("fee", (ComboLeg(put, 1),), 1, 2.10, opens=True))
    assert (await bench.until(Commissioned)).commission_usd is None


# --- the broker's servers --------------------------------------------------------------------------


@pytest.mark.row("servers")
async def test_a_flap_of_the_servers_asks_for_nothing_more_at_the_broker(bench: Bench) -> None:
    put = await bench.list_put(245, 2.00, 2.10)
    bench.broker.subscribe(put)
    await bench.until(QuoteChanged)
    sent = bench.broker.frames_sent
    for _ in range(5):
        await bench.fault("connectivity", code=1100)
        await bench.until(LinkChanged, lambda event: event.state is LinkState.LOST)
        bench.forget()
        await bench.fault("connectivity", code=1102)
        await bench.until(LinkChanged, lambda event: event.state is LinkState.UP)
        bench.forget()
    assert bench.broker.frames_sent == sent
    assert bench.broker.lines_used == 1


@pytest.mark.row("servers")
async def test_a_gateway_that_has_no_servers_says_so_with_2110_too(bench: Bench) -> None:
    await bench.fault("connectivity", code=2110)
    await bench.until(LinkChanged, lambda event: event.state is LinkState.LOST)
    with pytest.raises(BrokerError, match="lost"):
        bench.broker.place(await spread(bench, "later", -1.50))
    await bench.fault("connectivity", code=1102)
    await bench.until(LinkChanged, lambda event: event.state is LinkState.UP)


@pytest.mark.row("nightly-restart")
async def test_a_restart_that_loses_an_order_and_gives_its_id_again_confuses_no_two_orders(
    bench: Bench,
) -> None:
    kept = await working(bench, "kept")
    await bench.ask("step", seconds=60)
    lost = []
    for ref in ("lost", "lost too"):
        bench.broker.place(await spread(bench, ref, -1.60))
        lost.append(await bench.until(OrderChanged, lambda event, ref=ref: is_working(event, ref)))
    bench.forget()
    await bench.fault("restart", seconds=5, lost_s=5)
    await bench.until(LinkChanged, lambda event: event.state is LinkState.DOWN)
    await bench.ask("step", seconds=6)
    await bench.until(LinkChanged, lambda event: event.state is LinkState.UP)
    bench.broker.place(await spread(bench, "next", -1.70))
    next_one = await bench.until(OrderChanged, lambda event: is_working(event, "next"))
    assert next_one.order_id in {each.order_id for each in lost}
    for ref in ("lost", "lost too"):
        assert not bench.broker.reprice(ref, -1.55)
        assert not bench.broker.cancel(ref)
    picture = await bench.broker.picture()
    assert {each.order_ref for each in picture.open_orders} == {"kept", "next"}
    assert picture.completed_orders == ()
    await let_fill(bench, kept)
    await bench.until(OrderChanged, lambda e: e.order_ref == "kept" and e.state is OrderState.FILLED)
    assert states(bench, "lost") == states(bench, "lost too") == []


@pytest.mark.row("time-zone")
async def test_lost_ticks_raise_no_alarm(bench: Bench) -> None:
    bench.forget()
    logging.getLogger("ib_async.Decoder").error("Error handling fields: ['1', 'torn'")
    await bench.broker.picture()
    assert [event for event in bench.all(BrokerNotice) if event.code == ALARM] == []


@pytest.mark.row("memory")
async def test_a_filled_order_is_told_once_and_not_sent_again_when_its_connection_is_gone(
    bench: Bench,
) -> None:
    order = await spread(bench, "done", -0.90)
    bench.broker.place(order)
    await bench.until(OrderChanged, lambda event: event.state is OrderState.FILLED)
    await bench.broker.picture()
    bench.forget()
    bench.broker.renew("to see what is left")
    await bench.until(LinkChanged, lambda event: event.state is LinkState.UP)
    await bench.broker.picture()
    assert states(bench, "done") == [] and bench.all(Executed) == []
    with pytest.raises(BrokerError, match="once"):
        bench.broker.place(order)
    assert len((await bench.ask("orders"))["orders"]) == 1
