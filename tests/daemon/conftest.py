"""A real gateway process, a small recorded market of our own, and real daemon processes."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from daemon.cli import main
from lake import LakeReader
from tests.daemon.answer import Answer
from tests.programs import end_programs_of

OPTIOND = Path(sys.executable).with_name("optiond")
START = datetime(2026, 3, 2, 15, 0, tzinfo=UTC)
EXPIRY = date(2026, 4, 17)
# con_id, right, strike, signed contracts, average cost in USD per contract
LEGS = (
    (101, "P", 90.0, 2, 50.70),
    (102, "P", 95.0, -2, 119.30),
    (103, "C", 105.0, -2, 119.30),
    (104, "C", 110.0, 2, 50.70),
)
NET_CREDIT_USD = 2 * (2 * 119.30 - 2 * 50.70)


def wait_until(condition: Callable[[], Any], within_s: float, what: str) -> Any:
    """The first true value of `condition`; fails the test when there is none in time."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.05)
    pytest.fail(f"not within {within_s} s: {what}")


@dataclass(frozen=True)
class Story:
    """How the small market goes. `lots` condors on XYZ, quoted every 5 s, worth their credit at first; after
    `profit_after_s` worth `left` of it, then as `course` says: (from second, worth) each. `silent_leg` is
    never quoted. Contracts of `later_expiry` are quoted at `later_price` times the entry prices, to roll."""

    minutes: float = 40
    lots: int = 2
    expiry: date = EXPIRY
    profit_after_s: float = 20
    left: float = 0.15
    course: tuple[tuple[float, float], ...] = ()
    silent_leg: int | None = None
    later_expiry: date | None = None
    later_price: float = 1.2

    def worth(self, second: float) -> float:
        """What closing costs then, as a share of the credit."""
        steps = ((0.0, 1.0), (self.profit_after_s, self.left), *self.course)
        return [worth for start, worth in steps if second >= start][-1]


def write_market(folder: Path, story: Story = Story()) -> tuple[Path, Path]:
    """Writes the story as a recording; returns (quotes, positions)."""
    rows = []
    for step in range(int(story.minutes * 12)):
        at = START + timedelta(seconds=5 * step)
        worth = story.worth(step * 5)
        for con_id, right, strike, quantity, cost in LEGS:
            if con_id != story.silent_leg:
                rows.append(_quote(at, story.expiry, right, strike, quantity, round(worth * cost / 100, 2)))
            if story.later_expiry:
                mid = round(story.later_price * cost / 100, 2)
                rows.append(_quote(at, story.later_expiry, right, strike, quantity, mid))
        if step == 0 and story.silent_leg:
            silent = next(leg for leg in LEGS if leg[0] == story.silent_leg)
            row = _quote(at, story.expiry, silent[1], silent[2], silent[3], 1.0)
            nothing = ("bid", "ask", "last", "iv", "delta", "gamma", "theta", "vega")
            rows.append({**row, **dict.fromkeys(nothing)})
    quotes, positions = folder / "quotes.parquet", folder / "positions.csv"
    frame = pl.DataFrame(rows, infer_schema_length=None)
    frame.with_columns(pl.col("timestamp").dt.cast_time_unit("us")).write_parquet(quotes)
    lines = ["conid,symbol,expiry,right,strike,position,average_cost"]
    lines += [f"{c},XYZ,{story.expiry},{r},{k},{float(q // 2 * story.lots)},{a}" for c, r, k, q, a in LEGS]
    positions.write_text("\n".join(lines) + "\n")
    return quotes, positions


def _quote(
    at: datetime, expiry: date, right: str, strike: float, quantity: int, mid: float
) -> dict[str, Any]:
    sign = -1 if right == "P" else 1
    return {
        "timestamp": at,
        "symbol": "XYZ",
        "expiry": expiry,
        "right": right,
        "strike": strike,
        "bid": mid - 0.01,
        "ask": mid + 0.01,
        "last": mid,
        "volume": 10,
        "open_interest": 100,
        "iv": 0.25,
        "delta": sign * (0.20 if quantity < 0 else 0.10),
        "gamma": 0.01,
        "theta": -0.02,
        "vega": 0.10,
    }


