"""The daemon as a whole: what it opens, which tasks it runs, and how it ends."""

import asyncio
import gc
import hashlib
import json
import os
import shutil
import signal
import sys
import time as stopwatch
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import structlog

import rules
from broker.events import LinkChanged, LinkState
from broker.protocol import Broker
from daemon.account_state import AccountState
from daemon.adapter import make_broker
from daemon.caretaker import Caretaker
from daemon.clock import Pulse, SimulatedPulse, SystemPulse
from daemon.console import Console, configure_logging
from daemon.control import bind, control_app, owner_token, serving
from daemon.engine import Engine
from daemon.gateway import EmbeddedGateway
from daemon.lake_watch import LakeWatch
from daemon.loop_turns import make_ready, probe, timing
from daemon.metrics import Metrics
from daemon.processes import Child, start_page
from daemon.queue_control import queue_routes
from daemon.reconcile_control import reconcile_routes
from daemon.recorded_books import take_up_books
from daemon.records import Records
from daemon.restore import recorded_facts, restore
from daemon.rules_control import RulesHand, rules_routes
from daemon.rules_edit_control import edit_routes
from daemon.rules_file import RulesFile
from daemon.rules_moment import serve_moment
from daemon.rules_standing import Standing, standing_at
from daemon.settings import BrokerKind, Settings, load_settings
from lake import Lake, LakeReader
from ops.systemd import notify, watchdog_interval_s
from options import BrokerError, LakeError, SettingsError
from sync.line_budget import LineBudget
from sync.marks import ModelTerms
from sync.quote_board import QuoteBoard
from sync.tables import LAKE_TABLES, Alert, Severity
from trading.blackout import read_blackout
from trading.desk import Desk
from trading.rolling import Roller

log = structlog.get_logger()

ARRIVE_WITHIN_S = 15.0
HAND_OVER_S = 0.001
"""How long the threads of flush and upkeep may keep the interpreter from the loop; Python says 5 ms."""
QUIET_AFTER_END = timedelta(minutes=20)


@dataclass(frozen=True, slots=True)
class Until:
    """When a demo ends: after `seconds` of real time, or (`market_end`) when the replay has run out."""

    seconds: float | None = None
    market_end: bool = False


async def run_daemon(
    home: Path,
    no_page: bool = False,
    speed: float | None = None,
    *,
    take_over: bool = False,
    overrides: dict[str, Any] | None = None,
    until: Until | None = None,
    console: Console | None = None,
) -> int:
    """Run until a signal or `until`; returns the exit code.

    Raises OptiondError, in one line, for everything that keeps it from starting.
    """
    sys.setswitchinterval(HAND_OVER_S)
    wanted = dict(overrides or {})
    if speed is not None:
        wanted.setdefault("simulation", {})["speed"] = speed
    make_home(home)
    settings = load_settings(home, **wanted)
    console = console or Console()
    configure_logging(home)
    with Lake.open(home, LAKE_TABLES, location=settings.lake.location, take_over=take_over) as lake:
        daemon = Daemon(home, settings, lake, console, until or Until())
        return await daemon.run(with_page=settings.page.enabled and not no_page)


def make_home(home: Path) -> None:
    """The home with its rules; an existing rules file is never touched."""
    own = home / "rules.yaml"
    try:
        home.mkdir(parents=True, exist_ok=True)
        home.chmod(0o700)
        if not own.exists():
            # Whole or not at all: half a rules file would refuse every later start.
            fresh = home / "rules.yaml.new"
            shutil.copyfile(rules.default_rules_path(), fresh)
            fresh.replace(own)
    except FileExistsError as error:
        raise SettingsError(
            f"{home}: a file is in the way of the home; choose another with --home"
        ) from error
    except OSError as error:
        raise SettingsError(
            f"{home}: the home cannot be made or written ({error.strerror}); choose another with --home"
        ) from error


