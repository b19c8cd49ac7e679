"""What the lake says of the comparisons with the broker's books: taken up by the next start."""

from datetime import datetime, timedelta

import polars as pl

from daemon.account_state import AccountState
from daemon.reconciler import Reconciler
from lake import LakeReader
from sync.cash_check import SETTLES_WITHIN, CashCheck, CashMark, cash_mark
from sync.executions import ExecutionLedger
from sync.reconciliation import NAMED_FILLS, Difference, DifferenceKind
from trading.intent import IntentState

STANDS_AT_MOST = timedelta(days=30)
LATELY = timedelta(days=8)


def take_up_books(reader: LakeReader, state: AccountState, reconciler: Reconciler, now: datetime) -> None:
    """Differences that stood, orders given up, and the cash that executions are counted from."""
    standing = standing_differences(reader, now)
    reconciler.take_up(standing, given_up(reader, now), told_fills(reader, now))
    state.cash_check = CashCheck(recorded_cash(reader, now))


def standing_differences(reader: LakeReader, now: datetime) -> list[tuple[Difference, datetime]]:
    """Those that were found and are not over, each with the time when it was last found changed."""
    rows = reader.table("reconciliations").filter(pl.col("time") >= now - STANDS_AT_MOST).collect()
    # A home that only an older optiond has written does not have the column.
    if "state" not in rows.columns:
        return []
    last = rows.sort("seq", maintain_order=True).unique(["kind", "subject"], keep="last", maintain_order=True)
    known = {kind.value for kind in DifferenceKind}
    return [
        (
            Difference(
                DifferenceKind(row["kind"]), row["subject"], row["ours"], row["theirs"], row["resolution"]
            ),
            row["time"],
        )
        for row in last.filter(pl.col("state") == "found").iter_rows(named=True)
        if row["kind"] in known
    ]


def given_up(reader: LakeReader, now: datetime) -> list[str]:
    """The orders of late that we believe the broker never received."""
    rows = reader.table("intents").filter(pl.col("time") >= now - LATELY)
    told = rows.select("seq", "intent", "state").sort("seq", maintain_order=True).collect()
    last = told.unique("intent", keep="last", maintain_order=True)
    return last.filter(pl.col("state") == IntentState.ABANDONED.value)["intent"].to_list()


def told_fills(reader: LakeReader, now: datetime) -> list[str]:
    """The executions of others that were named of late."""
    rows = reader.table("reconciliations").filter(
        (pl.col("time") >= now - LATELY) & pl.col("kind").is_in([kind.value for kind in NAMED_FILLS])
    )
    return rows.select("subject").collect()["subject"].unique(maintain_order=True).to_list()


def recorded_cash(reader: LakeReader, now: datetime) -> CashMark | None:
    """The last cash on record that cannot lag behind an execution; None when there is none."""
    lately = pl.col("time") >= now - LATELY
    cash = (
        reader.table("account")
        .filter(lately, pl.col("cash_usd").is_not_null())
        .select("seq", "time", "cash_usd")
        .sort("time", "seq")
        .collect()
    )
    fills = reader.table("fills").filter(lately).collect()
    executed = fills.select(pl.col("time").alias("executed")).sort("executed")
    settled = cash.join_asof(executed, left_on="time", right_on="executed").filter(
        pl.col("executed").is_null() | (pl.col("time") - pl.col("executed") >= SETTLES_WITHIN)
    )
    if not settled.height:
        return None
    seq, _, cash_usd, _ = settled.row(-1)
    ledger = ExecutionLedger()
    ledger.restore(fills.filter(pl.col("seq") <= seq))
    return cash_mark(cash_usd, ledger.fills)
