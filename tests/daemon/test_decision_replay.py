"""Every decision can be made again from the lake, in any process; what was changed since is told."""

import asyncio
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import rules
from broker.events import AccountChanged, HoldingChanged, QuoteChanged
from broker.interactive_brokers import InteractiveBrokers
from daemon.account_state import AccountState
from daemon.cli import main
from daemon.console import Console
from daemon.engine import Engine
from daemon.metrics import Metrics
from daemon.records import Records
from daemon.restore import recorded_facts, restore
from daemon.rules_file import RulesFile
from daemon.rules_standing import Standing
from daemon.settings import SyncSettings
from lake import Lake, LakeReader
from options import ConId, Contract, LakeError, Right, SecType
from sync.line_budget import LineBudget
from sync.quote_board import QuoteBoard
from sync.tables import LAKE_TABLES
from trading.desk import Desk
from trading.rolling import Roller

OPTIOND = Path(sys.executable).with_name("optiond")
NOW = datetime(2026, 3, 2, 17, 0, 0, 123_456, tzinfo=UTC)
FAR = date(2026, 4, 17)
VIX = Contract(ConId(9), "VIX", SecType.INDEX, None, None, None, 1)
# right, strike, contracts per lot, cost in USD per contract
CONDOR = (("P", 90.0, 1, 50.70), ("P", 95.0, -1, 119.30), ("C", 105.0, -1, 119.30), ("C", 110.0, 1, 50.70))
SHORT_PUT = (("P", 95.0, -1, 119.30),)


@dataclass(frozen=True)
class Beat:
    """How the market is at one moment: `worth` is what closing costs, as a share of the entry prices."""

    worth: float = 1.0
    iv: float = 0.25
    short_put_delta: float = -0.20
    short_gamma: float = 0.01
    vix: float | None = None
    margin_usd: float = 1000.0


@dataclass(frozen=True)
class Story:
    """What makes one rule of the shipped file decide."""

    rule: str
    beats: tuple[Beat, ...]
    legs: tuple[tuple[str, float, int, float], ...] = CONDOR
    expiry: date = FAR
    action: str = "close"
    symbols: tuple[str, ...] = ("XYZ",)
    lots: int = 4


STORIES = (
    Story("catastrophe", (Beat(), Beat(iv=0.40))),
    Story("single_leg_exit", (Beat(worth=0.19),), SHORT_PUT),
    Story("trailing_stop", (Beat(worth=0.55), Beat(worth=0.85))),
    Story("vix_exit", (Beat(vix=20.0), Beat(vix=36.0))),
    Story("stop_loss", (Beat(worth=3.2),)),
    Story("time_exit", (Beat(),), expiry=date(2026, 3, 3)),
    Story("take_profit", (Beat(worth=0.45),), action="reduce"),
    Story("delta_risk", (Beat(short_put_delta=-0.60),)),
    Story("gamma_risk", (Beat(short_gamma=0.2),), expiry=date(2026, 3, 13)),
    Story("iv_crush", (Beat(), Beat(worth=0.75, iv=0.15))),
    Story("dte_roll", (Beat(),), expiry=date(2026, 3, 20), action="roll"),
    Story("portfolio_limits", (Beat(margin_usd=60_000.0),), action="reduce", symbols=("XYZ", "ABC")),
)


