"""Pictures, versions and differences, against a plain list of what was committed."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

import lake
from lake import TABLES, Column, Gone, Lake, LakeHistory, TableSchema, delta, queries, versions
from lake.location import store_of
from options import LakeError
from sync.position_queue import ItemState
from sync.strategy_registry import Reason
from tests.lake.scribe import ALL, commits_from, time_of
from trading.intent import ENDED

T = datetime(2026, 2, 4, 15, 31, tzinfo=UTC)
NULLS = {
    name: Column(name, dtype, name, null="not known")
    for name, dtype in {"a": pl.String(), "b": pl.Int64(), "tags": pl.List(pl.String())}.items()
}
THINGS = TableSchema(
    "things", "thing", ("a", "b"), (*NULLS.values(), Column("size", pl.Int64(), "size")), Gone("size", (0,))
)
NAMED = TableSchema("named", "thing", ("a", "b"), THINGS.columns, THINGS.gone, alternatives=True)
ONLY = TableSchema("only", "thing", (), THINGS.columns)
SCHEMAS = {schema.name: schema for schema in (THINGS, NAMED, ONLY)}

ROW = st.fixed_dictionaries(
    {
        "a": st.sampled_from([None, "x", "y"]),
        "b": st.sampled_from([None, 1]),
        "tags": st.sampled_from([None, [], ["t"], [None]]),
        "size": st.integers(0, 2),
    }
)
COMMITS = st.lists(st.lists(ROW, max_size=3), min_size=1, max_size=8)


def name_of(schema: TableSchema, row: dict[str, object]) -> object:
    """What the row is about."""
    if schema is ONLY:
        return None
    if schema is THINGS:
        return row["a"], row["b"]
    return row["a"] if row["a"] is not None else row["b"]


def current(schema: TableSchema, commits: list[list[dict[str, object]]]) -> dict[object, dict[str, object]]:
    found = {name_of(schema, row): row for rows in commits for row in rows}
    return {name: row for name, row in found.items() if schema.gone is None or row["size"] != 0}


def values(frame: pl.DataFrame, schema: TableSchema) -> dict[object, dict[str, object]]:
    rows = frame.select(schema.row.names()).to_dicts()
    assert len({str(name_of(schema, row)) for row in rows}) == len(rows), "each thing once"
    return {name_of(schema, row): row for row in rows}


def applied(
    before: dict[object, dict[str, object]], diff: pl.DataFrame, schema: TableSchema
) -> dict[object, dict[str, object]]:
    """What is current afterwards, by what the difference says alone."""
    after = dict(before)
    columns = schema.row.names()
    key = () if schema is NAMED else schema.key
    for row in diff.to_dicts():
        old, new = (
            {name: row[name] if name in key else row[f"{name}_{side}"] for name in columns}
            for side in ("before", "after")
        )
        if row["change"] == "gone":
            assert after.pop(name_of(schema, old)) == old
        elif row["change"] == "added":
            assert name_of(schema, new) not in after
            after[name_of(schema, new)] = new
        else:
            assert row["changed"] == [name for name in columns if old[name] != new[name]] != []
            assert after[name_of(schema, old)] == old
            after[name_of(schema, new)] = new
    return after


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(commits=COMMITS, flushed=st.integers(0, 8), data=st.data())
def test_pictures_versions_and_differences_are_those_of_a_plain_list(
    commits: list[list[dict[str, object]]], flushed: int, data: st.DataObject
) -> None:
    with TemporaryDirectory() as folder, Lake.open(Path(folder), SCHEMAS) as writer:
        for number, rows in enumerate(commits, 1):
            frame = pl.DataFrame(rows, schema=THINGS.row)
            writer.commit(T + timedelta(seconds=number), dict.fromkeys(SCHEMAS, frame))
            if number == flushed:
                writer.flush()
        history = lake.open(folder, SCHEMAS)
        moment = st.integers(0, len(commits))
        a, b = data.draw(moment), data.draw(moment)
        for name, schema in SCHEMAS.items():
            picture = history.as_of(b)
            assert picture.seq == b
            assert picture.time == (T + timedelta(seconds=b) if b else None)
            prefix = [row for rows in commits[:b] for row in rows]
            assert (
                picture[name].sort("seq", maintain_order=True).collect().select(THINGS.row.names()).to_dicts()
                == prefix
            )
            then = current(schema, commits[:b])
            assert values(picture.current(name).collect(), schema) == then
            diff = history.diff(a, b, name)
            assert applied(current(schema, commits[:a]), diff, schema) == then


@given(
    st.lists(st.tuples(st.integers(1, 400), st.integers(0, 5_000)), max_size=300).map(
        lambda rows: sorted(rows, key=lambda row: row[1])
    )
)
def test_the_newest_rows_are_found_wherever_they_are_in_a_long_history(rows: list[tuple[int, int]]) -> None:
    frame = pl.DataFrame(
        {"seq": [seq for _, seq in rows], "con_id": [key for key, _ in rows], "n": range(len(rows))},
        schema={"seq": pl.Int64, "con_id": pl.Int64, "n": pl.Int64},
    )
    found = versions.newest(frame.lazy(), TABLES["contracts"], with_gone=True).collect()
    last = {key: (seq, key, n) for n, (key, seq) in enumerate(rows)}
    assert sorted(found.rows()) == sorted(last.values())


@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(commits=COMMITS, flushed=st.integers(0, 8))
def test_the_versions_of_a_thing_end_with_the_current_one(
    commits: list[list[dict[str, object]]], flushed: int
) -> None:
    with TemporaryDirectory() as folder, Lake.open(Path(folder), SCHEMAS) as writer:
        for number, rows in enumerate(commits, 1):
            frame = pl.DataFrame(rows, schema=THINGS.row)
            writer.commit(T + timedelta(seconds=number), {"things": frame})
            if number == flushed:
                writer.flush()
        history = lake.open(folder, SCHEMAS)
        now = history.as_of().current("things", with_gone=True).collect()
        for thing in now.iter_rows(named=True):
            versions = history.history("things", a=thing["a"], b=thing["b"]).collect()
            assert versions.to_dicts()[-1] == thing
            mine = [
                row for rows in commits for row in rows if (row["a"], row["b"]) == (thing["a"], thing["b"])
            ]
            assert versions.select(THINGS.row.names()).to_dicts() == mine
        assert history.history("things").collect().height == sum(map(len, commits))


def test_the_recorded_delta_version_of_a_flush_holds_the_rows_up_to_its_seq(tmp_path: Path) -> None:
    kept = ("decisions", "facts", "fills")
    with Lake.open(tmp_path, ALL) as writer:
        for number, (time, frames) in enumerate(islice(commits_from(1), 11), 1):
            writer.commit(time, {name: frames[name] for name in kept})
            if number % 3 == 0:
                writer.flush()
    history = lake.open(tmp_path, {**TABLES, **ALL})
    ledger = history.as_of()["ledger"].collect()
    assert ledger["seq"].sort().to_list() == [3, 6, 9]
    for flush in ledger.iter_rows(named=True):
        picture = history.as_of(flush["seq"])
        for name, version in json.loads(flush["versions"]).items():
            assert name in kept
            table = delta.open_table(store_of(tmp_path), name)
            assert table is not None
            table.load_as_version(version)
            recorded = delta.scan(table).drop("date")
            assert_frame_equal(
                picture[name].sort("seq", maintain_order=True).collect(),
                recorded.sort("seq", maintain_order=True).collect(),
            )


# --- moments -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve commits of the scribe, flushed up to the ninth, and then two decisions."""
    folder = tmp_path_factory.mktemp("travelled")
    with Lake.open(folder, ALL) as writer:
        for number, (time, frames) in enumerate(commits_from(1), 1):
            writer.commit(time, frames)
            if number == 9:
                writer.flush()
            if number == 12:
                break
        for name in ("dec-1", "dec-2"):
            decision = pl.DataFrame({"decision": [name], "kind": ["decision"], "rule": ["take_profit"]})
            writer.commit(time_of(13), {"decisions": decision})
    return folder


