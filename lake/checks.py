"""What must hold of the rows of a lake: pure checks over frames, each giving what does not hold.

A `Finding` says what, where and what to do. Rows are as `LakeReader.table` gives them, in any order.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import polars as pl

OURS = "^opt-"
"""What the names of our orders begin with; other programs' orders may be in the books too."""

RESTORE = "restore this home from a backup"
LOOK = "look at these rows with `optiond lake as-of`; nothing was changed"


class Severity(StrEnum):
    """ERROR: something was lost, doubled or is not as promised. WARNING: somebody should look at it."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that does not hold: in which table (or `journal`), what, and what to do."""

    severity: Severity
    table: str
    what: str
    advice: str


# The columns that together occur in one row only; "*": all but `time`, `+`: all but `seq` and `time`.
ONCE: Mapping[str, tuple[str, ...]] = {
    "account": ("seq", "account"),
    "decisions": ("decision",),
    "facts": ("seq", "position"),
    "fills": ("+",),
    "intents": ("*",),
    "snapshots": ("seq", "con_id", "quote_time"),
    "strategies": ("*",),
}

_AFTER_SENT = frozenset(
    ("sent", "working", "cancelling", "filled", "cancelled", "rejected", "abandoned", "refused")
)
NEXT: Mapping[str, frozenset[str]] = {
    "": frozenset(("intended", "refused")),
    "intended": _AFTER_SENT,
    "sent": _AFTER_SENT - {"refused"},
    "working": _AFTER_SENT - {"refused"},
    "cancelling": _AFTER_SENT - {"refused", "sent", "working"},
    "filled": frozenset(("filled", "settled")),
    "settled": frozenset(),
    "cancelled": frozenset(),
    "rejected": frozenset(),
    "abandoned": frozenset(),
    "refused": frozenset(),
}
"""The states that an intent may take after each; "": as its first."""


def doubled(table: str, rows: pl.LazyFrame) -> Iterator[Finding]:
    """Rows of `table` that are there more than once although they can be only once."""
    names = rows.collect_schema().names()
    key = {"*": [n for n in names if n != "time"], "+": [n for n in names if n not in ("seq", "time")]}
    columns = key.get(ONCE[table][0], list(ONCE[table]))
    counted = rows.group_by(columns).agg(pl.len().alias("rows"), pl.col("seq").min().alias("first"))
    found = counted.filter(pl.col("rows") > 1).select("rows", "first").collect(engine="streaming")
    if found.height:
        extra, first = int(found["rows"].sum()) - found.height, found["first"].sort()[0]
        what = f"{extra} rows are there twice, the first of seq {first}"
        yield _error(table, what, "another program has written to this table: " + RESTORE)


def ledger_gaps(ledger: pl.DataFrame, flushed: int) -> Iterator[Finding]:
    """Every seq up to `flushed` is in exactly one row of the ledger, and no table's version goes back."""
    after, versions = 0, dict[str, int]()
    for row in ledger.sort("seq").iter_rows(named=True):
        first, last = row["first_seq"], row["seq"]
        if first != after + 1:
            yield _error("ledger", f"seq {first} follows seq {after}", RESTORE)
        if len(row["times"]) != last - first + 1:
            yield _error("ledger", f"seq {first} to {last} have {len(row['times'])} times", RESTORE)
        now = json.loads(row["versions"])
        back = [name for name, version in versions.items() if now.get(name, -1) < version]
        if back:
            yield _error("ledger", f"at seq {last} the version of {', '.join(back)} goes back", RESTORE)
        after, versions = last, now
    if after != flushed:
        yield _error("ledger", f"it ends at seq {after}, and the journal has flushed {flushed}", RESTORE)


