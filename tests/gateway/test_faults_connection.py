"""What an untouched ib_async suffers when its connection suffers."""

import asyncio
import socket
from contextlib import suppress

import pytest
from ib_async import IB, LimitOrder

from broker.gateway.session import Session

REFUSED = (TimeoutError, ConnectionError)


async def attempt(bench, timeout_s=0.5, client_id=1, **options) -> IB | None:
    """A client after one try to connect; None when it failed."""
    ib = IB()
    try:
        await ib.connectAsync("127.0.0.1", bench.port, client_id, timeout=timeout_s, **options)
    except REFUSED:
        return None
    return ib


@pytest.mark.fault("drop")
@pytest.mark.parametrize(
    ("how", "reason"), [("fin", "Peer closed"), ("torn", "Peer closed"), ("rst", "reset by peer")]
)
async def test_a_drop_fails_what_is_pending_and_wipes_all_state(script, connect, until, how, reason):
    legs = await script.list_condor()
    async with connect(script) as ib:
        reasons = []
        ib.client.apiError += reasons.append
        ticker = ib.reqMktData(legs["P90"])
        trade = ib.placeOrder(legs["P90"], LimitOrder("BUY", 1, 0.10, tif="DAY"))
        await until(lambda: ticker.bid == 0.45 and trade.orderStatus.status == "Submitted")
        await script.inflict("unanswered", request="current_time")
        asked = asyncio.ensure_future(ib.reqCurrentTimeAsync())
        await asyncio.sleep(0)
        await script.inflict("drop", how=how)
        with pytest.raises(ConnectionError):
            await asked
        await until(lambda: reasons)
        assert reason in reasons[0]
        assert not ib.isConnected()
        assert ib.trades() == ib.tickers() == ib.positions() == []
        assert ticker.bid == 0.45, "the dead ticker keeps its price"


@pytest.mark.fault("drop")
@pytest.mark.parametrize("handled", [True, False])
async def test_a_drop_between_request_and_reply_hides_whether_the_order_lives(
    script, connect, until, handled
):
    legs = await script.list_condor()
    async with connect(script) as ib:
        await script.inflict("drop", after_request="place_order", handled=handled)
        trade = ib.placeOrder(legs["P90"], LimitOrder("BUY", 1, 0.10, tif="DAY", orderRef="where"))
        await until(lambda: not ib.isConnected())
        assert trade.orderStatus.status == "PendingSubmit"
        assert len(script.gateway.exchange.working()) == int(handled)
    async with connect(script) as ib:
        assert [t.order.orderRef for t in ib.openTrades()] == ["where"] * handled
        again = ib.placeOrder(legs["P90"], LimitOrder("BUY", 1, 0.10, tif="DAY"))
        await until(lambda: again.orderStatus.status == "Submitted")


@pytest.mark.fault("silent")
async def test_a_half_open_socket_is_never_noticed(script, connect, until):
    legs = await script.list_condor()
    async with connect(script) as ib:
        ticker = ib.reqMktData(legs["P90"])
        await until(lambda: ticker.bid == 0.45)
        await script.inflict("silent", after_request="place_order", handled=True)
        trade = ib.placeOrder(legs["P90"], LimitOrder("BUY", 1, 0.10, tif="DAY"))
        await until(script.gateway.exchange.working)
        asked = asyncio.ensure_future(ib.reqCurrentTimeAsync())
        await script.tell("quote", con_id=legs["P90"].conId, bid=0.05, ask=0.09)
        await script.step(3600)
        assert ib.isConnected()
        assert not asked.done()
        assert (ticker.bid, trade.orderStatus.status) == (0.45, "PendingSubmit")
        assert script.gateway.exchange.executions, "the order has filled meanwhile"
        asked.cancel()


@pytest.mark.fault("refuse_connections")
async def test_refused_connections_fail_until_the_time_has_passed(script, until):
    await script.inflict("refuse_connections", seconds=60)
    assert await attempt(script) is None
    await script.step(60)
    ib = await attempt(script, timeout_s=20)
    assert ib
    ib.disconnect()


@pytest.mark.fault("client_id_in_use")
async def test_a_free_client_id_in_use_fails_one_connect_with_326(script):
    await script.inflict("client_id_in_use", client=1)
    ib = IB()
    codes = []
    ib.errorEvent += lambda _, code, *__: codes.append(code)
    with pytest.raises(REFUSED):
        await ib.connectAsync("127.0.0.1", script.port, 1, timeout=0.5)
    assert codes == [326]
    again = await attempt(script, timeout_s=20)
    assert again
    again.disconnect()


@pytest.mark.fault("restart")
async def test_the_nightly_restart_loses_the_last_orders_and_gives_their_ids_again(script, connect, until):
    legs = await script.list_condor()

    def order(ref):
        return LimitOrder("BUY", 1, 0.10, tif="GTC", orderRef=ref)

    async with connect(script) as ib:
        ib.placeOrder(legs["P90"], order("old"))
        await until(lambda: len(script.gateway.exchange.working()) == 1)
        await script.step(60)
        for _ in range(20):
            ib.client.getReqId()
        lost = ib.placeOrder(legs["P90"], order("lost"))
        await until(lambda: lost.orderStatus.status == "Submitted")
        await script.inflict("restart", seconds=120, lost_s=5)
        await until(lambda: not ib.isConnected())
    assert await attempt(script) is None
    await script.step(120)
    async with connect(script) as ib:
        assert [trade.order.orderRef for trade in ib.openTrades()] == ["old"]
        assert await ib.reqCompletedOrdersAsync(False) == []
        again = ib.placeOrder(legs["P90"], order("new"))
        assert again.order.orderId < lost.order.orderId
        await until(lambda: again.orderStatus.status == "Submitted")


@pytest.mark.fault("pacing")
async def test_more_than_fifty_messages_in_a_second_lose_requests_and_then_the_socket(
    script, connect, heard, until
):
    async with connect(script) as ib:
        errors = heard(ib)
        ib.client.MaxRequests = 0
        await script.inflict("pacing", strikes=3)
        asked = [asyncio.ensure_future(ib.reqMatchingSymbolsAsync("XYZ")) for _ in range(52)]
        await asyncio.gather(*asked[:50])
        await until(lambda: errors == [(-1, 100)] * 2)
        assert not any(request.done() for request in asked[50:])
        assert ib.isConnected()
        await script.step(1)
        assert await ib.reqCurrentTimeAsync(), "a second later it may speak again"
        for _ in range(50):
            ib.client.reqIds(1)
        await until(lambda: not ib.isConnected())
        for request in asked[50:]:
            with suppress(ConnectionError):
                await request


def wire_of(session: Session) -> socket.socket:
    return session.writer.get_extra_info("socket")


@pytest.mark.fault("slow_consumer")
async def test_a_handler_that_reads_too_slowly_loses_the_connection(script, connect, until):
    async with connect(script, 1) as ib, connect(script, 2) as other:
        session = script.gateway.sessions[1]
        wire_of(session).setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        await script.inflict("slow_consumer", backlog_bytes=100_000)
        ib.client.conn.transport.pause_reading()
        for _ in range(200):
            session.error(-1, 2104, "x" * 100_000)
            if session.writer.is_closing():
                break
        await until(lambda: 1 not in script.gateway.sessions)
        ib.client.conn.transport.resume_reading()
        await until(lambda: not ib.isConnected())
        assert await other.reqCurrentTimeAsync()
