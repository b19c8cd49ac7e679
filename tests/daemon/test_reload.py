"""A saved edit comes into force between two beats, checked, or waits for a human; nothing surprises."""

import asyncio
import io
import json
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import rules
from broker.interactive_brokers import InteractiveBrokers
from daemon.account_state import AccountState
from daemon.console import Console
from daemon.engine import Engine
from daemon.metrics import Metrics
from daemon.records import Records
from daemon.restore import recorded_facts, restore
from daemon.rules_file import RulesFile
from daemon.rules_standing import rules_named, standing_at
from daemon.settings import ReloadSettings, SyncSettings
from lake import Lake, LakeReader
from options import RuleError
from sync.line_budget import LineBudget
from sync.quote_board import QuoteBoard
from sync.tables import LAKE_TABLES
from tests.daemon.test_decision_replay import VIX, Beat, Day, Story
from trading.breaker import BREAKER
from trading.decision import Moment
from trading.desk import Desk
from trading.rolling import Roller

SYMBOLS = tuple(f"S{number}" for number in range(6))
TENTH = Beat(worth=0.9)
"""Every position has made a tenth of its credit."""
ALL = "profit >= 5%"
OF_RULES = pl.col("rule") != BREAKER
"""The other decisions are the breaker's."""


def text_of(when: str = "profit >= 95%", rest: str = "", name: str = "take") -> str:
    return f"version: 1\nrules:\n  - id: {name}\n    priority: 1\n    when: {when}\n    do: close\n{rest}"


def on(*symbols: str) -> str:
    """A condition that is true of these underlyings once a tenth is made."""
    names = ", ".join(f"'{symbol}'" for symbol in symbols)
    return f"profit >= 5% and underlying in ({names})"


@dataclass
class Room(Day):
    """Six condors and a daemon's engine, on a real lake; it can be started again."""

    def __post_init__(self) -> None:
        self.home.mkdir()
        self.rules = self.home / "rules.yaml"
        self.save(text_of())
        self.said = io.StringIO()
        self.open()
        self.hold(Story("none", (), symbols=SYMBOLS))
        self.beat(TENTH)

    def open(self) -> None:
        broker = InteractiveBrokers("127.0.0.1", 1, 1, self)
        board = QuoteBoard()
        board.watch("VIX", VIX.con_id)
        self.state = AccountState(broker, board, LineBudget(90), Desk(broker), Roller(broker))
        self.lake = Lake.open(self.home, LAKE_TABLES)
        restore(self.home, self.state, self.now)
        file = RulesFile(self.rules)
        self.engine = Engine(
            *(self.lake, self.state, standing_at(self.home, file), file, Records(LAKE_TABLES)),
            *(SyncSettings(), Console(self.said), Metrics(), partial(recorded_facts, self.home)),
            ReloadSettings(max_new_fires=2, replay_beats=10),
        )

    def restart(self) -> None:
        """As after a kill: only what was committed is there again."""
        held = list(self.state.positions.holdings)
        self.lake.close()
        self.open()
        self.state.positions.note_picture(held)
        self.state.positions.settle(self.now)
        self.state.has_picture = True
        for contract, _ in self.known:
            self.state.contracts[contract.con_id] = contract

    def save(self, text: str) -> None:
        self.rules.write_text(text)

    def saved(self, text: str) -> str:
        """Save it, and let a beat go by."""
        self.save(text)
        self.beat(TENTH)
        return rules.revision_of(text)

    @property
    def status(self) -> dict[str, Any]:
        return self.engine.reload.status()

    @property
    def in_force(self) -> str:
        revision: str = self.status["revision"]
        return revision

    @property
    def waiting(self) -> str | None:
        waiting = self.status["waiting"]
        return waiting["revision"] if waiting else None

    def approve(self, revision: str, actor: str = "jo") -> str:
        reload = self.engine.reload
        change = self.engine.change_rules(lambda now: reload.approve(revision, actor, now), self.now)
        return asyncio.run(change)

    def reject(self, revision: str) -> str:
        reload = self.engine.reload
        change = self.engine.change_rules(lambda now: reload.reject(revision, "jo", "no", now), self.now)
        return asyncio.run(change)

    def roll_back(self, revision: str | None = None, at_once: bool = False) -> str:
        reload = self.engine.reload
        wanted = revision or self.engine.rules.before or ""
        book = rules_named(self.home, wanted, self.rules)
        change = self.engine.change_rules(lambda now: reload.roll_back(book, "jo", at_once, now), self.now)
        return asyncio.run(change)

    def rows(self, table: str = "rules_changes") -> pl.DataFrame:
        return LakeReader.open(self.home).table(table).sort("seq", maintain_order=True).collect()

    def steps(self) -> list[str]:
        return self.rows()["event"].to_list()

    def decided(self) -> list[tuple[str, str]]:
        """Underlying and revision of every decision of the rules."""
        rows = self.rows("decisions").filter(OF_RULES)
        return [(position[:2], by) for position, by in rows.select("position", "rules_revision").iter_rows()]

    def alerts(self, kind: str) -> list[str]:
        rows = self.rows("alerts")
        return rows.filter(pl.col("kind") == kind)["text"].to_list()


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    made = Room(tmp_path / "home")
    yield made
    made.lake.close()


