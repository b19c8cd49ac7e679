"""Option snapshots of other programs: what is taken in, what is refused, and each once."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from deltalake import write_deltalake
from polars.testing import assert_frame_equal

from lake import Lake, LakeReader, views
from lake.imports import ImportReport, import_snapshots
from lake.option_snapshots import contract_ids
from lake.verify import verify
from options import LakeError
from tests.lake.scribe import ALL
from tests.lake.test_crashes import ROOT

NOW = datetime(2026, 11, 21, 18, tzinfo=UTC)
QUOTED = datetime(2026, 2, 4, 15, 31, tzinfo=UTC)
GOOD: dict[str, Any] = {
    **{"timestamp": QUOTED, "symbol": "SPY", "expiry": date(2026, 3, 20), "right": "P", "strike": 650.0},
    **{"bid": 4.1, "ask": 4.2, "last": 4.15, "volume": 12, "open_interest": 0},
    **{"iv": 0.17, "delta": -0.2, "gamma": 0.01, "theta": -0.1, "vega": 0.8},
}


def quote(**changes: Any) -> dict[str, Any]:
    return {**GOOD, **changes}


def bring(home: Path, source: Path, rows_at_once: int = 1_000) -> ImportReport:
    with Lake.open(home) as lake:
        return import_snapshots(lake, LakeReader.open(home), source, lambda: NOW, rows_at_once=rows_at_once)


def kept(path: Path, *rows: dict[str, Any], drop: tuple[str, ...] = ()) -> Path:
    path.parent.mkdir(exist_ok=True, parents=True)
    pl.DataFrame(rows, infer_schema_length=None).drop(drop).write_parquet(path)
    return path


def snapshots(home: Path) -> pl.DataFrame:
    return LakeReader.open(home).table("snapshots").sort("seq", "con_id", "quote_time").collect()


def minutes(first: int, last: int) -> list[dict[str, Any]]:
    return [quote(timestamp=QUOTED + timedelta(minutes=n), last=float(n)) for n in range(first, last)]


def test_a_quote_is_kept_with_its_own_time_where_it_came_from_and_an_id_of_ours(tmp_path: Path) -> None:
    report = bring(tmp_path / "home", kept(tmp_path / "quotes.parquet", GOOD))
    assert (report.files, report.rows, report.added, report.contracts, report.commits) == (1, 1, 1, 1, 1)
    [row] = snapshots(tmp_path / "home").to_dicts()
    [contract] = LakeReader.open(tmp_path / "home").table("contracts").collect().to_dicts()
    assert row["con_id"] == contract["con_id"] < 0
    assert (row["time"], row["quote_time"], row["source"]) == (NOW, QUOTED, "quotes.parquet")
    assert {name: row[name] for name in GOOD if name in row} == {
        name: value for name, value in GOOD.items() if name in row
    }
    assert (row["mark"], row["quote_state"]) == (pytest.approx(4.15), "live")
    assert {name: contract[name] for name in ("symbol", "expiry", "strike", "right", "sec_type")} == {
        **{"symbol": "SPY", "expiry": date(2026, 3, 20), "strike": 650.0, "right": "P", "sec_type": "OPT"}
    }
    assert LakeReader.open(tmp_path / "home").table("snapshots", NOW - timedelta(days=1)).collect().is_empty()


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (quote(timestamp=None), "no time"),
        (quote(symbol=" "), "no symbol"),
        (quote(symbol=None), "no symbol"),
        (quote(expiry="soon"), "no expiry"),
        (quote(strike=0.0), "no strike above 0"),
        (quote(strike=float("nan")), "no strike above 0"),
        (quote(strike="high"), "no strike above 0"),
        (quote(right="X"), "neither call nor put"),
        (quote(timestamp=datetime(2026, 2, 4, 15)), "the time has no zone"),
        (quote(timestamp="2026-02-04T15:00Z"), "the timestamp is no time"),
    ],
)
def test_rows_that_name_no_contract_or_no_moment_are_refused_and_counted(
    row: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    kept(tmp_path / "folder" / "bad.parquet", row)
    kept(tmp_path / "folder" / "good.parquet", GOOD)
    report = bring(tmp_path / "home", tmp_path / "folder")
    assert (dict(report.faults.refused), report.added, report.rows) == ({reason: 1}, 1, 2)


@pytest.mark.parametrize(
    ("changes", "nulled", "count"),
    [
        ({"bid": -1.0}, ("bid",), 1),
        ({"bid": float("nan")}, ("bid",), 1),
        ({"ask": 0.0}, ("ask",), 1),
        ({"ask": "n/a"}, ("ask",), 1),
        ({"last": float("inf")}, ("last",), 1),
        ({"iv": 0.0, "delta": 1.5, "gamma": -0.1, "vega": -1.0}, ("iv", "delta", "gamma", "vega"), 4),
        ({"volume": -5}, ("volume",), 1),
        ({"bid": 4.3}, ("bid", "ask"), 1),
        ({"ask": True}, ("ask",), 1),
    ],
)
def test_values_that_cannot_be_are_unknown_and_counted(
    changes: dict[str, Any], nulled: tuple[str, ...], count: int, tmp_path: Path
) -> None:
    report = bring(tmp_path / "home", kept(tmp_path / "quotes.parquet", quote(**changes)))
    [row] = snapshots(tmp_path / "home").to_dicts()
    assert {name for name in GOOD if name in row and row[name] is None} == set(nulled)
    assert (report.added, report.faults.nulled.total()) == (1, count)
    assert row["quote_state"] == ("missing" if {"bid", "ask"} & set(nulled) else "live")


def test_other_spellings_are_understood_and_other_columns_told(tmp_path: Path) -> None:
    rows = [
        quote(right="call", strike=650, expiry="2026-03-20", mood="calm"),
        quote(right="Put", expiry="20260320", mood="grim"),
    ]
    report = bring(tmp_path / "home", kept(tmp_path / "quotes.parquet", *rows, drop=("vega", "volume")))
    assert (report.added, report.faults.ignored, snapshots(tmp_path / "home")["vega"].null_count()) == (
        2,
        {"mood"},
        2,
    )
    terms = LakeReader.open(tmp_path / "home").table("contracts").collect()
    assert sorted(terms["right"]) == ["C", "P"]
    assert set(terms["expiry"]) == {date(2026, 3, 20)}


def test_the_same_import_again_adds_nothing_and_a_folder_that_has_grown_what_is_new(tmp_path: Path) -> None:
    home, folder = tmp_path / "home", tmp_path / "folder"
    kept(folder / "a.parquet", *minutes(0, 10))
    assert bring(home, folder).added == 10
    again = bring(home, folder)
    assert (again.added, again.known, again.commits, again.contracts) == (0, 10, 0, 0)
    kept(folder / "b.parquet", *minutes(5, 12), *minutes(5, 7))
    grown = bring(home, folder)
    assert (grown.added, grown.known, grown.repeated, grown.contracts) == (2, 10, 7, 0)
    assert snapshots(home)["last"].to_list() == [None, *map(float, range(1, 12))]
    assert verify(home, deep=True) == []


def test_of_two_quotes_of_one_contract_and_time_the_first_is_kept(tmp_path: Path) -> None:
    rows = [GOOD, quote(last=9.0), GOOD]
    report = bring(tmp_path / "home", kept(tmp_path / "quotes.parquet", *rows))
    assert (report.added, report.repeated, report.conflicting) == (1, 1, 1)
    assert snapshots(tmp_path / "home")["last"].to_list() == [4.15]


def test_big_files_and_many_small_ones_are_taken_in_pieces_with_one_commit_each(tmp_path: Path) -> None:
    kept(tmp_path / "one" / "big.parquet", *minutes(0, 95))
    assert bring(tmp_path / "home", tmp_path / "one", 10).commits == 10
    for n in range(10):
        kept(tmp_path / "many" / f"{n}.parquet", *minutes(100 + 5 * n, 105 + 5 * n))
    report = bring(tmp_path / "home", tmp_path / "many", 20)
    assert (report.added, report.commits) == (50, 3)
    assert snapshots(tmp_path / "home").height == 145


def test_an_import_killed_half_way_and_run_again_has_every_row_once(tmp_path: Path) -> None:
    home, folder = tmp_path / "home", tmp_path / "folder"
    for n in range(6):
        kept(folder / f"{n}.parquet", *minutes(5 * n, 5 * n + 5))
    program = (
        "import sys; from pathlib import Path; from tests.lake.test_imports import bring; "
        "bring(Path(sys.argv[1]), Path(sys.argv[2]), 5)"
    )
    for step in ("journal.committed:2", "flush.table.snapshots:1", "flush.released:1"):
        environment = {**os.environ, "OPTIOND_FAILPOINT": step}
        command = [sys.executable, "-c", program, str(home), str(folder)]
        done = subprocess.run(command, cwd=ROOT, env=environment, check=False)
        assert done.returncode == -signal.SIGKILL
    assert 10 <= snapshots(home).height < 30
    bring(home, folder, 5)
    assert snapshots(home)["quote_time"].to_list() == [QUOTED + timedelta(minutes=n) for n in range(30)]
    assert LakeReader.open(home).table("contracts").collect().height == 1
    assert verify(home, deep=True) == []


def test_a_damaged_file_is_named_and_the_others_are_taken_in(tmp_path: Path) -> None:
    kept(tmp_path / "folder" / "good.parquet", GOOD)
    (tmp_path / "folder" / "torn.parquet").write_bytes(b"PAR1 and no more")
    report = bring(tmp_path / "home", tmp_path / "folder")
    assert report.added == 1
    assert [text.split(":")[0] for text in report.unreadable] == ["torn.parquet"]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda folder: folder.mkdir(), "holds no Delta table and no Parquet file"),
        (lambda folder: kept(folder / "prices.parquet", {"date": date(2026, 1, 1), "close": 1.0}),
         "holds no option snapshots that can be used (no column timestamp)"),
        (lambda folder: write_deltalake(str(folder / "inner"), pl.DataFrame([GOOD])),
         "holds Delta tables (inner): name one of them"),
        (lambda folder: None, "holds no Delta table and no Parquet file"),
    ],
)  # fmt: skip
def test_what_is_no_folder_of_snapshots_is_refused_in_one_line(
    make: Callable[[Path], object], said: str, tmp_path: Path
) -> None:
    make(tmp_path / "folder")
    with pytest.raises(LakeError) as refused:
        bring(tmp_path / "home", tmp_path / "folder")
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
    assert LakeReader.open(tmp_path / "home").seq == 0


def test_of_a_delta_table_what_it_holds_now_is_taken_in_not_what_lies_beside_it(tmp_path: Path) -> None:
    table = tmp_path / "table"
    write_deltalake(str(table), pl.DataFrame(minutes(0, 5)), partition_by=["strike"])
    write_deltalake(str(table), pl.DataFrame(minutes(10, 12)), mode="overwrite", partition_by=["strike"])
    assert bring(tmp_path / "home", table).added == 2
    assert LakeReader.open(tmp_path / "home").table("contracts").collect()["strike"].to_list() == [650.0]


def test_an_imported_quote_never_shows_as_the_quote_of_a_contract_that_is_held(tmp_path: Path) -> None:
    home, held = tmp_path / "home", tmp_path / "quotes.parquet"
    leg = {"con_id": 101, "symbol": "SPY", "expiry": "2026-03-20", "strike": 650.0, "right": "P"}
    position = {"position": "p", "event": "adopted", "lots": 1, "legs": json.dumps([leg])}
    live = {"con_id": 101, "bid": 1.0, "ask": 1.1, "quote_time": QUOTED, "quote_state": "live"}
    with Lake.open(home, ALL) as lake:
        lake.commit(QUOTED, {"strategies": pl.DataFrame([position]), "snapshots": pl.DataFrame([live])})
    assert bring(home, kept(held, quote(timestamp=QUOTED + timedelta(hours=1)))).added == 1
    [shown] = views.positions(LakeReader.open(home))
    assert [leg["bid"] for leg in shown["legs"]] == [1.0]
    assert snapshots(home)["source"].to_list() == [None, "quotes.parquet"]


def test_ids_follow_from_the_terms_alone_and_differ() -> None:
    terms = [("SPY", date(2026, 3, 20), strike / 2, right) for strike in range(1, 5_001) for right in "CP"]
    ids = contract_ids(terms)["con_id"]
    assert ids.n_unique() == len(terms)
    assert ids.max() < 0  # type: ignore[operator]
    assert contract_ids(terms[:1])["con_id"][0] == ids[0]


def fragmented(recorded: Path, folder: Path, appends: int) -> int:
    """The recorded quotes as the V6 system kept them: by strike, a small file for every append and strike.
    Gives the number of files."""
    rows = pl.read_parquet(recorded / "ibkr_option_snapshots.parquet").sort("timestamp")
    size = -(-rows.height // appends)
    for n in range(appends):
        write_deltalake(str(folder), rows.slice(n * size, size), mode="append", partition_by=["strike"])
    return sum(1 for _ in folder.glob("strike=*/*.parquet"))


def taken_in(recorded: Path, tmp_path: Path, appends: int) -> tuple[int, int, float]:
    """Import a fragmented copy twice; gives files before, files after, seconds of the first import."""
    files = fragmented(recorded, tmp_path / "v6", appends)
    rows = pl.read_parquet(recorded / "ibkr_option_snapshots.parquet")
    home, started = tmp_path / "home", time.perf_counter()
    report = bring(home, tmp_path / "v6", 250_000)
    took_s = time.perf_counter() - started
    assert (report.files, report.rows, report.added, report.contracts) == (
        files,
        rows.height,
        rows.height,
        1_286,
    )
    assert report.is_fragmented
    again = bring(home, tmp_path / "v6", 250_000)
    assert (again.added, again.known) == (0, rows.height)
    reader = LakeReader.open(home)
    terms = reader.table("contracts").select("con_id", "symbol", "expiry", "strike", "right").collect()
    stored = snapshots(home).join(terms, on="con_id")
    key = ["timestamp", "symbol", "expiry", "right", "strike"]
    columns = [*key, "bid", "iv", "volume"]
    assert_frame_equal(
        stored.rename({"quote_time": "timestamp"}, strict=True).select(columns).sort(key),
        rows.select(columns).sort(key),
    )
    return files, sum(table.files for table in reader.tables() if table.name == "snapshots"), took_s


@pytest.mark.recorded
def test_a_folder_of_two_thousand_small_files_becomes_one(recorded: Path, tmp_path: Path) -> None:
    files, after, took_s = taken_in(recorded, tmp_path, 10)
    print(f"{files} files -> {after} in {took_s:.1f} s")
    assert files > 1_800
    assert after == 1


@pytest.mark.long
@pytest.mark.recorded
def test_the_18822_files_of_the_v6_system_become_one(recorded: Path, tmp_path: Path) -> None:
    files, after, took_s = taken_in(recorded, tmp_path, 120)
    print(f"{files} files -> {after} in {took_s:.1f} s")
    assert files >= 18_822
    assert after == 1
