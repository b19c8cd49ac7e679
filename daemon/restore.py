"""What the lake says was going on when the last daemon ended, taken up again."""

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from daemon.account_state import AccountState
from daemon.pressure import RELEASED, STOPPED, Cause, Pressure
from daemon.recorded_past import with_restated
from daemon.rule_memory import RuleMemory, remembered
from daemon.tripwires import Closing
from lake import LakeReader
from options import NEW_YORK
from options.hours import trading_day
from sync.position import ENDING, REGROUPED
from sync.volatility_history import YEAR
from trading.breaker import Journal, replayed
from trading.intent import ENDED, Intent, IntentKind, IntentState

REPORTED = timedelta(days=8)
"""Brokers report executions and corrections of a week at most: what is older comes to nobody's mind again."""
LATELY = timedelta(days=5)
"""A weekend with a holiday: what was known before is known last on its other side."""
JUST_NOW = timedelta(days=1)
"""What ended longer ago is over, also a roll between its halves."""


def restore(home: Path, state: AccountState, now: datetime) -> tuple[str, Journal]:
    """Fill `state` from the lake of `home`; returns in words what was found, and the
    breaker's journal. Nothing is sent.

    Of a long history only what still matters is read: positions that are open, intents that are at work or
    have closed lots of these positions, executions that are recent or of these intents.
    """
    reader = LakeReader.open(home)
    state.positions.restore(_strategies(reader.table("strategies")))
    intents = _intents(reader.table("intents"), {each.id for each in state.positions.positions}, now)
    state.executions.restore(_fills(reader.table("fills"), intents, now))
    _restore_history(reader, state, now)
    state.rule_state = remembered(reader)
    state.rule_memory = RuleMemory(state.rule_state)
    journal = journal_of(reader)
    state.breaker = journal.breaker
    _restore_pressure(reader, state)
    _restore_recent(reader, state, now)
    queue = reader.table("queue").filter(pl.col("time") >= now - LATELY).collect()
    state.queue.restore(_latest(queue, "item"))
    registry = reader.table("strategy_registry").collect()
    state.registry.restore(_latest(registry, "position", "con_id"))
    for position in state.positions.positions:
        for leg in position.legs:
            state.contracts[leg.contract.con_id] = leg.contract
    open_intents = [intent for intent in intents if intent.state not in ENDED]
    state.desk.restore(open_intents, now)
    for intent in intents:
        if intent.kind is not IntentKind.OPEN:
            state.closing_orders.setdefault(intent.position, set()).add(intent.intent)
        elif intent.is_open:
            state.positions.expect(intent.legs, intent.created, rolled_from=intent.rolled_from)
        for combo_leg in intent.legs:
            state.contracts[combo_leg.contract.con_id] = combo_leg.contract
    _resume_rolls(intents, state, now)
    state.day_start_nlv_usd = _day_start_nlv_usd(reader, now)
    said = (
        f"{len(state.positions.positions)} positions, {len(open_intents)} open orders, "
        f"{len(state.executions.fills)} fills, trading {state.breaker.mode.value}"
    )
    return said, journal


def recorded_facts(home: Path) -> pl.LazyFrame:
    """What the rules saw in the last days before the last commit."""
    reader = LakeReader.open(home)
    last, facts = reader.last_time, reader.table("facts")
    return facts if last is None else facts.filter(pl.col("time") >= last - LATELY)


def journal_of(reader: LakeReader) -> Journal:
    """The breaker's journal of this lake, replayed."""
    return replayed(row for row in entries_of(reader) if row["event"] not in (STOPPED, RELEASED))


def entries_of(reader: LakeReader) -> list[dict[str, Any]]:
    """The rows of the `breaker` table, oldest first; those of one commit by their numbers."""
    rows = reader.table("breaker").sort("seq", maintain_order=True).collect().to_dicts()
    return sorted(rows, key=lambda row: (row["seq"], row.get("number") or 0))


def _restore_pressure(reader: LakeReader, state: AccountState) -> None:
    """A stop for the disk's sake that nobody lived to end."""
    by_disk = pl.col("event").is_in([STOPPED, RELEASED])
    last = reader.table("breaker").filter(by_disk).sort("seq", maintain_order=True).tail(1).collect()
    if last.height and last["event"][0] == STOPPED:
        state.pressure = Pressure({Cause.DISK: last["reason"][0]})


