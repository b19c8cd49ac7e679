"""The lake against the gateway at the end of a day: each figure of both, and whether they agree."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from lake import LakeReader
from sync.position import ENDING
from tests.daemon.day_script import BOOK, LOTS

CENT = 0.005
MULTIPLIER = 100
Gateway = Mapping[str, Any]
"""What the gateway answered at the end to orders, executions, holdings and account."""


@dataclass(frozen=True)
class Line:
    """One thing compared. `differs` names what does not agree, empty when all does."""

    name: str
    gateway: str
    lake: str
    differs: tuple[str, ...] = ()


def compare(gateway: Gateway, home: Path) -> list[Line]:
    """Everything that both sides know, to the cent and one by one, not in sums alone."""
    reader = LakeReader.open(home)
    fills = _latest(reader, "fills", pl.col("exec_id").str.replace(r"\.\d+$", ""))
    account = reader.table("account").sort("seq").collect()
    strategies = reader.table("strategies").sort("seq").collect()
    return [
        *_money(gateway, fills, account),
        _positions_money(gateway, strategies),
        _executions(gateway, fills),
        _holdings(gateway, reader),
        _positions(gateway, strategies),
        *_orders(gateway, reader),
    ]


def _latest(reader: LakeReader, table: str, key: pl.Expr) -> pl.DataFrame:
    """The newest row of each key."""
    rows = reader.table(table).sort("seq", maintain_order=True).collect()
    return rows.group_by(key.alias("@key"), maintain_order=True).last()


def _money(gateway: Gateway, fills: pl.DataFrame, account: pl.DataFrame) -> Iterator[Line]:
    theirs = gateway["account"]
    legs = fills.filter(~pl.col("is_combo"))
    paid = float(legs["commission_usd"].sum())
    traded = (legs["quantity"] * legs["price"]).sum() * MULTIPLIER
    commissions = sum(each["commission_usd"] for each in gateway["executions"])
    opening = account["cash_usd"].drop_nulls()[0]
    yield _usd("cash, as last reported", theirs["cash_usd"], account["cash_usd"][-1])
    reckoned = opening - traded - paid
    yield _usd("cash, as first reported less all executions", theirs["cash_usd"], reckoned)
    yield _usd("commissions", commissions, paid)
    yield _usd("realized P&L, as last reported", theirs["realized_usd"], account["realized_pnl_usd"][-1])
    yield _usd(
        "realized P&L of all executions", theirs["realized_usd"], float(legs["realized_pnl_usd"].sum())
    )


def _positions_money(gateway: Gateway, strategies: pl.DataFrame) -> Line:
    """What positions realized over their lives, by the last that was said of each."""
    traded = strategies.filter(pl.col("event").is_in([*ENDING, "reduced"]))
    realized = traded.group_by("position", maintain_order=True).last()["realized_pnl_usd"]
    line = _usd("realized P&L of all positions", gateway["account"]["realized_usd"], float(realized.sum()))
    unknown = ("unknown for some",) if realized.null_count() else ()
    return Line(line.name, line.gateway, line.lake, line.differs + unknown)


def _usd(name: str, theirs: float, ours: float) -> Line:
    differs = "" if abs(theirs - ours) < CENT else f"by {ours - theirs:+.2f} USD"
    return Line(name, f"{theirs:,.2f} USD", f"{ours:,.2f} USD", (differs,) if differs else ())


def _executions(gateway: Gateway, fills: pl.DataFrame) -> Line:
    """Each with its contracts, price and commission; a correction stands for what it corrected."""
    theirs = {
        each["exec_id"]: (each["con_id"], each["quantity"], each["price"], each["commission_usd"])
        for each in gateway["executions"]
        if not each["is_combo"]
    }
    ours = {
        row["exec_id"]: (row["con_id"], row["quantity"], row["price"], row["commission_usd"])
        for row in fills.filter(~pl.col("is_combo")).iter_rows(named=True)
    }
    return _each("executions of single legs", theirs, ours)


def _holdings(gateway: Gateway, reader: LakeReader) -> Line:
    held = _latest(reader, "positions", pl.col("con_id")).filter(pl.col("quantity") != 0)
    ours = {row["con_id"]: _rounded(row, "average_cost_usd") for row in held.iter_rows(named=True)}
    return _each("holdings, with average cost", _held(gateway, True), ours)


def _positions(gateway: Gateway, strategies: pl.DataFrame) -> Line:
    """The legs of the positions that are open, added up by contract."""
    last = strategies.group_by("position", maintain_order=True).last()
    ours: Counter[int] = Counter()
    for legs in last.filter(~pl.col("event").is_in(ENDING))["legs"]:
        for leg in json.loads(legs):
            ours[leg["con_id"]] += leg["quantity"]
    return _each("legs of open positions", _held(gateway, False), dict(ours))


def _held(gateway: Gateway, with_cost: bool) -> dict[int, Any]:
    return {
        each["con_id"]: _rounded(each, "average_cost") if with_cost else each["quantity"]
        for each in gateway["holdings"]
    }


def _rounded(row: Mapping[str, Any], cost: str) -> tuple[int, float]:
    return row["quantity"], round(row[cost], 2)


def _orders(gateway: Gateway, reader: LakeReader) -> Iterator[Line]:
    """Every order has one intent and no intent two orders; each condor has as many as the script says."""
    orders = gateway["orders"]
    refs = Counter(order["order_ref"] for order in orders)
    intents = _latest(reader, "intents", pl.col("intent"))
    sent = reader.table("intents").filter(pl.col("state") == "sent").collect()["intent"].unique()
    doubled = tuple(f"{ref}: {count} orders" for ref, count in refs.items() if count > 1)
    foreign = tuple(f"{ref}: no intent was sent" for ref in refs if ref not in set(sent))
    yield Line("orders, each of an intent of its own", str(len(orders)), str(len(refs)), doubled + foreign)
    filled = {order["order_ref"]: order["filled"] for order in orders if order["filled"]}
    ours = {
        row["intent"]: row["filled"]
        for row in intents.filter(pl.col("state") == "settled").iter_rows(named=True)
    }
    yield _each("orders filled, and intents settled", filled, ours)
    wanted = {held.symbol: (held.orders, held.lots_left) for held in BOOK}
    by_symbol = Counter(BOOK[(order["legs"][0]["con_id"] - 1000) // 10].symbol for order in orders)
    lots = {each["symbol"]: abs(each["quantity"]) for each in gateway["holdings"]}
    came = {held.symbol: (by_symbol[held.symbol], lots.get(held.symbol, 0)) for held in BOOK}
    closed = sum(LOTS - left for _, left in came.values())
    line = _each("orders per condor and lots left, as the script has it", came, wanted)
    yield Line(line.name, f"{len(orders)} orders, {closed} lots closed", "the same", line.differs)


def _each(name: str, theirs: Mapping[Any, Any], ours: Mapping[Any, Any]) -> Line:
    differs = tuple(
        f"{key}: gateway {theirs.get(key)}, lake {ours.get(key)}"
        for key in sorted({*theirs, *ours})
        if theirs.get(key) != ours.get(key)
    )
    return Line(name, str(len(theirs)), str(len(ours)), differs)
