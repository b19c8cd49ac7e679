"""`optiond rules check` and `optiond rules decide`."""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import rules
from daemon.settings import load_settings
from options import RuleError, SettingsError


def rules_path(home: Path) -> Path:
    """What a daemon of this home follows: its own rules, the shipped twelve before its first start."""
    named = home / load_settings(home).rules
    is_first_start = named == home / "rules.yaml" and not named.exists()
    return rules.default_rules_path() if is_first_start else named


def check(arguments: argparse.Namespace) -> int:
    """Every error of the file, or one line that says it is sound, and what is odd in it.

    Exit code 1 on errors, with --strict also when something is odd.
    """
    path = arguments.file or rules_path(arguments.home)
    try:
        book = rules.load(path)
    except rules.RulesInvalid as error:
        if arguments.json:
            print(json.dumps({"ok": False, "problems": problems_json(error)}))
        else:
            print(error, file=sys.stderr)
        return 1
    lints = [*rules.lint(book), *rules.ended_mutes(book, datetime.now(UTC))]
    if arguments.json:
        answer = {"ok": True, "path": str(path), "revision": book.revision, "rules": len(book.rules)}
        print(json.dumps(answer | {"lints": lints_json(lints)}, ensure_ascii=False))
    else:
        for one in lints:
            print(one.text, file=sys.stderr)
        odd = f", {len(lints)} warnings" if len(lints) > 1 else ", 1 warning" if lints else ""
        print(f"{path}: {len(book.rules)} rules are sound{odd}, revision {book.revision[:12]}")
    return 1 if lints and arguments.strict else 0


def problems_json(error: rules.RulesInvalid) -> list[dict[str, str | int]]:
    """Every problem as plain data."""
    return [
        {
            "path": str(problem.path),
            "line": problem.line,
            "column": problem.column,
            "message": problem.message,
        }
        for problem in error.problems
    ]


def lints_json(lints: Sequence[rules.Lint]) -> list[dict[str, Any]]:
    """Every warning as plain data; `proof` has the values that prove it."""
    return [{key: value for key, value in asdict(one).items() if key != "text"} for one in lints]


def decide(arguments: argparse.Namespace) -> int:
    """Facts in, decisions out, in the order given, state carried from line to line."""
    book = rules.load(arguments.rules or rules_path(arguments.home))
    state = rules.initial_state()
    if arguments.state is not None:
        try:
            state = rules.RuleState.from_json(_read(arguments.state))
        except RuleError as error:
            raise RuleError(f"--state {arguments.state}: {error}") from error
    run = rules.DecideRun(book, state)
    for line in run.decide(_lines(arguments.facts)):
        print(line)
    if arguments.out_state is not None:
        try:
            arguments.out_state.write_text(run.state.to_json())
        except OSError as error:
            raise SettingsError(
                f"--out-state {arguments.out_state}: cannot be written ({error.strerror}); "
                "name a file of yours"
            ) from error
    return 0


def _lines(facts: str) -> list[str]:
    """The lines of a file, or of standard input for `-`."""
    if facts != "-":
        return _read(Path(facts)).split("\n")
    try:
        return sys.stdin.read().split("\n")
    except UnicodeDecodeError as error:
        raise RuleError(f"standard input: is not UTF-8 text (byte {error.start}); send UTF-8") from error


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise RuleError(f"{path}: cannot be read: {error.strerror}; check the path") from error
    except UnicodeDecodeError as error:
        raise RuleError(f"{path}: is not UTF-8 text (byte {error.start}); save it as UTF-8") from error
