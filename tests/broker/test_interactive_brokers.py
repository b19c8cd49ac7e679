"""The adapter against the real simulated gateway, over a real socket."""

import pytest

from broker.events import (
    AccountChanged,
    BrokerNotice,
    Commissioned,
    DailyKind,
    DailyValues,
    Executed,
    HoldingChanged,
    LinkChanged,
    LinkState,
    OrderChanged,
    OrderState,
    QuoteChanged,
)
from broker.protocol import Broker, ComboLeg, OrderRequest
from options import BrokerError, ConId, Contract, Right, SecType
from tests.broker.bench import Bench, Start


async def test_it_connects_and_reports_account_and_holdings(start: Start) -> None:
    bench = await start("--market", "model", "--speed", "1")
    broker: Broker = bench.broker
    truth = {row["con_id"]: row for row in (await bench.ask("holdings"))["holdings"]}
    assert broker.account.startswith("DU")
    assert bench.broker.is_paper
    await bench.until(AccountChanged, lambda event: event.key == "NetLiquidation" and bool(event.value))
    reported = {event.contract.con_id: event for event in bench.all(HoldingChanged)}
    picture = await broker.picture()
    asked = {event.contract.con_id: event for event in picture.holdings}
    for holdings in (reported, asked):
        assert {con_id: each.quantity for con_id, each in holdings.items()} == {
            con_id: row["quantity"] for con_id, row in truth.items()
        }
    one = next(iter(asked.values()))
    assert one.average_cost == pytest.approx(truth[one.contract.con_id]["average_cost"])
    assert (one.contract.sec_type, one.contract.multiplier) == (SecType.OPTION, 100)


async def test_quotes_flow_with_greeks(start: Start) -> None:
    bench = await start("--market", "model", "--speed", "1")
    held = (await bench.broker.picture()).holdings[0].contract
    vix = await bench.broker.underlying("VIX")
    bench.broker.subscribe(held)
    bench.broker.subscribe(held)
    bench.broker.subscribe(vix)
    quote = await bench.until(
        QuoteChanged, lambda event: event.con_id == held.con_id and event.delta is not None
    )
    assert quote.is_live and quote.quote_time is not None and quote.greeks_time is not None
    assert quote.bid is not None and quote.ask is not None and quote.bid < quote.ask
    assert quote.iv is not None and quote.vega is not None and quote.underlying_price is not None
    index = await bench.until(QuoteChanged, lambda event: event.con_id == vix.con_id)
    assert index.last is not None and index.bid is None and index.quote_time is not None
    assert bench.broker.lines_used == 2
    assert (await bench.ask("status"))["lines"]["1"] == 2
    bench.broker.unsubscribe(held.con_id)
    bench.broker.unsubscribe(vix.con_id)
    await bench.broker.picture()
    assert (await bench.ask("status"))["lines"]["1"] == 0


async def test_a_side_that_nobody_quotes_is_none(bench: Bench) -> None:
    put = await bench.list_put(245, None, 1.10)
    bench.broker.subscribe(put)
    quote = await bench.until(QuoteChanged, lambda event: event.ask == 1.10)
    assert (quote.bid, quote.bid_size) == (None, None)
    bench.forget()
    await bench.quote(put.con_id, 1.00, None)
    quote = await bench.until(QuoteChanged, lambda event: event.bid == 1.00)
    assert (quote.ask, quote.ask_size) == (None, None)


async def spread(bench: Bench, ref: str, limit: float | None, quantity: int = 1) -> OrderRequest:
    """A put credit spread that can be sold for 0.95 at once."""
    short = await bench.list_put(245, 2.00, 2.10)
    wing = await bench.list_put(240, 1.00, 1.05)
    return OrderRequest(ref, (ComboLeg(short, -1), ComboLeg(wing, 1)), quantity, limit, opens=True)


