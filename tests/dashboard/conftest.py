"""A real lake, a real HTTP daemon stand-in, a real page server and a real Chromium."""

import json
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import polars as pl
import pytest
import uvicorn
from fastapi import FastAPI, Header, HTTPException
from playwright.sync_api import Browser, Page, expect, sync_playwright
from werkzeug.serving import make_server

import rules
from daemon.rules_control import RollBack, RulesHand, Word, rules_routes
from daemon.rules_edit_control import edit_routes
from dashboard.app import create_app
from lake import TABLES, Lake
from lake.schemas import Column, facts_table
from options import greeks
from sync.tables import TRACES_TABLE

TOKEN = "correct-horse-battery-staple"
NOW = datetime(2026, 2, 4, 15, 31, 5, tzinfo=UTC)
REVISION = "9f3c1d7ab24e"
EXPIRY = date(2026, 3, 20)
CHROMIUM_ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
expect.set_options(timeout=20_000)

GREEKS = ("delta", "gamma", "theta", "vega")
FACTS = (
    "profit",
    "profit_usd",
    "market_value_usd",
    *GREEKS,
    *(f"{greek}_usd" for greek in GREEKS),
    "dte",
    "underlying_price",
    *("last_profit", "last_profit_usd", "last_market_value_usd"),
)
FACTS_TABLE = facts_table(Column(name, pl.Float64(), name, null="not known") for name in FACTS)

# symbol, spot, vol, and the legs: con_id, right, strike, quantity, average cost in USD per contract
CONDORS: tuple[tuple[str, float, float, tuple[tuple[int, str, float, int, float], ...]], ...] = (
    (
        "IWM",
        262.4,
        0.205,
        (
            (1, "P", 235.0, 2, 194.45),
            (2, "P", 245.0, -2, 336.54),
            (3, "C", 282.0, -2, 139.45),
            (4, "C", 290.0, 2, 63.95),
        ),
    ),
    (
        "QQQ",
        604.1,
        0.212,
        (
            (5, "P", 575.0, 2, 641.95),
            (6, "P", 585.0, -2, 785.04),
            (7, "C", 670.0, -2, 233.45),
            (8, "C", 680.0, 2, 126.55),
        ),
    ),
    (
        "SPY",
        687.2,
        0.158,
        (
            (9, "P", 635.0, 2, 437.95),
            (10, "P", 645.0, -2, 538.46),
            (11, "C", 745.0, -2, 49.54),
            (12, "C", 755.0, 2, 29.05),
        ),
    ),
)
MISSING_LEG, STALE_LEG = 11, 7


@dataclass(slots=True)
class Trader:
    """Writes what a daemon would write."""

    lake: Lake
    time: datetime = NOW - timedelta(hours=1)

    def commit(self, **rows: list[dict[str, Any]]) -> None:
        schemas = {**TABLES, "facts": FACTS_TABLE, "traces": TRACES_TABLE}
        frames = {
            name: pl.DataFrame(given, schema_overrides=_types(schemas[name], given))
            for name, given in rows.items()
        }
        self.lake.commit(self.time, frames)

    def decide(self, **given: Any) -> None:
        self.commit(decisions=[decision(**given)])


