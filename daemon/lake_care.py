"""The commands that look after the lake: is it whole, keep a copy, bring things in and out."""

import argparse
import json
import sys
import time as stopwatch
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from daemon.reading import Columns, asked, new_york, print_table
from daemon.settings import Settings, load_settings
from lake import LEDGER, Lake, LakeReader
from lake.backup import BackupReport
from lake.backup import backup as copy_home
from lake.backup import restore as bring_back
from lake.export import SCHEMA
from lake.export import export as write_tables
from lake.imports import ImportReport, import_snapshots
from lake.verify import verify as findings_of
from options import SettingsError
from sync.tables import LAKE_TABLES

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


def export(arguments: argparse.Namespace) -> int:
    """`optiond lake export FOLDER`."""
    reader, asked_seq = asked(arguments)
    seq = reader.seq if asked_seq is None else asked_seq
    tables = {**LAKE_TABLES, LEDGER.name: LEDGER}
    names, tell = arguments.table or (), _telling("writing")
    written = write_tables(reader, arguments.folder, seq, tables, names, arguments.csv, tell)
    if arguments.json:
        print(json.dumps({"seq": seq, "files": [asdict(each) for each in written]}, indent=2))
        return 0
    columns: Columns = {
        "file": lambda r: r["file"],
        ">rows": lambda r: f"{r['rows']:,}",
        ">bytes": lambda r: f"{r['bytes']:,}",
    }
    print_table([asdict(each) for each in written], columns, "no tables yet")
    print(f"everything up to version {seq}; what the columns mean is in {arguments.folder / SCHEMA}")
    return 0


def import_(arguments: argparse.Namespace) -> int:
    """`optiond lake import FOLDER`."""
    started, home = stopwatch.perf_counter(), arguments.home
    with Lake.open(home, LAKE_TABLES, location=load_settings(home).lake.location) as lake:
        reader = LakeReader.open(home)
        before = _files(reader)
        report = import_snapshots(
            lake, reader, arguments.source, lambda: _now(lake), _counting("read", every=1)
        )
        written = _files(reader) - before
    took_s = stopwatch.perf_counter() - started
    if arguments.json:
        print(
            json.dumps(
                _import_row(report) | {"files_written": written, "seconds": round(took_s, 3)}, indent=2
            )
        )
        return 0
    for line in _import_lines(report, written, took_s):
        print(line)
    return 0


def _now(lake: Lake) -> datetime:
    """The moment of an import: now, but never before what the lake has, which may live in simulated time."""
    now = datetime.now(UTC)
    return now if lake.last_commit is None else max(now, lake.last_commit)


def _files(reader: LakeReader) -> int:
    return sum(table.files for table in reader.tables() if table.name in ("contracts", "snapshots"))


def _import_row(report: ImportReport) -> dict[str, object]:
    faults = report.faults
    row = {name: getattr(report, name) for name in report.__dataclass_fields__ if name != "faults"}
    nulled = {name: count for name, count in faults.nulled.items() if count}
    return row | {"refused": dict(faults.refused), "nulled": nulled, "ignored": sorted(faults.ignored)}


def _import_lines(report: ImportReport, written: int, took_s: float) -> Iterator[str]:
    yield (
        f"{report.added:,} quotes of {report.rows:,} rows added, {report.contracts:,} contracts new; "
        f"{report.files:,} files read, {written:,} written, {took_s:.1f} s"
    )
    for count, what in (
        (report.known, "were in the lake already"),
        (report.repeated, "are repeated in the source"),
        (report.conflicting, "contradict another row of the same contract and time, which was kept"),
    ):
        if count:
            yield f"  {count:,} rows {what}"
    for reason, count in report.faults.refused.most_common():
        yield f"  {count:,} rows refused: {reason}"
    for column, count in report.faults.nulled.most_common():
        if count:
            yield f"  {count:,} values not possible, kept as unknown: {column}"
    if report.faults.ignored:
        yield f"  columns not kept: {', '.join(sorted(report.faults.ignored))}"
    for file in report.unreadable:
        yield f"  not readable: {file}"
    if report.is_fragmented:
        yield (
            f"  {report.files:,} files for {report.rows:,} rows: the source is cut into small pieces, which "
            "makes every reader of it slow; the lake keeps them together"
        )


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


def _counting(doing: str, every: int = 20) -> Callable[[int, int], None]:
    tell = _telling(doing)
    return lambda done, total: tell(f"{done} of {total} files") if done % every == 0 else None


def _telling(doing: str) -> Callable[[str], None]:
    """Says what is done now in one line of a terminal; nothing where there is none."""
    if not sys.stderr.isatty():
        return lambda _: None

    def tell(what: str) -> None:
        print(f"\r\x1b[K{doing} {what} ", end="\r", file=sys.stderr, flush=True)

    return tell
