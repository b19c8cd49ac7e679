import asyncio
import struct

from ib_async import IB


async def test_ib_async_connects_and_synchronises_with_the_model_market(open_bench, connect):
    async with open_bench() as bench, connect(bench) as ib:
        assert ib.client.serverVersion() == 178
        assert ib.managedAccounts() == ["DU1234567"]
        assert len(ib.positions()) == len(ib.portfolio()) == 12
        values = {
            v.tag: float(v.value)
            for v in ib.accountValues()
            if v.currency == "USD" and "Currency" not in (v.tag, v.tag[4:])
        }
        assert 99_000 < values["NetLiquidation"] < 101_000
        assert values["InitMarginReq"] == 2 * (1000 + 1000 + 500)
        assert values["AvailableFunds"] == round(values["EquityWithLoanValue"] - values["InitMarginReq"], 2)
        assert values["NetLiquidation"] == round(
            values["EquityWithLoanValue"] + values["OptionMarketValue"], 2
        )
        assert ib.client.getReqId() > 0
        assert (await ib.reqCurrentTimeAsync()).isoformat() >= "2026-03-02T15:00:00"


async def test_several_clients_are_served_at_once_but_none_twice(script, connect):
    async with connect(script, 1), connect(script, 2):
        assert (await script.tell("status"))["clients"] == [1, 2]
        twin = IB()
        codes = []
        twin.errorEvent += lambda _id, code, *_: codes.append(code)
        try:
            await twin.connectAsync("127.0.0.1", script.port, 2, timeout=0.5)
            raise AssertionError("a second client 2 was let in")
        except (TimeoutError, ConnectionError):
            assert 326 in codes
        assert (await script.tell("status"))["clients"] == [1, 2]


async def test_a_client_id_is_free_again_after_a_disconnect(script, connect, until):
    async with connect(script, 1):
        pass
    await until(lambda: not script.gateway.sessions)
    async with connect(script, 1) as ib:
        assert ib.isConnected()