def _types(schema: Any, rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {name: dtype for name, dtype in schema.row.items() if name in rows[0]}


def decision(**given: Any) -> dict[str, Any]:
    return {
        "decision": "d-1",
        "position": "IWM-1",
        "rule": "take_profit",
        "priority": 7,
        "action": "close",
        "params": json.dumps({"price": "mid"}),
        "urgency": "normal",
        "kind": "decision",
        "reason": "profit 81.2 % is at or above 80 %",
        "facts": json.dumps({"profit": 0.812, "dte": 44.0, "vix": 18.4, "iv_rank": None, "regime": "normal"}),
        "state": "{}",
        "fired": ["take_profit"],
        "unknown": ["iv_crush"],
        "rules_revision": REVISION,
        **given,
    }


def quotes() -> list[dict[str, Any]]:
    rows = []
    for _, spot, vol, legs in CONDORS:
        for con_id, right, strike, _, _ in legs:
            years = (EXPIRY - NOW.date()).days / 365
            smile = vol + 0.35 * max(0.0, (spot - strike) / spot) - 0.05 * max(0.0, (strike - spot) / spot)
            g = greeks(spot, strike, years, smile, right == "C", rate=0.037)
            mark = round(float(g.price), 2)
            known = {
                "bid": round(mark - 0.03, 2),
                "ask": round(mark + 0.03, 2),
                "mark": mark,
                "iv": smile,
                "delta": float(g.delta),
                "gamma": float(g.gamma),
                "theta": float(g.theta),
                "vega": float(g.vega),
            }
            state = {MISSING_LEG: "missing", STALE_LEG: "stale"}.get(con_id, "live")
            age_s = 214 if state == "stale" else 1.2
            rows.append(
                {
                    "con_id": con_id,
                    **{key: None if state == "missing" else value for key, value in known.items()},
                    "underlying_price": spot,
                    "quote_time": None if state == "missing" else NOW - timedelta(seconds=age_s),
                    "quote_state": state,
                }
            )
    return rows


def strategies() -> list[dict[str, Any]]:
    rows = []
    for symbol, spot, vol, legs in CONDORS:
        credit = -sum(quantity * cost for _, _, _, quantity, cost in legs)
        width = max(legs[1][2] - legs[0][2], legs[3][2] - legs[2][2])
        described = [
            {
                "con_id": con_id,
                "symbol": symbol,
                "sec_type": "OPT",
                "expiry": EXPIRY.isoformat(),
                "strike": strike,
                "right": right,
                "multiplier": 100,
                "quantity": quantity,
                "average_cost_usd": cost,
            }
            for con_id, right, strike, quantity, cost in legs
        ]
        rows.append(
            {
                "position": f"{symbol}-1",
                "event": "adopted",
                "structure": "iron_condor",
                "underlying": symbol,
                "lots": 2,
                "legs": json.dumps(described),
                "net_credit_usd": credit,
                "max_profit_usd": credit,
                "max_loss_usd": width * 200 - credit,
                "entry_time": NOW - timedelta(days=8),
                "entry_underlying_price": spot,
                "entry_iv": vol,
                "reason": "found in the account",
            }
        )
    return rows


def facts() -> list[dict[str, Any]]:
    by_leg = {row["con_id"]: row for row in quotes()}
    rows = []
    for strategy, (symbol, spot, _, legs) in zip(strategies(), CONDORS, strict=True):
        row: dict[str, Any] = dict.fromkeys(FACTS)
        row |= {"position": f"{symbol}-1", "dte": 44.0, "underlying_price": spot}
        if all(by_leg[leg[0]]["mark"] is not None for leg in legs):
            row["market_value_usd"] = sum(by_leg[leg[0]]["mark"] * leg[3] * 100 for leg in legs)
            for greek in GREEKS:
                row[greek] = sum(by_leg[leg[0]][greek] * leg[3] / 2 for leg in legs)
                row[f"{greek}_usd"] = row[greek] * 200
            row["profit_usd"] = strategy["net_credit_usd"] + row["market_value_usd"]
            row["profit"] = row["profit_usd"] / strategy["net_credit_usd"]
            for name in ("profit", "profit_usd", "market_value_usd"):
                row[f"last_{name}"] = row[name]
                if symbol == "QQQ":
                    row[name] = None
        rows.append(row)
    return rows


def account(step: int) -> dict[str, Any]:
    swing = ((step * 7919) % 101 - 50) / 50
    worth = 104_812.5 + step * 3.1 + swing * 42
    return {
        "account": "DU8675309",
        "nlv_usd": worth,
        "cash_usd": 98_400.0,
        "initial_margin_usd": 5_310.0,
        "maintenance_margin_usd": 4_871.0,
        "available_funds_usd": worth - 5_310,
        "buying_power_usd": 4 * (worth - 5_310),
        "book_delta_usd": None if 60 <= step < 70 else -12.4 + 0.05 * step + swing,
        "book_gamma_usd": -1.9 - 0.004 * step,
        "book_theta_usd": 21.3 + 0.03 * step + 0.2 * swing,
        "book_vega_usd": -64.0 + 0.1 * step,
    }


def write_day(trader: Trader) -> None:
    """A realistic morning: three condors, one of them closed for profit by half, one leg unquoted."""
    trader.commit(strategies=strategies())
    for step in range(120):
        trader.time = NOW - timedelta(seconds=30 * (120 - step))
        trader.commit(account=[account(step)])
    trader.time = NOW - timedelta(minutes=21)
    trader.decide(
        decision="d-shadow",
        position="QQQ-1",
        rule="dte_roll",
        priority=11,
        action="roll",
        kind="shadow",
        urgency="low",
        reason="44 days to expiry; the rule is in shadow mode",
        fired=["dte_roll"],
        unknown=[],
    )
    trader.time = NOW - timedelta(minutes=12)
    trader.decide(reason="profit 52.3 % is at or above 50 %: close half", action="reduce")
    intent = {
        "intent": "i-1",
        "decision": "d-1",
        "position": "IWM-1",
        "kind": "reduce",
        "order_ref": "i-1",
        "order": json.dumps({"lots": 1, "legs": 4}),
        "limit_price": -1.04,
        "filled": 0.0,
    }
    order = {
        "order_ref": "i-1",
        "order_id": 7,
        "perm_id": 41_007,
        "limit_price": -1.04,
        "filled": 0.0,
        "remaining": 1.0,
        "event": "status",
    }
    trader.commit(intents=[{**intent, "state": "intended"}])
    trader.commit(intents=[{**intent, "state": "working"}], orders=[{**order, "state": "Submitted"}])
    trader.time += timedelta(seconds=31)
    fill = {
        "exec_id": "0000e1a7.65c1.01.01",
        "order_ref": "i-1",
        "perm_id": 41_007,
        "con_id": 28_812_380,
        "is_combo": True,
        "quantity": 1.0,
        "price": -1.04,
        "exec_time": trader.time,
    }
    trader.commit(
        orders=[{**order, "state": "Filled", "filled": 1.0, "remaining": 0.0, "average_price": -1.04}],
        fills=[fill],
    )
    trader.commit(
        fills=[{**fill, "commission_usd": 2.61, "realized_pnl_usd": 112.4}],
        intents=[{**intent, "state": "settled", "filled": 1.0, "reason": "filled 1 of 1 at -1.04"}],
    )
    trader.time = NOW - timedelta(minutes=2)
    trader.decide(
        decision="d-veto",
        position="SPY-1",
        rule="delta_risk",
        priority=8,
        kind="veto",
        reason="close refused: no live two-sided quote for the 745 call",
        fired=["delta_risk"],
        unknown=["take_profit", "stop_loss", "trailing_stop"],
    )
    trader.commit(
        alerts=[
            {
                "alert": "a-1",
                "severity": "warning",
                "kind": "quote.missing",
                "subject": "SPY 2026-03-20 745 C",
                "text": "has had no quote for 10 minutes; SPY-1 cannot be judged by three rules",
            }
        ]
    )
    trader.time = NOW
    trader.commit(facts=facts(), snapshots=quotes())


@dataclass(slots=True)
class Daemon:
    """Speaks the control API; the test sets what it says."""

    url: str = ""
    breaker: dict[str, Any] = field(
        default_factory=lambda: {"state": "armed", "reason": "", "actor": "", "since": None}
    )
    changes: dict[str, Any] = field(default_factory=dict)
    orders: list[dict[str, str]] = field(default_factory=list)
    moment: dict[str, Any] = field(default_factory=lambda: {"facts": None})
    stop: Callable[[], None] = lambda: None
    hand: RulesHand | None = None
    """Set: the rules are those of its engine."""

    def status(self) -> dict[str, Any]:
        said = {
            "time": NOW.isoformat(),
            "pid": 4711,
            "version": "0.1.0",
            "account": "DU8675309",
            "connection": {
                "state": "up",
                "since": (NOW - timedelta(hours=2)).isoformat(),
                "attempts": 0,
                "host": "127.0.0.1",
                "port": 4002,
                "simulated": True,
            },
            "lines": {"used": 15, "budget": 90},
            "data_age_s": 0.8,
            "beat": {"count": 28_800, "last_ms": 6.1, "p99_ms": 14.2},
            "lake": {
                "seq": 129,
                "unflushed_rows": 37,
                "last_flush": NOW.isoformat(),
                "flush_age_s": 12.3,
                "files": 1204,
                "small_files": 361,
                "upkeep": {"running": False, "last": (NOW - timedelta(hours=18)).isoformat()},
            },
            "rules": {"revision": REVISION, "path": "rules.yaml", "error": None},
            "breaker": self.breaker,
            "positions": 3,
            "open_intents": 0,
            "alerts": 1,
        }
        if self.hand is not None:
            said["rules"] = self.hand.status()
        return {**said, **self.changes}


def _owner(authorization: Annotated[str, Header()] = "") -> None:
    if authorization != f"Bearer {TOKEN}":
        raise HTTPException(401, "wrong token")


class _Hand:
    """Hands over to the engine that the test gives the daemon."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon

    @property
    def _hand(self) -> RulesHand:
        assert self._daemon.hand is not None
        return self._daemon.hand

    def status(self) -> dict[str, Any]:
        return self._hand.status()

    async def approve(self, word: Word) -> str:
        return await self._hand.approve(word)

    async def reject(self, word: Word) -> str:
        return await self._hand.reject(word)

    async def roll_back(self, wish: RollBack) -> str:
        return await self._hand.roll_back(wish)


def _api(daemon: Daemon, rules_path: Path) -> FastAPI:
    app = FastAPI()
    app.include_router(edit_routes(_owner, rules_path, lambda: NOW))
    app.include_router(rules_routes(_owner, _Hand(daemon)))

    @app.get("/status")
    def status() -> dict[str, Any]:
        return daemon.status()

    @app.get("/rules/moment")
    def moment(position: str) -> dict[str, Any]:
        return daemon.moment

    def switch(state: str, order: dict[str, str], authorization: str) -> dict[str, str]:
        if authorization != f"Bearer {TOKEN}":
            raise HTTPException(401, "wrong token")
        daemon.orders.append(order)
        daemon.breaker = {"state": state, **order, "since": NOW.isoformat()}
        return {"state": state}

    @app.post("/halt")
    def halt(order: dict[str, str], authorization: Annotated[str, Header()] = "") -> dict[str, str]:
        return switch("halted", order, authorization)

    @app.post("/resume")
    def resume(order: dict[str, str], authorization: Annotated[str, Header()] = "") -> dict[str, str]:
        return switch("armed", order, authorization)

    return app


@pytest.fixture
def rules_path(tmp_path: Path) -> Path:
    """The rules file of the daemon: the shipped rules."""
    return Path(shutil.copy(rules.default_rules_path(), tmp_path / "rules.yaml"))


@pytest.fixture
def daemon(rules_path: Path) -> Iterator[Daemon]:
    """A control API in a thread; `stop()` makes it fall silent."""
    daemon = Daemon()
    server = uvicorn.Server(
        uvicorn.Config(_api(daemon, rules_path), port=0, log_level="error", timeout_graceful_shutdown=1)
    )
    listening = server.config.bind_socket()
    daemon.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()

    def stop() -> None:
        server.should_exit = True
        thread.join(5)
        listening.close()

    daemon.stop = stop
    yield daemon
    stop()


@pytest.fixture
def trader(tmp_path: Path) -> Iterator[Trader]:
    """A lake in `tmp_path` with a realistic day in it, open for more."""
    lake = Lake.open(tmp_path, {**TABLES, "facts": FACTS_TABLE, "traces": TRACES_TABLE})
    trader = Trader(lake)
    write_day(trader)
    yield trader
    lake.close()


@pytest.fixture
def serve(tmp_path: Path, daemon: Daemon) -> Iterator[Callable[[], str]]:
    """Starts the page over `tmp_path` and the daemon, and gives its address."""
    servers = []

    def start() -> str:
        app = create_app(tmp_path, daemon.url, "optiond")
        server = make_server("127.0.0.1", 0, app.server, threaded=True)
        servers.append(server)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


# A module at a time: while Playwright is open its thread has a running event loop, which no other test
# of that process could then start.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert chromium, "the page's tests need Chromium (Debian: apt-get install chromium)"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def desktop(browser: Browser) -> Iterator[Page]:
    """A window 1440 pixels wide."""
    context = browser.new_context(viewport={"width": 1440, "height": 1000})
    page = context.new_page()
    page.set_default_timeout(20_000)
    yield page
    context.close()


@pytest.fixture
def phone(browser: Browser) -> Iterator[Page]:
    """A phone in the hand, 390 pixels wide, in dark mode."""
    context = browser.new_context(
        viewport={"width": 390, "height": 844}, device_scale_factor=2, is_mobile=True, color_scheme="dark"
    )
    page = context.new_page()
    page.set_default_timeout(20_000)
    yield page
    context.close()
