"""The command line that scripts rely on: names, options, exit codes, JSON keys, and text for people."""

import io
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from lake import LakeReader
from tests.daemon.answer import Answer

ROOT = Path(__file__).parents[2]
OPTIOND = Path(sys.executable).with_name("optiond")
READING = ("positions", "decisions", "orders", "alerts", "explain ID")
PRINTING = (
    *READING,
    "status",
    "halt",
    "reset",
    "resume",
    "breaker",
    "doctor",
    "demo",
    "rules check",
    "rules decide F",
    "rules test",
    *(f"rules {action}" for action in ("set", "mode", "mute", "unmute")),
    "rules explain P",
    "rules traces",
)
LAKE = ("lake tables", "lake as-of 1 fills", "lake sql Q", "lake history fills", "lake diff 1 2 fills")
RULES = ("rules test", "rules facts", "rules schema")
COMMANDS = (
    *PRINTING,
    *RULES,
    *LAKE,
    *(f"lake {action}" for action in ("verify", "backup F", "restore F", "export F", "import F")),
    "run",
    "page",
    "install",
)
POSITION = {
    *("id", "structure", "underlying", "lots", "legs", "net_credit_usd", "max_profit_usd", "max_loss_usd"),
    *("market_value_usd", "profit_usd", "profit", "delta", "gamma", "theta", "vega", "dte", "quote_state"),
}
DECISION = {
    *("id", "time", "position", "rule", "priority", "action", "urgency"),
    *("facts", "fired", "unknown", "rules_revision", "intent", "outcome"),
}
GIVES_BACK = """
version: 1
rules:
  - id: gives_back
    priority: 1
    when: peak_profit - profit >= 20%
    do: close
"""
BAD = GIVES_BACK.replace("peak_profit", "peek_profit").replace("do: close", "do: clos")


@pytest.fixture
def copy(finished: Any, tmp_path: Path) -> Path:
    """The finished home once more, to be changed."""
    return Path(shutil.copytree(finished.home, tmp_path / "copy"))


# --- the words -----------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [*COMMANDS, "gateway"])
def test_every_command_has_help_and_home_and_json_where_it_prints_data(
    command: str, ask: Callable[..., Answer]
) -> None:
    words = command.split()[: 2 if command.startswith(("rules", "lake")) else 1]
    answer = ask(*words, "--help")
    assert (answer.code, answer.err) == (0, "")
    assert "--home" in answer.out
    if command in PRINTING or command.startswith(("lake", "rules")):
        assert "--json" in answer.out
    if command in READING:
        assert "--as-of" in answer.out


def test_the_help_lists_every_command(ask: Callable[..., Answer]) -> None:
    listed = ask("--help").out
    assert [word for word in COMMANDS if not re.search(rf"^\s+{word.split()[0]}\b", listed, re.M)] == []


@pytest.mark.parametrize("option", ["-V", "--version"])
def test_the_version_is_told(option: str, ask: Callable[..., Answer]) -> None:
    assert re.fullmatch(r"optiond \d+\.\d+\.\d+\n", ask(option).out)


def test_a_reader_that_goes_away_is_no_error_worth_a_traceback(finished: Any) -> None:
    gone, pipe = os.pipe()
    os.close(gone)
    words = [str(OPTIOND), "lake", "as-of", "1", "facts", "--home", str(finished.home)]
    done = subprocess.run(words, stdout=pipe, stderr=subprocess.PIPE, text=True, check=False)
    os.close(pipe)
    assert (done.returncode, done.stderr) == (1, "")


# --- demo and what it left in the lake --------------------------------------------------------------


def test_a_demo_tells_its_story_and_sums_it_up(finished: Any) -> None:
    for told in ("adopted XYZ-", "decision  close XYZ-", "order opt-", "fill  -2 XYZ", "stopped cleanly"):
        assert told in finished.story
    summary = finished.summary
    assert summary["positions"] == []
    assert [(d["rule"], d["action"], d["outcome"]) for d in summary["decisions"]] == [
        ("take_profit", "close", "settled")
    ]
    assert [order["state"] for order in summary["orders"]] == ["filled"]


def test_a_demo_on_the_home_of_other_recordings_is_refused(
    finished: Any, copy: Path, tmp_path: Path, ask: Callable[..., Answer]
) -> None:
    other = shutil.copy(finished.positions, tmp_path / "other.csv")
    refused = ask("demo", "--replay", finished.quotes, "--positions", other, "--home", copy, "--no-page")
    assert refused.code == 1
    assert "choose another --home" in refused.err
    (copy / "demo.json").unlink()
    refused = ask("demo", "--replay", finished.quotes, "--positions", other, "--home", copy, "--no-page")
    assert "holds an installation, not a demo" in refused.err