def counts(ledger: pl.DataFrame, rows: Mapping[str, int]) -> Iterator[Finding]:
    """The tables' rows, by their own metadata, against what the newest row of the ledger counted.

    An older ledger counts nothing; then nothing is found.
    """
    told = ledger.sort("seq")["rows"].drop_nulls().to_list() if "rows" in ledger.columns else []
    expected: Mapping[str, int] = json.loads(told[-1]) if told else {}
    for name, number in expected.items():
        there = rows.get(name, 0)
        if name != "ledger" and there != number:
            kind = "doubled" if there > number else "missing"
            what = f"{there} rows where {number} were written: {abs(there - number)} are {kind}"
            yield _error(name, what, "another program has written to this table: " + RESTORE)


def times(table: str, rows: pl.LazyFrame, commits: pl.DataFrame) -> Iterator[Finding]:
    """Every row carries a seq that was given out, and the time of that commit (`commits`: seq, time)."""
    stamps = rows.select("seq", "time").unique().collect(engine="streaming")
    joined = stamps.join(commits.select("seq", committed="time"), on="seq", how="left")
    wrong = joined.filter(pl.col("committed").is_null() | (pl.col("committed") != pl.col("time")))
    if wrong.height:
        first = int(wrong["seq"].sort()[0])
        what = f"rows of {wrong.height} commits have a seq or time of no commit, first seq {first}"
        yield _error(table, what, "journal and lake are not of one home: " + RESTORE)


def intent_chains(intents: pl.DataFrame) -> Iterator[Finding]:
    """Every intent begins as intended (an opening given up: refused) and moves as intents can."""
    states: dict[str, str] = {}
    for row in intents.sort("seq", maintain_order=True).iter_rows(named=True):
        name, state = row["intent"], row["state"]
        before = states.get(name, "")
        if state not in NEXT.get(before, frozenset()):
            told = f"went from {before} to {state}" if before else f"began as {state}"
            yield _error("intents", f"{name} {told} at seq {row['seq']}", LOOK)
        states[name] = state


def promises(
    decisions: pl.DataFrame, intents: pl.DataFrame, orders: pl.DataFrame, fills: pl.DataFrame
) -> Iterator[Finding]:
    """No order of ours without an intent that was durable before it, no intent without its decision, and
    nothing sent twice: one order name, one order of the broker."""
    first = intents.group_by("intent").agg(pl.col("seq").min(), pl.col("decision").first())
    decided = decisions.group_by("decision").agg(pl.col("seq").min().alias("decided"))
    caused = first.filter(pl.col("decision").fill_null("") != "").join(decided, on="decision", how="left")
    for row in caused.filter(pl.col("decided").is_null() | (pl.col("decided") > pl.col("seq"))).to_dicts():
        what = f"{row['intent']} (seq {row['seq']}) has no decision {row['decision']} before it"
        yield _error("intents", what, LOOK)
    durable = first.select(pl.col("intent").alias("order_ref"), pl.col("seq").alias("intended"))
    for table, rows in (("orders", orders), ("fills", fills)):
        ours = rows.filter(pl.col("order_ref").str.contains(OURS))
        told = ours.group_by("order_ref").agg(pl.col("seq").min()).join(durable, on="order_ref", how="left")
        for row in told.filter(
            pl.col("intended").is_null() | (pl.col("intended") >= pl.col("seq"))
        ).to_dicts():
            what = f"order {row['order_ref']} (seq {row['seq']}) has no intent that was durable before it"
            yield _error(table, what, LOOK)
    yield from _sent_twice(
        pl.concat([orders.select("order_ref", "perm_id"), fills.select("order_ref", "perm_id")])
    )


def _sent_twice(named: pl.DataFrame) -> Iterator[Finding]:
    pairs = named.filter(pl.col("order_ref").str.contains(OURS) & (pl.col("perm_id") > 0)).unique()
    for row in pairs.group_by("order_ref").len().filter(pl.col("len") > 1).to_dicts():
        what = f"{row['order_ref']} is {row['len']} orders at the broker: it was sent twice"
        yield _error("orders", what, "compare with the broker's own list of orders, today")
    for row in pairs.group_by("perm_id").len().filter(pl.col("len") > 1).to_dicts():
        what = f"the broker's order {row['perm_id']} has {row['len']} names"
        yield _error("orders", what, LOOK)