@pytest.fixture
def history(home: Path) -> Iterator[LakeHistory]:
    yield lake.open(home, {**TABLES, **ALL})


def test_every_way_to_write_a_moment_gives_the_same_picture(history: LakeHistory) -> None:
    time = time_of(7)
    new_york = time.astimezone(ZoneInfo("America/New_York"))
    for moment in (
        7,
        "7",
        time,
        time.replace(tzinfo=None),
        new_york,
        f"{time:%Y-%m-%d %H:%M:%S.%f}",
        f"{time:%Y-%m-%dT%H:%M:%S.%f}Z",
        new_york.isoformat(),
        f"{new_york:%Y-%m-%d %H:%M:%S.%f} America/New_York",
    ):
        picture = history.as_of(moment)
        assert (picture.seq, picture.time) == (7, time), moment
    assert history.as_of("dec-1").seq == 12, "a decision: just before it"
    assert history.as_of("dec-2").seq == 13
    assert history.as_of().seq == history.as_of(None).seq == history.as_of("9999-01-01").seq == 14
    assert (history.as_of("1990-01-01").seq, history.as_of(0).time) == (0, None)


@pytest.mark.parametrize(
    ("moment", "said"),
    [
        ("yesterday", "'yesterday' is neither a version"),
        ("", "'' is neither a version"),
        ("dec-3", "nor the id of a decision"),
        ("2026-02-04 10:31 America/New_Yorck", "is neither a version"),
        ("2026-02-04 10:31 America", "is neither a version"),
        ("9999-12-31T23:59:59-05:00", "is neither a version"),
        (15, "no version 15: give a number from 0 to 14"),
        (-1, "no version -1"),
    ],
)
def test_what_is_no_moment_is_told(moment: str | int, said: str, history: LakeHistory) -> None:
    with pytest.raises(LakeError, match=said):
        history.as_of(moment)


