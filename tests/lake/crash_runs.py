"""Runs of kills and power cuts: each gives, one by one, where it hit and what became of the rows."""

import copy
import random
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from unittest.mock import patch

from deltalake.exceptions import DeltaError

from lake import LEDGER, TableSchema, delta, failpoint
from lake.journal_view import look
from lake.location import store_of
from lake.store import Store
from tests.lake.kills import Scribe, Verdict, judge
from tests.lake.scribe import ALL, FEW, do
from tests.lake.tape import Change, Disk, Kind, Loss, recording
from tests.lake.tape import read as read_tape

LINES = (1, 1, 2, 4, 8, 12)


@dataclass(frozen=True, slots=True)
class Outcome:
    """One kill or power cut: where it hit, and what became of the rows."""

    where: str
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Course:
    """A scribe's work, and the work (killed at a failpoint, if one is named) that came before it."""

    name: str
    work: Sequence[str]
    before: Sequence[str] = ()
    killed_at: str | None = None

    def prepare(self, home: Path, tables: Mapping[str, TableSchema]) -> int:
        """Bring a home to where the work starts; gives its seq."""
        home.mkdir(parents=True)
        if not self.before:
            return 0
        scribe = Scribe()
        scribe.start(home, *self.before, failpoint=self.killed_at, tables=tables)
        assert (scribe.end() == 0) == (self.killed_at is None), f"{self.killed_at} was not reached"
        return scribe.acknowledged


COURSES = (
    Course("a new home", ("commit 2", "flush", "commit 3", "flush", "reopen", "commit 1", "flush")),
    Course(
        "a flush that was cut off",
        ("commit 1", "flush"),
        ("commit 2", "flush", "commit 2", "flush"),
        "flush.table.fills:2",
    ),
    Course("a ledger that was cut off", ("commit 1",), ("commit 2", "flush"), "flush.ledger"),
    Course("a journal that was not emptied", ("commit 1", "flush"), ("commit 2", "flush"), "flush.released"),
    Course("upkeep", ("upkeep", "commit 2", "flush", "upkeep"), ("commit 4", "flush") * 6),
    Course("a new column", ("reopen", "commit 1", "flush"), ("narrow", "commit 2", "flush")),
    Course(
        "checkpoints",
        ("commit 1", "flush") * 5,
        ("commit 1", "flush") * 18,
    ),
)


_known_failpoints: dict[tuple[Course, tuple[str, ...]], list[str]] = {}


def failpoints_of(course: Course, home: Path, tables: Mapping[str, TableSchema]) -> list[str]:
    """Every failpoint that a course reaches, as `name:n`, in their order.

    The first time it is asked for, the course is gone through in `home`.
    """
    key = (course, tuple(tables))
    if key not in _known_failpoints:
        _known_failpoints[key] = _gone_through(course, home, tables)
    return _known_failpoints[key]


def _gone_through(course: Course, home: Path, tables: Mapping[str, TableSchema]) -> list[str]:
    course.prepare(home, tables)
    reached: list[str] = []
    times: dict[str, Iterator[int]] = {}
    with (
        patch.object(
            failpoint,
            "reach",
            lambda name: reached.append(f"{name}:{next(times.setdefault(name, count(1)))}"),
        ),
        patch("builtins.print"),
    ):
        do(home, tables, course.work)
    return reached


def step_kills(
    folder: Path,
    course: Course,
    tables: Mapping[str, TableSchema],
    chosen: Callable[[list[str]], Sequence[str]],
) -> Iterator[Outcome]:
    """Kill the course's writer at each chosen failpoint."""
    points = chosen(failpoints_of(course, folder / "all", tables))
    start = folder / "start"
    known = course.prepare(start, tables)
    chance = random.Random(course.name)
    waiting = Scribe()
    for point in points:
        scribe, waiting = waiting, Scribe()
        home = Path(shutil.copytree(start, folder / "home"))
        scribe.start(home, *course.work, failpoint=point, tables=tables)
        assert scribe.end() == -9, f"{point} was not reached"
        said = max(known, scribe.acknowledged)
        yield Outcome(f"{course.name}: {point}", judge(home, said, said + 1, chance, tables))
        shutil.rmtree(home)
    waiting.end(kill=True)


def random_kills(
    folder: Path,
    seed: int,
    kills: int,
    tables: Mapping[str, TableSchema] = ALL,
    beside: Sequence[str] = ("flush",),
    lay_out: Callable[[Path], object] = Path.exists,
) -> Iterator[Outcome]:
    """Kill writers of one home, one after the other, at any moment; every tenth begins a new home.

    `lay_out` says where a new home's lake lies.
    """
    chance = random.Random(seed)
    waiting, home, last = Scribe(), folder / "home", 0
    for number in range(kills):
        if number % 10 == 0:
            shutil.rmtree(home, ignore_errors=True)
            home.mkdir(parents=True)
            lay_out(home)
            last = 0
        scribe, waiting = waiting, Scribe()
        scribe.start(home, *(f"beside {each}" for each in beside), "commit", tables=tables)
        scribe.listen(1 + chance.choice(LINES))
        time.sleep(chance.uniform(0, 0.06))
        scribe.end(kill=True)
        said = max(last, scribe.acknowledged)
        where = phase_of(home, "open" in scribe.said)
        if where == "before there is a journal":
            yield Outcome(where, Verdict())
            continue
        verdict = judge(home, said, said + 1, chance, tables)
        last = verdict.seq
        yield Outcome(where, verdict)
    waiting.end(kill=True)


