"""The rows of one cycle, collected per table until they are committed together."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import polars as pl

from daemon.metrics import Metrics
from lake import TableSchema
from sync import tables
from sync.tables import Alert


class Records:
    """Rows and frames by table; `take` hands them over once, as frames of the declared schemas."""

    def __init__(self, tables: Mapping[str, TableSchema]) -> None:
        self._tables = tables
        self._rows: dict[str, list[Mapping[str, Any]]] = {}
        self._frames: dict[str, pl.DataFrame] = {}

    def __bool__(self) -> bool:
        return bool(self._rows or self._frames)

    def add(self, table: str, row: Mapping[str, Any]) -> None:
        self._rows.setdefault(table, []).append(row)

    def add_frame(self, table: str, frame: pl.DataFrame) -> None:
        if frame.height:
            known = self._frames.get(table)
            self._frames[table] = frame if known is None else pl.concat([known, frame], how="diagonal")

    def take(self) -> dict[str, pl.DataFrame]:
        frames = self._frames
        for table, rows in self._rows.items():
            made = pl.DataFrame(rows, schema=self._tables[table].row, orient="row", strict=False)
            frames[table] = pl.concat([frames[table], made], how="diagonal") if table in frames else made
        self._rows, self._frames = {}, {}
        return frames

    def put_back(self, frames: Mapping[str, pl.DataFrame]) -> None:
        """Keep what could not be committed, in front of what came since."""
        for table, frame in frames.items():
            later = self._frames.get(table)
            self._frames[table] = frame if later is None else pl.concat([frame, later], how="diagonal")


class Alerts:
    """Alerts raised once per kind and subject until they are cleared, so that nobody is drowned."""

    def __init__(self, records: Records, metrics: Metrics) -> None:
        self._records = records
        self._metrics = metrics
        self._standing: dict[tuple[str, str], str] = {}

    @property
    def standing(self) -> int:
        return len(self._standing)

    def raise_(self, alert: Alert, now: datetime) -> bool:
        """Record the alert unless the same one stands; whether it is new."""
        if self._standing.get((alert.kind, alert.subject)) == alert.text:
            return False
        self._standing[alert.kind, alert.subject] = alert.text
        self._metrics.alerts.labels(alert.severity.value).inc()
        self._records.add("alerts", tables.alert_row(alert, now))
        return True

    def clear(self, kind: str, subject: str) -> None:
        self._standing.pop((kind, subject), None)

    def clear_except(self, kind: str, subjects: set[str]) -> None:
        """Clear what no longer holds of one kind."""
        for standing in [key for key in self._standing if key[0] == kind and key[1] not in subjects]:
            del self._standing[standing]