def test_positions_before_and_after_a_close_by_time_and_by_version(
    finished: Any, ask: Callable[..., Answer]
) -> None:
    (decision,) = ask("decisions", "--home", finished.home, "--json").json()
    at = datetime.fromisoformat(decision["time"]) - timedelta(seconds=1)
    for before in (decision["seq"], at.isoformat(), at.replace(tzinfo=None).isoformat()):
        (position,) = ask("positions", "--home", finished.home, "--as-of", before, "--json").json()
        assert position.keys() >= POSITION
        assert position["id"] == decision["position"]
        assert (position["structure"], position["underlying"], position["lots"]) == ("iron_condor", "XYZ", 2)
        assert len(position["legs"]) == 4
        assert position["net_credit_usd"] == pytest.approx(274.40)
        assert position["max_loss_usd"] == pytest.approx(725.60)
        assert position["quote_state"] == "live"
        assert position["profit_usd"] == pytest.approx(position["net_credit_usd"] * position["profit"])
    assert ask("positions", "--home", finished.home, "--json").json() == []
    last = LakeReader.open(finished.home).seq
    assert ask("positions", "--home", finished.home, "--as-of", last, "--json").json() == []
    assert ask("positions", "--home", finished.home, "--as-of", "2020-01-01").out == "no open positions\n"


def test_decisions_carry_their_facts_and_what_came_of_them(finished: Any, ask: Callable[..., Answer]) -> None:
    (decision,) = ask("decisions", "--home", finished.home, "--json").json()
    assert decision.keys() >= DECISION
    assert decision["outcome"] == "settled"
    assert decision["fired"] == ["take_profit"]
    assert decision["facts"]["profit"] >= 0.8
    before = ask("decisions", "--home", finished.home, "--as-of", decision["seq"] - 1, "--json")
    assert before.json() == []


@pytest.mark.parametrize("kind", ["id", "intent", "position"])
def test_explain_tells_decision_conditions_order_and_fill(
    kind: str, finished: Any, ask: Callable[..., Answer]
) -> None:
    (decision,) = finished.summary["decisions"]
    answer = ask("explain", decision[kind], "--home", finished.home)
    assert answer.code == 0
    again = f"optiond replay {decision['id']}"
    for told in ("take_profit", "profit >= $full", "New York", "close sent at", "settled", again):
        assert told in answer.out
    story = ask("explain", decision[kind], "--home", finished.home, "--json").json()
    assert [d["id"] for d in story["decisions"]] == [decision["id"]]
    assert len(story["fills"]) == 5


def test_orders_and_fills_are_listed(finished: Any, ask: Callable[..., Answer]) -> None:
    (decision,) = finished.summary["decisions"]
    found = ask("orders", "--home", finished.home, "--json").json()
    assert {row["order_ref"] for row in found["orders"] + found["fills"]} == {decision["intent"]}
    assert sorted(f["con_id"] for f in found["fills"] if not f["is_combo"]) == [101, 102, 103, 104]
    nothing = ask("orders", "--home", finished.home, "--as-of", 1, "--json").json()
    assert nothing == {"orders": [], "fills": []}


@pytest.mark.parametrize("command", ["decisions", "orders", "lake tables", "positions", "lake as-of"])
def test_what_people_read_has_new_york_times_aligned_columns_and_no_raw_floats(
    command: str, finished: Any, ask: Callable[..., Answer]
) -> None:
    seq = finished.summary["decisions"][0]["seq"]
    more = {"positions": ("--as-of", seq), "lake as-of": (seq, "facts")}.get(command, ())
    answer = ask(*command.split(), *more, "--home", finished.home)
    assert answer.code == 0
    assert not re.search(r"\.\d{9}|\+00:00|None|nan", answer.out), answer.out
    if command != "positions":
        assert "New York" in answer.out
    if command == "positions":
        head, row = answer.out.splitlines()
        assert head.index("lots") + len("lots") == row.index("  2  ") + len("  2"), (
            "numbers stand to the right"
        )