@dataclass
class Gateway:
    """A gateway process and its control port."""

    process: subprocess.Popen[str]
    port: int
    control_port: int

    def ask(self, cmd: str, **arguments: Any) -> dict[str, Any]:
        with socket.create_connection(("127.0.0.1", self.control_port), timeout=30) as line:
            line.sendall(json.dumps({"cmd": cmd, **arguments}).encode() + b"\n")
            with line.makefile() as answers:
                answer: dict[str, Any] = json.loads(answers.readline())
        assert answer["ok"], answer
        return answer

    def holdings(self) -> dict[int, int]:
        return {h["con_id"]: h["quantity"] for h in self.ask("holdings")["holdings"] if h["quantity"]}

    def orders(self) -> list[dict[str, Any]]:
        orders: list[dict[str, Any]] = self.ask("orders")["orders"]
        return orders

    def executions(self) -> list[dict[str, Any]]:
        executions: list[dict[str, Any]] = self.ask("executions")["executions"]
        return executions


@pytest.fixture
def start_gateway(tmp_path: Path) -> Iterator[Callable[..., Gateway]]:
    """Starts gateways that end with the test."""
    running: list[subprocess.Popen[str]] = []

    def start(*arguments: str, port: int = 0, control_port: int = 0) -> Gateway:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "broker.gateway", *arguments),
                *("--port", str(port), "--control-port", str(control_port)),
            ],
            stdout=subprocess.PIPE,
            stderr=(tmp_path / "gateway.log").open("a"),
            text=True,
        )
        running.append(process)
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        return Gateway(process, ready["port"], ready["control_port"])

    yield start
    for process in running:
        process.kill()
        process.wait()
    end_programs_of(tmp_path)


