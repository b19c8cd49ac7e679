"""The breaker at work in a real engine with a real lake: what it posts, records, allows, and takes up."""

import asyncio
import io
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import rules
from broker.events import LinkState
from broker.interactive_brokers import InteractiveBrokers
from broker.protocol import ComboLeg
from daemon.account_state import AccountState
from daemon.console import Console
from daemon.engine import Engine
from daemon.judge import Picture
from daemon.metrics import Metrics
from daemon.opening_facts import why_closed
from daemon.records import Records
from daemon.restore import journal_of, restore
from daemon.rules_file import RulesFile
from daemon.rules_standing import Standing
from daemon.settings import BreakerSettings, SyncSettings
from daemon.statechart import Statechart
from lake import Lake, LakeReader
from options import ConId, Contract, Leg, Right, SecType, UsdPerContract
from rules.breaker import EVENTS, Event, Mode, after
from sync.line_budget import LineBudget
from sync.quote_board import QuoteBoard
from sync.reconciliation import Difference, DifferenceKind
from sync.tables import LAKE_TABLES
from tests.daemon.test_decision_replay import Day, Story
from trading.breaker import Breaker
from trading.desk import Desk
from trading.intent import Intent, IntentKind, IntentState
from trading.price_walk import Urgency
from trading.rolling import Roller

T = datetime(2026, 3, 2, 15, tzinfo=UTC)
NAKED = ("1 short, not covered: XYZ 95 P",)
ONLY_BOOKS = BreakerSettings(
    daily_loss=0, daily_loss_flatten=0, vix_rise=0, losses=0, broker_down_s=0, stale_share=0, rejects=0
)
"""One condition alone, which a test can switch by hand: the books do not agree."""


class Still:
    def now(self) -> datetime:
        return T


class Desktop:
    """One daemon's life on a home: everything but its gateway."""

    def __init__(self, home: Path, lake: Lake, settings: BreakerSettings, statechart: Statechart) -> None:
        self.said = io.StringIO()
        self.lake, self.home, self.metrics = lake, home, Metrics()
        broker = InteractiveBrokers("127.0.0.1", 1, 1, Still())
        self.state = AccountState(broker, QuoteBoard(), LineBudget(90), Desk(broker), Roller(broker))
        file = RulesFile(rules.default_rules_path())
        parts = lake, self.state, Standing(file.read()), file, Records(LAKE_TABLES), SyncSettings()
        self.engine = Engine(*parts, Console(self.said), self.metrics, pl.LazyFrame, limits=settings)
        self.asked = 0
        self.engine.breaker.statechart = statechart
        opinion = statechart.opinion

        def counted(*question: Any) -> Any:
            self.asked += 1
            return opinion(*question)

        statechart.opinion = counted  # type: ignore[method-assign]

    async def look(self, second: float) -> Mode:
        now = T + timedelta(seconds=second)
        await self.engine.breaker.look(self.engine.picture, now)
        frames = self.engine.records.take()
        if frames:
            self.lake.commit(now, frames)
        return self.state.breaker.mode

    async def say(self, event: Event, second: float) -> Mode:
        await self.engine.brake(event, "by hand", "me", T + timedelta(seconds=second))
        return self.state.breaker.mode

    def rows(self, table: str) -> pl.DataFrame:
        return LakeReader.open(self.home).table(table).sort("seq", maintain_order=True).collect()

    def figure(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(f"optiond_breaker_{name}", labels)


def chart(folder: Path, program: str) -> Statechart:
    path = folder / "program.py"
    path.write_text(program)
    made = Statechart(program=path)
    made.is_installed = True
    return made


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Callable[..., Desktop]]:
    """Opens a home; opening it again ends the life before without a word, as a kill does."""
    lakes: list[Lake] = []

    def open_(settings: BreakerSettings = ONLY_BOOKS, statechart: Statechart | None = None) -> Desktop:
        for lake in lakes:
            lake.close()
        lakes.append(Lake.open(tmp_path / "home", LAKE_TABLES))
        return Desktop(tmp_path / "home", lakes[-1], settings, statechart or Statechart(is_wanted=False))

    yield open_
    for lake in lakes:
        lake.close()