def holdings(positions: pl.DataFrame, fills: pl.DataFrame, strategies: pl.DataFrame) -> Iterator[Finding]:
    """Per contract, the first full picture of the holdings and all executions after it give the holdings
    as the broker reported them last.

    A difference is explained when a Position with that contract was adopted, assigned, or closed or reduced
    by somebody else since. Executions that the first picture may contain already, or the last report not
    yet, count either way.
    """
    pictures = positions.filter(pl.col("kind") == "full").sort("seq")
    if pictures.is_empty() or positions["account"].n_unique() > 1:
        return
    start, began = pictures.select("seq", "time").row(0)
    before, after = _held(positions.filter(pl.col("seq") <= start)), _held(positions)
    reported = positions["seq"].max()
    explained = _contracts_of(strategies.filter((pl.col("seq") > start) & _BY_HAND))
    traded = _executions(fills.filter(pl.col("seq") >= start))
    for con_id in sorted((before.keys() | after.keys() | traded.keys()) - explained):
        rows = traded.get(con_id, [])
        early = [row["quantity"] for row in rows if row["seq"] == start or row["exec_time"] <= began]
        late = [row["quantity"] for row in rows[len(early) :] if row["seq"] >= reported]
        sure = sum(row["quantity"] for row in rows[len(early) : len(rows) - len(late)])
        moved = after.get(con_id, 0) - before.get(con_id, 0) - sure
        some = {sum(early[i:]) + sum(late[:j]) for i in range(len(early) + 1) for j in range(len(late) + 1)}
        if not any(abs(moved - either) < 0.5 for either in some):
            what = (
                f"contract {con_id}: {before.get(con_id, 0):+d} held at seq {start} and {sure:+g} executed "
                f"since, but the broker reports {after.get(con_id, 0):+d}"
            )
            yield _error("fills", what, "an execution is missing or doubled: " + LOOK)


# Of events of our own orders the reason is empty.
_BY_HAND = pl.col("event").is_in(["adopted", "assigned"]) | (
    pl.col("event").is_in(["closed", "reduced"]) & (pl.col("reason").fill_null("") != "")
)


def _held(positions: pl.DataFrame) -> dict[int, int]:
    """Contracts held by the newest full picture and the changes after it."""
    pictures = positions.filter(pl.col("kind") == "full")
    newest = pictures["seq"].max()
    held: dict[int, int] = {}
    for row in positions.sort("seq", maintain_order=True).iter_rows(named=True):
        if newest is None or row["seq"] > newest or (row["seq"] == newest and row["kind"] == "full"):
            held[row["con_id"]] = row["quantity"]
    return held


def _executions(fills: pl.DataFrame) -> dict[int, list[dict[str, Any]]]:
    """The latest correction of every execution, by contract and as executed; summary lines of combos left
    out."""
    known = pl.col("quantity").is_not_null() & pl.col("exec_time").is_not_null()
    legs = fills.filter(known & ~pl.col("is_combo").fill_null(value=False))
    latest = (
        legs.with_columns(execution=pl.col("exec_id").str.replace(r"\.\d+$", ""))
        .sort("seq", maintain_order=True)
        .unique("execution", keep="last", maintain_order=True)
        .sort("exec_time", maintain_order=True)
    )
    found: dict[int, list[dict[str, Any]]] = {}
    for row in latest.iter_rows(named=True):
        found.setdefault(row["con_id"], []).append(row)
    return found


def _contracts_of(strategies: pl.DataFrame) -> set[int]:
    """The contracts of the Positions in these events."""
    legs: Iterable[Sequence[Mapping[str, int]]] = (
        json.loads(text) for text in strategies["legs"].drop_nulls()
    )
    return {leg["con_id"] for group in legs for leg in group}


def _error(table: str, what: str, advice: str) -> Finding:
    return Finding(Severity.ERROR, table, what, advice)