def test_a_picture_reads_as_a_mapping_and_stays_while_the_lake_grows(tmp_path: Path) -> None:
    alert = pl.DataFrame({"alert": ["a"], "severity": ["info"], "text": ["hello"]})
    with Lake.open(tmp_path) as writer:
        writer.commit(T, {"alerts": alert})
        picture = lake.open(str(tmp_path)).as_of()
        writer.commit(T, {"alerts": alert})
        writer.flush()
        assert picture["alerts"].collect().height == picture.sql("SELECT * FROM alerts").collect().height == 1
        assert list(picture) == picture.tables
        assert len(picture) == len(picture.tables) > 15
        assert "alerts" in picture
        assert "alert" not in picture
        assert repr(picture).startswith("Picture(seq=1, time=2026-02-04")
        with pytest.raises(LakeError, match=r"no table 'alert'; it has .*did you mean alerts\?"):
            _ = picture["alert"]


@pytest.mark.on_disk("it damages a file by path")
def test_a_file_that_is_cut_while_it_is_read_is_told_in_one_line(tmp_path: Path) -> None:
    with Lake.open(tmp_path, SCHEMAS) as writer:
        writer.commit(T, {"things": pl.DataFrame({"a": ["x"], "size": [1]})})
        writer.flush()
    history = lake.open(tmp_path, SCHEMAS)
    assert history.diff(0, 1, "things").height == 1
    (path,) = (tmp_path / "lake" / "things").rglob("*.parquet")
    path.write_bytes(path.read_bytes()[:40])
    for read in (lambda: history.as_of().current("things"), lambda: history.diff(0, 1, "things")):
        with pytest.raises(LakeError, match="cannot read the table things") as told:
            read()
        assert "\n" not in str(told.value)


def test_a_table_of_another_optiond_is_read_whole_and_has_no_known_key(tmp_path: Path) -> None:
    with Lake.open(tmp_path, SCHEMAS) as writer:
        writer.commit(T, {"things": pl.DataFrame({"a": ["x"], "size": [1]})})
    picture = lake.open(tmp_path).as_of()
    assert picture["things"].collect().height == 1
    with pytest.raises(LakeError, match="the key of table 'things' is not known"):
        picture.current("things")


def test_every_commit_has_its_time_also_when_the_clock_was_set_back_over_midnight(tmp_path: Path) -> None:
    alert = pl.DataFrame({"alert": ["a"], "severity": ["info"], "text": ["hello"]})
    midnight = datetime(2026, 2, 5, tzinfo=UTC)
    times = [midnight + timedelta(seconds=s) for s in (-9, -8, 1, 2, -3, -2, 5, 6)]
    with Lake.open(tmp_path) as writer:
        for number, time in enumerate(times, 1):
            writer.commit(time, {"alerts": alert})
            if number % 2 == 0:
                writer.flush()
        writer.upkeep(midnight + timedelta(days=3))
    history = lake.open(tmp_path)
    assert [history.as_of(seq).time for seq in range(9)] == [None, *times]


# --- keys ----------------------------------------------------------------------------------------


def test_an_order_is_one_thing_before_and_after_the_broker_numbers_it(tmp_path: Path) -> None:
    sent = {"order_ref": "opt-1", "order_id": 7, "perm_id": None, "state": "sent"}
    theirs = {"order_ref": None, "order_id": 0, "perm_id": 88, "state": "working"}
    with Lake.open(tmp_path) as writer:
        for row in (sent, theirs, {**sent, "perm_id": 99, "state": "working"}, {**theirs, "state": "filled"}):
            writer.commit(T, {"orders": pl.DataFrame([row])})
    history = lake.open(tmp_path)
    assert history.as_of(3).current("orders").collect()["perm_id"].to_list() == [88, 99]
    assert history.as_of(4).current("orders").collect()["order_ref"].to_list() == ["opt-1"]
    diff = history.diff(2, 4, "orders")
    assert diff.select("change", "key").rows() == [("changed", "opt-1"), ("gone", "perm_id 88")]
    assert diff["changed"].to_list() == [["perm_id", "state"], ["state"]]
    assert history.history("orders", order_ref=None, perm_id=88).collect()["state"].to_list() == [
        "working",
        "filled",
    ]


