"""What is known by the day, kept new: the calendar file is looked at, the broker is asked for history."""

import asyncio
from datetime import datetime
from pathlib import Path
from typing import Any

import structlog

from daemon.account_state import AccountState
from daemon.records import Alerts
from options import Contract, RuleError, SecType
from options.hours import trading_day
from rules.source import read_text
from sync.calendar import VALID, EventCalendar, read_calendar
from sync.tables import Alert, Severity

log = structlog.get_logger()

LOOK_EVERY_S = 1.0
ALERT = "calendar"


class AlmanacCare:
    """Brings the calendar that the trader keeps, and the broker's history, to the `Almanac`.

    A calendar with mistakes is not taken up: the one before stays, and an alert says what is wrong. Without a
    file nothing is known of events.
    """

    def __init__(self, state: AccountState, alerts: Alerts, path: Path | None) -> None:
        self._state = state
        self._alerts = alerts
        self._path = path
        self._seen: tuple[int, int] | None = None
        self._found: EventCalendar | None = None
        self._wrong = ""
        self._priced: dict[str, Contract] = {}
        self._priced_of = (-1, -1)

    def status(self, now: datetime) -> dict[str, Any]:
        """The calendar and the histories; for the control API."""
        calendar, today = self._state.almanac.calendar, trading_day(now)
        return {
            "calendar": str(self._path or ""),
            "checked": calendar.checked.isoformat() if calendar.checked else None,
            "age_days": calendar.age_days(today),
            "is_valid": calendar.is_valid(today),
            "wrong": self._wrong,
            "refused": {
                f"{symbol} {kind}": reason for (symbol, kind), reason in self._state.almanac.refusals.items()
            },
        }

    async def run(self) -> None:
        """Look at the file for ever."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_EVERY_S)

    async def look(self) -> None:
        """Read the file when it has been saved since the last look."""
        if self._path is None:
            return
        seen = await asyncio.to_thread(_seen, self._path)
        if seen == self._seen:
            return
        try:
            found = EventCalendar() if seen is None else await asyncio.to_thread(_read, self._path)
        except RuleError as error:
            self._wrong = f"the calendar before stays: {error}"
        else:
            self._found, self._wrong = found, ""
        self._seen = seen

    def settle(self, now: datetime) -> None:
        """Between two beats: take up a calendar that was read, ask the broker for what is missing."""
        almanac = self._state.almanac
        if self._found is not None:
            almanac.calendar, self._found = self._found, None
            log.info("calendar.taken_up", symbols=len(almanac.calendar.symbols))
        self._tell(almanac.calendar, now)
        if self._state.has_picture:
            self._find_priced()
            question = almanac.question(self._priced, now)
            if question is not None:
                self._state.broker.ask_daily(self._priced[question.symbol], question.kind, question.days)

    def _tell(self, calendar: EventCalendar, now: datetime) -> None:
        text = self._wrong
        today = trading_day(now)
        if not text and calendar.checked and not calendar.is_valid(today):
            is_old = calendar.checked < today
            when = f"more than {VALID.days} days ago" if is_old else "a day that is still to come"
            text = (
                f"was last checked on {calendar.checked}, {when}: its dates count as unknown; look them up "
                "again and write the day behind `checked:`"
            )
        if text:
            self._alerts.raise_(Alert(Severity.WARNING, ALERT, str(self._path), text), now)
        else:
            self._alerts.clear(ALERT, str(self._path))

    def _find_priced(self) -> None:
        """The underlyings of what is held, as qualified contracts, by symbol."""
        state = self._state
        of = state.positions.revision, len(state.qualified)
        if of == self._priced_of:
            return
        held = {position.underlying for position in state.positions.positions}
        known = (state.contracts[con_id] for con_id in state.qualified)
        shares = (SecType.STOCK, SecType.INDEX)
        priced = {each.symbol: each for each in known if each.sec_type in shares and each.symbol in held}
        self._priced = dict(sorted(priced.items()))
        self._priced_of = of


def _seen(path: Path) -> tuple[int, int] | None:
    """When the file was written and how long it is; None when it is not there."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size


def _read(path: Path) -> EventCalendar:
    return read_calendar(read_text(path), str(path))
