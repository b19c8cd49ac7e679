"""The same questions to all snapshots of a year, asked with Daft and with polars: both answers, both times.

`python -m benchmarks.analytics HOME`, HOME made by `benchmarks.year`. Daft reads the tables as plain
Delta. On one machine it is here to compare: the same lines run on a Ray cluster (`daft.set_runner_ray`).
"""

import sys
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

import daft
import polars as pl
from daft import col
from polars.testing import assert_frame_equal

from lake import LakeReader

Question = Callable[[], pl.DataFrame]


def with_polars(home: Path) -> dict[str, Question]:
    """The questions, to a `LakeReader`."""
    reader = LakeReader.open(home)

    def spreads() -> pl.DataFrame:
        """Average spread and volatility of live quotes by underlying and delta bucket."""
        terms = reader.table("contracts").select("con_id", "symbol").unique("con_id")
        live = reader.table("snapshots").filter(pl.col("quote_state") == "live")
        return (
            live.join(terms, on="con_id")
            .with_columns(bucket=(pl.col("delta").abs() * 10).floor().cast(pl.Int64))
            .group_by("symbol", "bucket")
            .agg(
                (pl.col("ask") - pl.col("bid")).mean().alias("spread"),
                pl.col("iv").mean(),
                pl.len().cast(pl.UInt64).alias("quotes"),
            )
            .sort("symbol", "bucket")
            .collect(engine="streaming")
        )

    def attribution() -> pl.DataFrame:
        """Dollars of theta and of delta of all quotes, by day: what a short option earns and risks."""
        return (
            reader.table("snapshots")
            .group_by(pl.col("time").dt.date().alias("date"))
            .agg(
                (pl.col("theta").mean() * -100).alias("theta_usd"),
                ((pl.col("delta") * pl.col("underlying_price")).mean() * 100).alias("delta_usd"),
                pl.col("mark").mean(),
            )
            .sort("date")
            .collect(engine="streaming")
        )

    return {"spread and IV by underlying and delta": spreads, "Greeks' dollars by day": attribution}


def with_daft(home: Path) -> dict[str, Question]:
    """The same questions to the same tables, as plain Delta: what is flushed."""

    def table(name: str) -> daft.DataFrame:
        return daft.read_deltalake(str(home / "lake" / name))

    def spreads() -> pl.DataFrame:
        terms = table("contracts").select("con_id", "symbol").distinct()
        live = table("snapshots").where(col("quote_state") == "live")
        answer = (
            live.join(terms, on="con_id")
            .with_column("bucket", (col("delta").abs() * 10).floor().cast(daft.DataType.int64()))
            .groupby("symbol", "bucket")
            .agg(
                (col("ask") - col("bid")).mean().alias("spread"),
                col("iv").mean(),
                col("con_id").count().alias("quotes"),
            )
            .sort(["symbol", "bucket"])
        )
        return pl.DataFrame(answer.to_arrow())

    def attribution() -> pl.DataFrame:
        answer = (
            table("snapshots")
            .groupby("date")
            .agg(
                (col("theta").mean() * -100).alias("theta_usd"),
                ((col("delta") * col("underlying_price")).mean() * 100).alias("delta_usd"),
                col("mark").mean(),
            )
            .sort("date")
        )
        return pl.DataFrame(answer.to_arrow())

    return {"spread and IV by underlying and delta": spreads, "Greeks' dollars by day": attribution}


def main(made: Path) -> None:
    """Ask everything twice of both, and print the better times."""
    home = made / "year"
    rows = LakeReader.open(home).table("snapshots").select(pl.len()).collect().item()
    print(f"{rows:,} rows of snapshots, {date.today()}")
    asked_of_polars, asked_of_daft = with_polars(home), with_daft(home)
    for what in asked_of_polars:
        ours, ours_s = _asked(asked_of_polars[what])
        theirs, theirs_s = _asked(asked_of_daft[what])
        assert_frame_equal(theirs.select(ours.columns), ours)
        print(f"| {what} | polars {ours_s:.2f} s | Daft {theirs_s:.2f} s | {ours.height} rows, the same |")


def _asked(question: Question) -> tuple[pl.DataFrame, float]:
    """The answer, and the seconds of the better of two times."""
    taken = []
    for _ in range(2):
        begun = time.perf_counter()
        answer = question()
        taken.append(time.perf_counter() - begun)
    return answer, min(taken)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