async def test_a_condition_that_begins_trips_once_and_leaves_its_records(live: Any) -> None:
    desktop = live(statechart=Statechart())
    assert await desktop.look(0) is Mode.ARMED
    desktop.state.unresolved = NAKED
    assert await desktop.look(1) is Mode.TRIPPED
    assert await desktop.look(2) is Mode.TRIPPED
    (row,) = desktop.rows("breaker").to_dicts()
    assert (row["event"], row["before"], row["state"]) == ("reconcile_break", "armed", "tripped")
    assert (row["actor"], row["number"], row["decided"], row["doubt"]) == (
        "breaker",
        1,
        T + timedelta(seconds=1),
        "",
    )
    assert "not covered: XYZ 95 P" in row["reason"]
    assert '"standing": ["reconcile_break"]' in row["facts"]
    (decision,) = desktop.rows("decisions").to_dicts()
    assert (decision["rule"], decision["action"], decision["seq"]) == ("breaker", "tripped", row["seq"])
    (alert,) = desktop.rows("alerts").to_dicts()
    assert (alert["severity"], alert["kind"], alert["subject"]) == ("critical", "breaker", "mode")
    assert "breaker armed → tripped on reconcile_break" in desktop.said.getvalue()
    assert desktop.figure("mode", mode="tripped") == 1
    assert (desktop.figure("armed"), desktop.figure("events_total", event="reconcile_break")) == (0, 1)


async def test_while_nothing_happens_nothing_is_asked_and_nothing_written(live: Any) -> None:
    desktop = live(statechart=Statechart())
    for second in range(500):
        await desktop.look(second)
    assert (desktop.asked, desktop.rows("breaker").height, desktop.rows("alerts").height) == (0, 0, 0)


async def test_from_a_trip_over_a_reset_and_a_trial_back_to_armed(live: Any) -> None:
    desktop = live(statechart=Statechart())
    desktop.state.unresolved = NAKED
    await desktop.look(0)
    assert await desktop.say(Event.HUMAN_RESET, 10) is Mode.HALF_OPEN
    assert await desktop.look(2000) is Mode.HALF_OPEN, "it waits while a condition stands"
    assert desktop.engine.breaker.status()["waits_for"] == ["reconcile_break"]
    desktop.state.unresolved = ()
    await desktop.look(2001)
    assert await desktop.look(2060) is Mode.HALF_OPEN, "not calm for long enough"
    assert await desktop.look(2061) is Mode.ARMED
    assert desktop.rows("breaker")["state"].to_list() == ["tripped", "half_open", "armed"]
    assert desktop.engine.alerts.standing == 0


async def test_a_trial_takes_its_time_and_a_new_trip_ends_it(live: Any) -> None:
    desktop = live()
    await desktop.say(Event.HUMAN_HALT, 0)
    assert await desktop.say(Event.HUMAN_RESET, 1) is Mode.HALF_OPEN
    assert await desktop.look(900) is Mode.HALF_OPEN
    assert desktop.engine.breaker.trial_ends == T + timedelta(seconds=901)
    desktop.state.unresolved = NAKED
    assert await desktop.look(901) is Mode.TRIPPED
    assert desktop.engine.breaker.trial_ends is None


async def test_on_trial_what_is_unknown_is_not_taken_for_well(live: Any) -> None:
    desktop = live(ONLY_BOOKS.model_copy(update={"vix_rise": 0.4}))
    await desktop.say(Event.HUMAN_HALT, 0)
    await desktop.say(Event.HUMAN_RESET, 1)
    assert await desktop.look(5000) is Mode.HALF_OPEN
    await desktop.look(5300)
    (alert,) = desktop.rows("alerts").filter(pl.col("kind") == "breaker_unknown").to_dicts()
    assert alert["subject"] == "vix_shock"
    assert alert["text"] == "vix_shock cannot be watched: the VIX or its last close is unknown"
    assert desktop.engine.breaker.status()["conditions"]["vix_shock"]["holds"] is None


async def test_a_trip_that_is_set_to_close_everything_flattens_and_flat_halts(live: Any) -> None:
    desktop = live(ONLY_BOOKS.model_copy(update={"flatten_on": (Event.RECONCILE_BREAK,)}))
    desktop.state.unresolved = NAKED
    assert await desktop.look(0) is Mode.FLATTENING, "nobody knows yet what is held"
    assert await desktop.say(Event.HUMAN_RESET, 1) is Mode.FLATTENING
    desktop.state.has_picture = True
    desktop.state.positions.note_picture([])
    assert await desktop.look(2) is Mode.HALTED
    events = ["reconcile_break", "flatten", "human_reset", "flat"]
    assert desktop.rows("breaker")["event"].to_list() == events


