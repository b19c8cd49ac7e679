from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ib_async import MarketOrder, RequestError

from broker.gateway.desks.profit import Change, Closes, changes_of, profit_of, total
from broker.gateway.exchange.account import Execution, Holding
from broker.gateway.exchange.settlement import Event, Kind
from broker.gateway.markets.listings import option, underlying
from broker.gateway.markets.quotes import MISSING
from broker.gateway.markets.script import DEFAULT_START, ScriptMarket
from options import Right, hours

ACCOUNT = "DU1234567"
SHARE = underlying("SPY")


async def trade(script, ib, contract, until, action="SELL", quantity=1):
    """A market order that has filled and been booked."""
    done = ib.placeOrder(contract, MarketOrder(action, quantity, tif="DAY"))
    await until(lambda: done.isDone() and done.fills and done.fills[-1].commissionReport.execId)


async def test_account_updates_follow_trades_and_come_again_every_three_minutes(
    script, connect, raw, of, until
):
    leg = (await script.list_condor())["P95"]
    async with connect(script) as ib:
        frames = raw(ib)
        await trade(script, ib, leg, until)
        await until(ib.portfolio)
        assert {fields[2] for fields in of(frames, 6)} >= {"NetLiquidation", "InitMarginReq", "CashBalance"}
        assert [fields[2] for fields in of(frames, 7)] == [str(leg.conId)]
        frames.clear()
        await script.step(179)
        assert of(frames, 6) == []
        await script.step(2)
        await until(lambda: of(frames, 8))
        names = [fields[2] for fields in of(frames, 6)]
        assert {"AccountCode", "NetLiquidation", "Cushion", "Leverage", "UnrealizedPnL"} <= set(names)
        assert of(frames, 8) == [["8", "1", "10:03"]]


async def test_an_ended_account_subscription_is_confirmed_and_silent(script, connect, heard, raw, of, until):
    leg = (await script.list_condor())["P95"]
    async with connect(script) as ib:
        errors, frames = heard(ib), raw(ib)
        ib.client.reqAccountUpdates(False, ACCOUNT)
        await until(lambda: errors == [(-1, 2100)])
        await trade(script, ib, leg, until)
        await script.step(200)
        assert of(frames, 6) == of(frames, 7) == []
        ib.client.reqAccountUpdates(True, "U999")
        await until(lambda: errors[-1] == (-1, 321))


async def test_a_summary_has_the_asked_figures_and_only_two_may_run(script, connect, heard, raw, of, until):
    leg = (await script.list_condor())["P95"]
    async with connect(script) as ib:
        errors, frames = heard(ib), raw(ib)
        ib.client.reqAccountSummary(901, "All", "NetLiquidation,Leverage,Nonsense,$LEDGER:USD")
        ib.client.reqAccountSummary(902, "All", "$LEDGER:ALL, TotalCashValue")
        await until(lambda: len(of(frames, 64)) == 2)
        asked = {(fields[2], fields[4], fields[6]) for fields in of(frames, 63)}
        assert ("901", "NetLiquidation", "USD") in asked
        assert ("901", "Leverage", "") in asked
        assert {currency for req_id, _, currency in asked if req_id == "902"} == {"BASE", "USD"}
        assert not [name for _, name, _ in asked if name == "Nonsense"]
        ib.client.reqAccountSummary(903, "All", "NetLiquidation")
        ib.client.reqAccountSummary(904, "Friends", "NetLiquidation")
        await until(lambda: errors == [(903, 322), (904, 322)])
        frames.clear()
        await trade(script, ib, leg, until)
        await until(lambda: of(frames, 63))
        assert {fields[2] for fields in of(frames, 63)} == {"901", "902"}
        ib.client.cancelAccountSummary(901)
        ib.client.reqAccountSummary(903, "All", "NetLiquidation")
        await until(lambda: [fields[2] for fields in of(frames, 64)] == ["903"])
        assert len(errors) == 2


async def test_ib_async_reads_the_summary_that_it_asks_for(script, connect):
    async with connect(script) as ib:
        values = {(v.tag, v.currency): v.value for v in await ib.accountSummaryAsync()}
        assert values["NetLiquidation", "USD"] == "100000.00"
        assert values["CashBalance", "BASE"] == "100000.00"
        assert values["AccountType", ""] == "INDIVIDUAL"