def test_an_edit_that_sets_off_little_comes_into_force_with_the_next_beat(room: Room) -> None:
    first = room.in_force
    edited = room.saved(text_of(on("S0", "S1")))
    assert (room.in_force, room.waiting) == (edited, None)
    assert sorted(room.decided()) == [("S0", edited), ("S1", edited)]
    rows = room.rows()
    assert rows["event"].to_list() == ["taken_up", "seen", "taken_up"]
    assert rows["before"].to_list() == [None, None, first]
    assert [fire["position"][:2] for fire in json.loads(rows["fires"][2])] == ["S0", "S1"]
    assert rows["seq"][1] == rows["seq"][2] == room.rows("decisions")["seq"][0], "in one commit"
    replayed = json.loads(rows["replayed"][1])
    assert (replayed["beats"], replayed["positions"]) == (1, 2)


def test_an_edit_that_would_act_on_many_waits_for_a_human(room: Room) -> None:
    first = room.in_force
    eager = room.saved(text_of(ALL))
    for _ in range(3):
        room.beat(TENTH)
    assert (room.in_force, room.waiting) == (first, eager)
    assert not room.decided()
    assert room.steps() == ["taken_up", "seen", "waiting"]
    (alert,) = room.alerts("rules_waiting")
    assert f"revision {eager} waits for you: it would close 6 positions: S0-" in alert
    fires = room.status["waiting"]["fires"]
    assert {fire["rule"] for fire in fires} == {"take"}
    assert all(fire["profit"] == pytest.approx(0.1, abs=0.01) and fire["profit_usd"] > 0 for fire in fires)

    assert room.approve(eager[:6]) == eager
    assert not room.decided(), "approval is no beat"
    room.beat(TENTH)
    assert {by for _, by in room.decided()} == {eager}
    rows = room.rows()
    assert rows["event"].to_list()[3:] == ["approved", "taken_up"]
    assert rows["actor"].to_list()[3:] == ["jo", "jo"]


def test_what_the_old_rules_would_do_anyway_is_no_surprise(room: Room) -> None:
    first = room.saved(text_of(on(*SYMBOLS[:2])))
    room.beat(TENTH)
    third = room.saved(text_of(on(*SYMBOLS[:4]), name="renamed"))
    assert (room.in_force, room.waiting) == (third, None)
    assert first != third


def test_other_deeds_on_the_same_positions_are_a_surprise(room: Room) -> None:
    halved = text_of(ALL).replace("do: close", "do: {reduce: half}")
    revision = room.saved(halved)
    room.approve(revision)
    assert room.saved(text_of(ALL)) == room.waiting
    assert [fire["action"] for fire in room.status["waiting"]["fires"]] == ["close"] * 6


