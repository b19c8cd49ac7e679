"""What the daemon does for its lake beside the cycles: real parts, under a clock that the test sets."""

import asyncio
import contextlib
import io
import math
import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from deltalake import DeltaTable

import rules
from broker.interactive_brokers import InteractiveBrokers
from broker.protocol import ComboLeg
from daemon.account_state import AccountState
from daemon.caretaker import Caretaker
from daemon.console import Console
from daemon.engine import Engine
from daemon.lake_upkeep import bar
from daemon.lake_watch import LakeWatch
from daemon.metrics import Metrics
from daemon.records import Records
from daemon.restore import recorded_facts
from daemon.rules_file import RulesFile
from daemon.rules_standing import Standing
from daemon.settings import LakeSettings, Settings, SyncSettings
from lake import Lake, LakeReader, Step, UpkeepReport
from lake.upkeep import TableUpkeep
from options import NEW_YORK, ConId, Contract, LakeError, Right, SecType, SettingsError
from rules.breaker import Event
from sync.line_budget import LineBudget
from sync.quote_board import QuoteBoard
from sync.tables import LAKE_TABLES
from trading.desk import Desk
from trading.intent import Intent, IntentKind, IntentState
from trading.price_walk import Urgency
from trading.rolling import Roller


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=NEW_YORK).astimezone(UTC)


class Clock:
    """Stands still until it is set; counts how often it was read."""

    ended = False

    def __init__(self, time: datetime) -> None:
        self.time = time
        self.reads = 0

    def now(self) -> datetime:
        self.reads += 1
        return self.time

    async def next_beat(self, wake: datetime | None) -> datetime:
        raise AssertionError("nobody waits for beats here")


class SlowLake(Lake):
    """Begins its upkeep only once it was told to stop."""

    def upkeep(self, now: datetime, progress: Any = None, stop: Any = None, *terms: Any) -> UpkeepReport:
        assert stop.wait(20)
        return super().upkeep(now, progress, stop, *terms)


class PanicException(BaseException):
    """What polars and delta-rs raise where they give up, by its name."""


class PanickingLake(Lake):
    def upkeep(self, *terms: Any) -> UpkeepReport:
        raise PanicException("index out of bounds")


class TroubledLake(Lake):
    """One of its tables cannot be kept up."""

    def upkeep(self, now: datetime, *terms: Any) -> UpkeepReport:
        return UpkeepReport(now, True, (TableUpkeep("alerts", trouble="no room for alerts"),))


class NarrowLake(Lake):
    """Has room for everything but the pictures of a moment."""

    is_narrow = True

    def commit(self, time: datetime, frames: Mapping[str, pl.DataFrame]) -> int:
        if self.is_narrow and "facts" in frames:
            raise LakeError("cannot write to the journal (/x): no room")
        return super().commit(time, frames)


