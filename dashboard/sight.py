"""What the page sees at one moment: the lake and the daemon's own words, read together."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from dashboard.control import Control, DaemonSilent, Status
from lake import LakeReader, views
from options import LakeError

Row = dict[str, Any]

SHOWN_DECISIONS = 60
SHOWN_ORDERS = 40
SHOWN_ALERTS = 30
SHOWN_DIFFERENCES = 40
"""Each is there twice: found, and over."""
CHARTED = timedelta(days=5)
FRESH_FOR = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Books:
    """The lake as of one `seq`. `time` is that of the newest row shown, None when there is none."""

    seq: int
    time: datetime | None
    positions: list[Row]
    decisions: list[Row]
    orders: list[Row]
    fills: list[Row]
    alerts: list[Row]
    differences: list[Row]
    account: Row | None
    history: pl.DataFrame
    breaker: Row | None


@dataclass(frozen=True, slots=True)
class Sight:
    """`books` is None while there is no readable lake, and `lake_trouble` says why.

    `status` is the daemon's last answer, at page time `answered`; both None when it never answered.
    `daemon_trouble` is None when that answer belongs to this moment.
    """

    taken: datetime
    books: Books | None
    lake_trouble: str | None
    status: Status | None
    answered: datetime | None
    daemon_trouble: str | None


@dataclass(slots=True)
class Watch:
    """Takes a Sight at most once a second, however many browsers look; safe to call from threads."""

    home: Path
    control: Control
    now: Callable[[], datetime]
    _reader: LakeReader | None = None
    _last: Sight | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def look(self) -> Sight:
        with self._lock:
            if self._last is None or self.now() - self._last.taken >= FRESH_FOR:
                self._last = self._take(self._last)
            return self._last

    def forget(self) -> None:
        """Make the next look a fresh one, because we changed something ourselves."""
        with self._lock:
            if self._last is not None:
                self._last = self._take(self._last)

    def _take(self, before: Sight | None) -> Sight:
        books = before.books if before else None
        status = before.status if before else None
        answered = before.answered if before else None
        lake_trouble = daemon_trouble = None
        try:
            books = self._read(books)
        except LakeError as error:
            lake_trouble = str(error)
        try:
            status = self.control.status()
            answered = self.now()
        except DaemonSilent as error:
            daemon_trouble = str(error)
        return Sight(self.now(), books, lake_trouble, status, answered, daemon_trouble)

    def _read(self, before: Books | None) -> Books:
        """The lake as it is now; raises LakeError when there is none."""
        if self._reader is None:
            self._reader = LakeReader.open(self.home)
        seq = self._reader.seq
        return before if before and before.seq == seq else read_books(self._reader, seq)


def read_books(reader: LakeReader, seq: int) -> Books:
    """Everything the page shows of the lake, as one consistent picture; raises LakeError."""
    positions = views.positions(reader, seq)
    decisions = views.decisions(reader, seq, SHOWN_DECISIONS)
    orders = views.orders(reader, seq, SHOWN_ORDERS)
    fills = views.fills(reader, seq, SHOWN_ORDERS)
    alerts = views.alerts(reader, seq, SHOWN_ALERTS)
    account = views.account_latest(reader, seq)
    shown = [
        *positions,
        *decisions[:1],
        *orders[:1],
        *fills[:1],
        *alerts[:1],
        *([account] if account else []),
    ]
    times = [datetime.fromisoformat(row["time"]) for row in shown if row["time"]]
    since = datetime.fromisoformat(account["time"]) - CHARTED if account else None
    return Books(
        seq=seq,
        time=max(times, default=None),
        positions=positions,
        decisions=decisions,
        orders=orders,
        fills=fills,
        alerts=alerts,
        differences=views.reconciliations(reader, seq, SHOWN_DIFFERENCES),
        account=account,
        history=views.account_history(reader, seq, since),
        breaker=views.breaker_state(reader, seq),
    )