async def test_a_link_that_is_down_counts_in_trading_hours_only(live: Any) -> None:
    desktop = live(ONLY_BOOKS.model_copy(update={"broker_down_s": 300.0}))
    desktop.state.link = LinkState.CONNECTING
    night = -12 * 3600
    assert await desktop.look(night) is Mode.ARMED
    assert await desktop.look(night + 900) is Mode.ARMED
    await desktop.look(0)
    desktop.state.link = LinkState.DOWN
    assert await desktop.look(299) is Mode.ARMED, "attempts to connect do not start the count anew"
    assert await desktop.look(300) is Mode.TRIPPED
    assert desktop.rows("breaker")["reason"].to_list() == ["no link for 300 s"]


def opening(name: str) -> Intent:
    put = Contract(ConId(1), "IWM", SecType.OPTION, T.date(), 245.0, Right.PUT, 100)
    return Intent(
        name, "dec-1", f"IWM-{name}", "dte_roll", 7, IntentKind.OPEN, IntentState.INTENDED,
        (ComboLeg(put, 1),), 1, 0.20, Urgency.NORMAL, T, (0,),
    )  # fmt: skip


async def test_on_trial_one_entry_at_a_time_and_tripped_none(live: Any) -> None:
    state = live().state
    first, second = opening("a"), opening("b")
    state.desk.open(first)
    assert why_closed(first, state, "") == ""
    assert why_closed(first, state, "portfolio_limits") == "rule portfolio_limits blocks entries"
    state.desk.open(second)
    assert why_closed(first, state, "") == "", "armed"
    state.breaker = Breaker(recorded=Mode.HALF_OPEN)
    assert why_closed(first, state, "") == "half_open: one entry at a time, IWM-b is being opened"
    state.desk.refuse(second, "one at a time", T)
    assert why_closed(first, state, "") == ""
    state.breaker = Breaker(recorded=Mode.TRIPPED, actor="breaker", reason="VIX +50%")
    assert why_closed(first, state, "") == "tripped by breaker: VIX +50%"


PUT = Contract(ConId(2), "XYZ", SecType.OPTION, T.date(), 95.0, Right.PUT, 100)
SHORT = Leg(PUT, -1, UsdPerContract(120.0))
UNCOVERED = Difference(DifferenceKind.NAKED_SHORT, PUT.label, "", "1 short, not covered", "critical alert")


def test_only_a_short_that_became_uncovered_behind_our_back_is_unresolved(live: Any) -> None:
    desktop = live()
    reconciler, state = desktop.engine.reconciler, desktop.state
    reconciler.note_unresolved([], [UNCOVERED], T)
    assert state.unresolved == (), "an account is adopted with the shorts it has"
    reconciler.note_unresolved([SHORT], [UNCOVERED], T)
    assert state.unresolved == (), "it was there before"
    long = Leg(replace(PUT, con_id=ConId(3), strike=90.0), 1, UsdPerContract(50.0))
    reconciler.note_unresolved([SHORT, long], [UNCOVERED], T)
    assert state.unresolved == (f"1 short, not covered: {PUT.label}",)
    reconciler.note_unresolved([SHORT], [UNCOVERED], T)
    assert state.unresolved == ()


def test_holdings_that_go_on_differing_are_unresolved(live: Any) -> None:
    desktop = live()
    reconciler, state = desktop.engine.reconciler, desktop.state
    other = Difference(DifferenceKind.QUANTITY, PUT.label, "-2", "-1", "resized: the broker wins")
    costs = replace(other, kind=DifferenceKind.AVERAGE_COST)
    for second, expected in ((0, 0), (59, 0), (60, 1), (61, 1)):
        reconciler.note_unresolved([SHORT], [other, costs], T + timedelta(seconds=second))
        assert len(state.unresolved) == expected
    assert state.unresolved == (f"quantity since 15:00:00 UTC: {PUT.label}",)
    reconciler.note_unresolved([SHORT], [], T + timedelta(seconds=62))
    assert state.unresolved == ()