def phase_of(home: Path, is_open: bool) -> str:
    """What a writer was at when it was killed, by what it left."""
    with look(home / "journal.sqlite") as journal:
        if journal is None:
            return "before there is a journal"
        flushed = journal.flushed
        (left,) = journal.connection.execute(
            "SELECT count(*) FROM commits WHERE seq <= ?", (flushed.seq,)
        ).fetchone()
    if flushed.boundary is None:
        if left:
            return "while a flush empties the journal"
        return "between two flushes" if is_open else "while opening"
    opening = "" if is_open else " (while opening)"
    store = store_of(home)
    written = {name for name in store.names() if _is_flushed(store, name, flushed.boundary)}
    if not written:
        return f"a flush that has written nothing{opening}"
    if LEDGER.name in written:
        return f"a flush that has written the ledger{opening}"
    return f"a flush between two tables{opening}"


def _is_flushed(store: Store, name: str, boundary: int) -> bool:
    try:
        table = delta.open_table(store, name)
    except DeltaError:
        return False
    return table is not None and (table.transaction_version(delta.APP) or 0) >= boundary


def change_kills(
    folder: Path,
    layer: Path,
    seed: int,
    kills: int,
    course: Course,
    tables: Mapping[str, TableSchema] = FEW,
) -> Iterator[Outcome]:
    """Kill the course's writer before random ones of all its changes of files, whoever makes them."""
    start = folder / "start"
    known = course.prepare(start, tables)
    chance = random.Random(seed)
    changes = record(folder / "whole", layer, course, tables).changes
    for number in sorted(chance.sample(range(1, len(changes) + 1), min(kills, len(changes)))):
        home, tape = Path(shutil.copytree(start, folder / "home")), folder / "tape"
        scribe = Scribe(recording(layer, tape, home, kill_at=number))
        scribe.start(home, *course.work, tables=tables)
        scribe.end()
        said = max(known, scribe.acknowledged)
        made = read_tape(tape, home)
        where = f"{course.name}: {_what(made[-1])}" if made else course.name
        yield Outcome(where, judge(home, said, said + 1, chance, tables))
        shutil.rmtree(home)
        tape.unlink()


@dataclass(frozen=True, slots=True)
class Record:
    """A course on tape: the disk it started from and its seq, every change, and the home at its end."""

    disk: Disk
    known: int
    home: Path
    changes: list[Change]


def record(folder: Path, layer: Path, course: Course, tables: Mapping[str, TableSchema] = FEW) -> Record:
    """Let a scribe go through the course, and record it."""
    home, tape = folder / "home", folder / "tape"
    known = course.prepare(home, tables)
    disk = Disk(home)
    scribe = Scribe(recording(layer, tape, home))
    scribe.start(home, *course.work, tables=tables)
    assert scribe.end() == 0
    return Record(disk, known, home, read_tape(tape, home))


def power_cuts(
    folder: Path,
    tape: Record,
    seed: int,
    cuts: int,
    losses: Sequence[Loss] = tuple(Loss),
    deaf_to: str | None = None,
    tables: Mapping[str, TableSchema] = FEW,
) -> Iterator[Outcome]:
    """Cut the power after random changes of a record, and open what the disk holds then."""
    chance = random.Random(seed)
    changes = tape.changes
    moments = set(chance.sample(range(len(changes) + 1), min(cuts, len(changes))))
    disk, said = copy.deepcopy(tape.disk), tape.known
    left = folder / "left"
    for number in disk.play(changes, deaf_to):
        last = changes[number - 1] if number else None
        if last is not None and last.kind is Kind.SAID and last.data.strip().isdigit():
            said = int(last.data)
        if number in moments:
            loss = chance.choice(losses)
            disk.leave(left, loss, chance)
            verdict = judge(left, said, said + 1, chance, tables, before=False)
            yield Outcome(f"{loss.value}, after {'nothing' if last is None else _what(last)}", verdict)


def _what(change: Change) -> str:
    """A change in words."""
    name = change.path.rpartition("/")[2]
    if change.kind is Kind.SAID:
        return "an acknowledgement"
    if name.startswith("journal.sqlite"):
        file = {"": "journal", "-wal": "journal's log", "-shm": "journal's index"}.get(
            name.removeprefix("journal.sqlite"), "journal's rollback"
        )
    elif "checkpoint" in name:
        file = "checkpoint"
    elif "_delta_log" in change.path:
        file = "Delta log"
    elif change.path.startswith("lake"):
        file = "data file" if ".parquet" in name else "folder of the lake"
    else:
        file = "home"
    return f"{change.kind.name.lower()} of a {file}"
