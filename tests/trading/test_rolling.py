"""A roll between its halves: nothing that can be opened is lost because of another that cannot."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

from broker.protocol import ComboLeg
from tests.broker.bench import Bench
from trading.combo import ComboQuote
from trading.intent import Intent, IntentKind, IntentState
from trading.price_walk import Urgency
from trading.rolling import QUOTED_WITHIN, Roller

NOON = datetime(2026, 3, 2, 17, tzinfo=UTC)


def quoted(legs: Sequence[ComboLeg]) -> ComboQuote | None:
    return ComboQuote(0.90, 1.10, 0.01)


def unquoted(legs: Sequence[ComboLeg]) -> ComboQuote | None:
    return None


async def closed(bench: Bench, strike: float) -> Intent:
    """A settled close of a put that is also listed a month later."""
    put = await bench.list_put(strike, 0.90, 1.10)
    terms = {"symbol": "IWM", "expiry": date(2026, 4, 17).isoformat(), "strike": strike, "right": "P"}
    await bench.ask("contract", **terms)
    return Intent(
        f"opt-{strike}", f"dec-{strike}", f"P-{strike}", "dte_roll", 11,
        IntentKind.CLOSE, IntentState.SETTLED,
        (ComboLeg(put, 1),), 1, 1.0, Urgency.NORMAL, NOON, (-1,), "", 1.0, 45,
    )  # fmt: skip


async def test_a_roll_that_is_ready_is_not_lost_when_the_broker_does_not_answer_for_the_next(
    bench: Bench,
) -> None:
    roller = Roller(bench.broker)
    first, second = await closed(bench, 245), await closed(bench, 240)
    roller.begin(first, NOON)
    assert await roller.advance(unquoted, NOON) == ([], [])
    roller.begin(second, NOON)
    await bench.fault("refuse_connections", seconds=3600)
    await bench.fault("drop")
    await bench.until(object, lambda _: bench.broker.link != "up")
    ready, given_up = await roller.advance(quoted, NOON)
    assert ([roll.closed for roll in ready], given_up) == ([first], [])
    assert not roller.is_idle, "the other one is asked for again"

    ready, given_up = await roller.advance(quoted, NOON + QUOTED_WITHIN + timedelta(seconds=1))
    assert ready == []
    assert [roll for roll, _ in given_up] == [second], "and not for ever"
    assert roller.is_idle