@dataclass
class Day:
    """An engine on a real lake whose broker is not there: what it would say is put in by hand."""

    home: Path
    now: datetime = NOW
    known: list[tuple[Contract, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.home.mkdir()
        self.rules = self.home / "rules.yaml"
        shutil.copy(rules.default_rules_path(), self.rules)
        broker = InteractiveBrokers("127.0.0.1", 1, 1, self)
        board = QuoteBoard()
        board.watch("VIX", VIX.con_id)
        self.state = AccountState(broker, board, LineBudget(90), Desk(broker), Roller(broker))
        self.lake = Lake.open(self.home, LAKE_TABLES)
        records, metrics, file = Records(LAKE_TABLES), Metrics(), RulesFile(self.rules)
        self.engine = Engine(
            *(
                self.lake,
                self.state,
                Standing(file.read()),
                file,
                records,
                SyncSettings(),
                Console(),
                metrics,
            ),
            partial(recorded_facts, self.home),
        )

    def hold(self, story: Story) -> None:
        holdings = []
        for symbol in story.symbols:
            for right, strike, ratio, cost in story.legs:
                con_id = ConId(len(self.known) + 101)
                contract = Contract(con_id, symbol, SecType.OPTION, story.expiry, strike, Right(right), 100)
                self.known.append((contract, cost))
                self.state.contracts[con_id] = contract
                holdings.append(HoldingChanged("DU1", contract, ratio * story.lots, cost))
        self.state.positions.note_picture(holdings)
        self.state.positions.settle(self.now)
        self.state.has_picture = True

    def beat(self, beat: Beat, after_s: float = 30.0) -> None:
        """A moment later, with the market as it is then."""
        self.now += timedelta(seconds=after_s)
        account = self.state.account
        for key, value in (("NetLiquidation", 100_000.0), ("MaintMarginReq", beat.margin_usd)):
            account.apply(AccountChanged("DU1", key, value, "USD"), self.now)
        for contract, cost in self.known:
            mid = beat.worth * cost / 100
            is_short = contract.strike in (95.0, 105.0)
            delta = (
                beat.short_put_delta
                if contract.strike == 95.0
                else -0.1
                if contract.right is Right.PUT
                else 0.2
            )
            gamma = beat.short_gamma if is_short else 0.01
            self.quote(contract.con_id, mid, iv=beat.iv, delta=delta, gamma=gamma)
        if beat.vix is not None:
            self.quote(VIX.con_id, beat.vix)
        asyncio.run(self._turn())

    async def _turn(self) -> None:
        await self.engine.reload.look()
        await self.engine.cycle(self.now)

    def quote(self, con_id: ConId, mid: float, **model: float) -> None:
        names = ("iv", "delta", "gamma", "theta", "vega", "underlying_price")
        figures = {"theta": -0.02, "vega": 0.1, "underlying_price": 100.0, **model}
        self.state.board.apply(
            QuoteChanged(
                con_id, mid - 0.01, mid + 0.01, 10.0, 10.0, mid, None, *(figures.get(name) for name in names),
                self.now, self.now, True,
            ),
            self.now,
        )  # fmt: skip

    def close(self) -> None:
        self.lake.flush()
        self.lake.close()


@pytest.fixture
def day(tmp_path: Path) -> Iterator[Day]:
    made = Day(tmp_path / "home")
    yield made
    made.lake.close()


def ask(home: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """`optiond replay` in a process of its own."""
    return subprocess.run(
        [str(OPTIOND), "replay", *words, "--home", str(home)],
        capture_output=True, text=True, timeout=120, check=False, env={**os.environ, **environment},
    )  # fmt: skip


def here(capsys: pytest.CaptureFixture[str], home: Path, *words: str) -> tuple[int, str]:
    """`optiond replay` in this process: exit code and what it printed."""
    capsys.readouterr()
    code = main(["replay", *words, "--home", str(home)])
    return code, capsys.readouterr().out


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.rule)
def test_every_shipped_rule_decides_the_same_again(
    day: Day, story: Story, capsys: pytest.CaptureFixture[str]
) -> None:
    day.hold(story)
    for beat in story.beats:
        day.beat(beat)
    day.rules.unlink()
    day.close()
    code, said = here(capsys, day.home, "--since", "0", "--json")
    answer = json.loads(said)
    decided = [d for d in answer["decisions"] if d["rule"] == story.rule]
    assert [(d["action"], d["outcome"], d["why"]) for d in decided] == [(story.action, "same", "")]
    assert decided[0]["recorded_hash"] == decided[0]["replayed_hash"]
    assert (code, answer["counts"]["same"]) == (0, len(answer["decisions"]))
    _, told = here(capsys, day.home, decided[0]["decision"])
    assert f"✓ {decided[0]['replayed']['priority']} {story.rule}: wins" in told
    assert "in other words" not in told
    assert told.splitlines()[-1] == "same"


def test_the_facts_of_a_decision_are_in_the_table_of_facts_though_no_picture_was_due(day: Day) -> None:
    day.hold(Story("", (), symbols=("XYZ", "ABC")))
    day.beat(Beat())
    day.beat(Beat(worth=3.2), after_s=1)
    reader = LakeReader.open(day.home)
    decided = reader.table("decisions").collect()
    seen = reader.table("facts").join(decided.lazy(), on=["seq", "position"], how="semi").collect()
    assert decided.height == seen.height == 2
    assert reader.table("account").collect().is_empty(), "no picture was taken"
    for decision in decided.iter_rows(named=True):
        facts = json.loads(decision["facts"])
        (row,) = seen.filter(pl.col("position") == decision["position"]).to_dicts()
        assert {name: row[name] for name in facts} == facts


def test_a_rule_of_the_book_in_shadow_mode_blocks_nothing_and_its_decision_replays(
    day: Day, capsys: pytest.CaptureFixture[str]
) -> None:
    text = day.rules.read_text()
    day.rules.write_text(text.replace("id: portfolio_limits\n", "id: portfolio_limits\n    mode: shadow\n"))
    day.hold(STORIES[-1])
    day.beat(STORIES[-1].beats[0])
    assert day.engine.judge.entries_blocked == ""
    day.rules.write_text(text)
    day.beat(STORIES[-1].beats[0])
    assert day.engine.judge.entries_blocked == "portfolio_limits"
    code, said = here(capsys, day.home, "--since", "0", "--json")
    decided = [(d["rule"], d["kind"], d["outcome"]) for d in json.loads(said)["decisions"]]
    assert decided == [("portfolio_limits", kind, "same") for kind in ("shadow", "decision")]
    assert code == 0


def test_a_decision_that_is_recorded_late_has_no_facts_of_a_later_moment(
    day: Day, capsys: pytest.CaptureFixture[str]
) -> None:
    day.hold(STORIES[6])
    day.beat(Beat())
    with closing(sqlite3.connect(day.home / "journal.sqlite", timeout=5)) as other:
        other.execute("BEGIN IMMEDIATE")
        day.beat(Beat(worth=0.45))
    assert day.engine.lake_refusal
    asyncio.run(day.engine.record_now(day.now + timedelta(seconds=30)))
    code, said = here(capsys, day.home, "--since", "0", "--json")
    (one,) = json.loads(said)["decisions"]
    assert (one["outcome"], code) == ("same", 0)
    assert "has no row of it" in one["why"]


def test_a_day_keeps_what_it_began_with_though_its_pictures_found_no_room(
    day: Day, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = day.lake.commit

    def narrow(time: datetime, frames: dict[str, pl.DataFrame]) -> int:
        if {"facts", "snapshots"} & frames.keys():
            raise LakeError("cannot write to the journal (/x): no room")
        return commit(time, frames)

    day.hold(STORIES[6])
    day.beat(Beat())
    monkeypatch.setattr(day.lake, "commit", narrow)
    asyncio.run(day.engine.record_now(day.now))
    broker = InteractiveBrokers("127.0.0.1", 1, 1, day)
    again = AccountState(broker, QuoteBoard(), LineBudget(90), Desk(broker), Roller(broker))
    restore(day.home, again, day.now + timedelta(hours=2))
    assert LakeReader.open(day.home).table("facts").collect().is_empty()
    assert again.day_start_nlv_usd == 100_000.0


def test_rules_that_were_in_force_before_their_file_broke_are_kept_for_the_replay(
    day: Day, capsys: pytest.CaptureFixture[str]
) -> None:
    day.rules.write_text("rules: [")
    day.hold(STORIES[6])
    day.beat(STORIES[6].beats[0])
    code, said = here(capsys, day.home, "--since", "0")
    assert (code, "1 replayed: 1 same" in said) == (0, True)
    assert set(LakeReader.open(day.home).table("alerts").collect()["kind"]) >= {"rules"}


def copied(home: Path, to: Path, change: Callable[[str, pl.DataFrame], pl.DataFrame]) -> Path:
    """A home with the same decisions, facts and rules, each table as `change` leaves it."""
    reader = LakeReader.open(home)
    tables = {name: reader.table(name).collect() for name in ("rules_revisions", "facts", "decisions")}
    to.mkdir()
    with Lake.open(to, LAKE_TABLES) as lake:
        for seq in range(1, reader.seq + 1):
            rows = {name: frame.filter(pl.col("seq") == seq) for name, frame in tables.items()}
            plain = {name: change(name, frame.drop("seq", "time")) for name, frame in rows.items()}
            assert lake.commit(NOW + timedelta(hours=seq), plain) == seq
        lake.flush()
    return to


@pytest.fixture(scope="module")
def decided(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which one profit was taken."""
    day = Day(tmp_path_factory.mktemp("decided") / "home")
    day.hold(STORIES[6])
    day.beat(Beat())
    day.beat(Beat(worth=0.45))
    day.close()
    return day.home


def with_text(table: str, column: str, old: str, new: str) -> Callable[[str, pl.DataFrame], pl.DataFrame]:
    """Changes one text of one table."""

    def change(name: str, frame: pl.DataFrame) -> pl.DataFrame:
        return frame.with_columns(pl.col(column).str.replace(old, new)) if name == table else frame

    return change


@pytest.mark.parametrize(
    ("table", "column", "old", "new", "outcome", "why"),
    [
        ("alerts", "", "", "", "same", ""),
        ("decisions", "facts", "0.25", "0.26", "different", "what it was decided on was changed"),
        ("decisions", "action", "reduce", "close", "different", "other action"),
        ("decisions", "urgency", "normal", "high", "different", "other urgency"),
        ("decisions", "explanation", "take_profit", "taken_profit", "different", "its explanation"),
        ("facts", "quote_state", "live", "stale", "different", "the table `facts` has other values"),
        ("rules_revisions", "text", "half: 50%", "half: 40%", "cannot", "were changed"),
        ("rules_revisions", "revision", "^.", "x", "cannot", "are not in the lake"),
    ],
)
def test_what_was_changed_in_the_lake_is_told(
    decided: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    table: str, column: str, old: str, new: str, outcome: str, why: str,
) -> None:  # fmt: skip
    home = copied(decided, tmp_path / "copy", with_text(table, column, old, new))
    code, said = here(capsys, home, "--since", "0", "--json")
    (one,) = json.loads(said)["decisions"]
    assert (one["outcome"], code) == (outcome, int(outcome != "same"))
    assert why in one["why"]
    code, table_told = here(capsys, home, "--since", "0")
    assert table_told.splitlines()[-1] == (
        f"1 replayed: {int(outcome == 'same')} same, {int(outcome == 'different')} different, "
        f"{int(outcome == 'cannot')} cannot"
    )
    _, told = here(capsys, home, one["decision"])
    assert f"{outcome.upper() if outcome == 'different' else outcome}" in told
    if table == "facts":
        assert "facts.quote_state: live recorded, stale now" in told


def test_all_decisions_are_replayed_since_the_first_day_of_the_calendar(
    decided: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = here(capsys, decided, "--since", "0001-01-01")
    assert (code, said.splitlines()[-1]) == (0, "1 replayed: 1 same, 0 different, 0 cannot")


def test_since_and_until_of_decisions_include_both(day: Day, capsys: pytest.CaptureFixture[str]) -> None:
    day.hold(STORIES[-1])
    for beat in (Beat(worth=3.2), Beat(worth=3.2, vix=36.0)):
        day.beat(beat)
    everything = json.loads(here(capsys, day.home, "--since", "0", "--json")[1])["decisions"]
    first, last = everything[0], everything[-1]
    assert first["seq"] < last["seq"]
    for since, until in ((first, last), (first, first), (last, last), (last, first)):
        said = here(capsys, day.home, "--since", since["decision"], "--until", until["decision"], "--json")[1]
        assert json.loads(said)["decisions"] == [
            one for one in everything if since["seq"] <= one["seq"] <= until["seq"]
        ]


def test_upkeep_changes_no_decision(day: Day, capsys: pytest.CaptureFixture[str]) -> None:
    def files() -> int:
        return next(table.files for table in LakeReader.open(day.home).tables() if table.name == "decisions")

    day.hold(STORIES[-1])
    for beat in (Beat(worth=3.2), Beat(worth=3.2, vix=36.0)):
        day.beat(beat)
        day.lake.flush()
    before = here(capsys, day.home, "--since", "0", "--json")
    assert {one["rule"] for one in json.loads(before[1])["decisions"]} == {"stop_loss", "vix_exit"}
    assert (before[0], files()) == (0, 2)
    day.lake.upkeep(NOW + timedelta(days=90))
    assert here(capsys, day.home, "--since", "0", "--json") == before
    assert files() == 1


@pytest.mark.parametrize("is_reopened", [False, True])
def test_a_home_of_an_older_optiond_is_told_and_not_guessed_at(
    decided: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], is_reopened: bool
) -> None:
    table = LAKE_TABLES["decisions"]
    older = {**LAKE_TABLES, "decisions": replace(table, columns=table.columns[:-4])}
    (row,) = LakeReader.open(decided).table("decisions").collect().to_dicts()
    home = tmp_path / "older"
    with Lake.open(home, older) as lake:
        frame = pl.DataFrame([{name: row[name] for name in older["decisions"].row}])
        book = rules.load(rules.default_rules_path())
        revision = pl.DataFrame([{"revision": book.revision, "text": book.text}])
        lake.commit(NOW, {"rules_revisions": revision, "decisions": frame})
        lake.flush()
    if is_reopened:
        Lake.open(home, LAKE_TABLES).close()
    code, said = here(capsys, home, "--since", "0", "--json")
    (one,) = json.loads(said)["decisions"]
    assert (code, one["outcome"], one["recorded_hash"]) == (1, "cannot", None)
    assert "older optiond" in one["why"]
    code, said = here(capsys, home, row["decision"], "--rules", str(rules.default_rules_path()))
    assert (code, "7 take_profit: reduce  same" in said) == (0, True)


def test_other_rules_are_tried_on_the_facts_of_then_and_called_that(
    decided: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edited = tmp_path / "edited.yaml"
    text = rules.default_rules_path().read_text()
    edited.write_text(text.replace("half: 50%}", "half: 58%}").replace("        - {profit: 50%}\n", ""))
    code, said = here(capsys, decided, "--since", "0", "--rules", str(edited))
    assert code == 0
    assert said.startswith(f"WHAT IF: the facts of then under {edited}, revision ")
    assert "7 take_profit: reduce  nothing" in said
    _, said = here(capsys, decided, "--since", "0", "--rules", str(edited), "--json")
    answer = json.loads(said)
    assert answer["rules"]["path"] == str(edited)
    assert [one["replayed"] for one in answer["decisions"]] == [None]
    assert {"field": "action", "recorded": "reduce", "replayed": None} in answer["decisions"][0][
        "differences"
    ]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("dec-0",), 1, "there is no decision 'dec-0' in the lake"),
        (("--since", "soon"), 1, "neither a version"),
        (("dec-0", "--until", "3"), 1, "--until goes with --since"),
        ((), 2, "DECISION"),
        (("dec-0", "--since", "0"), 2, "not allowed with"),
    ],
)
def test_what_cannot_be_replayed_is_said_in_one_line(
    decided: Path, words: tuple[str, ...], code: int, said: str
) -> None:
    done = ask(decided, *words)
    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_every_process_comes_to_the_same_bits(decided: Path) -> None:
    answers = [
        ask(decided, "--since", "0", "--json", PYTHONHASHSEED=seed, POLARS_MAX_THREADS=threads)
        for seed, threads in (("0", "1"), ("4711", "2"))
    ]
    assert answers[0].returncode == 0, answers[0].stdout
    assert answers[0].stdout == answers[1].stdout


@pytest.mark.slow
def test_decisions_before_and_after_a_kill_and_an_edit_of_the_rules_replay(
    replay: Callable[..., Any], home: Any, helpers: Any
) -> None:
    """Half is taken at 55 %; killed, the rules are edited meanwhile; the rest is taken at 85 %."""
    gateway = replay(helpers.story(lots=4, left=0.45, course=((400.0, 0.15),)))
    home.settle(gateway)

    first = home.start()
    helpers.wait_until(gateway.orders, 60, "half is ordered")
    first.send_signal(signal.SIGKILL)
    first.wait()
    file = home.path / "rules.yaml"
    edited = file.read_text().replace("{full: 80%, half: 50%}", "{full: 79%, half: 50%}")
    file.write_text(edited)
    second = home.start()
    helpers.wait_until(lambda: not gateway.holdings(), 60, "closed")
    helpers.wait_until(lambda: (home.status() or {}).get("pid") == second.pid, 30, "it is up")
    helpers.stop(second)
    file.unlink()
    rows = LakeReader.open(home.path).table("decisions").sort("seq").collect()
    acted = rows.filter(pl.col("kind") == "decision")
    assert acted["action"].to_list() == ["reduce", "close"]
    assert acted["rules_revision"].n_unique() == 2
    for threads in ("1", "2"):
        done = ask(home.path, "--since", "0", POLARS_MAX_THREADS=threads)
        assert done.returncode == 0, done.stdout
        assert f"{rows.height} replayed: {rows.height} same, 0 different, 0 cannot" in done.stdout
