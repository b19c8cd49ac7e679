"""How the lake is: versions, files and what waits, from metadata alone."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from lake.compaction import is_small
from lake.data_files import DataFile


@dataclass(frozen=True, slots=True)
class TableHealth:
    """One table. `small_files` are those that upkeep puts together once their date is closed; `undone` counts
    the versions of other programs that were undone since the lake was opened; `trouble` says in one line
    what is wrong with it and what to do, None: nothing."""

    version: int
    files: int
    small_files: int
    bytes: int
    rows: int
    undone: int
    trouble: str | None


@dataclass(frozen=True, slots=True)
class LakeHealth:
    """The whole lake. Times are by the daemon's clock; None: there was none yet."""

    tables: Mapping[str, TableHealth]
    unflushed_commits: int
    unflushed_rows: int
    journal_bytes: int
    last_commit: datetime | None
    last_flush: datetime | None
    last_upkeep: datetime | None


def health_of(version: int, files: Sequence[DataFile], undone: int, trouble: str | None) -> TableHealth:
    """One table's health from its live files."""
    small = Counter(file.date for file in files if is_small(file))
    return TableHealth(
        version,
        len(files),
        sum(count for count in small.values() if count > 1),
        sum(file.size for file in files),
        sum(file.rows or 0 for file in files),
        undone,
        trouble,
    )
