"""`optiond rules diff`: what other rules would have done with all that was recorded, and what that brings."""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import rules
from daemon.comparison import REPLAYED, Comparison, compare
from daemon.coverage import Coverage
from daemon.reading import UNKNOWN, Columns, new_york, print_json, print_table
from daemon.replay import first_seq, last_seq, rulebooks_of
from daemon.rulebook import rules_path
from daemon.rules_standing import standing_of
from lake import LakeReader
from options import RuleError, SettingsError
from rules import Rulebook
from trading.hindsight import Hindsight, Result, tallies
from trading.replay import Outcome

Row = Mapping[str, Any]

SHOWN = 50
"""Changes at most on a terminal; what goes to a file or another program is whole."""
_GAPS_SHOWN = 5
_BEGINNING_OF_A_HASH = 4


def diff(arguments: argparse.Namespace) -> int:
    """Tables or JSON, and a picture where one is wanted; exit code 0 whether they differ or not."""
    reader = LakeReader.open(arguments.home)
    names = (arguments.a, arguments.b) if arguments.b else ("current", arguments.a)
    old, new = (_rulebook(name, arguments.home, reader) for name in names)
    compared = compare(reader, _commits(reader, arguments), (old, new), _show_progress)
    _show_progress("")
    if arguments.html is not None:
        from daemon.what_if_page import page_of

        _write(arguments.html, page_of(compared))
    if arguments.json:
        return print_json(_data(compared))
    _tell(compared)
    return 0


# --- what is asked -------------------------------------------------------------------------------


def _commits(reader: LakeReader, arguments: argparse.Namespace) -> tuple[int, int]:
    """The first and the last commit to look at; `--last` counts back from the last one."""
    last = reader.seq if arguments.until is None else last_seq(reader, arguments.until)
    if arguments.since is not None:
        return first_seq(reader, arguments.since), last
    end = reader.time_of(last)
    start = 1 if end is None else 1 + reader.seq_at(end - arguments.last - timedelta(microseconds=1))
    return start, last


def _rulebook(name: str, home: Path, reader: LakeReader) -> Rulebook:
    """A rules file, the rules in force (`current`), or a revision that the lake keeps."""
    if name == "current":
        standing = standing_of(reader, Path("the rules in force"))
        return rules.load(rules_path(home)) if standing is None else standing.book
    if Path(name).is_file():
        return rules.load(Path(name))
    kept = reader.table("rules_revisions").select("revision").unique().collect()["revision"]
    like = kept.filter(kept.str.starts_with(name))
    if len(like) == 1 and len(name) >= _BEGINNING_OF_A_HASH:
        return _kept(reader, like[0])
    raise SettingsError(
        f"{name} is neither a file nor one revision of the lake: name a rules file, `current`, or a revision "
        "that `optiond rules revisions` shows"
    )


def _kept(reader: LakeReader, revision: str) -> Rulebook:
    found = rulebooks_of(reader, {revision})[revision]
    if isinstance(found, str):
        raise RuleError(f"{found}; name a rules file instead")
    return found


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"{path}: cannot be written ({error.strerror}); name a file of yours") from error


def _show_progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


# --- telling -------------------------------------------------------------------------------------


def _tell(compared: Comparison) -> None:
    print("WHAT IF: none of this was decided, and none of it is recorded.\n")
    print(f"A  {named(compared.old)}\nB  {named(compared.new)}\n")
    if not compared.coverage.beats:
        print("no facts were recorded in that time")
        return
    for line in (*coverage_told(compared.coverage), *_replayed_told(compared)):
        print(line)
    looked_at = f"{compared.coverage.beats:,} beats, {len(compared.coverage.positions)} positions"
    if compared.changes.is_empty():
        print(f"\nno decision differs over {looked_at}")
        return
    print(f"\n{compared.changes.height} decisions differ over {looked_at}\n")
    _print_changes(compared)
    print("\nby rule: its decisions, the positions that it ended, and what these came to in USD")
    print_table([asdict(tally) for tally in tallies(compared.decided, compared.found)], _RULES, "")
    print()
    for line in total_told(compared.found):
        print(line)


