"""`optiond rules explain`: why each rule fires or not on a position, now or at a moment."""

import argparse
import os
import sys
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import urlencode

import polars as pl

import rules
from daemon.reading import new_york, print_json
from daemon.remote import call_daemon
from daemon.settings import load_settings
from lake import LakeHistory, LakeReader
from lake.moments import read_moment
from lake.rule_moments import rule_moment
from options import LakeError, RuleError
from rules import Explanation, Rulebook, RuleState
from rules.explanation_text import shown_value
from rules.problem import did_you_mean
from rules.state import BOOK
from trading.decision import Moment, Row
from trading.replay import moment_of

_COLOURS = {"✓": "green", "✗": "default", "?": "yellow", "≈": "cyan", "…": "cyan", "-": "bright_black"}


@dataclass(frozen=True, slots=True)
class Known:
    """All that an explanation takes. `source`: daemon, lake or decision; `said`: the same in words."""

    seen: Moment
    position: str
    source: str
    said: str


def explain(arguments: argparse.Namespace) -> int:
    position = BOOK if arguments.position == "book" else arguments.position
    other = rules.load(arguments.rules) if arguments.rules else None
    known = _known(arguments.home, position, arguments.at, other)
    explanation = known.seen.explain(position)
    _check_rule(explanation, arguments.rule)
    if arguments.json:
        data = explanation.data()
        data["rules"] = [one for one in data["rules"] if arguments.rule in (None, one["rule"])]
        return print_json({"source": known.source, "what_if": other is not None, **data})
    for line in _told(explanation, known, arguments.rules, arguments.rule):
        _print(line)
    return 0


# --- what is known ---------------------------------------------------------------------------------


def _known(home: Path, position: str, at: str | None, other: Rulebook | None) -> Known:
    """What is known of the position now or at a moment, to be judged by `other` rules or those of then."""
    if at is None:
        asked = f"/rules/moment?{urlencode({'position': position})}"
        answer = call_daemon(home, load_settings(home), "GET", asked)
        if answer is not None and answer["facts"] is not None:
            answer["time"] = datetime.fromisoformat(answer["time"])
            return Known(
                _moment(position, answer, other), position, "daemon", "as the running daemon sees it"
            )
    reader = LakeReader.open(home)
    if at is not None and read_moment(at) is None:
        decided = reader.table("decisions").filter(pl.col("decision") == at).collect().to_dicts()
        if decided:
            return _decided(reader, position, decided[-1], other)
    row = rule_moment(reader, position, None if at is None else LakeHistory(reader).seq_of(at))
    said = f"as last recorded (version {row['seq']})"
    return Known(_moment(position, row, other), position, "lake", said)


def _moment(position: str, row: Row, other: Rulebook | None) -> Moment:
    """Of a row as `rule_moment` gives it."""
    book = other or _rulebook(row["revision"], row["rules"])
    facts = {"position": position, **row["facts"]}
    names = [name for name in facts if name == "position" or name in rules.FACTS]
    frame = pl.DataFrame({name: [facts[name]] for name in names})
    market = {name: value for name, value in row["market"].items() if _is_of_book(name)}
    return Moment(row["time"], book, RuleState.from_json(row["state"]), frame, market)


def _is_of_book(name: str) -> bool:
    return name in rules.FACTS and rules.FACTS[name].scope == "book"


def _decided(reader: LakeReader, position: str, row: Row, other: Rulebook | None) -> Known:
    """What was decided on; raises LakeError when that was about another position."""
    if position not in (BOOK, row["position"]):
        raise LakeError(f"{row['decision']} was decided on {row['position']}, not on {position}")
    revision = row["rules_revision"]
    stored = reader.table("rules_revisions").filter(pl.col("revision") == revision).select("text").head(1)
    texts = stored.collect()["text"].to_list()
    book = other or _rulebook(revision, texts[0] if texts else None)
    return Known(moment_of(row, book), position, "decision", f"as {row['decision']} was decided")


def _rulebook(revision: str | None, text: str | None) -> Rulebook:
    """The rules that were in force."""
    if text is None:
        raise RuleError("the lake does not have the rules of then: name a file with --rules")
    return rules.parse_stored(text, f"rules {revision}")


def _check_rule(explanation: Explanation, rule: str | None) -> None:
    names = [one.rule for one in explanation.rules]
    if rule is not None and rule not in names:
        about = "the book" if explanation.position == BOOK else "positions"
        raise RuleError(f"these rules have no rule {rule!r} about {about}: {did_you_mean(rule, names)}")


# --- telling ---------------------------------------------------------------------------------------


def _told(explanation: Explanation, known: Known, file: Path | None, rule: str | None) -> list[str]:
    if file is not None:
        head = [f"WHAT IF these were judged by {file}, revision {explanation.book.revision}"]
    else:
        head = [f"rules {explanation.book.revision}"]
    winner = explanation.judgement.winner
    won = "no rule fires" if winner is None else f"{winner.rule.id} wins"
    facts = [f"{name} {shown_value(value, unit)}" for name, (value, unit) in explanation.tracked.items()]
    remembered = f"; remembered: {', '.join(facts)}" if facts and known.position != BOOK else ""
    return [
        f"{known.position or 'the book'} as of {new_york(explanation.time)} New York, {known.said}",
        f"{head[0]}: {won}{remembered}",
        "",
        "each condition with its value, its threshold and what is missing (as a share of the threshold)",
        "",
        *explanation.text(rule).splitlines(),
    ]


def _print(line: str) -> None:
    """In colour on a terminal, unless NO_COLOR is set."""
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
        print(line)
        return
    from rich.console import Console
    from rich.text import Text

    sign = line.lstrip()[:1]
    Console(highlight=False, soft_wrap=True).print(Text(line, style=_COLOURS.get(sign, "default")))
