"""Engines that know nothing of us read our tables as plain Delta and come to the same answers."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import daft
import polars as pl
import pytest

from lake import Lake, LakeReader
from tests.lake.scribe import ALL, rows_of

T = datetime(2026, 2, 4, 14, 30, tzinfo=UTC)


@pytest.mark.on_disk("Daft has its own settings for a bucket")
def test_daft_reads_every_column_of_every_table_fresh_and_compacted(tmp_path: Path) -> None:
    with Lake.open(tmp_path, ALL) as lake:
        for seq in range(1, 5):
            frames = {name: rows_of(table, [seq]).drop("seq", "time") for name, table in ALL.items()}
            lake.commit(T + timedelta(minutes=seq), frames)
            lake.flush()
        reader = LakeReader.open(tmp_path)
        for _ in ("fresh", "compacted"):
            for name in ALL:
                ours = reader.table(name).sort("seq", maintain_order=True).collect()
                theirs = pl.DataFrame(
                    daft.read_deltalake(str(tmp_path / "lake" / name)).sort("seq").to_arrow()
                )
                assert theirs.select(ours.columns).sort("seq").equals(ours.sort("seq")), name
            lake.upkeep(T + timedelta(days=2))