async def test_quotes_that_stand_still_count_and_a_leg_without_a_bid_does_not(live: Any) -> None:
    desktop = live(ONLY_BOOKS.model_copy(update={"stale_share": 0.5}))
    desktop.state.link, desktop.state.has_picture = LinkState.UP, True

    async def look(second: float, *ages: float | None) -> Mode:
        facts = pl.DataFrame({"quote_age": ages}, schema={"quote_age": pl.Float64})
        now = T + timedelta(seconds=second)
        desktop.engine.picture = Picture(now, facts.with_columns(quote_state=pl.lit("missing")), facts, {})
        return await desktop.look(second)

    assert await look(0, 5.0, 119.0) is Mode.ARMED
    assert await look(400, 5.0, 119.0, 121.0) is Mode.ARMED, "one of three"
    assert await look(500, 5.0, None) is Mode.ARMED
    assert await look(799, 5.0, 130.0) is Mode.ARMED
    assert await look(800, 5.0, 130.0) is Mode.TRIPPED
    assert "50% of the positions without fresh quotes for 300 s" in desktop.state.breaker.reason
    assert (await look(801), desktop.engine.breaker.status()["conditions"]["data_stale"]["holds"]) == (
        Mode.TRIPPED,
        False,
    )


# --- the second opinion --------------------------------------------------------------------------

DIES = "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"


async def test_when_the_statechart_dies_a_trip_holds_and_a_reset_does_not(live: Any, tmp_path: Path) -> None:
    desktop = live(statechart=chart(tmp_path, DIES))
    desktop.state.unresolved = NAKED
    assert await desktop.look(0) is Mode.TRIPPED
    assert await desktop.say(Event.HUMAN_RESET, 1) is Mode.TRIPPED
    doubts = desktop.rows("alerts").filter(pl.col("subject") == "doubt")
    assert doubts["severity"].to_list() == ["critical"] * doubts.height
    assert "its process died of SIGSEGV; the stricter holds: tripped" in doubts["text"][0]
    desktop.engine.breaker.statechart = Statechart()
    assert await desktop.say(Event.HUMAN_RESET, 2) is Mode.HALF_OPEN
    found = journal_of(LakeReader.open(desktop.home))
    assert (found.breaker.mode, found.trouble) == (Mode.HALF_OPEN, "")


async def test_when_the_two_differ_the_stricter_holds_and_an_alert_goes_out(
    live: Any, tmp_path: Path
) -> None:
    desktop = live(statechart=chart(tmp_path, "print('[\"halted\"]')"))
    desktop.state.unresolved = NAKED
    assert await desktop.look(0) is Mode.HALTED
    assert desktop.rows("breaker")["doubt"].to_list() == ["the table says tripped, the statechart halted"]
    assert desktop.engine.alerts.standing == 2


async def test_a_trial_that_nobody_confirms_is_tried_again_after_its_time(live: Any, tmp_path: Path) -> None:
    desktop = live()
    await desktop.say(Event.HUMAN_HALT, 0)
    await desktop.say(Event.HUMAN_RESET, 1)
    desktop.engine.breaker.statechart = chart(tmp_path, DIES)
    for second in range(900, 905):
        assert await desktop.look(second) is Mode.HALF_OPEN
    assert desktop.rows("breaker").height == 3, "not every second"


async def test_at_the_start_the_statechart_walks_the_journal_too(live: Any, tmp_path: Path) -> None:
    first = live()
    await first.say(Event.HUMAN_HALT, 0)
    await first.say(Event.HUMAN_RESET, 1)
    for program, mode, doubt in (
        (None, Mode.HALF_OPEN, False),
        ('print(\'["halted", "halted"]\')', Mode.HALTED, True),
        (DIES, Mode.HALF_OPEN, True),
    ):
        again = live(statechart=chart(tmp_path, program) if program else Statechart())
        _, journal = restore(again.home, again.state, T)
        await again.engine.breaker.take_up(journal, T)
        assert again.state.breaker.mode is mode
        assert bool(again.engine.alerts.standing) is doubt


OLDER = ("event", "state", "actor", "reason")
"""The columns that the journal had when it knew armed, halted and frozen only."""

# --- restarts ------------------------------------------------------------------------------------


