"""Gates show every reason, let no unknown pass, and never trap a position."""

from dataclasses import replace
from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.protocol import ComboLeg
from options import ConId, Contract, GateRefusal, Leg, Right, SecType, UsdPerContract
from trading.gates import OpeningFacts, closing_checks, hours_check, opening_checks, refuse_unless_passed
from trading.intent import Intent, IntentKind, IntentState
from trading.price_walk import Urgency

NOON = datetime(2026, 2, 3, 17, tzinfo=UTC)
PUT_LONG = Contract(ConId(1), "IWM", SecType.OPTION, date(2026, 3, 20), 235, Right.PUT, 100)
PUT_SHORT = Contract(ConId(2), "IWM", SecType.OPTION, date(2026, 3, 20), 245, Right.PUT, 100)


def intent(kind: IntentKind, legs: tuple[ComboLeg, ...], quantity: int = 2) -> Intent:
    now = datetime(2026, 2, 3, 17, tzinfo=UTC)
    return Intent(
        "opt-1", "dec-1", "IWM-1", "take_profit", 7, kind, IntentState.INTENDED,
        legs, quantity, 1.0, Urgency.NORMAL, now, tuple(0 for _ in legs),
    )  # fmt: skip


CLOSE = intent(IntentKind.CLOSE, (ComboLeg(PUT_LONG, -1), ComboLeg(PUT_SHORT, 1)))
OPEN = intent(IntentKind.OPEN, (ComboLeg(PUT_LONG, 1), ComboLeg(PUT_SHORT, -1)))
HEALTHY = OpeningFacts((), 100_000.0, -100.0, 80_000.0, 2_000.0, 1_500.0, quotes_live=True)


def failed(facts: OpeningFacts, what: Intent = OPEN) -> set[str]:
    return {check.name for check in opening_checks(what, facts, NOON) if not check.passed}


def test_a_healthy_opening_passes_every_gate() -> None:
    assert failed(HEALTHY) == set()


def test_closing_what_is_held_passes_and_turning_it_over_does_not() -> None:
    held = {ConId(1): 2, ConId(2): -2}
    refuse_unless_passed(closing_checks(CLOSE, held, NOON))
    with pytest.raises(GateRefusal, match="245 P"):
        refuse_unless_passed(closing_checks(CLOSE, {ConId(1): 2, ConId(2): -1}, NOON))
    with pytest.raises(GateRefusal, match="235 P"):
        refuse_unless_passed(closing_checks(CLOSE, {ConId(2): -2}, NOON))


@pytest.mark.parametrize(
    ("change", "gate"),
    [
        ({"breaker": "tripped"}, "breaker"),
        ({"lake": "the disk is nearly full"}, "lake"),
        ({"blackout": "23:40-01:45 New York"}, "blackout"),
        ({"connection": "on trial after a storm of reconnects"}, "connection"),
        ({"quotes_live": False}, "quotes"),
        ({"max_loss_usd": 5_001.0}, "max_loss"),
        ({"day_pnl_usd": -3_001.0}, "daily_loss"),
        ({"margin_change_usd": 60_001.0}, "free_margin"),
    ],
)
def test_each_hard_gate_refuses_just_beyond_its_limit(change: dict[str, object], gate: str) -> None:
    assert failed(replace(HEALTHY, **change)) == {gate}


@given(
    st.sampled_from(["nlv_usd", "day_pnl_usd", "available_funds_usd", "margin_change_usd", "max_loss_usd"])
)
def test_an_unknown_figure_never_passes(name: str) -> None:
    assert failed(replace(HEALTHY, **{name: None}))


def test_a_short_without_its_wing_is_naked_and_more_than_ten_contracts_need_a_human() -> None:
    naked = intent(IntentKind.OPEN, (ComboLeg(PUT_SHORT, -1),))
    assert "naked_short" in failed(HEALTHY, naked)
    assert failed(HEALTHY, intent(IntentKind.OPEN, OPEN.legs, quantity=6)) == {"human"}


def test_a_short_that_was_naked_before_does_not_block_an_unrelated_opening() -> None:
    other = Leg(replace(PUT_SHORT, con_id=ConId(7), symbol="SPY"), -1, UsdPerContract(50.0))
    assert failed(replace(HEALTHY, holdings=(other,))) == set()


def test_a_refusal_names_every_failed_gate_with_value_and_limit() -> None:
    with pytest.raises(GateRefusal) as refusal:
        refuse_unless_passed(
            opening_checks(OPEN, replace(HEALTHY, breaker="halted by me", max_loss_usd=None), NOON)
        )
    assert "breaker: halted by me (limit armed)" in str(refusal.value)
    assert "max_loss: unknown (limit at most 5% of NLV)" in str(refusal.value)


def test_what_is_refused_overnight_is_refused_in_the_same_words_till_the_opening() -> None:
    """A veto is recorded when it says something new: the time of day is none."""
    evening, morning = datetime(2026, 2, 6, 21, 0, tzinfo=UTC), datetime(2026, 2, 9, 14, 29, tzinfo=UTC)
    first, last = (hours_check(moment) for moment in (evening, morning))
    assert str(first) == str(last)
    assert "closed until Mon 09:30" in str(first)
    assert str(hours_check(datetime(2026, 2, 9, 21, 0, tzinfo=UTC))) != str(first), "another night is news"


@pytest.mark.parametrize(
    "moment",
    [
        datetime(2026, 2, 3, 14, 29, tzinfo=UTC),
        datetime(2026, 2, 3, 21, 0, tzinfo=UTC),
        datetime(2026, 2, 7, 17, 0, tzinfo=UTC),
    ],
)
def test_nothing_is_sent_overnight_or_at_the_weekend(moment: datetime) -> None:
    held = {ConId(1): 2, ConId(2): -2}
    assert [c.name for c in closing_checks(CLOSE, held, moment) if not c.passed] == ["hours"]
    assert [c.name for c in opening_checks(OPEN, HEALTHY, moment) if not c.passed] == ["hours"]