async def hello(port: int, first: bytes) -> bytes:
    """What the gateway says to `first` before it closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(first)
    try:
        return await asyncio.wait_for(reader.read(1000), 20)
    finally:
        writer.close()


async def test_old_clients_and_strangers_are_sent_away(script):
    assert await hello(script.port, b"API\0" + struct.pack(">I", 9) + b"v100..156") == b""
    assert await hello(script.port, b"GET / HTTP/1.1\r\n\r\n") == b""
    assert await hello(script.port, b"API\0\xff\xff\xff\xff") == b""


async def test_a_version_that_is_no_number_is_sent_away_and_told_in_a_short_line(script, caplog):
    for offer in ("v100..\u00b2", "v100.." + "9" * 5000, "v100..1_7_8", "x" * 500_000):
        words = offer.encode()
        assert await hello(script.port, b"API\0" + struct.pack(">I", len(words)) + words) == b""
    lines = [record.getMessage() for record in caplog.records if "too old" in record.getMessage()]
    assert len(lines) == 4
    assert all(len(line) < 120 for line in lines)


async def test_an_api_is_started_once(script, connect, heard, until):
    async with connect(script) as ib:
        errors = heard(ib)
        ib.client.send(71, 2, 8, "")
        ib.client.send(71, 2, 1, "")
        await until(lambda: errors == [(-1, 505), (-1, 505)])
        assert list(script.gateway.sessions) == [1]
        assert await ib.reqCurrentTimeAsync()
    await until(lambda: not script.gateway.sessions)


async def test_a_client_id_is_not_negative(script):
    start = struct.pack(">I", 9) + b"71\x002\x00-1\x00\x00"
    reader, writer = await asyncio.open_connection("127.0.0.1", script.port)
    writer.write(b"API\0" + struct.pack(">I", 9) + b"v100..178" + start)
    async with asyncio.timeout(1):
        assert b"a client id from 0 on: -1 is below 0" in await reader.readuntil(b"below 0")
    assert not script.gateway.sessions
    writer.close()


async def test_a_newer_client_gets_version_178_with_the_handshake_split_anywhere(script):
    reader, writer = await asyncio.open_connection("127.0.0.1", script.port)
    for byte in b"API\0" + struct.pack(">I", 9) + b"v100..225":
        writer.write(bytes([byte]))
        await writer.drain()
    (length,) = struct.unpack(">I", await reader.readexactly(4))
    assert (await reader.readexactly(length)).split(b"\0")[0] == b"178"
    writer.close()


async def test_unknown_and_damaged_messages_get_an_error_and_the_connection_lives(
    script, connect, heard, until
):
    async with connect(script) as ib:
        errors = heard(ib)
        ib.client.send(9999, 1)
        ib.client.send(1, 11, "seven")
        ib.client.send(3, 5)
        await until(lambda: len(errors) == 3)
        assert errors == [(-1, 505), (-1, 320), (5, 320)]
        assert await ib.reqCurrentTimeAsync()


async def test_a_reader_that_never_reads_loses_its_connection_and_nobody_else_notices(script, connect, until):
    async with connect(script, 1) as ib:
        reader, writer = await asyncio.open_connection("127.0.0.1", script.port, limit=1)
        writer.write(b"API\0" + struct.pack(">I", 9) + b"v100..178")
        writer.write(struct.pack(">I", 8) + b"71\x002\x007\x00\x00")
        await until(lambda: 7 in script.gateway.sessions)
        slow = script.gateway.sessions[7]
        for _ in range(400):
            slow.error(-1, 1, "x" * 100_000)
        await until(lambda: 7 not in script.gateway.sessions)
        assert await ib.reqCurrentTimeAsync()
        reader.feed_eof()
        writer.close()


async def test_dropped_clients_can_come_back_once_connections_are_taken_again(script, connect, until):
    async with connect(script) as ib:
        gone = []
        ib.disconnectedEvent += lambda: gone.append(True)
        await script.tell("fault", name="refuse_connections", seconds=10)
        await script.tell("fault", name="drop")
        await until(lambda: gone)
    late = IB()
    try:
        await late.connectAsync("127.0.0.1", script.port, 1, timeout=0.5)
        raise AssertionError("a refused connection was taken")
    except (TimeoutError, ConnectionError):
        pass
    await script.step(10)
    async with connect(script) as ib:
        assert ib.isConnected()


async def test_a_silent_gateway_keeps_the_connection_open_but_says_nothing(script, connect):
    async with connect(script) as ib:
        await script.tell("fault", name="silent", on=True)
        try:
            await asyncio.wait_for(ib.reqCurrentTimeAsync(), 0.2)
            raise AssertionError("it spoke")
        except TimeoutError:
            assert ib.isConnected()
        await script.tell("fault", name="silent", on=False)
        assert await ib.reqCurrentTimeAsync()


async def test_connectivity_codes_stop_and_restore_ticks(script, connect, heard, until):
    legs = await script.list_condor()
    async with connect(script) as ib:
        errors = heard(ib)
        ticker = ib.reqMktData(legs["P90"])
        await until(lambda: ticker.bid == 0.45)
        await script.tell("fault", name="connectivity", code=1100)
        await script.tell("quote", con_id=legs["P90"].conId, bid=0.40, ask=0.50)
        await script.tell("fault", name="connectivity", code=1102)
        await until(lambda: ticker.bid == 0.40)
        await script.tell("fault", name="connectivity", code=1101)
        assert (await script.tell("status"))["lines"] == {"1": 0}
        await until(lambda: [code for _, code in errors] == [1100, 1102, 1101])


async def test_the_control_port_refuses_what_it_does_not_know_and_goes_on(script):
    for command in ("nonsense", "quote", "contract", "fault"):
        reply = await script.ask(command)
        assert reply["ok"] is False
        assert reply["error"]
    assert (await script.tell("status"))["market"] == "script"


async def test_a_client_of_an_older_version_is_answered_in_its_own(script, until):
    for newest in (157, 165, 166, 177, 300):
        reader, writer = await asyncio.open_connection("127.0.0.1", script.port)
        writer.write(b"API\0" + struct.pack(">I", 9) + f"v100..{newest}".encode())
        await reader.readexactly(4)
        assert (await reader.readuntil(b"\0")) == f"{min(newest, 178)}\0".encode()
        await reader.readuntil(b"\0")
        writer.write(struct.pack(">I", 8) + b"71\x002\x007\x00\x00")
        writer.write(struct.pack(">I", 7) + b"9999\x001\x00")
        kinds = []
        while not kinds or kinds[-1][:4] != ["4", "2", "-1", "505"]:
            (length,) = struct.unpack(">I", await reader.readexactly(4))
            kinds.append((await reader.readexactly(length)).decode().split("\0")[:-1])
        assert {len(fields) for fields in kinds if fields[0] == "4"} == {6 if newest >= 166 else 5}
        writer.close()
        await until(lambda: not script.gateway.sessions)
