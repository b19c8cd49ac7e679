"""The calendar of events: what it says, what it does not, and how it tells mistakes."""

from datetime import date, timedelta

import pytest

from rules import RulesInvalid
from sync.calendar import NEVER_DAYS, VALID, Dividend, EventCalendar, read_calendar

TODAY = date(2026, 3, 20)
TEXT = """\
version: 1
checked: 2026-03-18
symbols:
  AAPL:
    earnings: [2026-07-29, 2026-04-28]
    ex_dividends: {2026-05-08: $0.26, 2026-08-07: ~}
  SPY: {earnings: never, ex_dividends: {2026-03-20: 1.75}}
  BRK B: {ex_dividends: never}
"""


def test_days_are_counted_to_the_next_event_and_its_own_day_is_zero() -> None:
    calendar = read_calendar(TEXT)
    assert calendar.days_to_earnings("AAPL", TODAY) == 39
    assert calendar.days_to_earnings("AAPL", date(2026, 4, 28)) == 0
    assert calendar.days_to_earnings("AAPL", date(2026, 4, 29)) == 91
    assert calendar.days_to_ex_dividend("SPY", TODAY) == 0


def test_what_is_not_said_is_unknown_and_only_never_is_never() -> None:
    calendar = read_calendar(TEXT)
    assert calendar.days_to_earnings("BRK B", TODAY) is None
    assert calendar.days_to_earnings("MSFT", TODAY) is None
    assert calendar.days_to_earnings("SPY", TODAY) == NEVER_DAYS
    assert calendar.days_to_ex_dividend("BRK B", TODAY) == NEVER_DAYS
    assert calendar.days_to_ex_dividend("SPY", TODAY + timedelta(days=1)) is None


def test_a_calendar_that_nobody_looked_through_for_a_quarter_knows_nothing() -> None:
    text = TEXT.replace("2026-07-29", "2026-09-29")
    last = date(2026, 3, 18) + VALID
    calendar = read_calendar(text)
    assert calendar.is_valid(last)
    assert calendar.days_to_earnings("AAPL", last) is not None
    assert calendar.days_to_earnings("AAPL", last + timedelta(days=1)) is None
    assert calendar.days_to_ex_dividend("BRK B", last + timedelta(days=1)) is None
    assert calendar.age_days(TODAY) == 2


def test_without_a_file_nothing_is_known() -> None:
    calendar = EventCalendar()
    assert not calendar.is_valid(TODAY)
    assert calendar.age_days(TODAY) is None
    assert calendar.days_to_earnings("AAPL", TODAY) is None
    assert calendar.dividends("AAPL", TODAY, TODAY + timedelta(days=90)) is None


def test_dividends_of_a_span_come_with_what_is_known_of_their_amounts() -> None:
    calendar = read_calendar(TEXT)
    year = TODAY + timedelta(days=365)
    first, second = Dividend(date(2026, 5, 8), 0.26), Dividend(date(2026, 8, 7), None)
    assert calendar.dividends("AAPL", TODAY, year) == (first, second)
    assert calendar.dividends("AAPL", TODAY, date(2026, 5, 8)) == (first,)
    assert calendar.dividends("AAPL", date(2026, 5, 8), date(2026, 5, 8)) == ()
    assert calendar.dividends("BRK B", TODAY, year) == ()
    assert calendar.dividends("MSFT", TODAY, year) is None


@pytest.mark.parametrize(
    ("old", "new", "place", "message"),
    [
        ("2026-04-28", "28.4.2026", (5, 28), "28.4.2026 is not a day of earnings: write it as 2026-03-20"),
        ("2026-05-08:", "soon:", (6, 20), "soon is not an ex-dividend day"),
        ("$0.26", "26 cents", (6, 32), "26 cents is no amount per share: write $0.26, or ~"),
        ("$0.26", "-0.26", (6, 32), "-0.26 is no amount per share"),
        ("$0.26", "²", (6, 32), "² is no amount per share"),
        ("2026-07-29, 2026-04-28", "2026-04-28, 2026-04-28", (5, 15), "2026-04-28 is given twice: keep one"),
        ("earnings: never", "earning: never", (7, 9), "unknown key earning in what is announced of SPY: did"),
        ("earnings: never", "earnings: 2026-04-28", (7, 19), "earnings are a list: write the days in brack"),
        ("{ex_dividends: never}", "never", (8, 10), "BRK B needs `earnings:` or `ex_dividends:`"),
        ("checked: 2026-03-18\n", "", (1, 1), "say when you last looked everything up: add `checked:"),
        ("checked: 2026-03-18", "checked: lately", (2, 10), "lately is not the day you last looked"),
        ("version: 1", "version: 2", (1, 10), "write `version: 1`"),
        ("{2026-05-08: $0.26, 2026-08-07: ~}", "[2026-05-08]", (6, 19), "ex_dividends are a mapping: write"),
        ("  SPY:", "  AAPL:", (7, 3), "AAPL is given twice (first in line 4): keep one"),
    ],
)
def test_a_mistake_is_told_with_its_place(old: str, new: str, place: tuple[int, int], message: str) -> None:
    assert old in TEXT
    with pytest.raises(RulesInvalid) as caught:
        read_calendar(TEXT.replace(old, new, 1))
    told = [(problem.line, problem.column, problem.message) for problem in caught.value.problems]
    assert [(line, column) for line, column, _ in told] == [place], told
    assert told[0][2].startswith(message), told


def test_all_mistakes_are_told_at_once_and_a_file_that_is_no_calendar_says_how_to_start() -> None:
    with pytest.raises(RulesInvalid) as caught:
        read_calendar(TEXT.replace("2026-04-28", "x").replace("1.75", "y"))
    assert len(caught.value.problems) == 2
    with pytest.raises(RulesInvalid, match="a calendar is a mapping: start it with `version: 1`"):
        read_calendar("- AAPL\n")
    assert read_calendar("version: 1\nchecked: 2026-03-18\nsymbols:\n").symbols == {}


def test_a_calendar_checked_in_the_future_knows_nothing() -> None:
    """A year mistyped would make its dates count for ever."""
    calendar = read_calendar(TEXT.replace("checked: 2026", "checked: 2036"))
    assert not calendar.is_valid(TODAY)
    assert calendar.days_to_earnings("AAPL", TODAY) is None
    tomorrow = read_calendar(TEXT.replace("2026-03-18", "2026-03-21"))
    assert tomorrow.is_valid(TODAY)
