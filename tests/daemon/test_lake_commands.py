"""`optiond lake ...` on a lake that a demo has left: one condor adopted, its profit taken."""

import csv
import io
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from lake import Lake
from sync.tables import LAKE_TABLES
from tests.daemon.answer import Answer

OPTIOND = Path(sys.executable).with_name("optiond")


@pytest.fixture
def lake(finished: Any, ask: Callable[..., Answer]) -> Callable[..., Answer]:
    """Asks `optiond lake` of the finished home."""
    return lambda *words: ask("lake", *words, "--home", finished.home)


def test_what_was_true_just_before_a_decision(
    finished: Any, ask: Callable[..., Answer], lake: Callable[..., Answer]
) -> None:
    (decision,) = finished.summary["decisions"]
    held = lake("as-of", decision["id"], "positions", "--current", "--json").lines()
    assert {row["con_id"] for row in held} == {101, 102, 103, 104}
    (position,) = ask("positions", "--as-of", decision["id"], "--home", finished.home, "--json").json()
    assert position["id"] == decision["position"]
    assert ask("decisions", "--as-of", decision["id"], "--home", finished.home, "--json").json() == []
    assert lake("as-of", "9999-01-01", "positions", "--current").out == (
        "positions: 0 rows, times in New York\n"
    )


def test_the_life_of_an_intent_by_value_and_by_name(finished: Any, lake: Callable[..., Answer]) -> None:
    intent = finished.summary["decisions"][0]["intent"]
    states = [row["state"] for row in lake("history", "intents", intent, "--json").lines()]
    assert (states[0], states[-1]) == ("intended", "settled")
    assert lake("history", "intents", f"intent={intent}", "--json").lines() == (
        lake("history", "intents", intent, "--json").lines()
    )
    told = lake("history", "intents", intent).out
    assert told.startswith(f"intents: {len(states)} rows, times in New York\n\nversion ")
    legs = lake("history", "positions", "con_id=101", "--json").lines()
    assert [row["quantity"] for row in legs][-1] == 0
    assert lake("history", "positions", "account=null", "--json").out == ""
    assert lake("history", "alerts", "nothing").out == "alerts: 0 rows, times in New York\n"


def test_what_changed_between_two_moments(finished: Any, lake: Callable[..., Answer]) -> None:
    (decision,) = finished.summary["decisions"]
    told = lake("diff", decision["id"], "9999-01-01", "strategies").out
    assert told.splitlines()[0].endswith(" in New York: 1 gone")
    assert f"\ngone: position {decision['position']}\n" in told
    assert "noted → closed" in told
    (gone,) = lake("diff", decision["id"], "9999-01-01", "strategies", "--json").lines()
    assert (gone["change"], gone["event_before"], gone["event_after"]) == ("gone", "noted", "closed")
    assert "1 added" in lake("diff", 0, decision["id"], "strategies").out
    assert "nothing changed" in lake("diff", decision["id"], "9999-01-01", "contracts").out


def test_sql_for_people_and_for_programs(finished: Any, lake: Callable[..., Answer]) -> None:
    (decision,) = finished.summary["decisions"]
    query = "SELECT decision, time, fired, priority FROM decisions"
    told = lake("sql", query).out.splitlines()
    assert told[0].split() == ["decision", "time", "(New", "York)", "fired", "priority"]
    assert decision["id"] in told[1]
    assert lake("sql", query, "--json").lines()[0]["fired"] == ["take_profit"]
    (row,) = csv.DictReader(io.StringIO(lake("sql", query, "--csv").out))
    assert (row["decision"], row["fired"]) == (decision["id"], "take_profit")
    assert lake("sql", query, "--as-of", decision["id"]).out == "no rows\n"