async def test_positions_follow_every_change_and_a_closed_one_comes_once(script, connect, raw, of, until):
    leg = (await script.list_condor())["P95"]
    async with connect(script, 1) as ib, connect(script, 2) as other:
        other.client.cancelPositions()
        ib.client.reqPositionsMulti(77, ACCOUNT, "")
        frames, others = raw(ib), raw(other)
        await until(lambda: of(frames, 72))
        for action, quantity in (("SELL", 3), ("BUY", 1), ("BUY", 2), ("SELL", 1)):
            await trade(script, ib, leg, until, action, quantity)
        await until(lambda: len(of(frames, 61)) == len(of(frames, 71)) == 4)
        assert [fields[-2] for fields in of(frames, 61)] == ["-3", "-2", "0", "-1"]
        assert [fields[-3] for fields in of(frames, 71)] == ["-3", "-2", "0", "-1"]
        ib.client.cancelPositionsMulti(77)
        await trade(script, ib, leg, until)
        await until(lambda: len(of(frames, 61)) == 5)
        assert len(of(frames, 71)) == 4
        assert of(others, 61) == []


async def test_a_multi_subscription_gives_all_figures_or_only_the_ledger(script, connect, raw, of, until):
    leg = (await script.list_condor())["P95"]
    async with connect(script) as ib:
        frames = raw(ib)
        ib.client.reqAccountUpdatesMulti(81, ACCOUNT, "", True)
        ib.client.reqAccountUpdatesMulti(82, "", "", False)
        await until(lambda: len(of(frames, 74)) == 2)
        names = {req_id: {f[5] for f in of(frames, 73) if f[2] == req_id} for req_id in ("81", "82")}
        assert "NetLiquidation" in names["81"] < names["82"]
        assert "InitMarginReq" in names["82"] - names["81"]
        ib.client.cancelAccountUpdatesMulti(82)
        frames.clear()
        await trade(script, ib, leg, until)
        await until(lambda: of(frames, 73))
        assert "82" not in {fields[2] for fields in of(frames, 73)}


async def test_profit_streams_tell_what_changed_since_the_previous_close(
    script, connect, heard, raw, of, until
):
    leg = (await script.list_condor())["P95"]
    async with connect(script) as ib:
        errors = heard(ib)
        await trade(script, ib, leg, until, "SELL", 2)
        whole = ib.reqPnL(ACCOUNT)
        single = ib.reqPnLSingle(ACCOUNT, "", leg.conId)
        await until(lambda: single.position == -2)
        # sold at 1.15, marked at 1.20: 0.05 x 2 x 100 lost, 1.30 paid
        assert single.dailyPnL == single.unrealizedPnL == pytest.approx(-11.3)
        assert single.value == pytest.approx(-240)
        assert (whole.dailyPnL, whole.realizedPnL) == (pytest.approx(-11.3), 0.0)
        frames = raw(ib)
        await script.tell("quote", con_id=leg.conId, bid=0.95, ask=1.05)
        await script.step(5)
        await until(lambda: whole.dailyPnL == pytest.approx(28.7))
        assert len(of(frames, 94)) == len(of(frames, 95)) == 1
        await trade(script, ib, leg, until, "BUY", 2)
        await until(lambda: single.position == 0)
        assert single.realizedPnL == pytest.approx(2 * (115 - 105) - 2.6)
        assert whole.dailyPnL == pytest.approx(whole.realizedPnL)
        ib.cancelPnL(ACCOUNT)
        ib.client.cancelPnL(4711)
        await until(lambda: (4711, 10185) in errors)
        frames.clear()
        await script.tell("quote", con_id=leg.conId, bid=0.50, ask=0.60)
        await script.step(5)
        assert of(frames, 94) == []


async def test_profit_of_a_contract_that_is_not_held_is_unset(script, connect, until):
    legs = await script.list_condor()
    async with connect(script) as ib:
        single = ib.reqPnLSingle(ACCOUNT, "", legs["C110"].conId)
        await until(lambda: single.dailyPnL > 1e300)
        assert (single.position, single.realizedPnL) == (0, 0.0)


async def test_a_summary_beyond_the_limit_ends_its_request(script, connect, until):
    async with connect(script) as ib:
        ib.RaiseRequestErrors = True
        for req_id in (901, 902):
            ib.client.reqAccountSummary(req_id, "All", "NetLiquidation")
        with pytest.raises(RequestError):
            await ib.reqAccountSummaryAsync()


prices = st.integers(1, 500).map(float)


def executed(quantity, price, commission, realized, moment=DEFAULT_START):
    return Execution(
        exec_id="a.b.01.01",
        client_id=1,
        order_id=7,
        perm_id=99,
        order_ref="",
        symbol="SPY",
        contract=SHARE,
        quantity=quantity,
        price=price,
        time=moment,
        commission_usd=commission,
        realized_usd=realized,
        cumulative=abs(quantity),
        average_price=price,
        adds_liquidity=False,
    )


