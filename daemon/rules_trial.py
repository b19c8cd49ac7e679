"""Everything that rules are put through before they may come into force, and that needs no human."""

import json
from collections.abc import Iterable

import polars as pl
import structlog

import rules
from daemon.kept_beats import KeptBeat
from daemon.rules_file import RulesFile
from options import RuleError
from rules import Rulebook
from rules.carry import carried
from trading.what_if import differing

log = structlog.get_logger()

SHOWN = 20
"""So many changed decisions are recorded one by one, the rest only counted."""


def oddities(file: RulesFile, book: Rulebook) -> tuple[str, ...]:
    """Run the tests beside the file, and tell what is odd about its rules, in words.

    Raises RuleError with all tests that fail.
    """
    failed = file.failed_tests(book)
    if failed:
        raise RuleError(f"its tests fail:\n{failed}")
    return _lints(book)


def _lints(book: Rulebook) -> tuple[str, ...]:
    try:
        return tuple(f"{one.path}:{one.line}:{one.column}: {one.message}" for one in rules.lint(book))
    except Exception as error:
        # They only warn: what goes wrong with them must not keep sound rules out, and is told with the rest.
        log.exception("rules.lint_failed", revision=book.revision)
        return (
            f"what is odd about it could not be found out ({type(error).__name__}: {error}); see the log",
        )


def replayed(old: Rulebook, new: Rulebook, kept: Iterable[KeptBeat]) -> str | None:
    """What `new` would have decided otherwise than `old` on the last beats, as JSON; None without beats.

    Raises RuleError and PolarsError when the rules cannot be applied.
    """
    beats = list(kept)
    if not beats:
        return None
    first = beats[0].state
    changes = differing(old, new, (each.beat for each in beats), first, carried(first, old, new))
    answer = {
        "beats": len(beats),
        "from": beats[0].beat.time.isoformat(),
        "to": beats[-1].beat.time.isoformat(),
        "changed": changes.height,
        "positions": changes.filter(pl.col("position") != "")["position"].n_unique(),
        "first": [_plain(row) for row in changes.head(SHOWN).iter_rows(named=True)],
    }
    return json.dumps(answer)


def told(replayed: str | None) -> str:
    """The replay in a few words, for the terminal."""
    if replayed is None:
        return "nothing to replay yet"
    found = json.loads(replayed)
    changed, beats = found["changed"], found["beats"]
    if not changed:
        return f"it decides the same on the last {beats} beats"
    return f"on the last {beats} beats {changed} decisions on {found['positions']} positions would be others"


def _plain(row: dict[str, object]) -> dict[str, object]:
    names = ("time", "position", "old_rule", "old_action", "new_rule", "new_action", "profit", "profit_usd")
    return {name: str(row[name]) if name == "time" else row[name] for name in names}
