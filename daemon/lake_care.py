"""The commands that look after the lake: is it whole, keep a copy, bring things in and out."""

import argparse
import json
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from daemon.reading import new_york
from daemon.settings import Settings, load_settings
from lake.backup import BackupReport
from lake.backup import backup as copy_home
from lake.backup import restore as bring_back
from lake.verify import verify as findings_of
from options import SettingsError

EXIT_FINDINGS = 1


def verify(arguments: argparse.Namespace) -> int:
    """`optiond lake verify`: 0 when all is well, 1 with findings."""
    found = findings_of(arguments.home, arguments.deep, _telling("looking at"))
    if arguments.json:
        print(json.dumps([asdict(finding) for finding in found], indent=2))
        return EXIT_FINDINGS if found else 0
    for finding in found:
        print(f"{finding.severity.value}  {finding.table}: {finding.what}; {finding.advice}")
    if found:
        return EXIT_FINDINGS
    print(
        "the lake is whole: "
        + ("every value was read" if arguments.deep else "add --deep to read every value")
    )
    return 0


def backup(arguments: argparse.Namespace) -> int:
    """`optiond lake backup FOLDER`."""
    report = copy_home(arguments.home, arguments.folder, _settings(arguments.home), _counting("copied"))
    new = "all new" if report.copied == report.files else f"{report.copied} of them new"
    return _print_report(report, arguments.json, f"backed up to {arguments.folder}", new)


def restore(arguments: argparse.Namespace) -> int:
    """`optiond lake restore FOLDER`: 1 when what was restored has findings."""
    report = bring_back(arguments.folder, arguments.home, _counting("restored"))
    _print_report(report, arguments.json, f"restored into {arguments.home}", "all as they were kept")
    found = findings_of(arguments.home, progress=_telling("looking at"))
    for finding in found:
        print(f"{finding.severity.value}  {finding.table}: {finding.what}; {finding.advice}", file=sys.stderr)
    return EXIT_FINDINGS if found else 0


def _settings(home: Path) -> list[str]:
    """The files of the home that its owner wrote; secrets are none of them."""
    rules = Settings.model_fields["rules"].default
    with suppress(SettingsError):  # settings that do not hold are kept as they are all the same
        rules = load_settings(home).rules
    return ["optiond.toml", str(rules)] if not rules.is_absolute() else ["optiond.toml"]


def _print_report(report: BackupReport, as_json: bool, done: str, files: str) -> int:
    if as_json:
        print(json.dumps(asdict(report) | {"time": report.time and report.time.isoformat()}, indent=2))
    else:
        print(
            f"{done}: everything up to version {report.seq} ({new_york(report.time)} in New York), "
            f"{report.files} files, {report.bytes / 2**20:,.1f} MiB, {files}"
        )
    return 0


def _counting(doing: str) -> Callable[[int, int], None]:
    tell = _telling(doing)
    return lambda done, total: tell(f"{done} of {total} files") if done % 20 == 0 else None


def _telling(doing: str) -> Callable[[str], None]:
    """Says what is done now in one line of a terminal; nothing where there is none."""
    if not sys.stderr.isatty():
        return lambda _: None

    def tell(what: str) -> None:
        print(f"\r\x1b[K{doing} {what} ", end="\r", file=sys.stderr, flush=True)

    return tell