def _restore_recent(reader: LakeReader, state: AccountState, now: datetime) -> None:
    """What the breaker counts: positions that ended lately, and orders that the broker rejected."""
    lately = pl.col("time") >= now - REPORTED
    ended = reader.table("strategies").filter(lately, pl.col("event").is_in(ENDING)).sort("seq")
    wanted = ("time", "position", "event", "realized_pnl_usd", "reason")
    for row in with_restated(ended.select(wanted).collect()).iter_rows(named=True):
        if row["reason"] != REGROUPED:
            state.closings.append(Closing(row["time"], row["realized_pnl_usd"]))
    refused = pl.col("state") == IntentState.REJECTED.value
    rejected = reader.table("intents").filter(lately, refused).select("seq", "time").sort("seq").collect()
    state.rejections.extend(rejected["time"])


def _restore_history(reader: LakeReader, state: AccountState, now: datetime) -> None:
    """A year of days of the underlyings, as the broker gave them once."""
    since = trading_day(now) - YEAR
    days = reader.table("underlying_days").filter(pl.col("day") >= since).sort("seq", maintain_order=True)
    state.almanac.history.restore(days.select("symbol", "kind", "day", "value").collect())


def _strategies(rows: pl.LazyFrame) -> pl.DataFrame:
    """All events of positions that are open; of each other one its last, without what it was."""
    told = rows.select("seq", "position", "event").collect()
    ended = _latest(told, "position").filter(pl.col("event").is_in(ENDING))
    held = told.join(ended, on="position", how="anti")
    return pl.concat([ended, _of(rows, held, "position")], how="diagonal")


def _intents(rows: pl.LazyFrame, held: Collection[str], now: datetime) -> list[Intent]:
    """The latest state of every intent that is open, was so a moment ago, or closed lots of what is held."""
    told = rows.select("seq", "time", "intent", "position", "kind", "state").collect()
    closes_held = (pl.col("kind") != IntentKind.OPEN.value) & pl.col("position").is_in(held)
    wanted = _latest(told, "intent").filter(
        ~pl.col("state").is_in(ENDED) | (pl.col("time") >= now - JUST_NOW) | closes_held
    )
    latest = _latest(_of(rows, wanted, "intent"), "intent")
    return [Intent.from_row(row) for row in latest.iter_rows(named=True)]


def _fills(rows: pl.LazyFrame, intents: list[Intent], now: datetime) -> pl.DataFrame:
    """The executions that are recent, and all of these intents."""
    oldest = min((intent.created for intent in intents), default=now)
    refs = pl.Series([intent.intent for intent in intents], dtype=pl.String)
    is_recent = pl.col("time") >= now - REPORTED
    since = min(oldest, now - REPORTED)
    return rows.filter((pl.col("time") >= since) & (is_recent | _is_one_of("order_ref", refs))).collect()


def _of(rows: pl.LazyFrame, wanted: pl.DataFrame, key: str) -> pl.DataFrame:
    """All columns of the rows with these keys, of which none is older than the `wanted` ones."""
    oldest = wanted["seq"].min()
    mine = pl.lit(False) if oldest is None else (pl.col("seq") >= oldest) & _is_one_of(key, wanted[key])
    return rows.filter(mine).collect()


def _is_one_of(column: str, values: pl.Series) -> pl.Expr:
    return pl.col(column).is_in(values.unique().implode())


def _latest(rows: pl.DataFrame, *key: str) -> pl.DataFrame:
    """The last row of each `key`, in the order of the last rows."""
    return rows.sort("seq", maintain_order=True).unique(key, keep="last", maintain_order=True)


def _day_start_nlv_usd(reader: LakeReader, now: datetime) -> float | None:
    """The first net liquidation value of the New York day; None when none was recorded."""
    midnight = now.astimezone(NEW_YORK).replace(hour=0, minute=0, second=0, microsecond=0)
    today = reader.table("account").filter(
        (pl.col("time") >= midnight.astimezone(UTC)) & pl.col("nlv_usd").is_not_null()
    )
    first = today.sort("seq").head(1).collect()
    return first["nlv_usd"][0] if first.height else None


def _resume_rolls(intents: list[Intent], state: AccountState, now: datetime) -> None:
    """A roll whose close settled but whose opening was never recorded is opened now."""
    opened = {intent.decision for intent in intents if intent.kind is IntentKind.OPEN}
    for intent in intents:
        half_done = (
            intent.state is IntentState.SETTLED
            and intent.roll_dte is not None
            and intent.decision not in opened
            and (now - intent.created).total_seconds() < RESUME_ROLLS_WITHIN_S
        )
        if half_done:
            state.roller.begin(intent, now)


RESUME_ROLLS_WITHIN_S = 3600.0
"""A roll that waited longer than this was given up, or its reason is gone: it ends closed."""
