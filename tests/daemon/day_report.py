"""What a day came to, as a page: each act with what the daemon told, and both books at the end."""

from collections.abc import Iterator, Sequence

from tests.daemon.day_comparison import Line
from tests.daemon.day_script import ACTS, BOOK, END, LOTS, START

NOT_TOLD = ("fill  ", "adopted ", "home ", "control API", "rules ")
WORDS_AT = len("2026-03-02 09:44:01  ")


def report(said: Sequence[Sequence[str]], lines: Sequence[Line]) -> str:
    """`said`: what the daemon told before the first act, then after each."""
    return "\n".join([*_head(), *_acts(said), *_book(), *_books(lines)]) + "\n"


def _head() -> Iterator[str]:
    yield "# A day in the life"
    yield ""
    yield (
        f"One scripted trading day, {START:%Y-%m-%d %H:%M} to {END:%H:%M} New York time: a daemon with "
        f"the rules that come along and {len(BOOK)} iron condors of {LOTS} lots, against a simulated "
        "gateway, each a process of its own, over the socket. The prices are scripted, so that each order "
        "falls into a bad moment. Time moves by command and stands still while a link is set up, so that "
        "the speed of the machine decides nothing."
    )
    yield ""
    yield (
        "Written by `python -m tests.daemon.day_in_the_life`; `tests/daemon/test_day_in_the_life.py` plays "
        "the same day and fails on any difference."
    )


def _acts(said: Sequence[Sequence[str]]) -> Iterator[str]:
    yield from ("", "## What happened, and what the daemon made of it", "")
    yield from ("| at | what happens | the daemon |", "| --- | --- | --- |")
    for act, told in zip(ACTS, said[1:], strict=True):
        words = [line[11:19] + " " + line[WORDS_AT:] for line in told if line.startswith("2026")]
        kept = [each.replace("|", "/") for each in words if not each[9:].startswith(NOT_TOLD)]
        yield f"| {act.at} | {act.words} | {'<br>'.join(kept) or '–'} |"


def _book() -> Iterator[str]:
    yield from ("", "## What each condor went through", "", "| condor | its order was | orders | lots left |")
    yield "| --- | --- | --- | --- |"
    for held in BOOK:
        yield f"| {held.symbol} | {held.story} | {held.orders} | {held.lots_left} |"


def _books(lines: Sequence[Line]) -> Iterator[str]:
    yield from ("", "## Both books at the end", "")
    yield from ("| compared | gateway | lake | difference |", "| --- | --- | --- | --- |")
    for line in lines:
        yield f"| {line.name} | {line.gateway} | {line.lake} | {'; '.join(line.differs) or 'none'} |"
    yield ""
    yield (
        "Executions, holdings, legs and orders are compared one by one: their numbers stand in the table, "
        "their contracts, quantities, prices, costs and commissions are what must agree."
    )