def test_a_rule_that_acts_only_after_its_for_is_counted_at_once(room: Room) -> None:
    waiting = room.saved(text_of(ALL, "    for: 10m\n"))
    assert room.waiting == waiting
    assert not any(fire["at_once"] for fire in room.status["waiting"]["fires"])


def test_shadows_act_nowhere_and_so_need_nobody(room: Room) -> None:
    shadow = room.saved(text_of(ALL, "    mode: shadow\n"))
    assert room.in_force == shadow
    live = room.saved(text_of(ALL))
    assert room.waiting == live


def test_positions_without_quotes_are_judged_by_what_was_known_last(room: Room) -> None:
    """Saved at night, it must not act on everything when the quotes come back in the morning."""
    room.now += timedelta(hours=12)
    room.save(text_of(ALL))
    asyncio.run(room._turn())
    assert room.engine.picture is not None
    assert room.engine.picture.facts["profit"].null_count() == len(SYMBOLS)
    assert room.waiting is not None


def test_a_rule_that_fires_on_what_is_unknown_counts_while_it_is_unknown(room: Room) -> None:
    room.now += timedelta(hours=12)
    room.save(text_of("profit >= 95%", rest="    unknown: fire\n"))
    asyncio.run(room._turn())
    assert room.waiting is not None


def test_an_approval_is_of_one_revision_as_it_was_shown(room: Room) -> None:
    first = room.saved(text_of(on(*SYMBOLS[:3])))
    second = room.saved(text_of(on(*SYMBOLS[:4])))
    with pytest.raises(RuleError, match=f"revision {first} does not wait: revision {second} does"):
        room.approve(first)
    room.save(text_of(ALL))
    with pytest.raises(RuleError, match="was saved again"):
        room.approve(second)
    room.beat(TENTH)
    assert room.waiting == rules.revision_of(text_of(ALL))
    room.saved(text_of())
    with pytest.raises(RuleError, match="none does"):
        room.approve(second)


def test_what_has_grown_until_the_approval_is_asked_again(room: Room) -> None:
    vix = text_of(f"(vix > 30 and profit >= 5%) or ({on(*SYMBOLS[:3])})")
    revision = room.saved(vix)
    assert len(room.status["waiting"]["fires"]) == 3
    room.beat(Beat(worth=0.9, vix=31.0))
    with pytest.raises(RuleError, match="meanwhile it would also close 3 positions: S3-"):
        room.approve(revision)
    assert room.in_force != revision
    assert len(room.status["waiting"]["fires"]) == 6
    assert room.steps()[-2:] == ["waiting", "waiting"]
    assert room.rows()["actor"][-1] == "jo"
    assert room.approve(revision) == room.in_force


def test_a_rejected_file_is_ignored_until_it_is_saved_again_also_after_a_restart(room: Room) -> None:
    first, text = room.in_force, text_of(ALL)
    eager = room.saved(text)
    room.reject(eager)
    for _ in range(2):
        room.beat(TENTH)
        assert (room.in_force, room.waiting, room.status["ignored"]) == (first, None, eager)
        room.restart()
    room.beat(TENTH)
    (ignored, *_) = room.alerts("rules_ignored")
    assert f"revision {first} is in force, rules.yaml holds {eager}" in ignored
    os.utime(room.rules, ns=(1, 10**18))
    room.beat(TENTH)
    assert room.waiting == eager, "the same content, saved again"


def test_what_waits_survives_a_restart_and_is_never_taken_up_by_itself(room: Room) -> None:
    first, eager = room.in_force, room.saved(text_of(ALL))
    shown = room.status["waiting"]["fires"]
    room.restart()
    assert (room.in_force, room.waiting) == (first, eager)
    room.beat(Beat(worth=1.0))
    assert (room.in_force, room.waiting) == (first, eager), "it would act nowhere now, but a human was asked"
    assert room.status["waiting"]["fires"] == shown
    assert room.steps() == ["taken_up", "seen", "waiting"]
    room.approve(eager)
    room.restart()
    assert (room.in_force, room.waiting) == (eager, None)


