"""What trips the breaker, at its limits, with everything unknown, and over time."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from daemon.settings import BreakerSettings
from daemon.tripwires import Closing, Readings, Standing, begun, conditions, facts_of, looked
from rules.breaker import Event

T = datetime(2026, 3, 2, 15, tzinfo=UTC)
LIMITS = BreakerSettings()
CALM = Readings(T, 100_000.0, 100_000.0, 900.0, 900.0, 0.02, 0.0, 0.0, 0.0)


def lost(usd: float | None, hours_ago: float = 1) -> Closing:
    return Closing(T - timedelta(hours=hours_ago), usd)


def seen(event: Event, limits: BreakerSettings = LIMITS, **changes: Any) -> bool | None:
    return conditions(replace(CALM, **changes), limits)[event].holds


def test_on_a_calm_day_every_condition_is_known_not_to_hold() -> None:
    found = conditions(CALM, LIMITS)
    assert found.keys() == {*Event} - {
        *(Event.FLAT, Event.TIMER_ELAPSED, Event.HUMAN_HALT, Event.HUMAN_FREEZE, Event.HUMAN_RESET)
    }
    assert {condition.holds for condition in found.values()} == {False}


AT_LIMIT: list[tuple[Event, dict[str, Any], dict[str, Any]]] = [
    (Event.DAILY_LOSS, {"nlv_usd": 97_000.0}, {"nlv_usd": 97_001.0}),
    (Event.FLATTEN, {"nlv_usd": 94_000.0}, {"nlv_usd": 94_001.0}),
    (Event.VIX_SHOCK, {"vix_change": 0.4}, {"vix_change": 0.399}),
    (Event.LOSSES_IN_WINDOW, {"closings": (lost(-1),) * 4}, {"closings": (lost(-1),) * 3 + (lost(0),)}),
    (Event.BROKER_DOWN, {"down_s": 300.0}, {"down_s": 299.0}),
    (Event.DATA_STALE, {"stale_share": 0.5, "stale_s": 300.0}, {"stale_share": 0.5, "stale_s": 299.0}),
    (Event.REJECT_BURST, {"rejections": (T,) * 3}, {"rejections": (T,) * 2}),
    (Event.RECONCILE_BREAK, {"unresolved": ("1 short, not covered: X",)}, {"unresolved": ()}),
]


@pytest.mark.parametrize(("event", "at", "below"), AT_LIMIT, ids=[case[0].value for case in AT_LIMIT])
def test_a_condition_holds_at_its_limit_and_not_below(event: Event, at: Any, below: Any) -> None:
    assert seen(event, **at) is True
    assert seen(event, **below) is False


@pytest.mark.parametrize(
    ("event", "unknown"),
    [
        (Event.DAILY_LOSS, {"nlv_usd": None}),
        (Event.DAILY_LOSS, {"day_start_nlv_usd": None}),
        (Event.DAILY_LOSS, {"day_start_nlv_usd": 0.0}),
        (Event.FLATTEN, {"nlv_usd": None}),
        (Event.VIX_SHOCK, {"vix_change": None}),
        (Event.DATA_STALE, {"stale_share": None, "stale_s": 900.0}),
        (Event.LOSSES_IN_WINDOW, {"closings": (lost(-1), lost(-1), lost(None), lost(None))}),
    ],
)
def test_what_is_unknown_neither_holds_nor_is_fine(event: Event, unknown: dict[str, Any]) -> None:
    assert seen(event, **unknown) is None


def test_a_loss_must_last_because_one_wrong_figure_must_not_close_a_book() -> None:
    assert seen(Event.FLATTEN, nlv_usd=90_000.0, flatten_s=239.0) is False
    assert seen(Event.FLATTEN, nlv_usd=90_000.0, flatten_s=240.0) is True
    assert seen(Event.DAILY_LOSS, nlv_usd=90_000.0, loss_s=239.0) is False


def test_an_unknown_result_does_not_hide_losses_that_are_enough() -> None:
    assert seen(Event.LOSSES_IN_WINDOW, closings=(lost(-1),) * 4 + (lost(None),)) is True
    assert seen(Event.LOSSES_IN_WINDOW, closings=(lost(-1), lost(None), lost(50), lost(50))) is False


def test_what_is_out_of_its_window_no_longer_counts() -> None:
    assert seen(Event.LOSSES_IN_WINDOW, closings=(lost(-1),) * 3 + (lost(-1, 24.1),)) is False
    old = T - timedelta(minutes=10, seconds=1)
    assert seen(Event.REJECT_BURST, rejections=(T, T, old)) is False


def test_a_limit_of_zero_switches_its_condition_off() -> None:
    off = BreakerSettings(daily_loss=0, daily_loss_flatten=0, vix_rise=0, losses=0, broker_down_s=0,
                          stale_share=0, rejects=0, reconcile=False)  # fmt: skip
    assert conditions(replace(CALM, nlv_usd=None), off) == {}


def test_only_trips_can_be_set_to_flatten() -> None:
    assert BreakerSettings(flatten_on=("vix_shock",)).flatten_on == (Event.VIX_SHOCK,)
    with pytest.raises(ValidationError, match="human_reset is no condition that trips"):
        BreakerSettings(flatten_on=("human_reset",))


# --- over time -----------------------------------------------------------------------------------


def look(standing: Standing, second: float, **changes: Any) -> Standing:
    now = T + timedelta(seconds=second)
    return looked(standing, conditions(replace(CALM, time=now, **changes), LIMITS), 60.0, now)


def test_a_condition_begins_once_and_ends_after_it_was_calm_for_a_while() -> None:
    first = look(Standing(), 0, vix_change=0.5)
    assert begun(Standing(), first) == [Event.VIX_SHOCK]
    flicker = look(first, 1, vix_change=0.39)
    again = look(flicker, 2, vix_change=0.41)
    assert begun(flicker, again) == [], "a flicker about the limit is one event"
    calm = look(again, 3)
    assert look(calm, 62).events == {Event.VIX_SHOCK}
    over = look(calm, 63)
    assert over.events == frozenset()
    assert begun(over, look(over, 64, vix_change=0.5)) == [Event.VIX_SHOCK]


def test_what_is_unknown_neither_begins_nor_ends_a_condition() -> None:
    unknown = look(Standing(), 0, vix_change=None)
    assert unknown.events == frozenset()
    stands = look(unknown, 1, vix_change=0.5)
    calm = look(stands, 2)
    lost_sight = look(calm, 30, vix_change=None)
    assert look(lost_sight, 500, vix_change=None).events == {Event.VIX_SHOCK}
    assert look(look(lost_sight, 500), 559).events == {Event.VIX_SHOCK}, "calm is counted anew"


def test_how_long_something_is_unknown_is_counted() -> None:
    unknown = look(Standing(), 0, nlv_usd=None)
    later = look(unknown, 299, nlv_usd=None)
    assert later.unknown(T + timedelta(seconds=299), 300) == ()
    assert set(later.unknown(T + timedelta(seconds=300), 300)) == {Event.DAILY_LOSS, Event.FLATTEN}
    assert look(later, 301).unknown(T + timedelta(seconds=900), 300) == ()


def test_the_facts_of_an_entry_name_values_limits_and_what_stands() -> None:
    found = conditions(replace(CALM, vix_change=0.5), LIMITS)
    facts = facts_of(found.values(), looked(Standing(), found, 60, T))
    assert facts["standing"] == ["vix_shock"]
    assert facts["conditions"]["vix_shock"] == {
        "holds": True, "value": 0.5, "limit": 0.4, "text": "VIX +50.0% since its close",
    }  # fmt: skip
