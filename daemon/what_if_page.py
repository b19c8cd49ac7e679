"""A page that shows when each of two revisions would have acted, position by position over its P&L.

One file that needs nothing else: drawn as SVG, no script, nothing loaded.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from html import escape
from typing import Any

import polars as pl

from daemon.comparison import Comparison
from daemon.reading import new_york
from daemon.rules_diff import coverage_told, named, said, total_told, usd
from options import NEW_YORK
from trading.hindsight import Hindsight, Result
from trading.what_if import SIDES

Row = Mapping[str, Any]
Point = tuple[float, float]

DRAWN = 60
"""Positions at most, those that differ first in time."""
_WIDTH, _LEFT, _RIGHT = 1_000, 78, 12
_FLAGS, _PLOT, _BARS, _AXIS = 34, 110, 22, 16
_LETTERS = dict(zip(SIDES, "AB", strict=True))
_STYLE = """
body { font: 14px/1.45 system-ui, sans-serif; color: #222; max-width: 1040px; margin: 24px auto; }
h1 { font-size: 20px; } h2 { font-size: 15px; margin: 26px 0 2px; } p { margin: 2px 0; }
svg { width: 100%; height: auto; } text { font: 11px system-ui, sans-serif; fill: #555; }
.line { fill: none; stroke: #888; stroke-width: 1.2; } .frame { fill: none; stroke: #ddd; }
.between { stroke: #ddd; stroke-width: 0.8; }
.zero { stroke: #bbb; stroke-dasharray: 3 3; } .tick { stroke: #eee; }
.old { --ink: #1f4e79; } .new { --ink: #c0392b; } b.old, b.new { color: var(--ink); }
.mark { fill: var(--ink); stroke: var(--ink); } .shadow { fill: #fff; } .flag { fill: var(--ink); }
.pole { stroke: var(--ink); stroke-width: 0.8; } .bar { fill: var(--ink); opacity: 0.75; }
"""


@dataclass(frozen=True, slots=True)
class Scale:
    """Where moments and USD lie in a panel, in its units."""

    first: datetime
    last: datetime
    lowest: float
    highest: float

    def x(self, moment: datetime) -> float:
        whole = (self.last - self.first).total_seconds() or 1.0
        inner = _WIDTH - _LEFT - _RIGHT
        return _LEFT + inner * (moment - self.first).total_seconds() / whole

    def y(self, usd: float) -> float:
        return _FLAGS + _PLOT * (self.highest - usd) / ((self.highest - self.lowest) or 1.0)


def page_of(compared: Comparison) -> str:
    """The page as HTML."""
    shown = compared.changed_positions or [one.held.position for one in compared.found]
    found = {one.held.position: one for one in compared.found}
    words = [
        "<p>None of this was decided, and none of it is recorded.</p>",
        f"<p><b class=old>▲ A</b> {escape(named(compared.old))}<br>"
        f"<b class=new>● B</b> {escape(named(compared.new))}</p>",
        *(f"<p>{escape(line)}</p>" for line in coverage_told(compared.coverage)),
        f"<p>{compared.changes.height} decisions differ, on {len(compared.changed_positions)} of "
        f"{len(compared.found)} positions; the others are not drawn.</p>"
        if compared.changed_positions
        else "<p>No decision on a position differs.</p>",
        *(f"<p>{escape(line)}</p>" for line in total_told(compared.found)),
        "<p>Grey: P&amp;L at the marks, in USD; light where it was not known. Bars: how long each revision "
        "would have held. A mark that is not filled is a shadow's.</p>",
    ]
    panels = [panel for name in shown[:DRAWN] if name in found for panel in _panel(compared, found[name])]
    if len(shown) > DRAWN:
        panels.append(f"<p>and {len(shown) - DRAWN} more positions</p>")
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Rules A and B</title>'
        f"<style>{_STYLE}</style><h1>What if: rules A and B over the same days</h1>"
        f"{''.join(words)}{''.join(panels)}</html>\n"
    )


def _panel(compared: Comparison, one: Hindsight) -> Iterator[str]:
    """One position."""
    name = one.held.position
    line = compared.lines.filter(position=name)
    decided = compared.decided.filter(position=name)
    known = line["profit_usd"].drop_nulls()
    assert compared.coverage.first is not None and compared.coverage.last is not None
    scale = Scale(compared.coverage.first, compared.coverage.last, min([0.0, *known]), max([0.0, *known]))
    height = _FLAGS + _PLOT + _BARS + _AXIS
    results = ", ".join(f"{_LETTERS[side]} {_result_told(getattr(one, side))}" for side in SIDES)
    really = f"really {usd(one.held.usd)} USD, {one.held.ending}"
    yield f"<h2>{escape(name)}</h2><p>{escape(results)}; {really}</p>"
    yield f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{escape(name)}">'
    yield from _ground(scale)
    known_points = line.select("time", "profit_usd").drop_nulls("profit_usd").iter_rows()
    whole = " ".join(_point(scale, moment, value) for moment, value in known_points)
    yield f'<polyline class="line between" points="{whole}"/>'
    yield from (f'<polyline class="line" points="{points}"/>' for points in _runs(line, scale))
    for row_of_flags, side in enumerate(SIDES):
        yield from _marks(decided, line, scale, side, 12.0 + 14 * row_of_flags, one)
        yield _bar(line, scale, side, row_of_flags, getattr(one, side))
    yield "</svg>"


def _result_told(result: Result) -> str:
    how = f"{result.action} by {result.rule}" if result.rule else "held on"
    return f"{usd(result.usd)} USD ({how})"


def _ground(scale: Scale) -> Iterator[str]:
    bottom, right = _FLAGS + _PLOT, _WIDTH - _RIGHT
    for moment, text in ticks(scale.first, scale.last):
        x = scale.x(moment)
        yield f'<line class="tick" x1="{x:.1f}" x2="{x:.1f}" y1="{_FLAGS}" y2="{bottom + _BARS}"/>'
        yield f'<text x="{x:.1f}" y="{bottom + _BARS + 12}" text-anchor="middle">{text}</text>'
    yield f'<rect class="frame" x="{_LEFT}" y="{_FLAGS}" width="{right - _LEFT}" height="{_PLOT}"/>'
    yield f'<line class="zero" x1="{_LEFT}" x2="{right}" y1="{scale.y(0):.1f}" y2="{scale.y(0):.1f}"/>'
    for value in sorted({scale.lowest, 0.0, scale.highest}):
        if value == 0.0 or abs(scale.y(value) - scale.y(0)) > 12:
            y = min(scale.y(value) + 4, bottom - 1)
            yield f'<text x="{_LEFT - 6}" y="{y:.1f}" text-anchor="end">{value:,.0f}</text>'


def ticks(first: datetime, last: datetime) -> list[tuple[datetime, str]]:
    """Hours of one day, days, or Mondays: about a dozen at most, in New York."""
    start, end = first.astimezone(NEW_YORK), last.astimezone(NEW_YORK)
    if start.date() == end.date():
        hours = [start.replace(hour=hour, minute=0, second=0, microsecond=0) for hour in range(24)]
        return [(hour, f"{hour:%H:%M}") for hour in hours if start <= hour <= end]
    days = [start.date() + timedelta(days=n) for n in range(1, (end.date() - start.date()).days + 1)]
    if len(days) > 28:
        days = [day for day in days if day.weekday() == 0]
    return [(_midnight(day), f"{day:%d %b}") for day in days[:: 1 + len(days) // 13]]


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=NEW_YORK)


def _runs(line: pl.DataFrame, scale: Scale) -> Iterator[str]:
    """The line, broken where the P&L was not known, and at night."""
    points: list[str] = []
    day: date | None = None
    for moment, value in line.select("time", "profit_usd").iter_rows():
        if points and (value is None or moment.date() != day):
            yield " ".join(points)
            points = []
        if value is not None:
            points.append(_point(scale, moment, value))
        day = moment.date()
    if points:
        yield " ".join(points)


def _point(scale: Scale, moment: datetime, value: float) -> str:
    return f"{scale.x(moment):.1f},{scale.y(value):.1f}"


def _marks(
    decided: pl.DataFrame, line: pl.DataFrame, scale: Scale, side: str, flag_y: float, one: Hindsight
) -> Iterator[str]:
    """Every decision of one revision: a mark on the line, and its flag where there is room for the words.

    The last one is served first: that is where the story ends.
    """
    taken: list[tuple[float, float]] = []
    for row in reversed(decided.drop_nulls(f"{side}_rule").to_dicts()):
        x = scale.x(row["time"])
        value = row["profit_usd"]
        y = scale.y(_near(line, row["time"]) if value is None else value)
        is_shadow = row[f"{side}_kind"] == "shadow"
        words = said(row, side, one)
        told = f"{_LETTERS[side]} {new_york(row['time'])} {words}, P&L {usd(value)} USD"
        yield f'<g class="{side}"><title>{escape(told)}</title>'
        length = 7.0 * len(words)
        span = (x - length, x) if x > _WIDTH * 0.7 else (x, x + length)
        if not is_shadow and all(span[1] < start or end < span[0] for start, end in taken):
            taken.append(span)
            yield from _flag(f"{_LETTERS[side]} {words}", x, y, flag_y, points_left=span[0] < x)
        yield _mark(side, x, y, is_shadow) + "</g>"


def _flag(words: str, x: float, y: float, top: float, points_left: bool) -> Iterator[str]:
    """Words at the top, on a pole that stands on the line."""
    at, anchor = (x - 4, "end") if points_left else (x + 4, "start")
    yield f'<line class="pole" x1="{x:.1f}" x2="{x:.1f}" y1="{top - 8}" y2="{y:.1f}"/>'
    yield f'<text class="flag" x="{at:.1f}" y="{top}" text-anchor="{anchor}">{escape(words)}</text>'


def _near(line: pl.DataFrame, moment: datetime) -> float:
    """The P&L that was known next, or last; 0 where it never was, so that the mark has a place."""
    known = line.drop_nulls("profit_usd")
    later = known.filter(pl.col("time") >= moment).head(1)
    nearest = later if later.height else known.tail(1)
    return float(nearest["profit_usd"][0]) if nearest.height else 0.0


def _mark(side: str, x: float, y: float, is_shadow: bool) -> str:
    kind = "mark shadow" if is_shadow else "mark"
    if side == "old":
        return f'<path class="{kind}" d="M{x:.1f} {y - 5:.1f} l5 9 h-10 z"/>'
    return f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="4"/>'


def _bar(line: pl.DataFrame, scale: Scale, side: str, number: int, result: Result) -> str:
    """From when the position was first seen until it was over under this revision."""
    start = scale.x(line["time"].min() if line.height else scale.first)  # type: ignore[arg-type]
    end = scale.x(min(result.time, scale.last))
    y = _FLAGS + _PLOT + 4 + 9 * number
    return (
        f'<rect class="bar {side}" x="{start:.1f}" y="{y}" width="{max(end - start, 1):.1f}" height="6"/>'
        f'<text class="flag {side}" x="{_LEFT - 6}" y="{y + 7}" text-anchor="end">{_LETTERS[side]}</text>'
    )
