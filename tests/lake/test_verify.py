"""What `verify` finds in a lake that was damaged, and that it finds nothing in a whole one."""

import json
import shutil
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from deltalake import DeltaTable, write_deltalake

from lake import Lake, LakeReader
from lake.verify import verify
from options import LakeError
from tests.lake.scribe import ALL, commits_from
from trading.intent import IntentState

T = datetime(2026, 2, 4, 15, tzinfo=UTC)
ORDERLY = [
    {"decisions": [{"decision": "d1", "kind": "decision"}],
     "intents": [{"intent": "opt-1", "decision": "d1", "kind": "close", "state": "intended"}]},
    {"intents": [{"intent": "opt-1", "decision": "d1", "kind": "close", "state": "sent"}]},
    {"orders": [{"order_ref": "opt-1", "perm_id": 77, "state": "working"},
                {"order_ref": "of another program", "perm_id": 99, "state": "working"}],
     "intents": [{"intent": "opt-1", "decision": "d1", "kind": "close", "state": "filled"}]},
    {"intents": [{"intent": "opt-1", "decision": "d1", "kind": "close", "state": "settled"}]},
]  # fmt: skip


def written(home: Path, *commits: dict[str, list[dict[str, Any]]]) -> Path:
    """A home with these commits, a minute apart; they are in the journal."""
    with Lake.open(home) as lake:
        for n, tables in enumerate(commits):
            frames = {name: pl.DataFrame(rows, infer_schema_length=None) for name, rows in tables.items()}
            lake.commit(T + timedelta(minutes=n), frames)
    return home


