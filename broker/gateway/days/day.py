"""Reads a day's plan of faults, and puts it on the clock.

A plan is a list: `at` (New York time, `10:05` or `10:05:00`) or `after_s` (simulated seconds), `fault` and
its parameters. Both count from where the gateway's time is when it starts.
"""

import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from broker.gateway.errors import GatewayError
from broker.gateway.faults.catalogue import find
from broker.gateway.faults.fault import read
from options import NEW_YORK

if TYPE_CHECKING:
    from broker.gateway.gateway import Gateway

log = logging.getLogger("gateway")

SHIPPED: Mapping[str, Path] = {path.stem: path for path in sorted(Path(__file__).parent.glob("*.yaml"))}

CLOCK_TIME = re.compile(r"([01]\d|2[0-3]):([0-5]\d)(?::([0-5]\d))?")


@dataclass(frozen=True, slots=True)
class Entry:
    """One fault of a plan; exactly one of `at` (time since New York's midnight) and `after` is not None."""

    at: timedelta | None
    after: timedelta | None
    name: str
    given: Mapping[str, object]

    def moment(self, start: datetime) -> datetime:
        """When it happens: the first time after `start` that New York's clocks show it."""
        if self.after is not None:
            return start + self.after
        local = start.astimezone(NEW_YORK)
        midnight = local.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
        found = (midnight + (self.at or timedelta(0))).replace(tzinfo=NEW_YORK)
        if found <= local:
            found = (midnight + timedelta(days=1) + (self.at or timedelta(0))).replace(tzinfo=NEW_YORK)
        return found.astimezone(start.tzinfo)


def plan(gateway: "Gateway", name: str) -> None:
    """Has the faults of a file, or of a day that comes along, happen in their time; raises GatewayError."""
    for entry in read_day(SHIPPED.get(name, Path(name))):

        def happen(entry: Entry = entry) -> None:
            try:
                gateway.faults.inflict(entry.name, entry.given)
            except GatewayError as error:
                log.warning("the day's plan goes on without this: %s", error)

        gateway.faults.at(entry.moment(gateway.clock.now), happen)


def read_day(path: Path) -> list[Entry]:
    """The entries of a plan in the order of the file; raises GatewayError with file, line and column."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        found = YAML(typ="rt", pure=True).load(path.read_text(encoding="utf-8"))
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = (mark.line, mark.column) if mark else (0, 0)
        _complain(path, place, f"not YAML: {error.problem or error.context}")
    except (OSError, UnicodeDecodeError, YAMLError) as error:
        known = ", ".join(SHIPPED)
        raise GatewayError(
            f"plan of faults {path} cannot be read ({error}): name a YAML file, or a day of ours: {known}"
        ) from None
    if not isinstance(found, list):
        _complain(path, (0, 0), "a plan is a list: begin each fault with `- at:` or `- after_s:`")
    return list(_entries(path, found))


def _entries(path: Path, found: Any) -> Iterator[Entry]:
    for number, entry in enumerate(found):
        if not isinstance(entry, dict):
            _complain(path, found.lc.item(number), "an entry needs `at:` or `after_s:`, and `fault:`")
        yield _entry(path, entry)


def _entry(path: Path, entry: Any) -> Entry:
    start = (entry.lc.line, entry.lc.col)
    when = [key for key in ("at", "after_s") if key in entry]
    if len(when) != 1 or "fault" not in entry:
        _complain(path, start, "an entry needs one of `at:` and `after_s:`, and `fault:`")
    given = {str(key): value for key, value in entry.items() if key not in ("at", "after_s", "fault")}
    name = str(entry["fault"])
    at = after = None
    try:
        key = when[0]
        at, after = _time_of_day(entry.get("at")), _seconds(entry.get("after_s"))
        key = "fault"
        read(find(name), given)
    except GatewayError as error:
        named = [
            key for key in given if f"parameter {key} " in str(error) or f"parameter {key!r}" in str(error)
        ]
        _complain(path, entry.lc.key(named[0] if named else key), str(error))
    return Entry(at, after, name, given)


def _time_of_day(value: object) -> timedelta | None:
    if value is None:
        return None
    found = CLOCK_TIME.fullmatch(str(value))
    if not found:
        raise GatewayError(f"at: {value} is no time of day: write it like 10:05 or 10:05:00")
    hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return timedelta(hours=hours, minutes=minutes, seconds=seconds)


def _seconds(value: object) -> timedelta | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
        raise GatewayError(f"after_s: {value} is no number of seconds: write it like 300")
    return timedelta(seconds=value)


def _complain(path: Path, place: tuple[int, int], what: str) -> NoReturn:
    raise GatewayError(f"{path}, line {place[0] + 1}, column {place[1] + 1}: {what}")