def test_a_file_edited_while_nothing_ran_passes_the_same_gate(room: Room) -> None:
    first = room.in_force
    room.save(text_of(ALL))
    room.restart()
    room.beat(TENTH)
    assert (room.in_force, room.waiting) == (first, rules.revision_of(text_of(ALL)))
    room.save(text_of(on("S1")))
    room.restart()
    room.beat(TENTH)
    assert room.in_force == rules.revision_of(text_of(on("S1")))


def test_at_a_start_without_quotes_what_was_known_before_it_counts(room: Room) -> None:
    room.engine.records.take()
    asyncio.run(room.engine.record_now(room.now))
    room.lake.flush()
    first = room.in_force
    room.save(text_of(ALL))
    room.now += timedelta(hours=12)
    room.restart()
    asyncio.run(room._turn())
    assert room.engine.picture is not None
    assert room.engine.picture.facts["profit"].null_count() == len(SYMBOLS)
    assert (room.in_force, room.waiting) == (first, rules.revision_of(text_of(ALL)))


def test_a_wrong_file_at_the_start_leaves_the_last_rules_in_force(room: Room) -> None:
    first = room.in_force
    room.save("version: 1\nrules: [")
    room.restart()
    room.beat(TENTH)
    assert room.in_force == first
    assert "rules.yaml" in room.status["error"]
    assert room.steps() == ["taken_up", "refused"]


def test_a_rollback_lasts_until_the_file_is_saved_again(room: Room) -> None:
    first = room.in_force
    second = room.saved(text_of(on("S0")))
    assert room.roll_back() == first
    for _ in range(2):
        room.beat(TENTH)
        assert (room.in_force, room.status["ignored"], room.status["step"]) == (first, second, "rolled_back")
        room.restart()
    assert room.rules.read_text() == text_of(on("S0")), "the file is its owner's"
    third = room.saved(text_of(on("S1")))
    assert (room.in_force, room.status["ignored"]) == (third, None)
    assert room.roll_back(second[:6]) == second
    with pytest.raises(RuleError, match=f"revision {second} is in force already"):
        room.roll_back(second)


def test_a_rollback_that_would_act_on_many_needs_a_second_word(room: Room) -> None:
    eager = room.saved(text_of(ALL))
    room.approve(eager)
    quiet = room.saved(text_of())
    with pytest.raises(RuleError, match=r"would close 6 positions: .* and 1 more; give --now"):
        room.roll_back()
    assert room.in_force == quiet
    assert room.roll_back(at_once=True) == eager


def test_a_rollback_at_a_start_without_quotes_is_asked_about_what_was_known_before_it(room: Room) -> None:
    eager = room.saved(text_of(ALL))
    room.approve(eager)
    quiet = room.saved(text_of())
    room.engine.records.take()
    asyncio.run(room.engine.record_now(room.now))
    room.lake.flush()
    room.now += timedelta(hours=12)
    room.restart()
    asyncio.run(room._turn())
    with pytest.raises(RuleError, match="would close 6 positions"):
        room.roll_back(eager)
    assert room.in_force == quiet


def test_a_rollback_also_ignores_what_was_saved_just_before_it(room: Room) -> None:
    first = room.in_force
    room.saved(text_of(on("S0")))
    room.save(text_of(on("S1")))
    assert room.roll_back() == first
    for _ in range(2):
        room.beat(TENTH)
        assert (room.in_force, room.status["ignored"]) == (first, rules.revision_of(text_of(on("S1"))))
        room.restart()
    room.saved(text_of(on("S2")))
    asyncio.run(room.engine.reload.look())
    room.save(text_of(on("S3")))
    asyncio.run(room.engine.reload.look())
    before = room.in_force
    assert room.roll_back(first) == first != before
    room.beat(TENTH)
    assert room.in_force == first, "found by the background, not taken in yet"


