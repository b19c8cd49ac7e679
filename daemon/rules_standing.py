"""Where the rules stand: which are in force, which wait for a human, what of the file is ignored.

Every step is a row of `rules_changes`, so a start finds all of it again.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

import polars as pl

import rules
from daemon.rules_file import RulesFile
from lake import LakeReader
from options import RuleError
from rules import Rulebook
from trading.new_fires import NewFire


class Step(StrEnum):
    """What became of rules; the value is the `event` in the lake."""

    SEEN = "seen"
    REFUSED = "refused"
    WAITING = "waiting"
    APPROVED = "approved"
    REJECTED = "rejected"
    TAKEN_UP = "taken_up"
    ROLLED_BACK = "rolled_back"


NOTHING_BEFORE = "no other rules were in force before these: name a revision, from optiond rules revisions"
IN_FORCE = (Step.TAKEN_UP, Step.ROLLED_BACK)


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """Rules that were saved and found sound, and are not in force.

    `saved`: when, by the clock of the machine. `replayed`: JSON of what they would have decided otherwise on
    the last beats. `lints`: what is odd about them. `fires`: where they would act and those in force would
    not, when a human was asked; None as long as none was. `since`: when that was.
    """

    book: Rulebook
    saved: datetime | None
    replayed: str | None = None
    lints: tuple[str, ...] = ()
    fires: tuple[NewFire, ...] | None = None
    since: datetime | None = None


@dataclass(slots=True, eq=False)
class Standing:
    """`book` is in force since `since`, by `step` and `actor` (None: the file was saved); `before` it was
    another revision. `error`: why the file as saved last is not taken up. `ignored`: revision of the file and
    when it was saved, which is not taken up until it is saved again. `is_recorded`: the lake knows of `book`.
    """

    book: Rulebook
    since: datetime | None = None
    step: Step = Step.TAKEN_UP
    actor: str | None = None
    before: str | None = None
    error: str | None = None
    candidate: Candidate | None = None
    ignored: tuple[str, datetime | None] | None = None
    is_recorded: bool = False

    @property
    def waiting(self) -> Candidate | None:
        """The candidate that a human was asked about."""
        candidate = self.candidate
        return candidate if candidate is not None and candidate.fires is not None else None


def standing_at(home: Path, file: RulesFile) -> Standing:
    """The rules that were in force last stay so; the first time, and when they cannot be read any more, it is
    those of the file. Raises RuleError when that has none."""
    kept = standing_of(LakeReader.open(home), file.path)
    return kept if kept is not None else Standing(file.read())


def standing_of(reader: LakeReader, path: Path) -> Standing | None:
    """What the last daemon left; None when it left no rules, or none that this optiond reads.

    Rules that wait are among it, when they can be read.
    """
    if "rules_changes" not in reader.names():
        return _of_older_optiond(reader, path)
    changes = reader.table("rules_changes").sort("seq", maintain_order=True).collect()
    in_force = changes.filter(pl.col("event").is_in(IN_FORCE)).tail(1)
    if not in_force.height:
        return _of_older_optiond(reader, path)
    last = in_force.row(0, named=True)
    try:
        standing = Standing(
            book_of(reader, last["revision"], path),
            since=last["time"],
            step=Step(last["event"]),
            actor=last["actor"],
            before=last["before"],
            is_recorded=True,
        )
    except RuleError:
        return None
    known = pl.col("event").is_in(list(Step))
    for row in changes.filter(known & (pl.col("seq") >= last["seq"])).iter_rows(named=True):
        _follow(standing, row, reader, path)
    return standing


def book_of(reader: LakeReader, revision: str, path: Path) -> Rulebook:
    """The rules of a revision, as the lake keeps them. Raises RuleError when it has none, or they are not
    what they were."""
    mine = reader.table("rules_revisions").filter(pl.col("revision") == revision).select("text")
    texts = mine.unique().collect()["text"].to_list()
    sound = [text for text in texts if rules.revision_of(text) == revision]
    if not sound:
        raise RuleError(f"the lake has no rules of revision {revision}; optiond rules revisions shows all")
    return rules.parse_stored(sound[0], str(path))


def rules_named(home: Path, revision: str, path: Path) -> Rulebook:
    """The rules that a revision, or its beginning, names. Raises RuleError, LakeError."""
    reader = LakeReader.open(home)
    mine = pl.col("revision").str.starts_with(revision)
    found = reader.table("rules_revisions").filter(mine).select("revision").unique().collect()
    if found.height > 1:
        raise RuleError(f"several revisions begin with {revision}: {', '.join(sorted(found['revision']))}")
    return book_of(reader, found["revision"][0] if found.height else revision, path)


def fires_of(text: str | None) -> tuple[NewFire, ...]:
    """The column `fires` of a row."""
    return tuple(NewFire(**fire) for fire in json.loads(text or "[]"))


def json_of(fires: Iterable[NewFire]) -> str:
    """The opposite of `fires_of`."""
    return json.dumps([fire.as_dict() for fire in fires])


def _of_older_optiond(reader: LakeReader, path: Path) -> Standing | None:
    """Older ones recorded every revision that they took up, and nothing else."""
    last = reader.newest("rules_revisions").tail(1)
    if not last.height or rules.revision_of(last["text"][0]) != last["revision"][0]:
        return None
    try:
        return Standing(rules.parse_stored(last["text"][0], str(path)), since=last["time"][0])
    except RuleError:
        return None


def _follow(standing: Standing, row: Mapping[str, Any], reader: LakeReader, path: Path) -> None:
    """What a step after the last change of the rules in force has left."""
    match Step(row["event"]):
        case Step.WAITING:
            try:
                book = book_of(reader, row["revision"], path)
            except RuleError:
                return
            standing.candidate = Candidate(
                book, row["saved"], row["replayed"], fires=fires_of(row["fires"]), since=row["time"]
            )
        case Step.REJECTED | Step.ROLLED_BACK:
            standing.candidate = None
            standing.ignored = (row["ignored"], row["saved"]) if row["ignored"] else None
        case Step.APPROVED:
            pass
        case Step.REFUSED:
            standing.candidate = None
            standing.ignored = standing.ignored if row["ignored"] else None
        case Step.SEEN | Step.TAKEN_UP:
            standing.candidate = standing.ignored = None