@dataclass
class Home:
    """A home with settings that point to a gateway, and the daemons run on it."""

    path: Path
    running: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def rules(self) -> Path:
        """Its rules file."""
        return self.path / "rules.yaml"

    def settle(self, gateway: Gateway, **tables: dict[str, Any]) -> None:
        """Write `optiond.toml` for a gateway that somebody else runs."""
        sections: dict[str, dict[str, Any]] = {
            "broker": {"port": gateway.port, "control_port": gateway.control_port},
            "control": {"port": 0},
            "sync": {"flush_every_s": 1, "record_every_s": 5},
            **tables,
        }
        lines = []
        for name, values in sections.items():
            lines.append(f"[{name}]")
            lines += [f"{key} = {json.dumps(value)}" for key, value in values.items()]
        self.path.mkdir(exist_ok=True)
        (self.path / "optiond.toml").write_text("\n".join(lines) + "\n")

    def start(self, *arguments: str, failpoint: str = "") -> subprocess.Popen[str]:
        """A daemon on this home."""
        environment = {key: value for key, value in os.environ.items() if not key.startswith("OPTIOND_")}
        if failpoint:
            environment["OPTIOND_FAILPOINT"] = failpoint
        process = subprocess.Popen(
            [str(OPTIOND), "run", "--home", str(self.path), "--no-page", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment,
            start_new_session=True,
        )
        self.running.append(process)
        return process

    def ask(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """One command of optiond on this home."""
        return subprocess.run(
            [str(OPTIOND), *arguments, "--home", str(self.path)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def json(self, *arguments: str) -> Any:
        done = self.ask(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def status(self) -> dict[str, Any] | None:
        done = self.ask("status", "--json")
        return json.loads(done.stdout) if done.returncode == 0 else None


def stop(process: subprocess.Popen[str]) -> str:
    """End a daemon as Ctrl-C does; returns what it said."""
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=10)
    assert process.returncode == 0, said
    return said


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    made = Home(tmp_path / "home")
    yield made
    end_programs_of(tmp_path)
    for process in made.running:
        process.kill()
        process.communicate()


@pytest.fixture
def replay(start_gateway: Callable[..., Gateway], tmp_path: Path) -> Callable[..., Gateway]:
    """Starts a gateway that replays a story."""

    def start(story: Story = Story(), speed: float = 30, account: str = "DU1234567", **ports: int) -> Gateway:
        quotes, positions = write_market(tmp_path, story)
        files = ("--quotes", str(quotes), "--positions", str(positions))
        state = ("--state", str(tmp_path / "gateway.sqlite"))
        how = ("--speed", str(speed), "--account", account)
        return start_gateway("--market", "replay", *files, *state, *how, **ports)

    return start


@dataclass(frozen=True)
class Finished:
    """A demo that adopted a condor, took its profit and ran to the end. `story` is what it told meanwhile."""

    home: Path
    quotes: Path
    positions: Path
    summary: dict[str, Any]
    story: str


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """Run once and only read by its tests; who changes anything copies the home first."""
    folder = tmp_path_factory.mktemp("finished")
    quotes, positions = write_market(folder, Story(minutes=4, profit_after_s=90))
    inputs = ("--replay", str(quotes), "--positions", str(positions), "--home", str(folder / "home"))
    done = subprocess.run(
        [str(OPTIOND), "demo", *inputs, "--no-page", "--speed", "100000", "--json"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return Finished(folder / "home", quotes, positions, json.loads(done.stdout), done.stderr)


@pytest.fixture
def market() -> Callable[..., tuple[Path, Path]]:
    """Writes the small market."""
    return write_market


def assert_closed_once(gateway: Gateway, home: Home) -> None:
    """One order closed everything, our books have all of it once, and no short was ever left uncovered."""
    orders = gateway.orders()
    assert [(o["status"], o["filled"]) for o in orders] == [("Filled", 2)], "no second order"
    reader = LakeReader.open(home.path)
    executed = {e["exec_id"] for e in gateway.executions()}
    fills = reader.table("fills").collect()
    assert set(fills["exec_id"]) == executed, "no execution lost"
    assert fills.unique().height == fills.height, "no row doubled"
    intents = reader.table("intents").collect()
    ends = intents.sort("seq").group_by("intent").last()
    assert set(ends["state"]) <= {"abandoned", "settled"}
    settled = ends.filter(pl.col("state") == "settled")["intent"].item()
    assert settled == orders[0]["order_ref"]
    decided = reader.table("decisions").collect()
    assert set(intents["decision"]) <= set(decided["decision"]), "no order without its reason"
    assert decided["decision"].is_unique().all()
    closed = reader.table("strategies").filter(pl.col("event") == "closed").collect()
    assert closed.height == 1
    moved = reader.table("positions").filter(pl.col("kind") == "change").collect()
    assert moved.unique().height == moved.height
    assert_never_naked(gateway, {con_id: quantity for con_id, _, _, quantity, _ in LEGS})


def assert_never_naked(gateway: Gateway, held: dict[int, int]) -> None:
    """Replays the gateway's executions over what was held first; after each there is a long option of the
    same right for every short. The legs of one combo execute together, all or none."""
    rights = {con_id: right for con_id, right, _, _, _ in LEGS}
    legs = [e for e in gateway.executions() if not e["is_combo"]]
    for _, together in groupby(legs, key=lambda e: (e["order_ref"], e["exec_id"].rsplit(".", 2)[0])):
        for execution in together:
            con_id = execution["con_id"]
            held[con_id] = held.get(con_id, 0) + int(execution["quantity"])
        for right in "PC":
            net = sum(quantity for con_id, quantity in held.items() if rights[con_id] == right)
            assert net >= 0, f"uncovered short {right} after {execution['exec_id']}: {held}"
    assert {con_id: quantity for con_id, quantity in held.items() if quantity} == gateway.holdings()


class Helpers:
    """What tests of whole processes need; fixtures are how pytest hands functions over."""

    wait_until = staticmethod(wait_until)
    stop = staticmethod(stop)
    story = Story
    assert_closed_once = staticmethod(assert_closed_once)


@pytest.fixture
def helpers() -> type[Helpers]:
    return Helpers


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str]) -> Callable[..., Answer]:
    """Runs one command in this process, which spares the start of another."""

    def run(*words: object) -> Answer:
        try:
            code = main([str(word) for word in words])
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 1
        return Answer(code, *capsys.readouterr())

    return run
