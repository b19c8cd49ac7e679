"""What is announced of the underlyings: days of earnings reports and ex-dividend days.

They come from a file that the trader keeps, checked like a file of rules: every mistake with its line and
column. What it does not say is unknown; only `never` says that there is none.
"""

from bisect import bisect_left
from collections.abc import Mapping as ByName
from dataclasses import dataclass, field
from datetime import date, timedelta

from rules import source
from rules.problem import Mark, Problems
from rules.source import Mapping, Scalar, Sequence, check_keys

NEVER_DAYS = 9_999
"""The days to an event that the calendar says there is none of: further off than any rule asks."""
VALID = timedelta(days=100)
"""A calendar that nobody has looked through for longer than a quarter knows nothing: dates are moved."""
AHEAD = timedelta(days=1)
"""Where the trader lives it may be tomorrow already; later is a mistake, and dates would count for ever."""

_KEYS = ("version", "checked", "symbols")
_KEYS_OF_SYMBOL = ("earnings", "ex_dividends")
_NEVER = "never"
_NOTHING = ("", "~", "null")
_BEGINNING = "a calendar is a mapping: start it with `version: 1`, `checked: 2026-03-20` and `symbols:`"
_EARNINGS = "write the days in brackets, [2026-04-28, 2026-07-29], or never"
_DIVIDENDS = (
    "write each day with its amount in braces, {2026-05-08: $0.26}, with ~ for one not known, or never"
)


@dataclass(frozen=True, slots=True)
class Dividend:
    """`day` is the ex-dividend day; `amount_usd` per share, None = not known yet."""

    day: date
    amount_usd: float | None


@dataclass(frozen=True, slots=True)
class Announced:
    """Of one underlying, by day. None: nothing is said; empty: the calendar says that there is none."""

    earnings: tuple[date, ...] | None = None
    dividends: tuple[Dividend, ...] | None = None


@dataclass(frozen=True, slots=True)
class EventCalendar:
    """`checked` is the day on which somebody last looked everything up; None: there is no calendar."""

    checked: date | None = None
    symbols: ByName[str, Announced] = field(default_factory=dict)

    def age_days(self, today: date) -> int | None:
        """Days since it was last looked through; None when there is none."""
        return None if self.checked is None else max(0, (today - self.checked).days)

    def is_valid(self, today: date) -> bool:
        """Whether its dates are believed."""
        return self.checked is not None and -AHEAD <= today - self.checked <= VALID

    def days_to_earnings(self, symbol: str, today: date) -> int | None:
        """Calendar days to the next report, 0 on its day; `NEVER_DAYS` without any, None when not known."""
        return self._days_to(self._of(symbol, today).earnings, today)

    def days_to_ex_dividend(self, symbol: str, today: date) -> int | None:
        """Calendar days to the next ex-dividend day, as `days_to_earnings`."""
        dividends = self._of(symbol, today).dividends
        days = None if dividends is None else tuple(each.day for each in dividends)
        return self._days_to(days, today)

    def dividends(self, symbol: str, today: date, until: date) -> tuple[Dividend, ...] | None:
        """Those with their ex-day after `today` up to and with `until`; None when nothing is known."""
        dividends = self._of(symbol, today).dividends
        return None if dividends is None else tuple(each for each in dividends if today < each.day <= until)

    def _of(self, symbol: str, today: date) -> Announced:
        return self.symbols.get(symbol, Announced()) if self.is_valid(today) else Announced()

    @staticmethod
    def _days_to(days: tuple[date, ...] | None, today: date) -> int | None:
        if days is None:
            return None
        if not days:
            return NEVER_DAYS
        place = bisect_left(days, today)
        return (days[place] - today).days if place < len(days) else None


def read_calendar(text: str, path: str = "calendar.yaml") -> EventCalendar:
    """The calendar that a file holds; `path` is only named in messages.

    Raises RulesInvalid with every mistake, its line and its column.
    """
    problems = Problems(path, text)
    tree = source.read_tree(text, problems, _BEGINNING)
    problems.raise_if_any()
    assert tree is not None
    found = _Reader(problems).calendar(tree)
    problems.raise_if_any()
    return found


