"""Blackouts: which moments they cover, how they are written, and what still passes."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.events import OrderState
from options import NEW_YORK, GateRefusal
from tests.broker.bench import Bench
from tests.trading.test_desk import NOON, follow, held_put, planned, quotes, verdict
from trading.blackout import Blackout, blackout_at, read_blackout
from trading.desk import Desk
from trading.intent import IntentState

NIGHTLY = read_blackout("23:40-01:45")
WEEKEND = read_blackout("Fri 22:55-Sat 03:00")
MONDAY = datetime(2026, 3, 2, tzinfo=NEW_YORK)


def at(day: int, time: str) -> datetime:
    """A moment of that week, Monday being 0."""
    hour, minute = map(int, time.split(":"))
    return (MONDAY + timedelta(days=day)).replace(hour=hour, minute=minute).astimezone(UTC)


@pytest.mark.parametrize(
    ("blackout", "day", "time", "covered"),
    [
        (NIGHTLY, 0, "23:39", False),
        (NIGHTLY, 0, "23:40", True),
        (NIGHTLY, 6, "23:59", True),
        (NIGHTLY, 0, "00:00", True),
        (NIGHTLY, 3, "01:44", True),
        (NIGHTLY, 3, "01:45", False),
        (NIGHTLY, 3, "12:00", False),
        (WEEKEND, 4, "22:54", False),
        (WEEKEND, 4, "22:55", True),
        (WEEKEND, 5, "02:59", True),
        (WEEKEND, 5, "03:00", False),
        (WEEKEND, 3, "23:30", False),
        (read_blackout("Sun 23:00-Mon 01:00"), 0, "00:30", True),
        (read_blackout("09:30-16:00"), 2, "12:00", True),
    ],
)
def test_a_blackout_covers_its_time_in_new_york(
    blackout: Blackout, day: int, time: str, covered: bool
) -> None:
    assert blackout.covers(at(day, time)) is covered


@pytest.mark.parametrize("month", [3, 11])
def test_the_clock_change_moves_no_blackout(month: int) -> None:
    for day in range(1, 15):
        restart = datetime(2026, month, day, 23, 45, tzinfo=NEW_YORK).astimezone(UTC)
        assert blackout_at([NIGHTLY, WEEKEND], restart) == "23:40-01:45 New York"
        assert blackout_at([NIGHTLY, WEEKEND], restart - timedelta(hours=8)) == ""


@given(st.integers(0, 6), st.times(), st.integers(0, 6), st.times())
def test_what_is_written_is_what_is_covered(day: int, start: object, to: int, end: object) -> None:
    days = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
    first, last = (day, f"{start:%H:%M}"), (to, f"{end:%H:%M}")
    if first == last:
        return
    blackout = read_blackout(f"{days[day]} {start:%H:%M}-{days[to]} {end:%H:%M}")
    assert blackout.covers(at(*first))
    assert not blackout.covers(at(*last))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "midnight",
        "23:40",
        "24:00-01:00",
        "23:60-01:00",
        "Fri 23:00-03:00",
        "Foo 01:00-Bar 02:00",
        "01:00-01:00",
    ],
)
def test_other_words_are_refused_with_what_to_write(text: str) -> None:
    with pytest.raises(ValueError, match=r"write|ever"):
        read_blackout(text)


@pytest.mark.row("nightly-restart")
async def test_in_a_blackout_no_order_is_planned(bench: Bench) -> None:
    desk = Desk(bench.broker, [read_blackout("11:00-13:00")])
    _, leg = await held_put(bench)
    held = {leg.contract.con_id: leg.quantity}
    with pytest.raises(GateRefusal, match="blackout: 11:00-13:00 New York"):
        desk.plan(verdict(), "dec-1", [leg], 2, held, quotes, NOON)
    after = NOON + timedelta(hours=2)
    assert desk.plan(verdict(), "dec-1", [leg], 2, held, quotes, after).quantity == 2


@pytest.mark.row("nightly-restart")
async def test_in_a_blackout_limits_stay_and_cancels_pass(bench: Bench) -> None:
    desk = Desk(bench.broker, [read_blackout("12:05-13:00")])
    _, leg = await held_put(bench)
    await bench.fault("hold_fills")
    intent = planned(desk, leg)
    assert desk.send(intent, NOON) is None
    await follow(bench, desk, OrderState.WORKING)
    sent = bench.broker.frames_sent
    desk.step(quotes, NOON + timedelta(minutes=6))
    assert bench.broker.frames_sent == sent
    desk.cancel_all("halted")
    await follow(bench, desk, OrderState.CANCELLED)
    assert desk.open_intents == ()
    assert [each.state for each in desk.take_changes()][-1] is IntentState.CANCELLED