async def test_a_restart_takes_up_mode_trial_and_what_stood(live: Any) -> None:
    desktop = live()
    desktop.state.unresolved = NAKED
    await desktop.look(0)
    await desktop.say(Event.HUMAN_RESET, 100)
    again = live()
    said, journal = restore(again.home, again.state, T)
    await again.engine.breaker.take_up(journal, T)
    assert "trading half_open" in said
    again.state.unresolved = NAKED
    assert await again.look(101) is Mode.HALF_OPEN, "what stood before the reset is no news"
    assert again.engine.breaker.trial_ends == T + timedelta(seconds=1000)
    again.state.unresolved = ()
    await again.look(102)
    assert await again.look(1000) is Mode.ARMED


async def test_a_home_of_an_older_optiond_is_taken_up_and_written_on(live: Any, tmp_path: Path) -> None:
    table = LAKE_TABLES["breaker"]
    older = replace(table, columns=tuple(c for c in table.columns if c.name in OLDER))
    with Lake.open(tmp_path / "home", {**LAKE_TABLES, "breaker": older}) as lake:
        for event, state in (("human_halt", "frozen"), ("lake_stop", "frozen"), ("human_halt", "halted")):
            row = {"event": event, "state": state, "actor": "me", "reason": "lunch"}
            lake.commit(T, {"breaker": pl.DataFrame([row])})
        lake.flush()
    desktop = live()
    said, journal = restore(desktop.home, desktop.state, T)
    assert ("trading halted" in said, journal.trouble) == (True, "")
    assert await desktop.say(Event.HUMAN_RESET, 1) is Mode.HALF_OPEN
    desktop.lake.flush()
    assert desktop.rows("breaker")["state"].to_list() == ["frozen", "frozen", "halted", "half_open"]
    assert journal_of(LakeReader.open(desktop.home)).breaker.mode is Mode.HALF_OPEN


KILLED = """
import random, sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
import polars as pl
from lake import Lake
from rules.breaker import EVENTS, Event, next_mode
from sync.tables import LAKE_TABLES
from trading.breaker import Breaker, Entry

chance, breaker, now = random.Random(int(sys.argv[2])), Breaker(), datetime(2026, 3, 2, 15, tzinfo=UTC)
with Lake.open(Path(sys.argv[1]), LAKE_TABLES) as lake:
    while True:
        event, now = chance.choice(EVENTS), now + timedelta(seconds=1)
        mode = next_mode(breaker.recorded, event)
        entry = Entry(breaker.number + 1, now, event, breaker.recorded, mode, "me", "x", {})
        breaker = breaker.entered(entry)
        lake.commit(now, {"breaker": pl.DataFrame([entry.row()], schema=LAKE_TABLES["breaker"].row)})
        if entry.number % 7 == 0:
            lake.flush()
        print(entry.number, mode.value, flush=True)
"""


@pytest.mark.parametrize("seed", [1, 2])
def test_killed_between_events_it_is_restored_to_the_last_durable_one(tmp_path: Path, seed: int) -> None:
    command = [sys.executable, "-c", KILLED, str(tmp_path), str(seed)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for _ in range(random.Random(seed).randint(5, 40)):
        said = process.stdout.readline().split()
    process.kill()
    rest = process.communicate()[0].splitlines()
    number, mode = rest[-1].split() if rest and len(rest[-1].split()) == 2 else said  # type: ignore[misc]
    with Lake.open(tmp_path, LAKE_TABLES):
        found = journal_of(LakeReader.open(tmp_path))
    chance = random.Random(seed)
    events = [chance.choice(EVENTS) for _ in range(found.breaker.number)]
    assert found.breaker.number >= int(number), "nothing that was acknowledged is lost"
    assert (found.breaker.mode, found.trouble) == (after(events), "")
    assert after(events[: int(number)]).value == mode


async def test_a_large_book_is_flattened_without_keeping_a_halt_waiting(tmp_path: Path) -> None:
    day = Day(tmp_path / "home")
    day.hold(Story("none", (), symbols=tuple(f"S{number}" for number in range(12))))
    for contract, cost in day.known:
        day.quote(contract.con_id, cost / 100)
    day.state.breaker = Breaker(recorded=Mode.FLATTENING)
    judge, desk = day.engine.judge, day.state.desk

    async def halt() -> None:
        for _ in range(10_000_000):
            if desk.open_intents:
                break
            await asyncio.sleep(0)
        day.engine.breaker.stop_at_once(Event.HUMAN_HALT, "by hand")

    await asyncio.gather(judge.judge(day.engine.rules.book, day.now), halt())
    assert 0 < len(desk.open_intents) < 12
    day.lake.close()
