import asyncio
import re
import socket
import subprocess
from contextlib import suppress

import pytest
from ib_async import IB, LimitOrder, MarketOrder

from broker.gateway import main
from broker.gateway.recording.tape import FIRST_LINE, HEAD, Mark, Recording
from tests.gateway.processes import FREE, running


@pytest.fixture
async def session(open_bench, connect, until, tmp_path):
    """A recording of a script market: two clients, trades, a cancel, faults, and a client cut off."""
    path = tmp_path / "session.rec"
    async with open_bench("--market", "script", "--record", str(path)) as bench:
        legs = await bench.list_condor()
        async with connect(bench, 1) as one, connect(bench, 2) as two:
            for contract in legs.values():
                one.reqMktData(contract)
            two.reqMktData(legs["P90"])
            one.placeOrder(legs["P90"], LimitOrder("BUY", 1, 0.55, tif="DAY", orderRef="meets the ask"))
            resting = two.placeOrder(legs["C110"], LimitOrder("BUY", 2, 0.05, tif="DAY"))
            await until(lambda: len(one.fills()) == 1 and resting.orderStatus.status == "Submitted")
            await bench.tell("quote", con_id=legs["P95"].conId, bid=1.0, ask=1.1)
            await bench.step(3)
            two.cancelOrder(resting.order)
            await until(lambda: resting.orderStatus.status == "Cancelled")
            two.placeOrder(legs["C105"], MarketOrder("SELL", 1, tif="DAY"))
            await until(two.fills)
            await bench.tell("status")
            await bench.tell("fault", name="connectivity", code=1100)
            await bench.ask("fault", name="of nobody")
            await bench.tell("fault", name="drop")
            await until(lambda: not one.isConnected() and not two.isConnected())
            await bench.step(60)
        async with connect(bench, 1) as again:
            assert again.isConnected()
    return path


def lines(capsys, *argv):
    """What the program prints, line by line."""
    assert main(["print", *map(str, argv)]) == 0
    return capsys.readouterr().out.splitlines()


async def in_thread(function, *argv):
    """The command line runs loops of its own."""
    return await asyncio.to_thread(function, *argv)


async def test_a_recorded_session_run_again_says_the_same_to_the_last_byte(session, capsys):
    assert await in_thread(main, ["check", str(session)]) == 0
    told = re.fullmatch(r"identical: ([\d,]+) messages\n", capsys.readouterr().out)
    assert int(told[1].replace(",", "")) > 300


async def test_the_first_message_that_differs_is_told_with_place_and_both_texts(session, capsys):
    changed = session.with_name("changed.rec")
    filled = b"\x00Filled\x001\x000\x000.55\x00"
    assert filled in session.read_bytes()
    changed.write_bytes(session.read_bytes().replace(filled, b"\x00Filled\x001\x000\x000.56\x00", 1))
    assert await in_thread(main, ["check", str(changed)]) == 1
    first, recorded, now = capsys.readouterr().out.splitlines()
    assert re.match(r"first difference at 2026-03-02 10:00:00.000, byte \d+, connection #[12]$", first)
    assert "0.56" in recorded
    assert "0.55" in now
    assert recorded.split()[1] == now.split()[1] == "orderStatus"


async def test_everything_that_is_recorded_is_printed_by_name_with_no_field_left_over(session, capsys):
    told = lines(capsys, session, "--full")
    assert "market=script" in told[0]
    assert not [line for line in told if "!!" in line or " message " in line]
    text = "\n".join(told)
    for part in (
        "#1 client ? connects",
        "#1 client 1 > startApi",
        "#2 client 2 < openOrder",
        "#1 client 1 < execDetails",
        'command fault name="connectivity" code=1100',
        "command step seconds=3",
        "#1 client 1 is disconnected",
    ):
        assert part in text
    assert "command status" not in text


async def test_print_shows_what_it_is_asked_for_and_nothing_else(session, capsys):
    told = lines(capsys, session, "--only", "orders", "--client", 2)[1:]
    assert told
    assert all("client 2" in line for line in told)
    assert {line.split()[6] for line in told} >= {"placeOrder", "openOrder", "cancelOrder", "execDetails"}
    assert not any("tick" in line for line in told)
    told = lines(capsys, session, "--kind", "tickPrice", "--kind", "error")[1:]
    assert {line.split()[6] for line in told} == {"tickPrice", "error"}
    told = lines(capsys, session, "--from", "2026-03-02T10:00:01", "--to", "2026-03-02T10:00:30")[1:]
    assert {line[11:19] for line in told} == {"10:00:03"}


async def test_an_order_reads_as_a_sentence_of_named_fields(session, capsys):
    (order,) = [line for line in lines(capsys, session, "--kind", "placeOrder") if "meets the ask" in line]
    for part in ("action=BUY", "totalQuantity=1", "lmtPrice=0.55", 'orderRef="meets the ask"', "strike=90.0"):
        assert part in order
    assert "stockRangeLower" not in order