def test_a_file_that_is_ignored_stays_so_while_its_tests_fail(room: Room) -> None:
    first = room.in_force
    second = room.saved(text_of(on("S0")))
    room.roll_back()
    beside = room.home / "rules_test.yaml"
    for _ in range(2):
        beside.write_text("tests: 1\n")
        room.beat(TENTH)
        assert "rules_test.yaml" in room.status["error"]
        room.restart()
        beside.unlink()
        room.beat(TENTH)
        assert (room.in_force, room.status["ignored"], room.status["error"]) == (first, second, None)


def test_tests_beside_the_file_must_pass(room: Room) -> None:
    first = room.in_force
    beside = room.home / "rules_test.yaml"
    beside.write_text(
        "tests:\n  - name: a tenth is left alone\n    every: 1m\n    positions:\n      A: {profit: 10% 10%}\n"
        "    expect:\n      - {at: 1m, nothing: A}\n"
    )
    room.saved(text_of(on("S0")))
    assert "rules_test.yaml" in room.status["error"], room.status["error"]
    assert room.in_force == first
    beside.unlink()
    room.beat(TENTH)
    assert room.in_force != first, "its tests were saved again"


def test_every_file_that_is_extended_is_watched(room: Room) -> None:
    base = room.home / "base.yaml"
    base.write_text(text_of())
    own = "version: 1\nextends: base.yaml\nappend:\n  - {id: mine, priority: 2, when: dte <= 1d, do: close}\n"
    first = room.saved(own)
    between = room.in_force
    assert between != first, "the revision is that of both files"
    base.write_text(text_of(on("S0")))
    room.beat(TENTH)
    assert room.in_force != between
    base.unlink()
    room.beat(TENTH)
    assert "base.yaml" in room.status["error"]
    assert [symbol for symbol, _ in room.decided()] == ["S0"]
    base.write_text(text_of())
    room.beat(TENTH)
    assert (room.in_force, room.status["error"]) == (between, None)


Spoil = Callable[[Path], Any]


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda file: file.write_text(""), "rules.yaml"),
        (lambda file: file.write_bytes(b"\xff\xfe\x00"), "UTF-8"),
        (lambda file: file.write_text("x" * 1_100_000), "1 MB"),
        (lambda file: file.write_text(text_of(ALL)[:40]), "rules.yaml"),
        (lambda file: file.write_text('version: 1\nextends: "\\ud800.yaml"\n'), "half a character"),
        (lambda file: file.unlink(), "No such file"),
        (lambda file: (file.unlink(), file.mkdir()), "is not a file"),
        (lambda file: (file.unlink(), os.mkfifo(file)), "is not a file"),
        (lambda file: (file.unlink(), file.symlink_to("nowhere.yaml")), "No such file"),
        (lambda file: (file.unlink(), file.symlink_to(file)), "symbolic links"),
    ],
)
def test_whatever_becomes_of_the_file_the_rules_before_it_stay(room: Room, spoil: Spoil, told: str) -> None:
    first = room.in_force
    spoil(room.rules)
    room.beat(TENTH)
    room.beat(TENTH)
    assert room.in_force == first
    assert told in room.status["error"]
    assert room.steps() == ["taken_up", "refused"], "it is said once"
    assert len(room.alerts("rules")) == 1
    room.rules.rmdir() if room.rules.is_dir() else room.rules.unlink(missing_ok=True)
    assert room.saved(text_of(on("S0"))) == room.in_force
    assert room.status["error"] is None


def test_content_counts_not_the_time_of_the_file(room: Room) -> None:
    status = room.rules.stat()
    text = text_of("profit >= 5% and underlying == 'S0'")
    room.save(text)
    os.utime(room.rules, ns=(status.st_atime_ns, status.st_mtime_ns))
    room.beat(TENTH)
    assert room.in_force == rules.revision_of(text)