def test_verify_finds_nothing_in_what_a_day_of_trading_left_and_ends_with_1_when_a_file_is_gone(
    finished: Any, ask: Callable[..., Answer], tmp_path: Path
) -> None:
    assert ask("lake", "verify", "--deep", "--home", finished.home, "--json") == Answer(0, "[]\n", "")
    home = shutil.copytree(finished.home, tmp_path / "copy")
    next((home / "lake" / "fills").glob("date=*/*.parquet")).unlink()
    answer = ask("lake", "verify", "--home", home)
    assert (answer.code, answer.err) == (1, "")
    assert re.match(
        r"error  fills: data file date=\S+ is missing; restore this home from a backup\n", answer.out
    )


def test_the_lake_lists_its_tables_and_reads_them_as_they_were(
    finished: Any, ask: Callable[..., Answer]
) -> None:
    tables = {row["name"]: row for row in ask("lake", "tables", "--home", finished.home, "--json").json()}
    assert tables["decisions"]["rows"] == 1
    seq = finished.summary["decisions"][0]["seq"]
    rows = ask("lake", "as-of", seq, "decisions", "--home", finished.home, "--json")
    assert [json.loads(line)["rule"] for line in rows.out.splitlines()] == ["take_profit"]
    assert ask("lake", "as-of", seq - 1, "decisions", "--home", finished.home, "--json").out == ""
    answer = ask("lake", "as-of", seq - 1, "decisions", "--home", finished.home)
    assert answer.out == "decisions: 0 rows, times in New York\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("positions", "--as-of", "yesterday"), "'yesterday' is neither a version"),
        (("positions", "--as-of", "²"), "'²' is neither a version"),
        (("orders", "--as-of", "9999-12-31T23:59:59-05:00"), "is neither a version"),
        (("decisions", "--as-of", "99999"), "no version 99999: give a number from 0 to"),
        (("lake", "as-of", "1", "trades"), "no table 'trades'; it has account, alerts"),
        (("explain", "dec-0"), "nothing in the lake has the id 'dec-0'"),
    ],
)
def test_a_wrong_moment_table_or_id_is_one_line(
    words: tuple[str, ...], said: str, finished: Any, ask: Callable[..., Answer]
) -> None:
    answer = ask(*words, "--home", finished.home)
    assert (answer.code, answer.out) == (1, "")
    assert answer.err.startswith("optiond: ")
    assert said in answer.err
    assert answer.err.count("\n") == 1


@pytest.mark.parametrize(
    "command", ["positions", "decisions", "orders", "alerts", "explain x", "lake tables", "lake verify"]
)
def test_a_home_without_a_lake_is_one_line(command: str, tmp_path: Path, ask: Callable[..., Answer]) -> None:
    answer = ask(*command.split(), "--home", tmp_path)
    assert answer == Answer(1, "", f"optiond: no lake at {tmp_path}: run optiond first\n")


# --- rules ---------------------------------------------------------------------------------------


def test_rules_check_says_sound_or_every_problem(tmp_path: Path, ask: Callable[..., Answer]) -> None:
    good, bad = tmp_path / "good.yaml", tmp_path / "bad.yaml"
    good.write_text(GIVES_BACK)
    bad.write_text(BAD)
    sound = ask("rules", "check", good)
    assert (sound.code, sound.err) == (0, "")
    assert re.search(r"1 rules? (is|are) sound, revision [0-9a-f]{12}", sound.out)
    assert ask("rules", "check", good, "--json").json()["ok"] is True

    wrong = ask("rules", "check", bad)
    assert (wrong.code, wrong.out) == (1, "")
    assert f"{bad}:6:11: unknown fact peek_profit" in wrong.err
    assert f"{bad}:7:9: unknown action clos" in wrong.err
    told = ask("rules", "check", bad, "--json")
    assert told.code == 1
    assert [(p["line"], p["column"]) for p in json.loads(told.out)["problems"]] == [(6, 11), (7, 9)]


def test_rules_check_warns_and_strictly_fails(tmp_path: Path, ask: Callable[..., Answer]) -> None:
    odd = tmp_path / "odd.yaml"
    odd.write_text("rules:\n  - {id: late, priority: 1, when: dte > 21d and dte < 14d, do: {close: mid}}\n")
    warned = ask("rules", "check", odd)
    assert warned.code == 0
    assert "1 rules are sound, 1 warning, revision" in warned.out
    assert f"{odd}:2:35: warning: late can never fire: dte > 21d and dte < 14d are never true" in warned.err
    strict = ask("rules", "check", odd, "--strict", "--json")
    assert strict.code == 1
    told = json.loads(strict.out)
    assert told["ok"] is True
    assert [(one["kind"], one["line"], one["column"], one["proof"]) for one in told["lints"]] == [
        ("unsatisfiable", 2, 35, {"dte > 21d": 21.0, "dte < 14d": 14.0})
    ]


