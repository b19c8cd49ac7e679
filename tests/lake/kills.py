"""Writers that are killed: scribes on command, what they had acknowledged, and what is left of it."""

import json
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import ClassVar

import polars as pl

from lake import LEDGER, Lake, LakeReader, TableSchema
from lake.failpoint import ENVIRONMENT
from lake.journal_view import look
from options import LakeError
from tests.lake.scribe import ADDED_LATER, ALL, RESERVE, rows_of, time_of

ROOT = Path(__file__).parents[2]
SCHEMA_CHANGES = "schema_changes"
_ONE_THREAD = {"POLARS_MAX_THREADS": "1", "TOKIO_WORKER_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


class Scribe:
    """A child process that writes a lake. It starts at once, so that it is ready when its job comes."""

    _all: ClassVar[list["Scribe"]] = []

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        self.said: list[str] = []
        inherited = {name: value for name, value in os.environ.items() if name != ENVIRONMENT}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.lake.scribe"],
            cwd=ROOT,
            env={**inherited, **_ONE_THREAD, **(environment or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._all.append(self)

    @classmethod
    def end_all(cls) -> None:
        """Kill those that nobody ended."""
        while cls._all:
            scribe = cls._all.pop()
            scribe.process.kill()
            scribe.process.wait()

    def start(
        self,
        home: Path,
        *work: str,
        failpoint: str | None = None,
        tables: Mapping[str, TableSchema] = ALL,
    ) -> None:
        """Give it its job; it dies at `failpoint`."""
        environment = {} if failpoint is None else {ENVIRONMENT: failpoint}
        job = {"home": str(home), "work": work, "tables": list(tables), "environment": environment}
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(job) + "\n")
        self.process.stdin.close()

    def listen(self, lines: int) -> None:
        """Wait until it has said so many lines more."""
        assert self.process.stdout is not None
        self.said.extend(self.process.stdout.readline().strip() for _ in range(lines))

    def end(self, kill: bool = False) -> int:
        """Wait for its end, or kill it; gives its exit code."""
        if kill:
            self.process.kill()
        assert self.process.stdout is not None
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.said.extend(line.strip() for line in self.process.stdout)
        self.process.stdout.close()
        return self.process.wait(timeout=60)

    @property
    def acknowledged(self) -> int:
        """The last seq it said; 0: none."""
        return max((int(line) for line in self.said if line.isdigit()), default=0)


@dataclass(slots=True)
class Verdict:
    """What became of a home's rows: how many were lost or are there twice, and what could not be read."""

    seq: int = 0
    lost: int = 0
    doubled: int = 0
    unreadable: list[str] = field(default_factory=list)

    @property
    def is_good(self) -> bool:
        """Whether everything is as it should be."""
        return self.lost == self.doubled == 0 and not self.unreadable

    def compare(self, name: str, stored: pl.LazyFrame, expected: pl.DataFrame) -> None:
        """Count the rows of `stored`, by seq, against `expected`, and see that they are the same."""
        rows = stored.sort("seq", maintain_order=True).collect()
        if ADDED_LATER not in rows.columns:
            expected = expected.select(pl.exclude(ADDED_LATER))
        if rows.equals(expected):
            return
        found, wanted = Counter(rows["seq"].to_list()), Counter(expected["seq"].to_list())
        lost, doubled = (wanted - found).total(), (found - wanted).total()
        self.lost += lost
        self.doubled += doubled
        if lost == doubled == 0:
            self.unreadable.append(f"{name} has other values")


def judge(
    home: Path,
    at_least: int,
    at_most: int,
    chance: random.Random,
    tables: Mapping[str, TableSchema] = ALL,
    before: bool = True,
) -> Verdict:
    """What became of a home that had acknowledged `at_least`: of every table, now and as of earlier.

    Read before a writer heals it (`before`: a power cut may keep readers out until then), when it is healed,
    and when everything is flushed.
    """
    verdict = Verdict()
    try:
        if before and (at_least or _has_lake(home)):
            _read(home, verdict, tables)
        with Lake.open(home, tables, reserve=RESERVE) as lake:
            verdict.seq = lake.seq
            _read(home, verdict, tables)
            lake.flush()
            if lake.unflushed_rows:
                verdict.unreadable.append(f"{lake.unflushed_rows} rows unflushed")
        _read(home, verdict, tables)
        _read_as_of(home, verdict, tables, chance)
    except LakeError as error:
        verdict.unreadable.append(str(error))
    if not at_least <= verdict.seq <= at_most + len(_migrated(LakeReader.open(home))):
        verdict.lost += max(0, at_least - verdict.seq)
        verdict.unreadable.append(f"seq {verdict.seq}, and {at_least} was acknowledged")
    return verdict


def assert_holds(home: Path, last: int, tables: Mapping[str, TableSchema] = ALL) -> None:
    """Every table of a scribe's home holds exactly the rows of seq 1 to `last`."""
    verdict = Verdict()
    _read(home, verdict, tables)
    assert verdict.is_good, verdict
    assert LakeReader.open(home).seq == last


def _read(home: Path, verdict: Verdict, tables: Mapping[str, TableSchema]) -> None:
    reader = LakeReader.open(home)
    last, migrated = reader.seq, _migrated(reader)
    for name in tables:
        verdict.compare(name, reader.table(name), _rows_up_to(name, last, migrated))


def _has_lake(home: Path) -> bool:
    with look(home / "journal.sqlite") as journal:
        return journal is not None and bool(journal.names())


@cache
def _first_rows(name: str, number: int) -> pl.DataFrame:
    return rows_of(ALL[name], range(1, number + 1))


def _migrated(reader: LakeReader) -> list[int]:
    """The seqs of commits that a writer made by itself, to record a change of schemas."""
    if SCHEMA_CHANGES not in reader.names():
        return []
    return reader.table(SCHEMA_CHANGES).collect()["seq"].to_list()


def _rows_up_to(name: str, last: int, migrated: list[int]) -> pl.DataFrame:
    """What a table holds after so many commits, but for those that only recorded a change of schemas."""
    rows = _first_rows(name, 64 * (1 + last // 64))
    return rows.filter((pl.col("seq") <= last) & ~pl.col("seq").is_in(migrated))


def _read_as_of(
    home: Path, verdict: Verdict, tables: Mapping[str, TableSchema], chance: random.Random
) -> None:
    reader = LakeReader.open(home)
    seq, migrated = chance.randint(0, reader.seq), _migrated(reader)
    for name in chance.sample(list(tables), 2):
        for moment in (seq, time_of(seq)):
            verdict.compare(name, reader.table(name, moment), _rows_up_to(name, seq, migrated))
    ledger = reader.table(LEDGER.name).sort("seq").select("first_seq", "seq").collect()
    gapless = [1, *(ledger["seq"] + 1)][: ledger.height]
    if ledger["first_seq"].to_list() != gapless or ledger["seq"].n_unique() != ledger.height:
        verdict.unreadable.append(f"the ledger has gaps: {ledger.rows()}")
