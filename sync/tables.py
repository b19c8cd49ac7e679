"""Frames for the lake's tables, one builder per table, each with exactly the columns declared there."""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any

import polars as pl

from broker.events import HoldingChanged, OrderChanged
from lake.schemas import TIME, Column, TableSchema, facts_table
from lake.tables import TABLES
from options import ConId, Contract
from rules.facts import AGE_OF, CATALOGUE, Source
from sync.executions import Fill
from sync.mark_errors import MARK_ERRORS_TABLE
from sync.position import PositionEvent
from sync.reconciliation import Difference

_SHOWN = "from the last sane quotes, for the eye only"
FACTS_TABLE = facts_table(
    [
        *(
            Column(fact.name, fact.dtype(), f"{fact.meaning}: {fact.computed}", str(fact.unit), "not known")
            for fact in CATALOGUE
        ),
        Column("last_market_value_usd", pl.Float64(), f"market_value_usd {_SHOWN}", "USD", "never quoted"),
        Column("last_profit_usd", pl.Float64(), f"profit_usd {_SHOWN}", "USD", "never quoted"),
        Column("last_profit", pl.Float64(), f"profit {_SHOWN}", "ratio", "never quoted"),
        *(
            Column(
                column,
                pl.Float64(),
                f"age of a source: {source}",
                column.rpartition("_")[2],
                "nothing heard yet",
            )
            for source, column in AGE_OF.items()
            if source is not Source.QUOTES  # a fact itself
        ),
    ]
)
TRACES_TABLE = TableSchema(
    "traces",
    "rule and Position of which something else became: near, waits, fires, wins, unknown, quiet again",
    ("rule", "position"),
    (
        Column("seen", TIME, "the moment that it became so", "UTC"),
        Column("rule", pl.String(), "the rule"),
        Column("position", pl.String(), "the Position; empty: the book"),
        Column("outcome", pl.String(), "near (a near miss), waits, fires, wins, unknown or quiet"),
        Column("was", pl.String(), "its outcome before, as told last", null="quiet, or never told"),
        Column(
            "distance",
            pl.Float64(),
            "what is missing until it fires, 0 when nothing is",
            "share of the threshold",
            "not a matter of numbers, or not known",
        ),
        Column("words", pl.String(), "the same in words"),
        Column("trace", pl.String(), "JSON of its conditions with values, thresholds and distances"),
        Column("revision", pl.String(), "revision of the rules"),
    ),
)
UNDERLYING_DAYS_TABLE = TableSchema(
    "underlying_days",
    "one value of an underlying on one day that is over, as the broker's history gave it",
    ("symbol", "kind", "day"),
    (
        Column("symbol", pl.String(), "the underlying"),
        Column(
            "kind",
            pl.String(),
            "close: the last price, USD per share; implied_vol: that of its options, annualised",
        ),
        Column("day", pl.Date(), "the day of trading in New York"),
        Column("value", pl.Float64(), "the value", "as its kind says"),
    ),
)
LAKE_TABLES: Mapping[str, TableSchema] = MappingProxyType(
    {
        **TABLES,
        "facts": FACTS_TABLE,
        "traces": TRACES_TABLE,
        "underlying_days": UNDERLYING_DAYS_TABLE,
        "mark_errors": MARK_ERRORS_TABLE,
    }
)
"""All tables of the lake: its own, `facts` with one column per fact of the rules' catalogue, and what the
rooms above record besides."""


class Severity(StrEnum):
    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True)
class Alert:
    """Something the owner should hear of. `subject` is a position, contract, order or file."""

    severity: Severity
    kind: str
    subject: str
    text: str


def contracts(known: Iterable[Contract]) -> pl.DataFrame:
    """The contracts as qualified."""
    return _frame("contracts", [_terms(c) | _listing(c) for c in known])


def positions(holdings: Iterable[HoldingChanged], position_of: Callable[[ConId], str | None]) -> pl.DataFrame:
    """The whole picture of holdings, as the broker gave it."""
    return _frame("positions", [holding_row(event, position_of, "full") for event in holdings])


def holding_row(
    event: HoldingChanged, position_of: Callable[[ConId], str | None], kind: str = "change"
) -> dict[str, Any]:
    """One holding as the broker reported it."""
    return {
        "account": event.account,
        **_terms(event.contract),
        "quantity": event.quantity,
        "average_cost_usd": event.average_cost,
        "position": position_of(event.contract.con_id),
        "kind": kind,
    }


def strategies(events: Iterable[PositionEvent]) -> pl.DataFrame:
    """What happened to positions."""
    return _frame("strategies", [event.row() for event in events])


