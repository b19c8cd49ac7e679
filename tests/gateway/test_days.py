"""Plans of faults: where a mistake in one stands, when each fault happens, and that the shipped ones do."""

import asyncio
import logging
from datetime import datetime

import pytest
from ib_async import IB, LimitOrder

from broker.gateway import main
from broker.gateway.days import SHIPPED, read_day
from broker.gateway.errors import GatewayError
from options import NEW_YORK

MORNING = ("--market", "script", "--start", "2026-03-02T09:30:00-05:00")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("fault: drop\n", "line 1, column 1: a plan is a list"),
        ("- drop\n", "line 1, column 3: an entry needs"),
        ("- fault: drop\n", "line 1, column 3: an entry needs one of `at:` and `after_s:`"),
        ("- at: 10:00\n  after_s: 5\n  fault: drop\n", "line 1, column 3: an entry needs one of"),
        (
            "- at: 10:00\n  fault: drop\n- at: 25:00\n  fault: drop\n",
            "line 3, column 3: at: 25:00 is no time",
        ),
        ("- at: 10\n  fault: drop\n", "line 1, column 3: at: 10 is no time of day: write it like 10:05"),
        ("- after_s: soon\n  fault: drop\n", "line 1, column 3: after_s: soon is no number of seconds"),
        ("- after_s: -1\n  fault: drop\n", "line 1, column 3: after_s: -1 is no number of seconds"),
        ("- at: 10:00\n  fault: dorp\n", "line 2, column 3: no fault 'dorp': did you mean drop?"),
        (
            "- at: 10:00\n  fault: drop\n  how: soft\n",
            "line 3, column 3: fault drop: parameter how is 'soft'",
        ),
        ("- at: 10:00\n  fault: drop\n  hwo: fin\n", "line 3, column 3: fault drop has no parameter 'hwo'"),
        ("- at: 10:00\n  fault: lines\n", "line 2, column 3: fault lines: parameter count is missing"),
        ("- at: [10\n", "line 2, column 1: not YAML"),
        ("- at: 10:00\n  at: 11:00\n  fault: drop\n", "line 2, column 3: not YAML: "),
    ],
)
def test_a_mistake_in_a_plan_is_told_with_its_line_and_column(tmp_path, text, complaint):
    path = tmp_path / "plan.yaml"
    path.write_text(text)
    with pytest.raises(GatewayError) as refused:
        read_day(path)
    assert str(refused.value).startswith(f"{path}, {complaint}")


def test_a_plan_that_is_not_there_is_told_with_those_that_are(tmp_path):
    with pytest.raises(GatewayError, match=r"no\.yaml cannot be read .* a_day_in_the_life"):
        read_day(tmp_path / "no.yaml")


@pytest.mark.parametrize(
    ("when", "start", "moment"),
    [
        ("at: 10:05", "2026-03-02T10:00:00", "2026-03-02T10:05:00"),
        ("at: 10:05:30", "2026-03-02T10:05:30", "2026-03-03T10:05:30"),
        ("at: 09:00", "2026-03-02T10:00:00", "2026-03-03T09:00:00"),
        ("at: 10:05", "2026-03-07T11:00:00", "2026-03-08T10:05:00"),
        ("after_s: 90.5", "2026-03-02T10:00:00", "2026-03-02T10:01:30.500000"),
    ],
)
def test_a_time_of_day_is_the_next_one_in_new_york_also_over_a_change_of_the_clocks(
    tmp_path, when, start, moment
):
    path = tmp_path / "plan.yaml"
    path.write_text(f"- {when}\n  fault: drop\n")
    (entry,) = read_day(path)
    found = entry.moment(datetime.fromisoformat(start).replace(tzinfo=NEW_YORK))
    assert found == datetime.fromisoformat(moment).replace(tzinfo=NEW_YORK)


async def test_a_plan_happens_at_its_times_and_goes_on_after_what_cannot_be(
    tmp_path, open_bench, connect, until
):
    path = tmp_path / "plan.yaml"
    path.write_text(
        "- at: 09:40\n  fault: lines\n  count: 3\n  seconds: 60\n"
        "- at: 09:41\n  fault: wrong_cost\n  con_id: 1\n  by_usd: 2\n"
        "- after_s: 720\n  fault: drop\n"
    )
    async with open_bench(*MORNING, "--faults", str(path)) as bench, connect(bench) as ib:
        await bench.step(600)
        assert bench.gateway.data.most_lines == 3
        await bench.step(60)
        assert bench.gateway.data.most_lines == 100
        await bench.step(59)
        assert ib.isConnected()
        await bench.step(1)
        await until(lambda: not ib.isConnected())


async def back(ib: IB, port: int) -> bool:
    """Whether the client is connected, if need be by one more try."""
    if not ib.isConnected():
        try:
            await ib.connectAsync("127.0.0.1", port, 1, timeout=0.5)
        except (TimeoutError, ConnectionError):
            return False
    return True


@pytest.mark.parametrize("name", SHIPPED)
async def test_a_shipped_day_happens_to_its_end_and_the_account_is_whole(name, open_bench, until, caplog):
    caplog.set_level(logging.INFO, logger="gateway")
    entries = read_day(SHIPPED[name])
    async with open_bench(*MORNING, "--faults", name) as bench:
        legs = await bench.list_condor()
        ib, gone = IB(), []
        ib.disconnectedEvent += lambda: gone.append(True)
        assert await back(ib, bench.port)
        ib.placeOrder(legs["P90"], LimitOrder("BUY", 1, 0.10, tif="GTC", orderRef="lives"))
        await ib.reqCurrentTimeAsync()
        start = bench.gateway.clock.now
        for moment in sorted({entry.moment(start) for entry in entries}):
            await bench.step((moment - bench.gateway.clock.now).total_seconds())
            await until(lambda: ib.isConnected() == bool(bench.gateway.sessions))
            if not await back(ib, bench.port):
                await bench.step(120)
                assert await back(ib, bench.port)
        await bench.step(7200)
        assert (await bench.tell("faults"))["active"] == []
        assert len(gone) == sum(entry.name in ("drop", "restart") for entry in entries)
        said = [record.getMessage() for record in caplog.records if record.name == "gateway"]
        assert all(any(text.startswith(f"fault {entry.name} ") for text in said) for entry in entries)
        assert not [text for text in said if "goes on without" in text]
        assert [trade.order.orderRef for trade in await ib.reqAllOpenOrdersAsync()] == ["lives"]
        assert bench.gateway.exchange.account.cash_usd == bench.gateway.exchange.account.deposit_usd
        ib.disconnect()


async def test_a_recorded_bad_day_is_said_again_byte_for_byte(tmp_path, open_bench, until):
    record = tmp_path / "day.rec"
    async with open_bench("--seed", "3", "--faults", "a_day_in_the_life", "--record", str(record)) as bench:
        ib = IB()
        await bench.tell("fault", name="torn")
        connecting = asyncio.ensure_future(ib.connectAsync("127.0.0.1", bench.port, 1, timeout=20))
        while not connecting.done():
            await bench.step(0.05)
        held = ib.positions()[0].contract
        held.exchange = "SMART"
        ib.reqMktData(held)
        await bench.tell("fault", name="delay", delay_s=2)
        await bench.step(10)
        await bench.tell("heal")
        await bench.step(3600)
        ib.disconnect()
        await until(lambda: not bench.gateway.sessions)
    assert await asyncio.to_thread(main, ["check", str(record)]) == 0