def test_rules_check_takes_the_rules_of_the_home(tmp_path: Path, ask: Callable[..., Answer]) -> None:
    assert "12 rules" in ask("rules", "check", "--home", tmp_path).out, "the shipped ones at first"
    (tmp_path / "rules.yaml").write_text(BAD)
    assert ask("rules", "check", "--home", tmp_path).code == 1
    (tmp_path / "optiond.toml").write_text('rules = "mine.yaml"\n')
    assert "mine.yaml:1:1: cannot be read" in ask("rules", "check", "--home", tmp_path).err


def test_rules_decide_goes_on_from_a_saved_state(
    tmp_path: Path, ask: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    book, state = tmp_path / "rules.yaml", tmp_path / "state.json"
    book.write_text(GIVES_BACK)
    first = '{"position": "p", "time": "2026-01-05T15:30:00Z", "profit": 0.5}\n'
    second = '{"position": "p", "time": "2026-01-05T15:31:00Z", "profit": 0.2}\n'
    (tmp_path / "facts.jsonl").write_text(first)
    rules = ("--rules", book)
    opening = ask("rules", "decide", tmp_path / "facts.jsonl", *rules, "--out-state", state).json()
    assert opening["rule"] is None
    monkeypatch.setattr(sys, "stdin", io.StringIO(second))
    assert ask("rules", "decide", "-", *rules, "--state", state).json()["action"] == "close"
    monkeypatch.setattr(sys, "stdin", io.StringIO(second))
    assert ask("rules", "decide", "-", *rules).json()["rule"] is None, "without the state there is no peak"


def test_the_schemas_for_editors_are_printed(ask: Callable[..., Answer]) -> None:
    assert ask("rules", "schema").out == (ROOT / "docs" / "rules.schema.json").read_text(encoding="utf-8")
    tests = ask("rules", "schema", "--tests").out
    assert tests == (ROOT / "docs" / "rules_test.schema.json").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("facts", "state", "said"),
    [
        (None, None, "facts.jsonl: cannot be read: No such file"),
        ('{"position": "p"}', None, "line 1: no time"),
        ('{"time": "2026-01-05T15:30:00Z", "profot": 1}', None, "line 1: unknown fact profot: did you mean"),
        ("", "[]", "state.json: this is not a saved rule state"),
    ],
)
def test_rules_decide_refuses_bad_facts_and_states(
    facts: str | None, state: str | None, said: str, tmp_path: Path, ask: Callable[..., Answer]
) -> None:
    if facts is not None:
        (tmp_path / "facts.jsonl").write_text(facts)
    more = []
    if state is not None:
        (tmp_path / "state.json").write_text(state)
        more = ["--state", tmp_path / "state.json"]
    answer = ask("rules", "decide", tmp_path / "facts.jsonl", "--home", tmp_path, *more)
    assert (answer.code, answer.out, answer.err.count("\n")) == (1, "", 1)
    assert said in answer.err


# --- the daemon and its home ------------------------------------------------------------------------


def test_status_without_a_daemon_is_code_3(finished: Any, ask: Callable[..., Answer]) -> None:
    answer = ask("status", "--home", finished.home)
    assert answer.code == 3
    assert "no daemon answers" in answer.out
    assert json.loads(ask("status", "--home", finished.home, "--json").out) == {"running": False}


@pytest.mark.parametrize("note", ["", "{}", "[]", '{"port": 1}'])
def test_what_a_killed_daemon_left_is_not_taken_for_one(
    note: str, copy: Path, ask: Callable[..., Answer]
) -> None:
    (copy / "control.json").write_text(note)
    assert ask("status", "--home", copy).code == 3