def test_every_table_is_described_from_its_schema(tmp_path: Path, ask: Callable[..., Answer]) -> None:
    told = ask("lake", "tables", "--describe", "intents", "--home", tmp_path).out
    assert told.startswith("intents: One row per state change of an intent. Key: intent. Gone when state is ")
    assert "price" in told
    everything = ask("lake", "tables", "--describe", "--json", "--home", tmp_path).json()
    assert {"facts", "ledger", "positions"} <= {table["table"] for table in everything}
    for table in everything:
        for column in table["columns"]:
            assert set(column) == {"name", "type", "unit", "meaning", "null"}
            assert column["meaning"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("sql", "DROP TABLE fills"),
            "answers reading queries (SELECT ..., WITH ...), not 'DROP TABLE fills'",
        ),
        (("sql", "SELECT prise FROM fills"), "no column 'prise'; there are seq, time, exec_id"),
        (("sql", "SELECT * FROM fill"), "did you mean fills?"),
        (("sql", "SELECT sum(reason) FROM decisions"), "sum"),
        (("sql", "SELECT cast(reason AS INT) FROM decisions"), "conversion from `str` to `i32` failed"),
        (("history", "fill"), "did you mean fills?"),
        (("history", "intents", "a", "b"), "table intents has no key column for 'b'; its key is intent"),
        (("history", "intents", "state=sent"), "has no key column 'state'"),
        (("history", "positions", "con_id=x"), "key column con_id is Int64, and 'x' is none"),
        (("history", "bars", "XYZ", "1d", "noon"), "key column bar_time is Datetime"),
        (("diff", "1", "yesterday", "fills"), "'yesterday' is neither a version"),
        (("diff", "1", "2", "fill"), "did you mean fills?"),
        (("tables", "--describe", "fill"), "did you mean fills?"),
    ],
)
def test_what_cannot_be_answered_is_one_line(
    words: tuple[str, ...], said: str, lake: Callable[..., Answer]
) -> None:
    answer = lake(*words)
    assert (answer.code, answer.out) == (1, "")
    assert said in answer.err
    assert answer.err.count("\n") == 1


def test_an_upkeep_makes_no_lake_where_there_is_none(tmp_path: Path, ask: Callable[..., Answer]) -> None:
    answer = ask("lake", "upkeep", "--home", tmp_path)
    assert (answer.code, answer.err.count("\n")) == (1, 1)
    assert f"no lake at {tmp_path}" in answer.err
    assert not list(tmp_path.iterdir())


def test_an_upkeep_that_had_to_leave_a_table_out_ends_with_code_1(
    tmp_path: Path, ask: Callable[..., Answer]
) -> None:
    alert = pl.DataFrame({"alert": ["a"], "severity": ["info"], "text": ["hello"]})
    start = datetime(2026, 3, 2, 15, tzinfo=UTC)
    with Lake.open(tmp_path, LAKE_TABLES) as lake:
        for hours in (0, 1, 72):
            lake.commit(start + timedelta(hours=hours), {"alerts": alert})
            lake.flush()
    victim = next((tmp_path / "lake" / "alerts" / "date=2026-03-02").glob("*.parquet"))
    victim.write_bytes(bytes(victim.stat().st_size))
    answer = ask("lake", "upkeep", "--home", tmp_path)
    assert "alerts: cannot compact the table alerts" in answer.out
    assert answer.code == 1


def test_a_terminal_gets_the_newest_rows_and_a_file_all(tmp_path: Path, ask: Callable[..., Answer]) -> None:
    with Lake.open(tmp_path) as lake:
        for number in range(120):
            row = {"alert": f"a{number}", "severity": "info", "text": "hello"}
            lake.commit(datetime(2026, 2, 4, 15, number % 60, tzinfo=UTC), {"alerts": pl.DataFrame([row])})
    words = ("lake", "as-of", "120", "alerts", "--home", str(tmp_path))
    screen = on_a_terminal(*words)
    assert screen.splitlines()[0] == "alerts: the newest 50 of 120 rows (--json: all), times in New York"
    assert re.findall(r"alert +(a\d+)", screen) == [f"a{number}" for number in range(70, 120)]
    assert ask(*words).out.count("\nversion ") == 120
    assert len(ask(*words, "--json").lines()) == 120
    screen = on_a_terminal("lake", "sql", "SELECT seq FROM alerts ORDER BY seq", "--home", str(tmp_path))
    assert screen.splitlines()[1].split() == ["1"]
    assert screen.splitlines()[-1] == "the first 50 of 120 rows; --json gives all"


def on_a_terminal(*words: str) -> str:
    """What the command shows to somebody who sits at a terminal."""
    ours, theirs = pty.openpty()
    command = subprocess.Popen([str(OPTIOND), *words], stdout=theirs, stderr=theirs)
    os.close(theirs)
    screen = b""
    while True:
        try:
            screen += os.read(ours, 65536)
        except OSError:  # the terminal's other end is closed
            break
    os.close(ours)
    assert command.wait(timeout=30) == 0, screen
    return screen.decode().replace("\r\n", "\n")
