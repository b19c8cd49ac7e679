"""Tables as files that other programs read."""

import json
from itertools import islice
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from lake import LEDGER, Lake, LakeReader
from lake.export import export
from options import LakeError
from tests.lake.scribe import ALL, commits_from, rows_of

SOME = {name: ALL[name] for name in ("alerts", "decisions", "facts")}


@pytest.fixture
def reader(tmp_path: Path) -> LakeReader:
    """Five commits, three of them flushed."""
    with Lake.open(tmp_path / "home", SOME) as lake:
        for n, (time, frames) in enumerate(islice(commits_from(1), 5), start=1):
            lake.commit(time, {name: frames[name] for name in SOME})
            if n == 3:
                lake.flush()
    return LakeReader.open(tmp_path / "home")


def test_every_table_is_one_parquet_file_of_one_moment_with_what_it_means(
    reader: LakeReader, tmp_path: Path
) -> None:
    written = export(reader, tmp_path / "out", 4, {**SOME, "ledger": LEDGER})
    assert {each.table for each in written} == {*SOME, "ledger", "schema_changes"}
    for name, table in SOME.items():
        read = pl.read_parquet(tmp_path / "out" / f"{name}.parquet").sort("seq", maintain_order=True)
        assert_frame_equal(read, rows_of(table, range(1, 5)))
    described = json.loads((tmp_path / "out" / "schema.json").read_text())
    assert described["seq"] == 4
    decisions = described["tables"]["decisions"]
    assert (decisions["file"], decisions["rows"]) == (
        "decisions.parquet",
        rows_of(ALL["decisions"], range(1, 5)).height,
    )
    assert [column["name"] for column in decisions["columns"]] == ["seq", "time", *ALL["decisions"].row]
    profit = next(each for each in described["tables"]["facts"]["columns"] if each["name"] == "profit")
    assert profit == {
        **{"name": "profit", "type": "Float64", "unit": "ratio", "meaning": "profit", "null": "not known"}
    }
    assert not list((tmp_path / "out").glob("*.new"))


def test_csv_has_times_in_utc_and_lists_as_json(reader: LakeReader, tmp_path: Path) -> None:
    [written] = export(reader, tmp_path / "out", 5, SOME, ["decisions"], as_csv=True)
    read = pl.read_csv(tmp_path / "out" / "decisions.csv")
    expected = rows_of(ALL["decisions"], range(1, 6))
    assert (read.height, written.rows) == (expected.height, expected.height)
    assert read["time"][0] == expected["time"][0].strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    lists = [None if text is None else json.loads(text) for text in read["fired"]]
    assert lists == expected["fired"].to_list()


def test_an_export_again_replaces_its_files_and_leaves_others_alone(
    reader: LakeReader, tmp_path: Path
) -> None:
    export(reader, tmp_path, 1, SOME, ["alerts"])
    export(reader, tmp_path, 5, SOME, ["alerts"])
    assert pl.read_parquet(tmp_path / "alerts.parquet")["seq"].max() == 5
    assert (tmp_path / "home").is_dir()


def test_an_unknown_table_is_refused_before_anything_is_written(reader: LakeReader, tmp_path: Path) -> None:
    with pytest.raises(LakeError, match="no table 'trades'"):
        export(reader, tmp_path / "out", 5, SOME, ["alerts", "trades"])
    assert not (tmp_path / "out").exists()