async def test_a_combo_is_placed_filled_executed_and_charged(bench: Bench) -> None:
    order = await spread(bench, "fill", -0.90, quantity=2)
    bench.broker.place(order)
    done = await bench.until(OrderChanged, lambda event: event.state is OrderState.FILLED)
    assert (done.order_ref, done.filled, done.remaining) == ("fill", 2, 0)
    assert done.perm_id and done.average_price == pytest.approx(-0.95)
    await bench.until(Commissioned)
    await bench.broker.picture()
    executions = bench.all(Executed)
    assert len(executions) == len({each.exec_id for each in executions}) == 3
    combo, *legs = executions
    assert combo.is_combo and (combo.quantity, combo.price) == (2, pytest.approx(-0.95))
    assert {each.con_id: each.quantity for each in legs} == {
        order.legs[0].contract.con_id: -2,
        order.legs[1].contract.con_id: 2,
    }
    assert {each.order_ref for each in executions} == {"fill"}
    assert all(each.time.tzinfo is not None for each in executions)
    reports = bench.all(Commissioned)
    charged = {each.exec_id: each.commission_usd for each in reports}
    assert len(reports) == len(charged)
    for row in (await bench.ask("executions"))["executions"]:
        assert row["is_combo"] or charged[row["exec_id"]] == pytest.approx(row["commission_usd"])
    held = {event.contract.con_id: event.quantity for event in bench.all(HoldingChanged)}
    assert sorted(held.values()) == [-2, 2]


async def test_a_lone_short_put_is_sold_for_a_credit(bench: Bench) -> None:
    put = await bench.list_put(245, 2.00, 2.10)
    bench.broker.place(OrderRequest("single", (ComboLeg(put, -1),), 1, -1.95, opens=True))
    done = await bench.until(OrderChanged, lambda event: event.state is OrderState.FILLED)
    assert (done.average_price, done.limit_price) == (pytest.approx(-2.00), pytest.approx(-1.95))
    (executed,) = bench.all(Executed)
    assert (executed.quantity, executed.price, executed.is_combo) == (-1, pytest.approx(2.00), False)


async def test_an_order_is_repriced_and_cancelled(bench: Bench) -> None:
    bench.broker.place(await spread(bench, "walk", -1.50))
    await bench.until(OrderChanged, lambda event: event.state is OrderState.WORKING)
    assert bench.broker.reprice("walk", -1.40)
    await bench.until(OrderChanged, lambda event: event.limit_price == -1.40)
    assert (await bench.ask("orders"))["orders"][0]["limit_price"] == -1.40
    assert bench.broker.cancel("walk")
    assert not bench.broker.reprice("walk", -1.30)
    await bench.until(OrderChanged, lambda event: event.state is OrderState.CANCELLED)
    assert not bench.broker.cancel("walk")
    states = [event.state for event in bench.all(OrderChanged)]
    assert states[-2:] == [OrderState.CANCELLING, OrderState.CANCELLED]
    assert not bench.broker.reprice("never heard of", -1.0)


async def test_an_order_is_sent_once(bench: Bench) -> None:
    order = await spread(bench, "once", -1.50)
    bench.broker.place(order)
    with pytest.raises(BrokerError, match="once"):
        bench.broker.place(order)
    await bench.until(OrderChanged, lambda event: event.state is OrderState.WORKING)
    await bench.fault("drop")
    await bench.until(LinkChanged, lambda event: event.state is LinkState.DOWN)
    with pytest.raises(BrokerError, match="link"):
        bench.broker.place(await spread(bench, "other", -1.50))
    await bench.connected()
    with pytest.raises(BrokerError, match="once"):
        bench.broker.place(order)
    assert len((await bench.ask("orders"))["orders"]) == 1


async def test_after_a_drop_it_reconnects_and_asks_for_the_lines_again(bench: Bench) -> None:
    put = await bench.list_put(245, 2.00, 2.10)
    bench.broker.subscribe(put)
    await bench.until(QuoteChanged)
    bench.forget()
    await bench.fault("drop")
    up = await bench.until(LinkChanged, lambda event: event.state is LinkState.UP)
    assert up.resubscribe
    states = [event.state for event in bench.all(LinkChanged)]
    assert states == [LinkState.DOWN, LinkState.CONNECTING, LinkState.UP]
    assert bench.broker.lines_used == 0
    bench.broker.subscribe(put)
    await bench.until(QuoteChanged, lambda event: event.bid == 2.00)