def test_a_link_turned_to_another_file_is_a_save(room: Room) -> None:
    other = room.home / "other.yaml"
    other.write_text(text_of(on("S0")))
    room.rules.unlink()
    room.rules.symlink_to(other)
    room.beat(TENTH)
    assert room.in_force == rules.revision_of(text_of(on("S0")))


def test_a_file_that_is_still_being_written_is_not_read(room: Room) -> None:
    """Half of it would be sound rules."""

    async def write_slowly() -> None:
        first, second = text_of(), "  - {id: more, priority: 2, when: dte <= 1d, do: close}\n"
        loop, reload = asyncio.get_running_loop(), room.engine.reload
        end = loop.time() + 1.0
        while loop.time() < end:
            for text in (first + "# ", first + second):
                room.save(text)
                await reload.look(0.3)
                await asyncio.sleep(0.05)
        assert reload._found is None
        while reload._found is None:
            await reload.look(0.3)
            await asyncio.sleep(0.05)

    asyncio.run(write_slowly())
    room.beat(TENTH)
    assert room.in_force == rules.revision_of(room.rules.read_text())
    assert room.steps() == ["taken_up", "seen", "taken_up"]


def test_an_older_home_keeps_its_rules(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    file = RulesFile(home / "rules.yaml")
    file.path.write_text(text_of(ALL))
    old = text_of()
    with Lake.open(home, LAKE_TABLES) as lake:
        row = {"revision": rules.revision_of(old), "text": old, "path": "rules.yaml"}
        lake.commit(Day.now, {"rules_revisions": pl.DataFrame([row])})
        assert standing_at(home, file).book.revision == rules.revision_of(old)


def test_every_beat_is_decided_by_one_whole_revision_while_files_are_saved(room: Room) -> None:
    """A writer saves sound and wrong ones, whole and in two halves, two of three before the last was read;
    beats go on. It rests by what was found and not by the clock: a busy machine takes longer to check a file.
    """
    beaten: list[tuple[datetime, str]] = []
    keep = room.engine.judge.kept.add

    def note(moment: Moment) -> None:
        beaten.append((moment.time, moment.book.revision))
        keep(moment)

    room.engine.judge.kept.add = note  # type: ignore[method-assign]
    stop, is_found = threading.Event(), threading.Event()
    texts = [text_of(on(symbol)) for symbol in SYMBOLS] + ["version: 1\nrules: [", ""]

    def write() -> None:
        number = 0
        while not stop.wait((0.001, 0.02)[number % 2]):
            while number % 3 == 2 and not is_found.wait(0.1) and not stop.is_set():
                pass
            is_found.clear()
            text = texts[number % len(texts)]
            with room.rules.open("w") as file:
                file.write(text[: len(text) // 2])
                file.flush()
                file.write(text[len(text) // 2 :])
            number += 1

    async def run(changes: int) -> int:
        looking = asyncio.create_task(look_again())
        seen, beats = {room.in_force}, 0
        async with asyncio.timeout(60):
            while len(seen) <= changes:
                room.now += timedelta(seconds=1)
                await room.engine.cycle(room.now)
                seen.add(room.in_force)
                beats += 1
                await asyncio.sleep(0.002)
        looking.cancel()
        return beats

    async def look_again() -> None:
        while True:
            await room.engine.reload.look()
            if room.engine.reload._found is not None:
                is_found.set()
            await asyncio.sleep(0.002)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        beats = asyncio.run(run(5))
    finally:
        stop.set()
        writer.join()
    assert len(beaten) == beats, "none is left out"
    assert [time for time, _ in beaten] == sorted({time for time, _ in beaten})
    rows = room.rows()
    taken = rows.filter(pl.col("event") == "taken_up")
    assert taken.height > 5
    known = {rules.revision_of(text) for text in [text_of(), *texts]}
    assert {revision for _, revision in beaten} <= known, "whole files only"
    for time, revision in beaten:
        assert taken.filter(pl.col("time") <= time)["revision"][-1] == revision
    for position, by in room.decided():
        assert by == rules.revision_of(text_of(on(position)))
