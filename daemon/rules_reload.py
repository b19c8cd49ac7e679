"""`optiond rules pending`, `approve`, `reject`, `rollback` and `revisions`."""

import argparse
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from daemon.console import Console
from daemon.metrics import Metrics
from daemon.reading import UNKNOWN, Columns, new_york, print_table
from daemon.records import Alerts, Records
from daemon.remote import EXIT_NOT_RUNNING, call_daemon, commit_without_daemon, user
from daemon.rule_memory import RuleMemory, remembered
from daemon.rulebook import rules_path
from daemon.rules_file import RulesFile
from daemon.rules_journal import RulesJournal
from daemon.rules_standing import IN_FORCE, NOTHING_BEFORE, Step, rules_named, standing_of
from daemon.settings import load_settings
from lake import LakeReader
from options import RuleError
from rules.carry import carried
from sync.tables import LAKE_TABLES

HOW = {
    Step.SEEN: "saved and sound",
    Step.REFUSED: "saved, refused",
    Step.WAITING: "waits for a human",
    Step.APPROVED: "approved",
    Step.REJECTED: "rejected",
    Step.TAKEN_UP: "in force",
    Step.ROLLED_BACK: "in force, rolled back",
}


def pending(arguments: argparse.Namespace) -> int:
    """Which rules wait for a human, and what they would do; exit code 0 whether any do or not."""
    rules = _rules(arguments)
    waiting = rules["waiting"]
    if arguments.json:
        print(json.dumps(waiting, indent=2))
        return 0
    print("\n".join(_standing_text(rules)))
    if waiting is None:
        print("nothing waits for you")
        return 0
    print(f"\nrevision {waiting['revision']} waits since {new_york(waiting['since'])} New York.")
    print("It would act on these, where the rules in force would not:")
    print_fires(waiting["fires"])
    if waiting["replayed"]:
        replayed = waiting["replayed"]
        print(f"On the last {replayed['beats']} beats {replayed['changed']} decisions would be others.")
    revision = waiting["revision"]
    print(f"\noptiond rules diff current {revision} tells what it would have done on what was recorded;")
    print(f"optiond rules approve {revision} brings it into force, optiond rules reject {revision} does not.")
    return 0


def print_fires(fires: list[Mapping[str, Any]]) -> None:
    """Where rules would act, as a table."""
    columns: Columns = {
        "position": lambda r: r["position"],
        "rule": lambda r: r["rule"],
        "action": lambda r: r["action"] + _argument(r["params"]),
        "when": lambda r: "at once" if r["at_once"] else "later",
        ">profit": lambda r: UNKNOWN if r["profit"] is None else f"{r['profit']:.1%}",
        ">profit USD": lambda r: UNKNOWN if r["profit_usd"] is None else f"{r['profit_usd']:,.2f}",
    }
    print_table(fires, columns, "nowhere")


def approve(arguments: argparse.Namespace) -> int:
    """Bring the rules that wait into force."""
    wanted = arguments.revision or _waiting_one(arguments)
    answer = _ask(arguments, "/rules/approve", {"revision": wanted})
    if answer is None:
        print("no daemon runs, so what these rules would do now is unknown; start it, then approve")
        return EXIT_NOT_RUNNING
    return _tell(arguments, answer, f"revision {answer['done']} is in force")


def reject(arguments: argparse.Namespace) -> int:
    """Leave the rules that wait aside until the file is saved again."""
    wanted = arguments.revision or _waiting_one(arguments)
    answer = _ask(arguments, "/rules/reject", {"revision": wanted, "reason": arguments.reason})
    if answer is None:
        answer = _reject_alone(arguments, wanted)
    said = f"revision {answer['done']} is rejected; the file is ignored until it is saved again"
    return _tell(arguments, answer, said)


def rollback(arguments: argparse.Namespace) -> int:
    """Bring an earlier revision into force."""
    answer = _ask(arguments, "/rules/rollback", {"revision": arguments.revision, "now": arguments.now})
    if answer is None and not arguments.now:
        print("no daemon runs, so what these rules would do now is unknown; --now rolls back all the same")
        return EXIT_NOT_RUNNING
    if answer is None:
        answer = _roll_back_alone(arguments)
    file = answer["ignored"]
    differs = f"; the file holds {file} and is ignored until it is saved again" if file else ""
    return _tell(arguments, answer, f"revision {answer['done']} is in force{differs}")