@dataclass(frozen=True, slots=True)
class _Reader:
    problems: Problems

    def calendar(self, tree: Mapping) -> EventCalendar:
        check_keys(tree, _KEYS, "a calendar", self.problems)
        version = tree.get("version")
        if not isinstance(version, Scalar) or version.text != "1":
            self.problems.add((version or tree).mark, "write `version: 1`")
        checked = tree.get("checked")
        day = self._day(checked, "the day you last looked everything up") if checked else None
        if checked is None:
            said = "say when you last looked everything up: add `checked: 2026-03-20`"
            self.problems.add(tree.mark, said)
        symbols = tree.get("symbols")
        if isinstance(symbols, Mapping):
            found = {name: self._announced(name, node) for name, (_, node) in symbols.items.items()}
        else:
            found = {}
            if not _is_nothing(symbols):
                mark = symbols.mark if symbols else tree.mark
                self.problems.add(mark, "symbols is a mapping: write `AAPL: {earnings: [2026-04-28]}`")
        return EventCalendar(day, found)

    def _announced(self, name: str, node: source.Node) -> Announced:
        if not isinstance(node, Mapping):
            self.problems.add(node.mark, f"{name} needs `earnings:` or `ex_dividends:`: {_EARNINGS}")
            return Announced()
        check_keys(node, _KEYS_OF_SYMBOL, f"what is announced of {name}", self.problems)
        return Announced(
            self._earnings(node.get("earnings")),
            self._dividends(node.get("ex_dividends")),
        )

    def _earnings(self, node: source.Node | None) -> tuple[date, ...] | None:
        if node is None or _is_nothing(node):
            return None
        if isinstance(node, Scalar) and node.text == _NEVER:
            return ()
        if not isinstance(node, Sequence):
            self.problems.add(node.mark, f"earnings are a list: {_EARNINGS}")
            return None
        days = [day for item in node.items if (day := self._day(item, "a day of earnings"))]
        self._refuse_repeated(days, node.mark)
        # An empty list says no more than nothing.
        return tuple(sorted(days)) or None

    def _dividends(self, node: source.Node | None) -> tuple[Dividend, ...] | None:
        if node is None or _is_nothing(node):
            return None
        if isinstance(node, Scalar) and node.text == _NEVER:
            return ()
        if not isinstance(node, Mapping):
            self.problems.add(node.mark, f"ex_dividends are a mapping: {_DIVIDENDS}")
            return None
        found = [
            Dividend(day, self._amount(value))
            for key, value in node.items.values()
            if (day := self._day(key, "an ex-dividend day"))
        ]
        return tuple(sorted(found, key=lambda each: each.day)) or None

    def _day(self, node: source.Node, what: str) -> date | None:
        text = node.text if isinstance(node, Scalar) else "this"
        try:
            return date.fromisoformat(text)
        except ValueError:
            self.problems.add(node.mark, f"{text} is not {what}: write it as 2026-03-20")
            return None

    def _amount(self, node: source.Node) -> float | None:
        if _is_nothing(node):
            return None
        text = node.text.removeprefix("$") if isinstance(node, Scalar) else ""
        whole, _, cents = text.partition(".")
        if (whole + cents).isascii() and (whole + cents).isdigit() and 0 < float(text) < 10_000:
            return float(text)
        said = node.text if isinstance(node, Scalar) else "this"
        self.problems.add(node.mark, f"{said} is no amount per share: write $0.26, or ~ when it is not known")
        return None

    def _refuse_repeated(self, days: list[date], mark: Mark) -> None:
        for day in sorted({day for day in days if days.count(day) > 1}):
            self.problems.add(mark, f"{day} is given twice: keep one")


def _is_nothing(node: source.Node | None) -> bool:
    return isinstance(node, Scalar) and node.text in _NOTHING