class Bench:
    def __init__(self, home: Path, lake: Lake, clock: Clock) -> None:
        self.home = home
        self.lake = lake
        self.clock = clock
        self.metrics = Metrics()
        broker = InteractiveBrokers("127.0.0.1", 1, 1, clock)
        state = AccountState(broker, QuoteBoard(), LineBudget(90), Desk(broker), Roller(broker))
        console = Console(io.StringIO())
        file = RulesFile(rules.default_rules_path())
        records = Records(LAKE_TABLES)
        rules_in_force = Standing(file.read())
        self.engine = Engine(
            *(lake, state, rules_in_force, file, records, SyncSettings(), console, self.metrics),
            partial(recorded_facts, home),
        )
        self.console = console

    @contextlib.asynccontextmanager
    async def at_work(self, has_nights: bool = True, **settings: Any) -> Any:
        caretaker = Caretaker(
            self.home,
            self.lake,
            LakeSettings(**settings),
            self.engine,
            self.clock,
            self.metrics.lake,
            self.console,
            has_nights,
        )
        task = asyncio.create_task(caretaker.run())
        try:
            yield caretaker
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            await caretaker.leave()

    async def looks(self, times: int = 4) -> None:
        """Until the caretaker has looked at the clock so many times more."""
        wanted = self.clock.reads + times
        await until(lambda: self.clock.reads >= wanted)

    def figure(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(f"optiond_lake_{name}", labels)

    def runs(self, how: str) -> float:
        found = self.figure("upkeep_runs_total", how=how)
        assert found is not None, "an increase from nothing at all is none to Prometheus"
        return found

    def alerts(self) -> list[str]:
        frames = self.engine.records.take()
        return frames["alerts"]["subject"].to_list() if "alerts" in frames else []

    def watch(self, caretaker: Caretaker, settings: Settings) -> LakeWatch:
        place = (self.home, self.lake, settings, self.engine, self.clock)
        return LakeWatch(*place, self.metrics.lake, self.console, caretaker)


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@pytest.fixture(params=[Lake])
def bench(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Bench]:
    """A lake with two small files of a day gone by; it is Monday, 17:00, and upkeep is due."""
    with request.param.open(tmp_path, LAKE_TABLES) as lake:
        for minute in (0, 1):
            alert = pl.DataFrame({"alert": [f"a{minute}"], "severity": ["info"], "text": ["hello"]})
            lake.commit(at("2026-02-25T12:00") + timedelta(minutes=minute), {"alerts": alert})
            lake.flush()
        yield Bench(tmp_path, lake, Clock(at("2026-03-02T17:00")))


ALERT = pl.DataFrame({"alert": ["a"], "severity": ["info"], "text": ["hello"]})


def files(bench: Bench) -> int:
    return bench.lake.health().tables["alerts"].files


def order() -> Intent:
    put = Contract(ConId(1), "IWM", SecType.OPTION, at("2026-03-20T00:00").date(), 245.0, Right.PUT, 100)
    return Intent(
        "opt-1", "dec-1", "IWM-1", "take_profit", 7, IntentKind.CLOSE, IntentState.WORKING,
        (ComboLeg(put, 1),), 1, 0.20, Urgency.NORMAL, at("2026-03-02T15:59"), (-1,),
    )  # fmt: skip


async def test_it_is_done_once_an_evening(bench: Bench) -> None:
    async with bench.at_work() as caretaker:
        await until(lambda: bench.runs("done") == 1)
        assert files(bench) == 1
        assert caretaker.status()["last"] == bench.clock.time.isoformat()
        bench.clock.time = at("2026-03-02T23:00")
        await bench.looks()
        assert bench.runs("done") == 1
        bench.clock.time = at("2026-03-03T16:30")
        await until(lambda: bench.runs("done") == 2)
    async with bench.at_work():
        await bench.looks()
        assert bench.runs("done") == 2, "a restart knows that it was done"


async def test_a_restart_knows_when_it_was_done(bench: Bench) -> None:
    bench.lake.upkeep(bench.clock.time)
    assert math.isnan(bench.figure("upkeep_last_success_timestamp_seconds") or 0.0)
    async with bench.at_work():
        await bench.looks()
    assert bench.figure("upkeep_last_success_timestamp_seconds") == bench.clock.time.timestamp()


async def test_it_waits_while_an_order_is_at_work(bench: Bench) -> None:
    intent = order()
    bench.engine.state.desk.restore([intent], bench.clock.time)
    async with bench.at_work() as caretaker:
        await bench.looks()
        with pytest.raises(SettingsError, match="an order is at work"):
            caretaker.ask(True)
        assert (bench.runs("done"), caretaker.status()["running"]) == (0, False)
        bench.engine.state.desk.abandon(intent, "gone", bench.clock.time)
        await until(lambda: bench.runs("done") == 1)


@pytest.mark.parametrize("bench", [SlowLake], indirect=True)
async def test_it_stops_when_the_market_opens_soon_and_begins_again_in_the_evening(bench: Bench) -> None:
    async with bench.at_work() as caretaker:
        await until(lambda: caretaker.status()["running"])
        bench.clock.time = at("2026-03-03T09:15")
        await until(lambda: bench.runs("stopped") == 1)
        assert caretaker.status()["outcome"]["reason"] == "the market opens soon"
        assert files(bench) == 2
        bench.clock.time = at("2026-03-03T16:31")
        await until(lambda: caretaker.status()["running"])


@pytest.mark.parametrize("bench", [SlowLake], indirect=True)
async def test_the_end_of_the_daemon_stops_it(bench: Bench) -> None:
    async with bench.at_work() as caretaker:
        await until(lambda: caretaker.status()["running"])
    assert not [thread for thread in threading.enumerate() if thread.name == "upkeep"]


@pytest.mark.parametrize("has_nights", [False, True])
async def test_a_night_that_the_clock_skipped_is_made_up_for_in_simulation_only(
    bench: Bench, has_nights: bool
) -> None:
    bench.clock.time = at("2026-03-02T15:59")
    async with bench.at_work(has_nights):
        await bench.looks()
        bench.clock.time = at("2026-03-03T09:30")
        if has_nights:
            await bench.looks()
            assert bench.runs("done") == 0
        else:
            await until(lambda: bench.runs("done") == 1)


async def test_a_failure_is_told_and_tried_again_after_an_hour(bench: Bench) -> None:
    async with bench.at_work(pins=("no such moment",)) as caretaker:
        await until(lambda: bench.runs("failed") == 1)
        assert "no such moment" in caretaker.status()["outcome"]["error"]
        assert bench.alerts() == ["upkeep"]
        await bench.looks()
        assert bench.runs("failed") == 1
        bench.clock.time += timedelta(minutes=61)
        await until(lambda: bench.runs("failed") == 2)


@pytest.mark.parametrize("bench", [PanickingLake], indirect=True)
async def test_a_panic_of_a_library_is_a_failure_like_any_other(bench: Bench) -> None:
    async with bench.at_work() as caretaker:
        await until(lambda: bench.runs("failed") == 1)
        assert caretaker.status()["running"] is False
        assert "index out of bounds" in caretaker.status()["outcome"]["error"]


@pytest.mark.parametrize("bench", [TroubledLake], indirect=True)
async def test_an_upkeep_that_left_a_table_out_was_not_done(bench: Bench) -> None:
    async with bench.at_work() as caretaker:
        await until(lambda: bench.runs("failed") == 1)
        assert caretaker.status()["outcome"]["error"] == "no room for alerts"
        assert caretaker.status()["last"] is None
        assert math.isnan(bench.figure("upkeep_last_success_timestamp_seconds") or 0.0)
        bench.clock.time += timedelta(minutes=61)
        await until(lambda: bench.runs("failed") == 2)


async def test_turned_off_it_is_done_only_when_asked_and_missed_after_three_closes(bench: Bench) -> None:
    bench.clock.time = at("2026-03-02T12:00")
    async with bench.at_work(upkeep=False) as caretaker:
        bench.clock.time = at("2026-03-04T20:00")
        await bench.looks()
        assert (bench.runs("done"), files(bench)) == (0, 2)
        caretaker.ask(False)
        await until(lambda: bench.runs("done") == 1)
        bench.clock.time = at("2026-03-05T12:00")
        with pytest.raises(SettingsError, match="the market is open or about to open"):
            caretaker.ask(False)
        caretaker.ask(True)
        await until(lambda: bench.runs("done") == 2)
    assert bench.alerts() == []


async def test_an_upkeep_that_is_never_done_is_missed_after_three_closes(bench: Bench) -> None:
    bench.engine.state.desk.restore([order()], bench.clock.time)
    async with bench.at_work():
        await bench.looks()
        bench.clock.time = at("2026-03-04T17:00")
        await bench.looks()
        assert bench.alerts() == []
        bench.clock.time = at("2026-03-05T17:00")
        await bench.looks()
        assert bench.alerts() == ["upkeep_overdue"]


async def test_that_another_programs_change_was_undone_is_told(bench: Bench) -> None:
    table = DeltaTable(bench.home / "lake" / "alerts")
    table.delete("alert = 'a0'")
    settings = Settings(sync=SyncSettings(flush_every_s=1), lake=LakeSettings(upkeep=False))
    async with bench.at_work(upkeep=False) as caretaker:
        watch = bench.watch(caretaker, settings)
        bench.lake.commit(bench.clock.time, {"alerts": ALERT})
        watch.flush_soon.set()
        task = asyncio.create_task(watch.flush())
        try:
            await until(lambda: bench.alerts() == ["alerts"])
            assert bench.lake.health().tables["alerts"].undone == 1
            assert bench.lake.health().tables["alerts"].rows == 3
        finally:
            task.cancel()


def test_the_bar_fills_with_what_is_done() -> None:
    step = Step("facts", "compact 2026-02-03", 1, 4)
    assert bar(step) == "[######..................]  25%  facts: compact 2026-02-03"
    nothing = {"table": "bars", "action": "look", "done": 0, "total": 0}
    assert bar(nothing).startswith("[........................]   0%")


@pytest.mark.parametrize("bench", [NarrowLake], indirect=True)
async def test_pictures_that_find_no_room_stop_entries_until_they_do(bench: Bench) -> None:
    engine, now = bench.engine, bench.clock.time
    brake = Event.HUMAN_HALT, "lunch", "me", now
    picture = LAKE_TABLES["facts"].fit(pl.DataFrame({"position": ["XYZ-1"]}))
    async with bench.at_work(upkeep=False) as caretaker:
        watch = bench.watch(caretaker, Settings(lake=LakeSettings(min_free_mb=0, upkeep=False)))
        engine.records.add_frame("facts", picture)
        await engine.brake(*brake)
        await engine.brake(*brake)
        await watch.look()
        assert bench.figure("unflushed_commits") == 2, "also while no flush goes through"
        assert watch.status()["pressure"] == {"refused": "cannot write to the journal (/x): no room"}
        assert (LakeReader.open(bench.home).table("breaker").collect().height, engine.lake_refusal) == (2, "")
        assert isinstance(bench.lake, NarrowLake)
        bench.lake.is_narrow = False
        engine.records.add_frame("facts", picture)
        await engine.brake(*brake)
        await watch.look()
        assert not watch.status()["entries_stopped"]