def revisions(arguments: argparse.Namespace) -> int:
    """Which rules were in force when and how they came into it, newest first."""
    rows = LakeReader.open(arguments.home).table("rules_changes").sort("seq", maintain_order=True)
    wanted = rows if arguments.all else rows.filter(pl.col("event").is_in(IN_FORCE))
    found = wanted.reverse().collect().to_dicts()
    if arguments.json:
        for row in found:
            for name in ("fires", "replayed"):
                row[name] = json.loads(row[name] or "null")
        print(json.dumps(found, indent=2, default=_json))
        return 0
    columns: Columns = {
        "time (New York)": lambda r: new_york(r["time"]),
        "revision": lambda r: r["revision"] or UNKNOWN,
        "how": lambda r: HOW[Step(r["event"])],
        "by": lambda r: r["actor"] or "the saved file",
        "path": lambda r: r["path"],
        "why": lambda r: (r["reason"] or "").split("\n")[0],
    }
    return print_table(found, columns, "no rules were in force yet")


def _standing_text(rules: Mapping[str, Any]) -> list[str]:
    lines = [f"in force: revision {rules['revision']} of {rules['path']}"]
    if rules["ignored"]:
        lines.append(f"the file holds revision {rules['ignored']} and is ignored until it is saved again")
    if rules["error"]:
        lines.append(f"the file is not taken up: {rules['error']}")
    return lines


def _rules(arguments: argparse.Namespace) -> dict[str, Any]:
    """Where the rules stand, as the daemon says or, when none runs, as the last one left them."""
    settings = load_settings(arguments.home)
    answer = call_daemon(arguments.home, settings, "GET", "/rules")
    return answer or _journal(arguments.home).status(settings.reload.max_new_fires)


def _waiting_one(arguments: argparse.Namespace) -> str:
    """The revision that waits now: what is answered names it, so that no other one is meant."""
    waiting = _rules(arguments)["waiting"]
    if waiting is None:
        raise RuleError("no rules wait for a human; optiond rules revisions --all shows what became of them")
    if not arguments.json:
        print_fires(waiting["fires"])
    return str(waiting["revision"])


def _ask(arguments: argparse.Namespace, path: str, body: Mapping[str, Any]) -> dict[str, Any] | None:
    """The daemon's answer; None when none runs."""
    settings, actor = load_settings(arguments.home), f"{user()} (command line)"
    return call_daemon(arguments.home, settings, "POST", path, {**body, "actor": actor})


def _tell(arguments: argparse.Namespace, answer: Mapping[str, Any], said: str) -> int:
    print(json.dumps(answer, indent=2) if arguments.json else said)
    return 0


# --- while no daemon runs ------------------------------------------------------------------------


def _journal(home: Path) -> RulesJournal:
    """Where the rules stand by the lake."""
    file = RulesFile(rules_path(home))
    standing = standing_of(LakeReader.open(home), file.path)
    if standing is None:
        raise RuleError(f"no rules were in force in {home} yet: optiond run takes up those of the file")
    records = Records(LAKE_TABLES)
    return RulesJournal(standing, file, records, Alerts(records, Metrics()), Console())


def _reject_alone(arguments: argparse.Namespace, wanted: str) -> dict[str, Any]:
    journal = _journal(arguments.home)
    waiting = journal.waiting_named(wanted)
    journal.standing.candidate = None
    journal.standing.ignored = (waiting.book.revision, waiting.saved)
    actor = f"{user()} (command line)"
    journal.row(Step.REJECTED, waiting.book.revision, waiting.saved, actor=actor, reason=arguments.reason)
    return _committed(arguments, journal, waiting.book.revision)


def _roll_back_alone(arguments: argparse.Namespace) -> dict[str, Any]:
    journal = _journal(arguments.home)
    standing = journal.standing
    wanted = arguments.revision or standing.before
    if wanted is None:
        raise RuleError(NOTHING_BEFORE)
    book, in_force = rules_named(arguments.home, wanted, journal.file.path), standing.book
    before = in_force.revision
    if book.revision == before:
        raise RuleError(f"revision {before} is in force already")
    try:
        file = journal.file.read().revision
    except RuleError:
        file = book.revision  # a file that is not sound is refused at the start anyway
    saved = journal.file.look().saved
    standing.candidate, standing.book = None, book
    standing.ignored = None if file == book.revision else (file, saved)
    actor = f"{user()} (command line)"
    reason = f"rolled back by {actor}, no daemon running"
    journal.row(Step.ROLLED_BACK, book.revision, saved, before=before, actor=actor, reason=reason)
    told = remembered(LakeReader.open(arguments.home))
    for row in RuleMemory(told).rows(carried(told, in_force, book), book.revision, datetime.now(UTC)):
        journal.records.add("rule_state", row)
    return _committed(arguments, journal, book.revision)


def _committed(arguments: argparse.Namespace, journal: RulesJournal, done: str) -> dict[str, Any]:
    settings = load_settings(arguments.home)
    commit_without_daemon(arguments.home, settings, journal.records.take())
    return {**journal.status(settings.reload.max_new_fires), "done": done, "running": False}


def _argument(params: str) -> str:
    """The action's argument, such as ` market`."""
    return "".join(f" {value}" for value in json.loads(params).values())


def _json(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
