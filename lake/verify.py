"""Is everything there, once, and as promised? Looks at a whole lake and changes nothing.

Works beside a running daemon and without one: it looks at what the journal vouches for at one moment, and at
what is unflushed then.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import unquote

import polars as pl
from deltalake import DeltaTable

from lake import checks, delta, foreign, healing
from lake.checks import RESTORE, Finding, Severity
from lake.faults import reported
from lake.journal_file import Flushed
from lake.journal_view import JournalView, look
from lake.location import JOURNAL, store_of
from lake.reader import LakeReader, no_journal
from lake.schemas import TIME
from lake.store import Store
from lake.tables import LEDGER
from options import LakeError

LARGE = frozenset(("facts", "snapshots"))
"""Tables whose rows are compared one by one only when asked for, or when the ledger does not count them."""

UNDO = "the next flush or start of optiond puts them back if their files still exist; stop that program"

PROMISES = frozenset(("decisions", "intents", "orders", "fills", "positions", "strategies"))
"""Tables that tell together whether every order had its reason and every holding its executions."""

Progress = Callable[[str], None]
_Commits = list[tuple[int, datetime]]


@dataclass(frozen=True, slots=True)
class _Moment:
    """What is verified: how far the lake is, the last seq, the tables, the unflushed commits."""

    flushed: Flushed
    seq: int
    schemas: Mapping[str, pl.Schema]
    commits: _Commits


def verify(home: Path, deep: bool = False, progress: Progress = lambda _: None) -> list[Finding]:
    """Everything that does not hold in the lake of `home`; empty: all is well.

    `deep` also reads every data file whole and every row of the large tables. `progress` is told each table
    when its turn comes. Raises LakeError when there is no lake, or its journal cannot be read.
    """
    reader, store = LakeReader.open(home, as_found=True), store_of(home)
    with reported("cannot read the journal", home / JOURNAL), look(home / JOURNAL) as journal:
        if journal is None:
            raise no_journal(home, store)
        found = list(_journal(journal))
        schemas = {name: journal.schema(name) or pl.Schema() for name in journal.names()}
        moment = _Moment(journal.flushed, journal.seq, schemas, journal.commits())
    rows: dict[str, int] = {}
    for name in sorted(moment.flushed.versions):
        progress(name)
        found += _told(name, store, _table(store, name, moment, deep, rows))
    found += _of_one_home(home, store, moment)
    broken = {finding.table for finding in found}
    if LEDGER.name not in broken:
        progress("rows")
        found += _rows(reader, store, moment, broken, rows, deep)
    for name in sorted(moment.flushed.versions.keys() - {finding.table for finding in found}):
        found += _told(name, store, _hands(store, name, moment.flushed.versions[name]))
    return found


def _hands(store: Store, name: str, version: int) -> Iterator[Finding]:
    """What another program did that nothing else shows: there are as many rows as there were."""
    if hands := foreign.not_undone(store, name, version):
        what = f"another program changed its rows (version {', '.join(map(str, hands))} of the table)"
        yield Finding(Severity.ERROR, name, what, UNDO)


def _told(name: str, store: Store, findings: Iterator[Finding]) -> list[Finding]:
    """The findings of one table; that it cannot be read is one too."""
    found: list[Finding] = []
    try:
        with reported(f"cannot read the table {name}", f"{store.uri}/{name}"):
            found.extend(findings)
    except LakeError as error:
        found.append(Finding(Severity.ERROR, name, str(error), RESTORE))
    return found


def _journal(journal: JournalView) -> Iterator[Finding]:
    (verdict,) = journal.connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        yield Finding(Severity.ERROR, "journal", f"SQLite finds it damaged: {verdict}", RESTORE)
    seqs = [seq for seq, _ in journal.commits()]
    if seqs != list(range(journal.flushed.seq + 1, journal.seq + 1)):
        what = f"the unflushed commits are not seq {journal.flushed.seq + 1} to {journal.seq}, one by one"
        yield Finding(Severity.ERROR, "journal", what, RESTORE)


def _table(store: Store, name: str, moment: _Moment, deep: bool, rows: dict[str, int]) -> Iterator[Finding]:
    """Its newest vouched version, its columns, its data files; adds to `rows` how many it says it has."""
    version = moment.flushed.versions[name]
    table = delta.open_table(store, name)
    damaged = Finding(Severity.ERROR, name, f"its newest version {version} is gone or damaged", RESTORE)
    if table is None or table.version() < version:
        yield damaged
        return
    schema = moment.schemas.get(name)
    if schema is None:
        yield Finding(Severity.ERROR, name, "the journal does not know this table", RESTORE)
    elif wrong := delta.mistyped(table, schema):
        what = f"column {', '.join(wrong)} is of another type than declared"
        yield Finding(Severity.ERROR, name, what, RESTORE)
    files = delta.data_files(table).filter(pl.col("max.seq") <= moment.flushed.seq)
    rows[name] = int(files["num_records"].sum())
    found: list[Finding] = []
    for path, size, count in files.select("path", "size_bytes", "num_records").iter_rows():
        found += _file(store, name, unquote(path), size, count if deep else None)
    yield from found
    if not found and not healing.is_whole(store, name, version, table):
        yield damaged


def _file(store: Store, name: str, path: str, size: int, count: int | None) -> Iterator[Finding]:
    """One data file; read whole when the rows that it should have are given."""
    there = store.size(f"{name}/{path}")
    if there != size:
        what = (
            f"data file {path} is missing"
            if there is None
            else f"data file {path} has {there} bytes, not {size}"
        )
        yield Finding(Severity.ERROR, name, what, RESTORE)
    elif count is not None:
        try:
            with reported("cannot read the data file", f"{store.uri}/{name}/{path}"):
                read = delta.read_whole(store, f"{name}/{path}")
        except LakeError as error:
            yield Finding(Severity.ERROR, name, str(error), RESTORE)
            return
        if read != count:
            yield Finding(Severity.ERROR, name, f"data file {path} has {read} rows, not {count}", RESTORE)


def _of_one_home(home: Path, store: Store, moment: _Moment) -> Iterator[Finding]:
    """No table was flushed further than the journal knows."""
    ahead = {name: _flushed_to(store, name) for name in moment.flushed.versions}
    with reported("cannot read the journal", home / JOURNAL), look(home / JOURNAL) as journal:
        known = 0 if journal is None else max(journal.flushed.seq, journal.flushed.boundary or 0)
    for name, seq in ahead.items():
        if seq > known:
            what = (
                f"it is flushed up to seq {seq}, and the journal knows of {known}: they are not of one home"
            )
            yield Finding(Severity.ERROR, name, what, "restore both from one backup")


def _flushed_to(store: Store, name: str) -> int:
    try:
        with reported(f"cannot open the table {name}", f"{store.uri}/{name}"):
            table: DeltaTable | None = delta.open_table(store, name)
            return 0 if table is None else table.transaction_version(delta.APP) or 0
    except LakeError:
        return 0  # told already


def _rows(
    reader: LakeReader, store: Store, moment: _Moment, broken: set[str], rows: Mapping[str, int], deep: bool
) -> list[Finding]:
    """What must hold of the rows themselves, in the tables whose files are whole."""
    ledger = pl.DataFrame(schema=LEDGER.stored)
    if LEDGER.name in moment.flushed.versions:
        with reported("cannot read the ledger", f"{store.uri}/{LEDGER.name}"):
            ledger = reader.table(LEDGER.name, moment.seq).collect()
    counts = [finding for finding in checks.counts(ledger, rows) if finding.table not in broken]
    found = [*checks.ledger_gaps(ledger, moment.flushed.seq), *counts]
    is_counted = "rows" in ledger.columns and ledger["rows"].null_count() == 0
    commits = _commits(ledger, moment.commits)
    for name in sorted(moment.schemas.keys() - broken - {LEDGER.name}):
        found += _told(name, store, _rows_of(name, reader, moment.seq, commits, deep, is_counted))
    if PROMISES & (broken | {finding.table for finding in found}) or not moment.schemas.keys() >= PROMISES:
        return found
    return found + _told("intents", store, _promises(reader, moment.seq))


def _rows_of(
    name: str, reader: LakeReader, seq: int, commits: pl.DataFrame, deep: bool, is_counted: bool
) -> Iterator[Finding]:
    rows = reader.table(name, seq)
    if deep or name not in LARGE:
        yield from checks.times(name, rows, commits)
    if name in checks.ONCE and (deep or not is_counted or name not in LARGE):
        yield from checks.doubled(name, rows)


def _promises(reader: LakeReader, seq: int) -> Iterator[Finding]:
    decisions = reader.table("decisions", seq).select("seq", "decision").collect()
    intents, orders, fills = (reader.table(name, seq).collect() for name in ("intents", "orders", "fills"))
    yield from checks.intent_chains(intents)
    yield from checks.promises(decisions, intents, orders, fills)
    strategies = reader.table("strategies", seq).select("seq", "event", "reason", "legs").collect()
    yield from checks.holdings(reader.table("positions", seq).collect(), fills, strategies)


def _commits(ledger: pl.DataFrame, unflushed: _Commits) -> pl.DataFrame:
    """The seq and time of every commit."""
    told = ledger.select(
        pl.int_ranges("first_seq", pl.col("first_seq") + pl.col("times").list.len()).alias("seq"), "times"
    ).explode("seq", "times")
    fresh = pl.DataFrame(unflushed, schema={"seq": pl.Int64(), "time": TIME}, orient="row")
    return pl.concat([told.select(pl.col("seq").cast(pl.Int64), time="times"), fresh]).drop_nulls()
