"""The words of the command line about rules."""

import argparse
import re
from pathlib import Path

from daemon.time_span import time_span
from daemon.words import MOMENT, Commands, add_json, command, reason


def add_rules(commands: Commands) -> None:
    """All actions of `optiond rules`."""
    rules = commands.add_parser("rules", help="check, test and try rules")
    actions = rules.add_subparsers(metavar="ACTION", required=True)
    _add_why(actions)
    check = command(
        actions, "check", "rulebook.check", "all errors of a rules file at once, with line and column"
    )
    check.add_argument("file", nargs="?", type=Path, help="default: the rules of the home")
    check.add_argument("--strict", action="store_true", help="exit code 1 on warnings too")
    add_json(check)
    decide = command(actions, "decide", "rulebook.decide", "one JSON line of facts in, one JSON decision out")
    decide.add_argument("facts", metavar="FACTS.jsonl", help="one JSON object per line, - for standard input")
    decide.add_argument("--rules", type=Path, metavar="FILE", help="default: the rules of the home")
    decide.add_argument("--state", type=Path, metavar="FILE", help="rule state to start from")
    decide.add_argument("--out-state", type=Path, metavar="FILE", help="where to write the rule state")
    add_json(decide, "print JSON lines, as it always does")
    test = command(actions, "test", "rules_test.test", "run the examples and the series of rules files")
    test.add_argument(
        "files",
        nargs="*",
        type=Path,
        metavar="FILE",
        help="rules files, or *_test.yaml files (default: the rules of the home, and the tests beside them)",
    )
    add_json(test)
    facts = command(actions, "facts", "rules_facts.facts", "what rules may ask about, and what it is now")
    facts.add_argument("name", nargs="?", metavar="NAME", help="one fact, with all that is known of it")
    facts.add_argument("--position", metavar="POSITION", help="its values, as they were recorded last")
    add_json(facts)
    schema = command(actions, "schema", "rules_facts.schema", "JSON Schema of rules files, for editors")
    schema.add_argument("--tests", action="store_true", help="that of *_test.yaml files instead")
    add_json(schema, "print JSON, as it always does")
    _add_rules_edit(actions)
    _add_rules_diff(actions)
    _add_in_force(actions)


def _add_why(actions: Commands) -> None:
    explain = command(
        actions,
        "explain",
        "rules_explain.explain",
        "why each rule fires or not on a position, and how far off",
    )
    explain.add_argument("position", metavar="POSITION", help="its id, or `book` for the rules of the book")
    explain.add_argument("--rule", metavar="RULE", help="this rule only")
    explain.add_argument("--at", metavar="T", help=f"{MOMENT}; a decision's own id: as it was decided")
    explain.add_argument("--rules", type=Path, metavar="FILE", help="what another file would say")
    add_json(explain)
    traces = command(
        actions, "traces", "rules_traces.traces", "when something else became of a rule, near misses included"
    )
    traces.add_argument("rule", nargs="?", metavar="RULE", help="this rule only")
    traces.add_argument("--position", metavar="POSITION", help="this position only; `book`: the book")
    traces.add_argument("--near", action="store_true", help="near misses only")
    add_json(traces)


def _add_rules_edit(actions: Commands) -> None:
    """One change of the rules file, everything else left as it is."""
    number = command(actions, "set", "rules_edit.set_parameter", "change one number of a rule, in the file")
    number.add_argument("parameter", metavar="RULE.PARAM", help="such as take_profit.full")
    number.add_argument("value", metavar="VALUE", help="with its unit, as in the file")
    number.add_argument("--override", metavar="TARGET", help="the value for this structure, underlying, …")
    number.add_argument(
        "--move-examples",
        action="store_true",
        help="examples that do not hold any more move by as much as the number",
    )
    # Otherwise -250% is taken for an option.
    number._negative_number_matcher = re.compile(r"-\$?[\d.]")
    mode = command(actions, "mode", "rules_edit.set_mode", "let a rule act, only decide, or rest")
    mode.add_argument("rule", metavar="RULE")
    mode.add_argument("mode", choices=("live", "shadow", "off"))
    mute = command(actions, "mute", "rules_edit.mute", "let a rule leave something alone for a while")
    unmute = command(actions, "unmute", "rules_edit.unmute", "let it act again")
    for parser in (mute, unmute):
        parser.add_argument("rule", metavar="RULE")
        parser.add_argument(
            "on", metavar="ON", help="an underlying, a structure, a strategy, a position, or book"
        )
    mute.add_argument(
        "--until",
        required=True,
        metavar="T",
        help="a day (its end in New York), or a time with its zone: 2026-03-20 15:30 America/New_York",
    )
    mute.add_argument("--reason", required=True, type=reason, help="why; it stands in the file")
    for parser in (number, mode, mute, unmute):
        parser.add_argument("--file", type=Path, metavar="FILE", help="default: the rules of the home")
        add_json(parser)


def _add_rules_diff(actions: Commands) -> None:
    summary = "what other rules would have done with all that was recorded, and what that would have brought"
    diff = command(actions, "diff", "rules_diff.diff", summary)
    what = "a rules file, `current` (those in force), or a revision that the lake keeps"
    diff.add_argument("a", metavar="A", help=f"{what}; alone it is compared with those in force")
    diff.add_argument("b", metavar="B", nargs="?", help="the same")
    diff.add_argument(
        "--last",
        type=time_span,
        default="90d",
        metavar="SPAN",
        help="30m, 12h, 90d, 2w (default %(default)s)",
    )
    diff.add_argument("--since", metavar="T", help=f"from there on, instead of --last: {MOMENT}")
    diff.add_argument("--until", metavar="T", help="up to there")
    diff.add_argument("--html", type=Path, metavar="FILE", help="write a page that shows when each would act")
    add_json(diff)


def _add_in_force(actions: Commands) -> None:
    """Which rules are in force, and a human's say in that."""
    add_json(command(actions, "pending", "rules_reload.pending", "rules that wait for your word, and why"))
    named = "its first six characters are enough"
    for name, summary, default in (
        ("approve", "bring the rules that wait into force", "those that wait"),
        ("reject", "ignore the rules file until it is saved again", "those that wait"),
        ("rollback", "bring earlier rules into force; the file stays as it is", "the ones before these"),
    ):
        parser = command(actions, name, f"rules_reload.{name}", summary)
        parser.add_argument(
            "revision", nargs="?", type=_revision, metavar="REVISION", help=f"default: {default}; {named}"
        )
        if name == "reject":
            parser.add_argument("--reason", type=reason, default="by hand", help="why; it is recorded")
        if name == "rollback":
            parser.add_argument(
                "--now", action="store_true", help="on however many positions these rules act at once"
            )
        add_json(parser)
    revisions = command(
        actions, "revisions", "rules_reload.revisions", "which rules were in force when, and by whom"
    )
    revisions.add_argument("--all", action="store_true", help="every step, also what was refused or rejected")
    add_json(revisions)


def _revision(text: str) -> str:
    if not 6 <= len(text) <= 64:
        raise argparse.ArgumentTypeError(f"{text} is no revision: give at least six of its characters")
    return text