def snapshots(board_frame: pl.DataFrame) -> pl.DataFrame:
    """`Marks.frame` as it is kept: sides of the last sane quote, with its time; mark and state of now."""
    return board_frame.select(name for name in TABLES["snapshots"].row if name in board_frame.columns)


def facts(seen: pl.DataFrame, shown: pl.DataFrame, market: Mapping[str, float | str | None]) -> pl.DataFrame:
    """The facts exactly as the rules saw them (`market`: those of book scope, the same in every row),
    and `display_facts` in columns of their own beside them."""
    book = [
        pl.lit(market.get(fact.name), dtype=fact.dtype).alias(fact.name)
        for fact in CATALOGUE
        if fact.scope == "book"
    ]
    joined = seen.join(shown, on="position", how="left", maintain_order="left").with_columns(*book)
    tracked = [pl.lit(None, dtype=fact.dtype).alias(fact.name) for fact in CATALOGUE if fact.tracked]
    return joined.with_columns(*tracked).select(FACTS_TABLE.row.names())


def account(
    name: str, figures: Mapping[str, float | None], book: Mapping[str, float | str | None]
) -> pl.DataFrame:
    """Account figures (`AccountBoard.figures`) and the book's Greeks (`book_facts`)."""
    greeks = ("book_delta_usd", "book_gamma_usd", "book_theta_usd", "book_vega_usd")
    return _frame("account", [{"account": name, **figures, **{greek: book.get(greek) for greek in greeks}}])


def orders(changes: Sequence[OrderChanged]) -> pl.DataFrame:
    """Order events as the broker reported them. Prices USD per share."""
    return _frame(
        "orders",
        [
            {
                "order_ref": change.order_ref or None,
                "order_id": change.order_id,
                "perm_id": change.perm_id,
                "state": change.state.value,
                "filled": change.filled,
                "remaining": change.remaining,
                "limit_price": change.limit_price,
                "average_price": change.average_price,
                "event": "changed",
                "text": change.text,
            }
            for change in changes
        ],
    )


def fills(reported: Iterable[Fill]) -> pl.DataFrame:
    """Fills that said something new (`ExecutionLedger.execute` and `.commission`)."""
    return _frame("fills", [fill.row() for fill in reported])


def alert_row(alert: Alert, now: datetime) -> dict[str, Any]:
    """An alert raised now; its id is a function of the alert and the moment."""
    return {
        "alert": alert_id(alert, now),
        "severity": alert.severity.value,
        "kind": alert.kind,
        "subject": alert.subject,
        "text": alert.text,
    }


def reconciliations(run: str, found: Iterable[Difference], over: Iterable[Difference] = ()) -> pl.DataFrame:
    """Differences that were found (or found changed) and those that are over."""
    rows = [difference.row(run) for difference in found]
    return _frame("reconciliations", rows + [difference.row(run, is_over=True) for difference in over])


def alerts_of(events: Iterable[PositionEvent], differences: Iterable[Difference] = ()) -> list[Alert]:
    """The alerts that position events and differences call for."""
    raised = [
        Alert(
            Severity.WARNING,
            "unexpected_fill",
            event.position.id,
            f"{event.position.id}: {event.kind.value} ({event.reason}) without an order of ours; "
            "check that this was you",
        )
        for event in events
        if event.unexpected
    ]
    return raised + [
        Alert(
            Severity.CRITICAL if difference.is_critical else Severity.WARNING,
            difference.kind.value,
            difference.subject,
            f"{difference.subject}: ours {difference.ours or 'nothing'}, "
            f"broker's {difference.theirs or 'nothing'}; {difference.resolution}",
        )
        for difference in differences
    ]


def alert_id(alert: Alert, now: datetime) -> str:
    parts = (alert.severity, alert.kind, alert.subject, alert.text, now.astimezone(UTC).isoformat())
    return "alert-" + hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:12]


def _terms(contract: Contract) -> dict[str, Any]:
    return {
        "con_id": contract.con_id,
        "symbol": contract.symbol,
        "sec_type": contract.sec_type.value,
        "expiry": contract.expiry,
        "strike": contract.strike,
        "right": contract.right.value if contract.right else None,
        "multiplier": contract.multiplier,
    }


def _listing(contract: Contract) -> dict[str, Any]:
    return {
        "exchange": contract.exchange,
        "currency": contract.currency,
        "local_symbol": contract.local_symbol,
        "trading_class": contract.trading_class,
        "min_tick": contract.min_tick,
    }


def _frame(table: str, rows: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=TABLES[table].row, orient="row", strict=False)