def coverage_told(coverage: Coverage) -> Iterator[str]:
    """What was looked at, and what was not there to be looked at."""
    pause = coverage.usual_pause_s
    every = "" if pause is None else f", a beat every {pause} s as a rule; between beats nothing was seen"
    yield f"recorded from {new_york(coverage.first)} to {new_york(coverage.last)} New York{every}"
    if coverage.gaps:
        longest = sorted(coverage.gaps, key=_length, reverse=True)[:_GAPS_SHOWN]
        spans = ", ".join(
            f"{new_york(start)[:16]} to {new_york(end)[11:16]}" for start, end in sorted(longest)
        )
        rest = len(coverage.gaps) - len(longest)
        yield f"gaps in trading hours: {spans}{f', and {rest} that are shorter' if rest else ''}"
    if coverage.never_known:
        yield f"asked for and never known: {', '.join(coverage.never_known)}"


def _replayed_told(compared: Comparison) -> Iterator[str]:
    """Whether the same machinery finds again what was really decided."""
    all_, same = compared.replayed.total(), compared.replayed[Outcome.SAME]
    if all_:
        which = f"the newest {all_}" if all_ == REPLAYED else f"{all_}"
        rest = "" if same == all_ else "; `optiond replay --since T` tells of the others"
        yield f"of {which} recorded decisions, {same} are found again by the rules of then{rest}"


def total_told(found: Sequence[Hindsight]) -> Iterator[str]:
    """What each revision brings, over the positions of which that is known."""
    known = [one for one in found if one.gain_usd is not None]
    old, new = (sum(result.usd or 0.0 for result in side) for side in _sides(known))
    positions = f"{len(known)} positions" if len(known) != 1 else "1 position"
    yield f"in total, {positions}: A {usd(old)} USD, B {usd(new)} USD; B brings {new - old:+,.2f} USD"
    if len(known) < len(found):
        yield f"not counted, since their P&L is not known under A or B: {len(found) - len(known)} positions"


def _sides(found: Sequence[Hindsight]) -> tuple[list[Result], list[Result]]:
    return [one.old for one in found], [one.new for one in found]


def named(book: Rulebook) -> str:
    """A rulebook in a line; the path of one that the lake kept is its revision."""
    where = "" if book.revision in book.path else f"{book.path}, "
    return f"{where}revision {book.revision}, {len(book.rules)} rules"


def _length(gap: tuple[datetime, datetime]) -> timedelta:
    return gap[1] - gap[0]


def _print_changes(compared: Comparison) -> None:
    found = {one.held.position: one for one in compared.found}
    shown = compared.changes.head(SHOWN) if sys.stdout.isatty() else compared.changes
    rows = [{**row, "one": found.get(row["position"])} for row in shown.iter_rows(named=True)]
    columns: Columns = {
        "time (New York)": lambda r: new_york(r["time"]),
        "position": lambda r: r["position"] or "(the book)",
        "under A": lambda r: said(r, "old", r["one"]),
        "under B": lambda r: said(r, "new", r["one"]),
        ">P&L then": lambda r: usd(r["profit_usd"]),
        ">at the end": lambda r: UNKNOWN if r["one"] is None else usd(r["one"].held.usd),
        "which is": lambda r: "" if r["one"] is None else r["one"].held.ending,
    }
    print_table(rows, columns, "")
    if shown.height < compared.changes.height:
        print(f"and {compared.changes.height - shown.height} later ones; --json gives all")