async def test_a_torn_file_is_used_up_to_where_it_is_torn(session, capsys):
    whole = session.read_bytes()
    torn = session.with_name("torn.rec")
    torn.write_bytes(whole[: len(whole) // 2])
    assert main(["print", str(torn)]) == 2
    out, err = capsys.readouterr()
    assert len(out.splitlines()) > 100
    at = int(re.search(r"torn at byte (\d+)", err)[1])
    assert len(whole) // 2 - 400 < at <= len(whole) // 2
    assert await in_thread(main, ["check", str(torn)]) == 0
    told = capsys.readouterr().out
    assert told.startswith("identical: ")
    assert f"torn at byte {at}" in told


async def test_a_damaged_record_is_named_by_its_place(session, capsys):
    data = bytearray(session.read_bytes())
    second = len(FIRST_LINE) + HEAD.size + HEAD.unpack_from(data, len(FIRST_LINE))[2]
    data[second] = ord("?")
    session.write_bytes(data)
    assert main(["print", str(session)]) == 2
    assert f"damaged at byte {second}: no record begins with 63" in capsys.readouterr().err


def test_a_recording_outlives_the_kill_of_its_gateway(tmp_path, capsys):
    path = tmp_path / "killed.rec"
    with (
        running(*FREE, "--record", str(path)) as (program, ready),
        socket.create_connection(("127.0.0.1", ready["port"])) as line,
    ):
        line.sendall(b"API\0\0\0\0\x09v157..178")
        line.sendall(b"\0\0\0\x0871\x002\x007\x00\x00")
        line.sendall(b"\0\0\0\x0561\x001\x00")
        heard = b""
        while b"62\x001\x00" not in heard:
            heard += line.recv(4096)
        program.kill()
    told = lines(capsys, path)
    assert told[-1].endswith("> reqPositions version=1") or "position" in told[-1]
    assert main(["check", str(path)]) == 0
    out = capsys.readouterr().out
    assert "identical: " in out
    assert "its gateway was killed" in out


async def test_a_gateway_that_went_on_from_its_state_file_can_be_run_again(
    open_bench, connect, until, tmp_path, capsys
):
    state, path = tmp_path / "state.json", tmp_path / "second.rec"
    async with open_bench("--state", str(state)) as bench, connect(bench) as ib:
        held = ib.positions()[0].contract
        held.exchange = "SMART"
        ib.placeOrder(held, MarketOrder("SELL", 1, tif="DAY"))
        await until(ib.fills)
    recorded = ("--state", str(state), "--record", str(path), "--speed", "0")
    async with open_bench(*recorded) as bench, connect(bench) as ib:
        ticker = ib.reqMktData(held)
        await bench.step(30)
        await until(lambda: ticker.bid > 0)
    assert Recording(path).header.state["executions"]
    assert await in_thread(main, ["check", str(path)]) == 0
    assert "identical" in capsys.readouterr().out


async def test_a_replay_market_is_checked_only_with_the_file_it_was_recorded_with(
    open_bench, tmp_path, capsys
):
    quotes, path = tmp_path / "quotes.json", tmp_path / "one.rec"
    quotes.write_text('{"contracts": [{"symbol": "XYZ"}]}')
    async with open_bench("--market", "script", "--quotes", str(quotes), "--record", str(path)):
        pass
    assert await in_thread(main, ["check", str(path)]) == 0
    quotes.write_text('{"contracts": [{"symbol": "ABC"}]}')
    assert await in_thread(main, ["check", str(path)]) == 2
    assert f"file {quotes} is not the one" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["print", "check", "play"])
def test_what_is_no_recording_is_one_clear_line(command, tmp_path, capsys):
    other = tmp_path / "other"
    other.write_text("something")
    headless = tmp_path / "headless"
    headless.write_bytes(FIRST_LINE + HEAD.pack(Mark.END, 0, 0))
    for path, part in (
        (tmp_path / "none", "cannot be read"),
        (other, "is not a recording"),
        (headless, "no header"),
    ):
        assert main([command, str(path)]) == 2
        out, err = capsys.readouterr()
        assert (out, err.count("\n")) == ("", 1)
        assert str(path) in err
        assert part in err


def test_a_recording_is_never_written_over_another_file(tmp_path, capsys):
    taken = tmp_path / "taken"
    taken.write_text("precious")
    for path, part in ((taken, "exists already"), (taken / "below", "cannot be written")):
        assert main(["--port", "0", "--control-port", "0", "--record", str(path)]) == 2
        assert part in capsys.readouterr().err
    assert taken.read_text() == "precious"


def test_a_disk_that_fails_ends_the_gateway_with_its_reason(tmp_path):
    path = tmp_path / "big.rec"
    words = (*FREE, "--speed", "0", "--record", str(path))
    small_disk = ("sh", "-c", 'ulimit -f 40; exec "$@"', "sh")
    with (
        running(*words, before=small_disk, stderr=subprocess.PIPE) as (program, ready),
        socket.create_connection(("127.0.0.1", ready["control_port"])) as line,
    ):
        line.sendall(b'{"cmd": "step", "seconds": 1}\n' * 1000)
        _, err = program.communicate(timeout=60)
    assert program.returncode == 2
    assert f"recording {path} cannot be written (File too large)" in err.splitlines()[-1]


@pytest.mark.slow
async def test_a_bad_day_run_again_is_as_bad_to_the_last_byte(open_bench, until, tmp_path, capsys):
    """With drops, delays and a restart: every fault works in simulated time."""
    path = tmp_path / "day.rec"
    argv = ("--speed", "0", "--quote-every", "60", "--faults", "a_day_in_the_life", "--record", str(path))
    start = ("--start", "2026-03-02T09:30:00-05:00", "--scenario", "crash_2020")
    async with open_bench(*argv, *start) as bench:
        for _ in range(26):
            ib = IB()
            with suppress(TimeoutError, ConnectionError):
                await ib.connectAsync("127.0.0.1", bench.port, 1, timeout=0.3)
                for position in ib.positions()[:3]:
                    position.contract.exchange = "SMART"
                    ib.reqMktData(position.contract)
                    ib.placeOrder(position.contract, LimitOrder("BUY", 1, 0.05, tif="DAY"))
            await bench.step(900)
            ib.disconnect()
            await until(lambda: not bench.gateway.connections)
    code = await in_thread(main, ["check", str(path)])
    out = capsys.readouterr().out
    assert code == 0, out
    assert int(re.fullmatch(r"identical: ([\d,]+) messages\n", out)[1].replace(",", "")) > 1000