def test_a_holding_written_again_as_it_was_has_not_changed(tmp_path: Path) -> None:
    held = {"account": None, "con_id": 1, "quantity": 2, "kind": "change"}
    with Lake.open(tmp_path) as writer:
        for row in (held, {**held, "kind": "full"}, {**held, "quantity": 1, "kind": "full"}):
            writer.commit(T, {"positions": pl.DataFrame([row], schema_overrides={"account": pl.String})})
    history = lake.open(tmp_path)
    assert history.diff(1, 2, "positions").is_empty()
    (changed,) = history.diff(1, 3, "positions").to_dicts()
    assert (changed["changed"], changed["quantity_before"], changed["quantity_after"]) == (["quantity"], 2, 1)


def test_what_ends_is_declared_as_the_trade_has_it() -> None:
    ends = {name: set(table.gone.values) for name, table in TABLES.items() if table.gone}
    assert ends == {
        "positions": {0},
        "strategies": {"closed", "rolled", "restated"},
        "intents": {state.value for state in ENDED},
        "orders": {"filled", "cancelled", "rejected"},
        "queue": {ItemState.GONE.value},
        "strategy_registry": {Reason.ENDED.value},
    }


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ({"inten": "i"}, "table intents has no key column 'inten'; its key is intent; did you mean intent"),
        ({"state": "sent"}, "has no key column 'state'"),
        ({"intent": 7}, "table intents, key column intent is String, and 7 is none"),
    ],
)
def test_a_wrong_key_is_told(key: dict[str, object], said: str, history: LakeHistory) -> None:
    with pytest.raises(LakeError, match=said):
        history.history("intents", **key)


# --- SQL -----------------------------------------------------------------------------------------


def test_sql_joins_tables_of_one_picture(history: LakeHistory) -> None:
    found = history.as_of("dec-2").sql(
        "WITH d AS (SELECT decision, time FROM decisions WHERE decision LIKE 'dec-%') -- a comment\n"
        "SELECT d.decision, count(f.seq) AS n FROM d JOIN fills f ON f.time < d.time GROUP BY d.decision"
    )
    assert found.collect().rows() == [("dec-1", history.as_of()["fills"].collect().height)]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("DROP TABLE fills", "reading queries"),
        ("/* SELECT */ delete from fills", "reading queries"),
        ("WITH a AS (SELECT 1) DELETE FROM fills", "unsupported"),
        ("SELECT 1; DROP TABLE fills", "one .and only one. statement"),
        ("", "reading queries"),
        ("SELECT prise FROM fills", r"no column 'prise'; there are seq, .*did you mean price\?"),
        ("SELECT * FROM fill", r"no table 'fill'; it has .*did you mean fills\?"),
        ("SELECT count(* FROM fills", "sql parser error"),
        ("SELECT * FROM read_csv('/etc/passwd')", "tables of the lake only, not read_csv"),
        ("SELECT * FROM alerts, /**/ Read_Parquet /**/ ('x')", "tables of the lake only, not Read_Parquet"),
        ("SELECT * FROM \"read_csv\"('/etc/passwd')", "tables of the lake only, not read_csv"),
        ("SELECT nosuch(price) FROM fills", "unsupported function 'nosuch'"),
    ],
)
def test_a_query_that_cannot_be_answered_is_told_in_one_line(
    query: str, said: str, history: LakeHistory
) -> None:
    with pytest.raises(LakeError, match=said) as told:
        history.as_of().sql(query)
    assert "\n" not in str(told.value)
    assert len(str(told.value)) < 500


@pytest.mark.parametrize("column", ["exec_id ~ '('", "CAST(exec_id AS DATE)"])
def test_a_query_that_fails_on_its_values_is_not_taken_for_damaged_files(
    column: str, history: LakeHistory
) -> None:
    asked_for = history.as_of().sql(f"SELECT {column} FROM fills")
    with pytest.raises(LakeError, match=r"the query: .*; correct it") as told, queries.asked():
        asked_for.collect()
    assert "\n" not in str(told.value)