class Daemon:
    """One running daemon on one home."""

    def __init__(self, home: Path, settings: Settings, lake: Lake, console: Console, until: Until) -> None:
        self._home = home
        self._settings = settings
        self._lake = lake
        self._console = console
        self._until = until
        self._metrics = Metrics()
        self._stop = asyncio.Event()
        self._children: list[Child] = []
        self._broker_port = settings.broker.port

    async def run(self, with_page: bool) -> int:
        settings = self._settings
        rules_file = RulesFile(self._rules_path())
        standing = standing_at(self._home, rules_file)
        listener = bind(settings.control.host, settings.control.port)
        control_port = listener.getsockname()[1]
        if with_page:
            bind(settings.page.host, settings.page.port, "page.port").close()
        self._catch_signals()
        gateway = EmbeddedGateway(self._home, settings) if self._is_simulated else None
        try:
            pulse = await self._start_clock(gateway)
            broker = make_broker(settings.broker, pulse, gateway.port if gateway else None)
            self._broker_port = gateway.port if gateway else self._broker_port
            engine = self._make_engine(broker, standing, rules_file)
            engine.ring = pulse.hurry
            found, journal = restore(self._home, engine.state, pulse.now())
            engine.traces.restore(LakeReader.open(self._home))
            take_up_books(LakeReader.open(self._home), engine.state, engine.reconciler, pulse.now())
            await engine.breaker.take_up(journal, pulse.now())
            self._console.say(f"home {self._home}: {found}")
            self._tell_lost_journal(engine, pulse)
            await engine.reload.look()
            await engine.almanac.look()
            watch = self._make_watch(engine, pulse)
            app = control_app(
                owner_token(self._home),
                lambda: self._status(engine, broker, pulse, watch),
                lambda event, reason, actor: engine.brake(event, reason, actor, pulse.now()),
                watch.caretaker,
                self._metrics.registry,
                lambda owner: edit_routes(owner, self._rules_path(), pulse.now),
                lambda owner: rules_routes(owner, RulesHand(self._home, engine, pulse)),
                lambda owner: queue_routes(owner, engine.lines.retry),
                lambda owner: reconcile_routes(owner, lambda: engine.compare(pulse.now())),
            )
            serve_moment(app, engine)
            async with serving(app, listener):
                self._announce_control(control_port)
                if with_page:
                    await self._open_page(control_port)
                make_ready(pulse.now())
                with timing(self._metrics.loop_turns):
                    await self._live(engine, broker, pulse, watch)
        finally:
            notify("STOPPING=1")
            (self._home / "control.json").unlink(missing_ok=True)
            for child in self._children:
                await child.stop()
            if gateway is not None:
                await gateway.stop()
            listener.close()
        self._console.say("stopped cleanly")
        return 0

    def _tell_lost_journal(self, engine: Engine, pulse: Pulse) -> None:
        last = self._lake.went_on_after
        if last is None:
            return
        text = (
            f"the journal was missing: what was committed after seq {last.seq} ({last.time:%F %T} UTC) is "
            "lost here; a backup may have it, and what the broker knows is reconciled with it now"
        )
        engine.alerts.raise_(Alert(Severity.CRITICAL, "journal", "journal.sqlite", text), pulse.now())
        self._console.say(text.upper()[:1] + text[1:])

    # --- what it is made of ----------------------------------------------------------------------

    @property
    def _is_simulated(self) -> bool:
        return self._settings.broker.kind is BrokerKind.SIMULATED

    @property
    def _address(self) -> str:
        return f"{self._settings.broker.host}:{self._broker_port}"

    def _rules_path(self) -> Path:
        return self._home / self._settings.rules

    def _catch_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stop.set)

    async def _start_clock(self, gateway: EmbeddedGateway | None) -> Pulse:
        if gateway is None:
            return SystemPulse(self._settings.sync.beat_s)
        await gateway.start()
        pulse = SimulatedPulse(self._settings.broker.host, self._settings.broker.client_id, gateway.revive)
        await pulse.start()
        return pulse

    def _make_engine(self, broker: Broker, standing: Standing, file: RulesFile) -> Engine:
        sync = self._settings.sync
        state = AccountState(
            broker=broker,
            board=QuoteBoard(sync.stale_after_s),
            lines=LineBudget(sync.line_budget, reserve=sync.line_reserve, visits=sync.visit_lines),
            desk=Desk(broker, [read_blackout(text) for text in self._settings.broker.blackout]),
            roller=Roller(broker),
            model=ModelTerms(sync.rate, sync.vol_within_s, sync.stickiness, sync.beat_move),
        )
        records = Records(LAKE_TABLES)
        text = self._settings.model_dump_json()
        revision = hashlib.sha256(text.encode()).hexdigest()[:12]
        records.add("settings_revisions", {"revision": revision, "text": text})
        place = (self._lake, state, standing, file, records)
        recorded = partial(recorded_facts, self._home)
        calendar = self._home / self._settings.calendar
        # Simulated time goes on while a connection is made anew: the same seed would not give the same run.
        renew_after_h = 0.0 if self._is_simulated else self._settings.broker.renew_after_h
        limits = self._settings.reload, self._settings.breaker, calendar, renew_after_h
        return Engine(*place, sync, self._console, self._metrics, recorded, *limits)

    def _make_watch(self, engine: Engine, pulse: Pulse) -> LakeWatch:
        settings, metrics, say = self._settings, self._metrics.lake, self._console
        nights = not self._is_simulated
        caretaker = Caretaker(self._home, self._lake, settings.lake, engine, pulse, metrics, say, nights)
        return LakeWatch(self._home, self._lake, settings, engine, pulse, metrics, say, caretaker)

    # --- its tasks -------------------------------------------------------------------------------

    async def _live(self, engine: Engine, broker: Broker, pulse: Pulse, watch: LakeWatch) -> None:
        """Run all tasks until the stop; the first that fails ends the daemon with its error."""
        tasks: dict[str, Callable[[], Awaitable[None]]] = {
            "broker": broker.run,
            "cycles": lambda: self._beat(engine, broker, pulse, watch),
            "rules": engine.reload.run,
            "calendar": engine.almanac.run,
            "flush": watch.flush,
            "disk": watch.look_on,
            "upkeep": watch.caretaker.run,
            "lag": lambda: probe(self._metrics.loop_lag_seconds, self._metrics.loop_lateness_seconds),
        }
        running = [asyncio.ensure_future(_named(run(), name)) for name, run in tasks.items()]
        stop = asyncio.create_task(self._stop.wait(), name="stop")
        try:
            done, _ = await asyncio.wait([*running, stop], return_when=asyncio.FIRST_COMPLETED)
            for task in done - {stop}:
                await task
        finally:
            self._stop.set()
            for task in [*running, stop]:
                task.cancel()
            await asyncio.gather(*running, stop, return_exceptions=True)
            await watch.caretaker.leave()
            await self._leave_in_order(engine, pulse)
            for intent in engine.state.desk.open_intents:
                what = f"order {intent.intent} ({intent.state.value})"
                self._console.say(f"{what} stays at the broker; the next start takes it up")

    async def _leave_in_order(self, engine: Engine, pulse: Pulse) -> None:
        """The last picture and the last flush; what does not get that far is in the journal anyway."""
        try:
            async with asyncio.timeout(3.0):
                await engine.record_now(pulse.now())
                await asyncio.to_thread(self._lake.flush)
        except (LakeError, TimeoutError) as error:
            self._console.say(f"the lake was not flushed at the end ({error}); the journal keeps everything")

    async def _beat(self, engine: Engine, broker: Broker, pulse: Pulse, watch: LakeWatch) -> None:
        await self._wait_for_link(engine, broker, pulse)
        wake: datetime | None = None
        watchdog_s, patted = watchdog_interval_s(), 0.0
        ready = False
        ended_at: datetime | None = None
        if self._until.seconds is not None:
            asyncio.get_running_loop().call_later(self._until.seconds, self._stop.set)
        while not self._stop.is_set():
            if broker.account and broker.account != engine.account:
                self._refuse_unwanted_account(broker)
                engine.account = broker.account
            now = pulse.now()
            before = self._lake.seq
            wake = await engine.cycle(now)
            if self._lake.seq != before and engine.state.desk.open_intents:
                watch.flush_soon.set()
            if not ready and engine.state.has_picture:
                ready = True
                gc.freeze()
                notify("READY=1", f"STATUS=trading account {broker.account}")
            if watchdog_s is not None and stopwatch.monotonic() - patted > watchdog_s:
                notify("WATCHDOG=1")
                patted = stopwatch.monotonic()
            if self._until.market_end and pulse.ended:
                ended_at = ended_at or now
                if engine.settled_quiet or now - ended_at > QUIET_AFTER_END:
                    self._stop.set()
            if not self._stop.is_set():
                await pulse.next_beat(wake)

    async def _wait_for_link(self, engine: Engine, broker: Broker, pulse: Pulse) -> None:
        """The first connection must come about; later ones are waited for without end."""
        deadline = stopwatch.monotonic() + max(ARRIVE_WITHIN_S, self._settings.broker.connect_timeout_s)
        reason = ""
        while broker.link is not LinkState.UP:
            for event in broker.drain():
                engine.intake.apply(event, pulse.now())
                if isinstance(event, LinkChanged) and event.state is LinkState.DOWN:
                    reason = event.reason
            if stopwatch.monotonic() > deadline or (reason and broker.attempts >= 2):
                raise BrokerError(
                    f"no gateway at {self._address} ({reason or 'no answer'}); start TWS or IB "
                    "Gateway there with its API enabled, or correct broker.host and broker.port"
                )
            await asyncio.sleep(0.02)
        kind = "the simulated gateway" if self._is_simulated else "Interactive Brokers"
        self._console.say(f"connected to {kind} at {self._address}, account {broker.account}", pulse.now())

    def _refuse_unwanted_account(self, broker: Broker) -> None:
        """A real account is traded only when two settings say so."""
        trading, account = self._settings.trading, broker.account
        if broker.is_paper or (trading.live and trading.live_account == account):
            return
        raise SettingsError(
            f"account {account} is live: nothing was sent. To trade it, set trading.live = true and "
            f'trading.live_account = "{account}" in {self._home / "optiond.toml"}; or log in to paper'
        )

    # --- the page and the control API ------------------------------------------------------------

    async def _open_page(self, control_port: int) -> None:
        page = self._settings.page
        self._children.append(await start_page(self._home, self._settings, control_port))
        url = f"http://{page.host}:{page.port}"
        token = self._home / "control.token"
        self._console.say(f"page {url} (the token for its HALT button lies in {token})")

    def _announce_control(self, port: int) -> None:
        (self._home / "control.json").write_text(json.dumps({"port": port, "pid": os.getpid()}))
        self._console.say(f"control API and metrics http://{self._settings.control.host}:{port}/metrics")

    def _status(self, engine: Engine, broker: Broker, pulse: Pulse, watch: LakeWatch) -> dict[str, Any]:
        state, now = engine.state, pulse.now()
        last_ms, p99_ms = engine.beat_times.figures_ms()
        return {
            "time": now.isoformat(),
            "pid": os.getpid(),
            "version": version("optiond"),
            "account": broker.account,
            "is_paper": broker.is_paper if broker.account else None,
            "connection": {
                "state": state.link.value,
                "since": state.link_since.isoformat() if state.link_since else None,
                **engine.link.status(now),
                "host": self._settings.broker.host,
                "port": self._broker_port,
                "simulated": self._is_simulated,
            },
            "lines": {
                "used": broker.lines_used,
                "budget": state.lines.budget,
                "reserve": state.lines.reserve,
            },
            "queue": engine.lines.status(),
            "marks": engine.marks.status(),
            "data_age_s": state.board.data_age_s(now),
            "beat": {"count": engine.beats, "last_ms": last_ms, "p99_ms": p99_ms},
            "loop": self._metrics.loop_turns.status(),
            "lake": watch.status(),
            "rules": engine.reload.status(),
            "almanac": engine.almanac.status(now),
            "breaker": engine.breaker.status(),
            "reconciliation": engine.reconciler.status(),
            "positions": len(state.positions.positions),
            "open_intents": len(state.desk.open_intents),
            "alerts": engine.alerts.standing,
        }


async def _named(work: Awaitable[None], name: str) -> None:
    task = asyncio.current_task()
    if task is not None:
        task.set_name(name)
    await work