def bought(quantity, price, commission):
    """What changes_of makes of a trade."""
    return Change(SHARE.con_id, quantity, quantity * price + commission, 0.0)


@given(
    carried=st.integers(-5, 5),
    trades=st.lists(st.tuples(st.integers(-5, 5).filter(bool), prices), max_size=5),
    mark=prices,
    close=prices,
)
def test_daily_profit_is_the_change_of_cash_and_value_since_the_close(carried, trades, mark, close):
    quantity = carried + sum(n for n, _ in trades)
    found = profit_of(Holding(SHARE, quantity, 100.0), [bought(n, p, 1.0) for n, p in trades], mark, close)
    cash = -sum(n * p + 1.0 for n, p in trades)
    assert found.daily == pytest.approx(cash + quantity * mark - carried * close)


def test_daily_profit_is_unknown_without_a_close_but_not_for_what_was_bought_today():
    today = profit_of(Holding(SHARE, 2, 100.5), [bought(2, 100.0, 1.0)], 110.0, None)
    assert today.daily == 19.0
    carried = profit_of(Holding(SHARE, 2, 100.5), [], 110.0, None)
    assert (carried.daily, carried.unrealized) == (None, 19.0)
    assert total([carried, today]).daily is None


def test_only_the_changes_of_the_day_count():
    later = hours.next_opening(DEFAULT_START)
    book = [executed(1, 1.0, 0.0, None), executed(2, 3.0, 0.5, 0.25, later)]
    assert changes_of(hours.trading_day(later), book, []) == [Change(SHARE.con_id, 2, 6.5, 0.25)]
    assert changes_of(hours.trading_day(DEFAULT_START), book[:1], []) == [Change(SHARE.con_id, 1, 1.0, 0.0)]


def test_an_exercise_costs_its_strike_and_a_dividend_earns_its_amount():
    call = option("SPY", date(2026, 3, 2), 100.0, Right.CALL)
    day = hours.trading_day(DEFAULT_START)
    exercised = Event(DEFAULT_START, Kind.EXERCISED, call, -1, -10_000.0, 0.0, SHARE.con_id, 100)
    dividend = Event(DEFAULT_START, Kind.DIVIDEND, SHARE, 0, 25.0)
    shares, option_gone = Change(SHARE.con_id, 100, 10_000.0, 0.0), Change(call.con_id, -1, 0.0, 0.0)
    earned = Change(SHARE.con_id, 0, -25.0, 0.0)
    assert changes_of(day, [], [exercised, dividend]) == [option_gone, shares, earned]
    # bought at 7.00 yesterday, exercised at 107: what the shares are worth beyond the strike is what is left
    option_part = profit_of(Holding(call, 0, 0.0), [option_gone], None, 7.0)
    shares_part = profit_of(Holding(SHARE, 100, 107.0), [shares, earned], 107.0, 105.0)
    assert total([option_part, shares_part]).daily == 25.0


async def test_daily_profit_knows_the_previous_close_of_what_is_carried(open_bench, connect, until):
    async with open_bench("--speed", "0") as bench, connect(bench) as ib:
        held = {position.contract.conId for position in ib.positions()}
        whole = ib.reqPnL(ACCOUNT)
        parts = [ib.reqPnLSingle(ACCOUNT, "", con_id) for con_id in sorted(held)]
        await until(lambda: abs(whole.dailyPnL) < 1e300 and all(abs(p.dailyPnL) < 1e300 for p in parts))
        assert whole.dailyPnL == pytest.approx(sum(part.dailyPnL for part in parts), abs=1e-3)
        quotes = bench.gateway.exchange.quotes(sorted(held), bench.gateway.clock.now)
        for part, quote in zip(parts, quotes.values(), strict=True):
            assert part.dailyPnL == pytest.approx(part.position * 100 * (quote.mark - quote.close))


async def test_a_previous_close_that_no_quote_carries_is_the_last_bar_of_its_day(open_bench):
    async with open_bench("--speed", "0") as bench:
        market, now = bench.gateway.market, bench.gateway.clock.now
        held = list(bench.gateway.exchange.account.holdings)
        told = {con_id: quote.close for con_id, quote in market.quotes(held, now).items()}
        found = Closes(market).of(dict.fromkeys(held, MISSING), now)
        assert found == pytest.approx(told, abs=0.03)
        assert Closes(ScriptMarket()).of({SHARE.con_id: MISSING}, now) == {SHARE.con_id: None}