@pytest.mark.row("fills-while-away")
async def test_fills_while_away_are_in_the_picture_and_reported_once(bench: Bench) -> None:
    order = await spread(bench, "away", -1.50)
    bench.broker.place(order)
    await bench.until(OrderChanged, lambda event: event.state is OrderState.WORKING)
    bench.forget()
    await bench.fault("drop")
    await bench.until(LinkChanged, lambda event: event.state is LinkState.DOWN)
    await bench.quote(order.legs[0].contract.con_id, 2.60, 2.70)
    await bench.connected()
    picture = await bench.broker.picture()
    assert [(each.order_ref, each.is_combo) for each in picture.executions] == [
        ("away", True),
        ("away", False),
        ("away", False),
    ]
    assert picture.open_orders == ()
    (done,) = picture.completed_orders
    assert (done.order_ref, done.state, done.filled) == ("away", OrderState.FILLED, 1)
    assert {each.contract.con_id: each.quantity for each in picture.holdings} == {
        order.legs[0].contract.con_id: -1,
        order.legs[1].contract.con_id: 1,
    }
    assert len(bench.all(Executed)) == 3
    assert bench.all(OrderChanged)[-1].state is OrderState.FILLED


async def test_a_working_order_of_the_last_connection_can_be_repriced_and_cancelled(bench: Bench) -> None:
    bench.broker.place(await spread(bench, "kept", -1.50))
    await bench.until(OrderChanged, lambda event: event.state is OrderState.WORKING)
    await bench.fault("drop")
    await bench.until(LinkChanged, lambda event: event.state is LinkState.DOWN)
    await bench.connected()
    assert bench.broker.reprice("kept", -1.40)
    await bench.until(OrderChanged, lambda event: event.limit_price == -1.40)
    assert bench.broker.cancel("kept")
    await bench.until(OrderChanged, lambda event: event.state is OrderState.CANCELLED)


async def test_a_false_cancel_is_a_notice_and_the_order_lives_on(bench: Bench) -> None:
    order = await spread(bench, "lives", -1.50)
    bench.broker.place(order)
    await bench.until(OrderChanged, lambda event: event.state is OrderState.WORKING)
    await bench.fault("false_cancel", order_ref="lives")
    notice = await bench.until(BrokerNotice, lambda event: event.code == 10349)
    assert notice.order_ref == "lives"
    await bench.broker.frames_arrived(0)
    await bench.quote(order.legs[0].contract.con_id, 2.60, 2.70)
    await bench.until(OrderChanged, lambda event: event.state is OrderState.FILLED)
    states = [event.state for event in bench.all(OrderChanged)]
    assert OrderState.CANCELLED not in states and OrderState.REJECTED not in states


async def test_a_refused_order_is_rejected_with_the_reason(bench: Bench) -> None:
    await bench.fault("reject", reason="no such luck")
    bench.broker.place(await spread(bench, "refused", -0.90))
    rejected = await bench.until(OrderChanged, lambda event: event.state is OrderState.REJECTED)
    assert "no such luck" in rejected.text and rejected.order_ref == "refused"


async def test_an_order_off_the_tick_is_rejected_after_asking(bench: Bench) -> None:
    bench.broker.place(await spread(bench, "odd", -0.905))
    rejected = await bench.until(OrderChanged, lambda event: event.state is OrderState.REJECTED)
    assert rejected.text.startswith("110:")


@pytest.mark.row("servers")
async def test_lost_servers_stop_orders_and_only_lost_data_asks_for_lines(bench: Bench) -> None:
    order = await spread(bench, "later", -1.50)
    bench.broker.subscribe(order.legs[0].contract)
    await bench.until(QuoteChanged)
    bench.forget()
    await bench.fault("connectivity", code=1100)
    await bench.until(LinkChanged, lambda event: event.state is LinkState.LOST)
    with pytest.raises(BrokerError, match="lost"):
        bench.broker.place(order)
    await bench.fault("connectivity", code=1102)
    kept = await bench.until(LinkChanged, lambda event: event.state is LinkState.UP)
    assert not kept.resubscribe and bench.broker.lines_used == 1
    bench.forget()
    await bench.fault("connectivity", code=1100)
    await bench.fault("connectivity", code=1101)
    lost = await bench.until(LinkChanged, lambda event: event.state is LinkState.UP)
    assert lost.resubscribe and bench.broker.lines_used == 0
    bench.broker.place(order)
    await bench.until(OrderChanged, lambda event: event.state is OrderState.WORKING)


async def test_what_if_margin_is_asked_without_placing(bench: Bench) -> None:
    margin = await bench.broker.margin(await spread(bench, "what-if", -0.90))
    assert margin.initial_change_usd > 0
    assert margin.maintenance_change_usd is not None and margin.commission_usd is not None
    assert (await bench.ask("orders"))["orders"] == []