def test_a_daemon_that_is_slow_to_answer_is_not_taken_for_none(
    copy: Path, ask: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.remote.ANSWER_WITHIN_S", 0.3)
    over = subprocess.Popen(["true"])
    over.wait()
    with socket.create_server(("127.0.0.1", 0)) as mute:
        note = {"port": mute.getsockname()[1], "pid": os.getpid()}
        (copy / "control.token").write_text("token")
        (copy / "control.json").write_text(json.dumps(note))
        slow = ask("halt", "--home", copy, "--reason", "slow disk")
        assert (slow.code, slow.out) == (1, "")
        assert "gave no answer to /halt within 0.3 s" in slow.err
        assert "gave no answer to /status" in ask("doctor", "--home", copy).out
        (copy / "control.json").write_text(json.dumps({**note, "pid": over.pid}))
        assert ask("status", "--home", copy).code == 3, "killed, and the port is another program's now"


def test_a_halt_without_a_daemon_keeps_to_the_time_of_a_simulated_lake(
    copy: Path, ask: Callable[..., Answer]
) -> None:
    last = LakeReader.open(copy).last_time
    halted = ask("halt", "--home", copy, "--reason", "sleep", "--json").json()
    assert (halted["state"], halted["running"]) == ("halted", False)
    frozen = ask("halt", "--home", copy, "--freeze", "--reason", "sleep well")
    assert frozen.out == "trading is frozen; no daemon runs now, the next one starts like this\n"
    rows = LakeReader.open(copy).table("breaker").collect()
    assert rows["state"].to_list() == ["halted", "frozen"]
    assert rows["time"].to_list() == [last, last]
    assert ask("halt", "--home", copy, "--reason", " ").code == 2
    nowhere = ask("halt", "--home", copy / "nowhere")
    assert (nowhere.code, "no such home" in nowhere.err) == (1, True)


@pytest.mark.slow
def test_a_halt_stands_across_restarts_until_somebody_resumes(home: Any, replay: Any, helpers: Any) -> None:
    home.settle(replay(helpers.story(profit_after_s=100_000)))
    assert home.json("halt", "--reason", "before the first start")["state"] == "halted"
    daemon = home.start()
    status = helpers.wait_until(
        lambda: (s := home.status()) and s["positions"] and s, 20, "it holds a position"
    )
    assert (status["breaker"]["state"], status["breaker"]["reason"]) == ("halted", "before the first start")
    text = home.ask("status").stdout
    assert "trading     halted by" in text
    assert "New York" in text
    resumed = home.json("resume", "--reason", "good morning")
    assert (resumed["state"], resumed["running"]) == ("half_open", True)
    assert home.ask("halt", "--reason", "lunch").stdout == "trading is halted\n"
    helpers.stop(daemon)
    again = home.start()
    status = helpers.wait_until(home.status, 20, "the second daemon answers")
    assert (status["breaker"]["state"], status["breaker"]["reason"]) == ("halted", "lunch")
    helpers.stop(again)
    states = LakeReader.open(home.path).table("breaker").sort("seq").select(pl.col("state")).collect()
    assert states["state"].to_list() == ["halted", "half_open", "halted"]


def test_the_doctor_finds_what_is_wrong(copy: Path, ask: Callable[..., Answer]) -> None:
    well = ask("doctor", "--home", copy)
    assert (well.code, "WRONG" in well.out) == (0, False)
    (copy / "rules.yaml").write_text(BAD)
    (copy / "journal.sqlite").write_bytes(b"not a journal")
    assert "ok     calendar  no calendar.yaml: days of earnings and dividends are unknown" in well.out
    calendar = copy / "calendar.yaml"
    calendar.write_text("version: 1\nchecked: 2026-03-18\nsymbols:\n  IWM: {earnings: never}\n")
    told = "ok     calendar  1 underlyings, last looked through on 2026-03-18"
    assert told in ask("doctor", "--home", copy).out
    calendar.write_text("version: 1\nchecked: lately\nsymbols:\n")
    assert f"WRONG  calendar  {calendar}:2:10: lately is not the day" in ask("doctor", "--home", copy).out
    calendar.unlink()
    ill = ask("doctor", "--home", copy, "--json")
    assert ill.code == 1
    assert {f["what"] for f in json.loads(ill.out) if not f["ok"]} == {"journal", "lake", "rules"}
    (copy / "optiond.toml").write_text("nonsense = 1\n")
    assert "WRONG  settings" in ask("doctor", "--home", copy).out


def test_install_writes_the_units_where_it_is_told(tmp_path: Path, ask: Callable[..., Answer]) -> None:
    done = ask("install", "--home", tmp_path / "home", "--folder", tmp_path / "units")
    assert done.code == 0, done
    assert {unit.name for unit in (tmp_path / "units").iterdir()} == {
        "optiond.service",
        "optiond-page.service",
    }
    assert f"--home {tmp_path / 'home'}" in (tmp_path / "units" / "optiond.service").read_text()
