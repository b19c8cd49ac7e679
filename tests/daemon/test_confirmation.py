"""A rule that looks at modelled prices does not act: its legs get lines, and it is decided on live quotes."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from daemon.judge import UNCONFIRMED
from daemon.wanted_lines import wanted_at_once
from lake import LakeReader
from options import ConId, Contract, SecType
from sync.confirmation import LASTS
from sync.line_budget import LinePriority
from tests.daemon.test_decision_replay import STORIES, Beat, Day
from trading.combo import closing_legs
from trading.intent import Intent, IntentKind, IntentState
from trading.price_walk import Urgency

STOCK = Contract(ConId(77), "XYZ", SecType.STOCK)
STORY = next(story for story in STORIES if story.rule == "stop_loss")
RULE = """version: 1
rules:
  - id: {id}
    priority: 1
    when: {when}
    do: {{close: market}}
    urgency: immediate
"""
FALL = 0.94
"""What the share falls to, as a part of its price: the condor's puts are deep in the money then."""


@pytest.fixture
def day(tmp_path: Path) -> Iterator[Day]:
    """A condor whose legs were quoted live for a beat, and whose underlying is quoted on every beat."""
    made = Day(tmp_path / "home")
    made.rules.write_text(RULE.format(id="stop", when="profit <= -20%"))
    made.state.board.watch("XYZ", STOCK.con_id)
    made.state.contracts[STOCK.con_id] = STOCK
    made.hold(STORY)
    made.known.append((STOCK, 10_000.0))
    made.beat(Beat(), after_s=1)
    yield made
    made.lake.close()


def legs(day: Day) -> set[ConId]:
    return {contract.con_id for contract, _ in day.known if contract.sec_type is SecType.OPTION}


def share_alone(day: Day, at: float, after_s: float = 1) -> None:
    """A beat on which no leg has a line."""
    day.state.board.release(legs(day))
    known = day.known
    day.known = [each for each in known if each[0] is STOCK]
    day.beat(Beat(worth=at), after_s=after_s)
    day.known = known


def all_live(day: Day, worth: float, share: float) -> None:
    """A beat on which the legs have lines too, at that share of their costs."""
    day.known[-1] = (STOCK, 10_000.0 * share / worth)
    day.beat(Beat(worth=worth), after_s=1)
    day.known[-1] = (STOCK, 10_000.0)


def decisions(day: Day) -> list[tuple[str, str]]:
    rows = LakeReader.open(day.home).table("decisions").sort("seq").collect()
    return [(row["kind"], row["reason"] or "") for row in rows.iter_rows(named=True)]


def asked_for(day: Day) -> set[ConId]:
    wanted = wanted_at_once(day.state, 0, day.now)
    return {want.con_id for want in wanted if want.priority is LinePriority.WORKING_ORDER}


def test_a_rule_that_fires_on_modelled_prices_asks_for_lines_and_says_so_once(day: Day) -> None:
    for _ in range(4):
        share_alone(day, FALL)
    assert day.engine.picture is not None
    assert day.engine.picture.facts["quote_state"].to_list() == ["modelled"]
    assert decisions(day) == [("veto", UNCONFIRMED)]
    assert asked_for(day) == legs(day)
    assert day.state.desk.open_intents == ()


def test_it_acts_as_soon_as_live_quotes_say_the_same(day: Day) -> None:
    share_alone(day, FALL)
    for _ in range(8):  # a quote far from the model must stand for some seconds
        all_live(day, worth=1.5, share=FALL)
    assert decisions(day)[:2] == [("veto", UNCONFIRMED), ("decision", "")]


def test_it_does_not_act_when_live_quotes_say_otherwise(day: Day) -> None:
    share_alone(day, FALL)
    all_live(day, worth=1.0, share=1.0)
    assert decisions(day) == [("veto", UNCONFIRMED)]
    share_alone(day, 1.0, after_s=LASTS.total_seconds())
    assert asked_for(day) == set(), "nobody asks for these lines any more"


def test_the_next_time_is_told_again(day: Day) -> None:
    share_alone(day, FALL)
    share_alone(day, 1.0, after_s=60)
    share_alone(day, FALL, after_s=60)
    share_alone(day, FALL)
    assert decisions(day) == [("veto", UNCONFIRMED)] * 2


def test_what_a_calendar_decides_needs_no_confirmation(day: Day) -> None:
    day.rules.write_text(RULE.format(id="time", when="dte <= 60d"))
    share_alone(day, 1.0)
    share_alone(day, 1.0)
    assert ("decision", "") in decisions(day)


def test_a_position_without_live_quotes_that_must_be_closed_gets_lines_too(day: Day) -> None:
    """Whatever the reason: without quotes its order could not be priced."""
    day.rules.write_text(RULE.format(id="time", when="dte <= 60d").replace("market", "mid"))
    share_alone(day, 1.0)
    share_alone(day, 1.0)
    assert asked_for(day) == legs(day)
    assert decisions(day)[-1][0] == "veto"


def at_work(day: Day) -> Intent:
    """An order of a lower rule that closes the position."""
    (position,) = day.state.positions.positions
    intent = Intent(
        intent="opt-1",
        decision="dec-1",
        position=position.id,
        rule="take_profit",
        priority=7,
        kind=IntentKind.CLOSE,
        state=IntentState.WORKING,
        legs=closing_legs(position.legs, position.lots),
        quantity=position.lots,
        limit_price=1.0,
        urgency=Urgency.NORMAL,
        created=day.now,
    )
    held = day.state.positions.held
    intent = replace(intent, held=tuple(held[leg.contract.con_id] for leg in intent.legs))
    day.state.desk.restore([intent], day.now)
    return intent


def test_no_order_at_work_is_cancelled_for_what_modelled_prices_say(
    day: Day, monkeypatch: pytest.MonkeyPatch
) -> None:
    cancelled: list[str] = []
    monkeypatch.setattr(day.state.broker, "cancel", lambda ref: cancelled.append(ref) or True)
    intent = at_work(day)
    for _ in range(4):
        share_alone(day, FALL)
    assert cancelled == []
    assert asked_for(day) == legs(day)
    for _ in range(8):
        all_live(day, worth=1.5, share=FALL)
    assert cancelled == [intent.intent]


def alerts(day: Day) -> list[str]:
    return LakeReader.open(day.home).table("alerts").collect()["kind"].to_list()


def test_a_decision_that_waits_for_live_quotes_for_long_is_told(day: Day) -> None:
    """A leg may never be quoted on both sides: then somebody has to look."""
    for _ in range(13):
        share_alone(day, FALL, after_s=5)
    assert alerts(day).count("unconfirmed") == 1
    all_live(day, worth=1.0, share=1.0)
    for _ in range(10):
        share_alone(day, FALL, after_s=5)
    assert alerts(day).count("unconfirmed") == 1, "it was live, and waits anew"
    for _ in range(3):
        share_alone(day, FALL, after_s=5)
    assert alerts(day).count("unconfirmed") == 2
