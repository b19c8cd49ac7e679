"""`optiond rules test`: the examples of rules files, and the series in the `*_test.yaml` beside them."""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import rules
from daemon.rulebook import problems_json, rules_path
from rules.series import SUFFIX, SeriesRun, judge_series, rules_of, series_beside


@dataclass(frozen=True, slots=True)
class _Tried:
    """What became of one rules file: how many examples hold, its tests, and the files that are wrong."""

    path: Path
    examples: int
    runs: tuple[SeriesRun, ...]
    wrong: tuple[rules.RulesInvalid, ...]

    @property
    def tests(self) -> int:
        return sum(len(run.tests) for run in self.runs)

    @property
    def failed(self) -> int:
        return sum(len(run.failed) for run in self.runs)


def test(arguments: argparse.Namespace) -> int:
    """Run them all; exit code 1 when a test fails or a file is wrong."""
    tried = [_try(path, files) for path, files in _asked(arguments).items()]
    if arguments.json:
        print(json.dumps({"ok": _is_ok(tried), "files": [_data(one) for one in tried]}))
    else:
        for one in tried:
            _tell(one)
        _sum_up(tried)
    return 0 if _is_ok(tried) else 1


def _asked(arguments: argparse.Namespace) -> dict[Path, list[Path]]:
    """Rules files with their files of tests."""
    asked: dict[Path, list[Path]] = {}
    for path in arguments.files or [rules_path(arguments.home)]:
        if path.name.endswith(SUFFIX):
            asked.setdefault(rules_of(path), []).append(path)
        else:
            asked.setdefault(path, []).extend(series_beside(path))
    return {path: list(dict.fromkeys(files)) for path, files in asked.items()}


def _try(path: Path, files: Sequence[Path]) -> _Tried:
    try:
        book = rules.load(path)
    except rules.RulesInvalid as error:
        return _Tried(path, 0, (), (error,))
    runs: list[SeriesRun] = []
    wrong: list[rules.RulesInvalid] = []
    for file in files:
        try:
            runs.append(judge_series(book, file))
        except rules.RulesInvalid as error:
            wrong.append(error)
    return _Tried(path, sum(len(rule.examples) for rule in book.rules), tuple(runs), tuple(wrong))


def _is_ok(tried: Sequence[_Tried]) -> bool:
    return not any(one.failed or one.wrong for one in tried)


def _tell(tried: _Tried) -> None:
    if tried.examples or not tried.wrong:
        print(f"{tried.path}: {_counted(tried.examples, 'example')}")
    for run in tried.runs:
        print(f"{run.path}: {''.join('F' if name in run.failed else '.' for name in run.tests)}")
    for error in tried.wrong:
        print(error, file=sys.stderr)
    for failure in [failure for run in tried.runs for failure in run.failures]:
        print(f"\n{failure}")


def _sum_up(tried: Sequence[_Tried]) -> None:
    examples, tests = sum(one.examples for one in tried), sum(one.tests for one in tried)
    failed, wrong = sum(one.failed for one in tried), sum(len(one.wrong) for one in tried)
    said = [f"{failed} of {_counted(tests, 'test')} failed"] * bool(failed)
    said += [f"{_counted(wrong, 'file')} cannot be used"] * bool(wrong)
    passed = f"{_counted(examples, 'example')} and {_counted(tests, 'test')} passed"
    print("\n" * bool(failed) + (", ".join(said) or passed))


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


def _data(tried: _Tried) -> dict[str, Any]:
    return {
        "path": str(tried.path),
        "examples": tried.examples,
        "tests": tried.tests,
        "failed": tried.failed,
        "failures": [
            asdict(failure) | {"path": str(failure.path)} for run in tried.runs for failure in run.failures
        ],
        "problems": [problem for error in tried.wrong for problem in problems_json(error)],
    }
