"""How numbers and times are written on the page. None is always an em dash, never a zero."""

from datetime import datetime

from options import NEW_YORK

DASH = "—"
MINUS = "−"


def usd(value: float | None, signed: bool = False) -> str:
    """`$1,564.72`, `−$435.28`; with `signed` a gain says so: `+$12.00`."""
    if value is None:
        return DASH
    return f"{_sign(round(value, 2), signed)}${abs(value):,.2f}"


def percent(value: float | None, signed: bool = False) -> str:
    """`28.4 %` of a ratio 0.284."""
    if value is None:
        return DASH
    return f"{_sign(round(value, 3), signed)}{abs(value) * 100:.1f} %"


def number(value: float | None, digits: int = 2, signed: bool = False) -> str:
    """`−3.10` with thousands separated."""
    if value is None:
        return DASH
    return f"{_sign(round(value, digits), signed)}{abs(value):,.{digits}f}"


def plain(value: object) -> str:
    """Any fact's value: numbers to at most four decimals, everything else as it is."""
    if value is None:
        return DASH
    if isinstance(value, float):
        return f"{value:,.4f}".rstrip("0").rstrip(".").replace("-", MINUS)
    return str(value)


def words(name: str | None) -> str:
    """`iron_condor` → `Iron condor`."""
    return name.replace("_", " ").capitalize() if name else DASH


def clock(moment: datetime | str | None) -> str:
    """`10:31:05` in New York."""
    return DASH if moment is None else f"{_new_york(moment):%H:%M:%S}"


def moment(value: datetime | str | None) -> str:
    """`4 Feb 10:31:05` in New York."""
    if value is None:
        return DASH
    local = _new_york(value)
    return f"{local.day} {local:%b %H:%M:%S}"


def day(value: str | None) -> str:
    """`20 Mar 2026` of an ISO date."""
    if value is None:
        return DASH
    parsed = datetime.fromisoformat(value)
    return f"{parsed.day} {parsed:%b %Y}"


def duration(seconds: float | None) -> str:
    """`0.4 s`, `12 s`, `3 min`, `2 h 5 min`, `4 d`."""
    if seconds is None:
        return DASH
    if seconds < 9.95:
        return f"{max(seconds, 0.0):.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds // 60:.0f} min"
    if seconds < 172800:
        return f"{seconds // 3600:.0f} h {seconds % 3600 // 60:.0f} min"
    return f"{seconds // 86400:.0f} d"


def _sign(value: float, signed: bool) -> str:
    if value < 0:
        return MINUS
    return "+" if signed and value > 0 else ""


def _new_york(value: datetime | str) -> datetime:
    parsed = datetime.fromisoformat(value) if isinstance(value, str) else value
    return parsed.astimezone(NEW_YORK)