async def test_a_refused_what_if_says_why(bench: Bench) -> None:
    with pytest.raises(BrokerError, match="110"):
        await bench.broker.margin(await spread(bench, "odd", -0.905))


async def test_an_unknown_contract_is_none_and_a_known_one_complete(bench: Bench) -> None:
    put = await bench.list_put(245, 2.00, 2.10)
    unknown = Contract(ConId(0), "IWM", SecType.OPTION, put.expiry, 999.0, Right.PUT, 100)
    asked = Contract(ConId(0), "IWM", SecType.OPTION, put.expiry, 245.0, Right.PUT, 100)
    none, found, by_id = await bench.broker.qualify([unknown, asked, put])
    assert none is None
    assert found is not None and found == by_id
    assert (found.con_id, found.strike, found.exchange) == (put.con_id, 245.0, "SMART")
    assert found.min_tick == 0.01
    with pytest.raises(BrokerError, match="NOPE"):
        await bench.broker.underlying("NOPE")


async def test_the_chain_lists_expiries_and_strikes(start: Start) -> None:
    bench = await start("--market", "model", "--speed", "1")
    underlying = await bench.broker.underlying("IWM")
    (chain,) = await bench.broker.chain(underlying)
    assert (chain.symbol, chain.trading_class, chain.multiplier) == ("IWM", "IWM", 100)
    assert list(chain.expiries) == sorted(set(chain.expiries)) and chain.strikes[0] > 0


async def test_one_line_too_many_is_told_and_not_counted(start: Start) -> None:
    bench = await start("--market", "script", "--lines", "1")
    first, second = await bench.list_put(245, 2.00, 2.10), await bench.list_put(240, 1.00, 1.05)
    bench.broker.subscribe(first)
    bench.broker.subscribe(second)
    notice = await bench.until(BrokerNotice, lambda event: event.code == 101)
    assert notice.con_id == second.con_id
    assert bench.broker.lines_used == 1


@pytest.mark.row("throttle")
async def test_a_throttled_order_overtakes_the_subscriptions_before_it(start: Start) -> None:
    bench = await start(throttle_per_s=40)
    puts = [await bench.list_put(200 + number, 1.00, 1.10) for number in range(60)]
    for put in puts:
        bench.broker.subscribe(put)
    bench.broker.place(OrderRequest("first", (ComboLeg(puts[0], 1),), 1, 0.50, opens=True))
    await bench.until(OrderChanged, lambda event: event.state is OrderState.WORKING)
    assert (await bench.ask("status"))["lines"]["1"] < 60
    last = puts[-1].con_id
    await bench.until(QuoteChanged, lambda event: event.con_id == last)


async def test_a_year_of_days_is_told_as_one_event_and_a_refusal_as_another(start: Start) -> None:
    bench = await start("--market", "model", "--speed", "1")
    underlying = await bench.broker.underlying("IWM")
    asked: dict[DailyKind, DailyValues] = {}
    for kind in DailyKind:
        bench.broker.ask_daily(underlying, kind, 365)
        asked[kind] = await bench.until(DailyValues, lambda event, kind=kind: event.kind is kind)
    for told in asked.values():
        assert (told.con_id, told.refusal) == (underlying.con_id, "")
        days = [day for day, _ in told.values]
        assert 245 <= len(days) <= 255 and days == sorted(set(days))
    assert 0.05 < asked[DailyKind.IMPLIED_VOL].values[-1][1] < 1.0
    bench.forget()
    bench.broker.ask_daily(underlying, DailyKind.CLOSE, 3)
    few = await bench.until(DailyValues, lambda event: True)
    assert 2 <= len(few.values) <= 4
    assert few.values[:-1] == asked[DailyKind.CLOSE].values[-len(few.values) : -1]
    vix = await bench.broker.underlying("VIX")
    bench.forget()
    bench.broker.ask_daily(vix, DailyKind.IMPLIED_VOL, 365)
    refused = await bench.until(DailyValues, lambda event: event.con_id == vix.con_id)
    assert refused.values == () and refused.refusal.startswith("162: ")
    assert not [notice for notice in bench.all(BrokerNotice) if notice.code == 162]