def said(row: Row, side: str, one: Hindsight | None) -> str:
    """The decision of one side in a row of changes, in words."""
    if row[f"{side}_rule"] is None:
        result: Result | None = None if one is None else getattr(one, side)
        return "over" if result and result.rule and result.time < row["time"] else "nothing"
    value = " ".join(str(value) for value in json.loads(row[f"{side}_params"] or "{}").values())
    urgency = row[f"{side}_urgency"]
    return (
        f"{row[f'{side}_priority']} {row[f'{side}_rule']}: {row[f'{side}_action']} {value}".rstrip()
        + ("" if urgency == "normal" else f", {urgency}")
        + (" (shadow)" if row[f"{side}_kind"] == "shadow" else "")
    )


def usd(value: float | None) -> str:
    """Dollars and cents; a dash where it is not known."""
    return UNKNOWN if value is None else f"{value:,.2f}"


def _tally_usd(tally: Row) -> str:
    unknown = f" and {tally['unknown']} unknown" if tally["unknown"] else ""
    return f"{tally['usd']:,.2f}{unknown}" if tally["positions"] else ""


_RULES: Columns = {
    "rule": lambda r: r["rule"] or "(held on)",
    ">decisions A": lambda r: r["old"]["decisions"] if r["rule"] else "",
    ">B": lambda r: r["new"]["decisions"] if r["rule"] else "",
    ">ended A": lambda r: r["old"]["positions"],
    "> B": lambda r: r["new"]["positions"],
    ">USD A": lambda r: _tally_usd(r["old"]),
    ">  B": lambda r: _tally_usd(r["new"]),
}


# --- as data -------------------------------------------------------------------------------------


def _data(compared: Comparison) -> dict[str, Any]:
    """As plain data for JSON; null where it is not known, or where a revision decides nothing."""
    coverage, found = compared.coverage, compared.found
    known = [one for one in found if one.gain_usd is not None]
    old, new = (sum(result.usd or 0.0 for result in side) for side in _sides(known))
    return {
        "a": _book_data(compared.old),
        "b": _book_data(compared.new),
        "looked_at": {
            "from": _iso(coverage.first),
            "to": _iso(coverage.last),
            "beats": coverage.beats,
            "positions": len(coverage.positions),
            "usual_pause_s": coverage.usual_pause_s,
            "gaps": [{"from": _iso(start), "to": _iso(end)} for start, end in coverage.gaps],
            "never_known": coverage.never_known,
            "replayed": {outcome.value: compared.replayed[outcome] for outcome in Outcome},
        },
        "changes": [_change_data(row) for row in compared.changes.iter_rows(named=True)],
        "positions": [_position_data(one) for one in found],
        "rules": [
            {"rule": tally.rule, "a": asdict(tally.old), "b": asdict(tally.new)}
            for tally in tallies(compared.decided, found)
        ],
        "total": {
            "positions": len(known),
            "unknown_positions": len(found) - len(known),
            "a_usd": old,
            "b_usd": new,
            "gain_usd": new - old,
        },
    }


def _book_data(book: Rulebook) -> dict[str, Any]:
    return {"path": book.path, "revision": book.revision, "rules": len(book.rules)}


def _change_data(row: Row) -> dict[str, Any]:
    return {
        "time": _iso(row["time"]),
        **{name: row[name] for name in ("position", "profit", "profit_usd")},
        "a": _side_data(row, "old"),
        "b": _side_data(row, "new"),
    }


def _side_data(row: Row, side: str) -> dict[str, Any] | None:
    if row[f"{side}_rule"] is None:
        return None
    names = ("rule", "priority", "action", "urgency", "kind")
    return {name: row[f"{side}_{name}"] for name in names} | {
        "params": json.loads(row[f"{side}_params"] or "{}")
    }


def _position_data(one: Hindsight) -> dict[str, Any]:
    return {
        "position": one.held.position,
        "end": {**asdict(one.held), "time": _iso(one.held.time)},
        "a": {**asdict(one.old), "time": _iso(one.old.time)},
        "b": {**asdict(one.new), "time": _iso(one.new.time)},
        "gain_usd": one.gain_usd,
    }


def _iso(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat()