def found(home: Path, deep: bool = False) -> list[tuple[str, str]]:
    return [(finding.table, finding.what) for finding in verify(home, deep)]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Every table with twelve commits: ten flushed in two turns, two in the journal."""
    with Lake.open(tmp_path, ALL) as lake:
        for n, (time, frames) in enumerate(islice(commits_from(1), 12), start=1):
            # What the scribe writes here are words: no chain of states, no holdings.
            plain = {name: frame for name, frame in frames.items() if name not in ("intents", "positions")}
            lake.commit(time, plain)
            if n in (4, 10):
                lake.flush()
    return tmp_path


def data_files(home: Path, table: str) -> list[Path]:
    return sorted((home / "lake" / table).glob("date=*/*.parquet"))


def test_a_whole_lake_has_no_findings_beside_its_writer_and_without(home: Path) -> None:
    assert verify(home, deep=True) == []
    with Lake.open(home, ALL) as lake:
        assert verify(home) == []
        lake.flush()
        assert verify(home, deep=True) == []


def test_rows_that_a_foreign_program_doubled_are_found(home: Path) -> None:
    table = str(home / "lake" / "facts")
    twice = pl.read_delta(table)
    write_deltalake(table, twice, mode="append")
    number = twice.height
    doubled = f"{2 * number} rows where {number} were written: {number} are doubled"
    assert ("facts", doubled) in found(home)
    assert ("facts", f"{number} rows are there twice, the first of seq 1") in found(home, deep=True)


def test_as_many_rows_of_another_program_are_found_until_they_are_undone(home: Path) -> None:
    table = str(home / "lake" / "decisions")
    rows = pl.read_delta(table)
    version = DeltaTable(table).version()
    write_deltalake(table, rows.with_columns(rule=pl.lit("never")), mode="overwrite")
    said = f"another program changed its rows (version {version + 1} of the table)"
    assert ("decisions", said) in found(home)
    with Lake.open(home, ALL):
        pass
    assert found(home, deep=True) == []
    DeltaTable(table).optimize.compact()
    assert found(home) == []


def test_every_missing_cut_and_unreadable_data_file_is_named(home: Path) -> None:
    gone, cut = data_files(home, "alerts")[0], data_files(home, "breaker")[0]
    size = cut.stat().st_size
    gone.unlink()
    cut.write_bytes(cut.read_bytes()[:-9])
    torn = data_files(home, "facts")[0]
    content = torn.read_bytes()
    torn.write_bytes(content[:4] + b"\xff" * (len(content) // 2) + content[4 + len(content) // 2 :])
    said = found(home)
    assert ("alerts", f"data file {gone.parent.name}/{gone.name} is missing") in said
    assert ("breaker", f"data file {cut.parent.name}/{cut.name} has {size - 9} bytes, not {size}") in said
    assert "facts" in {table for table, _ in found(home, deep=True)}


def test_a_table_that_is_gone_or_lost_its_newest_version_is_found(home: Path) -> None:
    shutil.rmtree(home / "lake" / "queue")
    newest = max((home / "lake" / "bars" / "_delta_log").glob("*.json"))
    newest.unlink()
    assert [(table, what.split(" is ")[-1]) for table, what in found(home)] == [
        ("bars", "gone or damaged"),
        ("queue", "gone or damaged"),
    ]


def test_a_hole_in_the_ledger_and_a_row_of_no_commit_are_found(home: Path) -> None:
    ledger = home / "lake" / "ledger"
    rows = pl.read_delta(str(ledger))
    write_deltalake(str(ledger), rows.filter(pl.col("first_seq") > 1), mode="overwrite")
    said = found(home)
    assert ("ledger", "seq 5 follows seq 0") in said
    assert ("alerts", "rows of 4 commits have a seq or time of no commit, first seq 1") in said


def test_a_journal_and_a_lake_of_two_homes_are_found(home: Path, tmp_path: Path) -> None:
    earlier = tmp_path / "earlier"
    earlier.mkdir()
    for file in home.glob("journal.sqlite*"):
        shutil.copy(file, earlier)
    with Lake.open(home, ALL) as lake:
        lake.flush()
        lake.commit(T, {"alerts": pl.DataFrame({"alert": ["a"], "severity": ["info"], "text": ["x"]})})
        lake.flush()
    shutil.rmtree(home / "journal.sqlite-wal", ignore_errors=True)
    for file in home.glob("journal.sqlite*"):
        file.unlink()
    for file in earlier.iterdir():
        shutil.copy(file, home)
    assert any("not of one home" in what for _, what in found(home))


def test_a_home_without_a_lake_is_an_error_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(LakeError, match="no lake at"):
        verify(tmp_path)


def test_what_the_ledger_counted_is_compared_with_the_tables_own_counts() -> None:
    from lake.checks import counts

    ledger = pl.DataFrame({"seq": [1, 2], "rows": [json.dumps({"a": 1}), json.dumps({"a": 5, "b": 2})]})
    assert list(counts(ledger, {"a": 5, "b": 2})) == []
    assert [finding.what for finding in counts(ledger, {"a": 10})] == [
        "10 rows where 5 were written: 5 are doubled",
        "0 rows where 2 were written: 2 are missing",
    ]
    assert list(counts(ledger.drop("rows"), {"a": 10})) == []


def test_an_orderly_trade_has_no_findings(tmp_path: Path) -> None:
    assert verify(written(tmp_path, *ORDERLY)) == []
    with Lake.open(tmp_path) as lake:
        lake.flush()
    assert verify(tmp_path, deep=True) == []


@pytest.mark.parametrize(
    ("commits", "table", "what"),
    [
        (ORDERLY[1:], "intents", "opt-1 began as sent at seq 1"),
        ([*ORDERLY[:2], *ORDERLY[3:]], "intents", "opt-1 went from sent to settled at seq 3"),
        ([{"intents": ORDERLY[0]["intents"]}, *ORDERLY[1:]], "intents",
         "opt-1 (seq 1) has no decision d1 before it"),
        ([*ORDERLY, {"orders": [{"order_ref": "opt-1", "perm_id": 78, "state": "working"}]}], "orders",
         "opt-1 is 2 orders at the broker: it was sent twice"),
        ([*ORDERLY, {"orders": [{"order_ref": "opt-2", "perm_id": 78, "state": "working"}]}], "orders",
         "order opt-2 (seq 5) has no intent that was durable before it"),
        ([*ORDERLY, {"fills": [{"exec_id": "a.01", "order_ref": "opt-3"}]}], "fills",
         "order opt-3 (seq 5) has no intent that was durable before it"),
        ([{**ORDERLY[0], "orders": [{"order_ref": "opt-1", "perm_id": 77, "state": "working"}]}], "orders",
         "order opt-1 (seq 1) has no intent that was durable before it"),
        ([ORDERLY[0], {"decisions": ORDERLY[0]["decisions"]}], "decisions",
         "1 rows are there twice, the first of seq 1"),
    ],
)  # fmt: skip
def test_a_broken_promise_is_found(
    tmp_path: Path, commits: list[dict[str, list[dict[str, Any]]]], table: str, what: str
) -> None:
    assert (table, what) in found(written(tmp_path, *commits))


def test_a_lost_table_of_an_orderly_trade_is_one_finding(tmp_path: Path) -> None:
    with Lake.open(written(tmp_path, *ORDERLY)) as lake:
        lake.flush()
    shutil.rmtree(tmp_path / "lake" / "orders")
    assert [table for table, _ in found(tmp_path)] == ["orders"]


def test_every_state_of_an_intent_has_its_place_in_the_chain() -> None:
    from lake.checks import NEXT

    assert {state.value for state in IntentState} == NEXT.keys() - {""}


def holding(quantity: int, kind: str = "full") -> dict[str, Any]:
    return {"account": "U1", "con_id": 7, "quantity": quantity, "kind": kind}


def fill(exec_id: str, quantity: float, minute: float) -> dict[str, Any]:
    return {
        **{"exec_id": exec_id, "con_id": 7, "is_combo": False, "quantity": quantity},
        "exec_time": T + timedelta(minutes=minute),
    }


@pytest.mark.parametrize(
    "commits",
    [
        [{"positions": [holding(-2)]}, {"fills": [fill("a.01", 2, 1)]},
         {"positions": [holding(0, "change")]}],
        # Corrected once, reported twice: it counts once.
        [{"positions": [holding(-2)]}, {"fills": [fill("a.01", 1, 1)]}, {"fills": [fill("a.02", 2, 1)]},
         {"positions": [holding(0, "change")]}],
        # In the first picture already, and not yet in the last report.
        [{"positions": [holding(-2)]}, {"fills": [fill("a.01", -2, -1)]}],
        [{"positions": [holding(-2)]}, {"fills": [fill("a.01", 2, 1)]}],
        # Gone by somebody else's hand, which the daemon saw.
        [{"positions": [holding(-2)]},
         {"positions": [holding(0, "change")],
          "strategies": [{"position": "p", "event": "closed", "reason": "expired",
                          "legs": '[{"con_id": 7}]'}]}],
    ],
)  # fmt: skip
def test_holdings_that_executions_or_events_explain_are_no_finding(
    tmp_path: Path, commits: list[dict[str, list[dict[str, Any]]]]
) -> None:
    assert verify(written(tmp_path, *commits)) == []


def test_holdings_that_nothing_explains_are_found(tmp_path: Path) -> None:
    lost = [
        {"positions": [holding(-2)]},
        {"fills": [fill("a.01", 1, 1)]},
        {"positions": [holding(0, "change")]},
    ]
    what = "contract 7: -2 held at seq 1 and +1 executed since, but the broker reports +0"
    assert found(written(tmp_path, *lost)) == [("fills", what)]


def test_the_reader_still_reads_what_verify_called_whole(home: Path) -> None:
    assert verify(home) == []
    assert LakeReader.open(home).table("facts").collect().height == sum(1 + n % 3 for n in range(1, 13))
