"""`optiond replay`: past decisions, decided again from what the lake kept of them."""

import argparse
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

import rules
from daemon.reading import BOOK, UNKNOWN, Columns, new_york, print_json, print_table
from lake import LakeHistory, LakeReader
from lake.moments import read_moment
from options import LakeError, RuleError, SettingsError
from rules import Rulebook
from trading.decision import DECIDED_ON
from trading.replay import (
    Outcome,
    Replay,
    decided_again,
    decided_under,
    is_of_rules,
    without_rules_again,
)

Row = Mapping[str, Any]

_FIRST = datetime.min.replace(tzinfo=UTC)


def replay(arguments: argparse.Namespace) -> int:
    """Exit code 0 when every decision replays the same; under other rules (`--rules`) always 0."""
    if arguments.decision and arguments.until:
        raise SettingsError("--until goes with --since, not with one decision: leave it out")
    reader = LakeReader.open(arguments.home)
    rows = _chosen(reader, arguments.decision, arguments.since, arguments.until)
    book = rules.load(arguments.rules) if arguments.rules else None
    if book is not None:
        # The breaker has a table of its own, which no rules file changes; nor does it change covering.
        rows = [row for row in rows if is_of_rules(row)]
    done = replayed(reader, rows) if book is None else [decided_under(row, book) for row in rows]
    if arguments.json:
        print_json(_data(done, book, is_whole=bool(arguments.decision)))
    elif book is not None:
        _tell_under(done, book)
    elif arguments.decision:
        for one in done:
            print("\n".join(_told(one)))
    else:
        _print_outcomes(done)
    return 0 if book is not None or all(one.outcome is Outcome.SAME for one in done) else 1


def replayed(reader: LakeReader, rows: Sequence[Row]) -> list[Replay]:
    """Each of these rows of `decisions`, decided again by the stored rules of its revision."""
    books = rulebooks_of(reader, {row["rules_revision"] for row in rows if is_of_rules(row)})
    facts = _facts(reader, rows)
    done: dict[int, Replay] = {}
    # By revision, since few compiled rulebooks are kept.
    for place in sorted(range(len(rows)), key=lambda place: str(rows[place]["rules_revision"])):
        row = rows[place]
        if not is_of_rules(row):
            done[place] = without_rules_again(row)
            continue
        book = books[row["rules_revision"]]
        if isinstance(book, str):
            done[place] = Replay(row, Outcome.CANNOT, book)
        else:
            done[place] = decided_again(row, book, facts.get((row["position"], row["seq"]), []))
    return [done[place] for place in range(len(rows))]


# --- reading -------------------------------------------------------------------------------------


def _chosen(reader: LakeReader, decision: str | None, since: str | None, until: str | None) -> list[Row]:
    """The rows of one decision, or those recorded from `since` to `until`, both included, oldest first."""
    wanted = [] if decision is None else [pl.col("decision") == decision]
    if since is not None:
        wanted.append(pl.col("seq") >= first_seq(reader, since))
    if until is not None:
        wanted.append(pl.col("seq") <= last_seq(reader, until))
    found = _decisions(reader, *wanted)
    if decision is not None and not found:
        raise LakeError(f"there is no decision '{decision}' in the lake; `optiond decisions` lists them")
    return found


def decisions_between(reader: LakeReader, first: int, last: int, newest: int) -> list[Row]:
    """The rows of `decisions` of commits `first` to `last`, so many of the newest at most, oldest first."""
    return _decisions(reader, pl.col("seq").is_between(first, last))[-newest:]


def _decisions(reader: LakeReader, *wanted: pl.Expr) -> list[Row]:
    found = reader.table("decisions").filter(*wanted).sort("seq", maintain_order=True).collect()
    # A home that only an older optiond has written has no such columns at all.
    newer = dict.fromkeys((*DECIDED_ON, "inputs_hash", "hash"))
    return [{**newer, **row} for row in found.iter_rows(named=True)]


def first_seq(reader: LakeReader, since: str) -> int:
    """The first seq at that moment or after it; of a decision, its own."""
    moment, history = read_moment(since), LakeHistory(reader)
    if isinstance(moment, int):
        return history.seq_of(moment)
    if moment is None:
        return 1 + history.seq_of(since)
    # The calendar has nothing before its first moment, and no lake anything at it.
    return 1 + history.seq_of(moment - min(moment - _FIRST, timedelta(microseconds=1)))


def last_seq(reader: LakeReader, until: str) -> int:
    """The last seq at that moment or before it; of a decision, its own."""
    return LakeHistory(reader).seq_of(until) + (read_moment(until) is None)


def rulebooks_of(reader: LakeReader, revisions: set[str | None]) -> dict[str | None, Rulebook | str]:
    """The rules of every revision, or why they cannot be had."""
    mine = pl.col("revision").is_in([revision for revision in revisions if revision is not None])
    stored = reader.table("rules_revisions").filter(mine).select("revision", "text").unique().collect()
    return {
        revision: _rulebook(revision, stored.filter(pl.col("revision") == revision)["text"].to_list())
        for revision in revisions
    }


def _rulebook(revision: str | None, texts: Sequence[str]) -> Rulebook | str:
    if not texts:
        return f"its rules, revision {revision}, are not in the lake"
    sound = [text for text in texts if rules.revision_of(text) == revision]
    if not sound:
        return f"the stored rules of revision {revision} were changed: their text does not fit that hash"
    try:
        return rules.parse_stored(sound[0], f"rules {revision}")
    except RuleError as error:
        return f"this optiond does not read the rules of revision {revision}: {str(error).splitlines()[0]}"


def _facts(reader: LakeReader, rows: Sequence[Row]) -> dict[tuple[str, int], list[Row]]:
    """The rows of `facts` of the same position and seq as these decisions."""
    if not rows:
        return {}
    wanted = pl.DataFrame(
        {"position": [row["position"] for row in rows], "seq": [row["seq"] for row in rows]},
        schema={"position": pl.String, "seq": pl.Int64},
    ).unique()
    near = pl.col("seq").is_between(wanted["seq"].min(), wanted["seq"].max())
    found = reader.table("facts").filter(near).join(wanted.lazy(), on=["position", "seq"], how="semi")
    by_key: dict[tuple[str, int], list[Row]] = {}
    for row in found.collect().iter_rows(named=True):
        by_key.setdefault((row["position"], row["seq"]), []).append(row)
    return by_key


# --- telling -------------------------------------------------------------------------------------


def _print_outcomes(done: Sequence[Replay]) -> None:
    columns: Columns = {
        **_WHICH,
        "rule": lambda r: _by(r["row"]),
        "action": lambda r: r["row"]["action"],
        "recorded": lambda r: _short(r["row"]["hash"]),
        "replayed": lambda r: _short(r["hash"]),
        "outcome": lambda r: r["outcome"],
    }
    rows = [{"row": one.row, "hash": one.hash, "outcome": _outcome(one)} for one in done]
    print_table(rows, columns, NOTHING)
    if done:
        print(f"\n{len(done)} replayed: {_counted(done)}")


def _told(one: Replay) -> Iterator[str]:
    """One decision with its conditions, its facts and what differs."""
    row = one.row
    yield f"{new_york(_time(row))} New York, rules revision {row['rules_revision']}"
    yield f"{row['decision']}: {row['kind']} by rule {_by(row)}"
    yield f"  {row['action']} {row['position'] or BOOK}, {row['urgency']}"
    if row["reason"]:
        yield f"  {row['reason']} (as recorded)"
    yield from (f"  {line}" for line in (one.explanation or row["explanation"] or "").splitlines())
    yield ""
    yield "decided on these facts:"
    yield from _facts_told(row["facts"])
    yield ""
    yield f"recorded  {row['hash'] or UNKNOWN}"
    yield f"replayed  {one.hash or UNKNOWN}"
    yield _outcome(one)
    yield from _differences_told(one)
    if one.outcome is Outcome.SAME and one.book and one.explanation != row["explanation"]:
        yield "  (its explanation was recorded in other words)"


def _facts_told(text: str | None) -> Iterator[str]:
    facts = _json(text)
    if not isinstance(facts, dict):
        yield "  they cannot be read"
        return
    known = {name: value for name, value in facts.items() if value is not None and name != "position"}
    width = max(map(len, known), default=0)
    yield from (f"  {name:<{width}}  {value}" for name, value in known.items())
    if unknown := [name for name, value in facts.items() if value is None]:
        yield f"  unknown: {', '.join(unknown)}"


def _tell_under(done: Sequence[Replay], book: Rulebook) -> None:
    """What other rules would have made of the same facts."""
    print(f"WHAT IF: the facts of then under {book.path}, revision {book.revision}.")
    print("None of this was decided, and none of it is recorded.\n")
    columns: Columns = {
        **_WHICH,
        "was decided": lambda r: (
            f"{_by(r['row'])}: {r['row']['action']}{_shadow(r['row']['kind'] == 'shadow')}"
        ),
        "would be": lambda r: r["would"],
    }
    print_table([{"row": one.row, "would": _would(one)} for one in done], columns, NOTHING)
    for one in done if len(done) == 1 else ():
        print("\n".join(["", *one.explanation.splitlines(), *_differences_told(one, "under these rules")]))
    if len(done) > 1:
        print(f"\n{len(done)} looked at: {_counted(done)}")


def _would(one: Replay) -> str:
    if one.outcome is not Outcome.DIFFERENT:
        return _outcome(one)
    verdict = one.verdict
    if verdict is None:
        return "nothing"
    return f"{verdict.priority} {verdict.rule}: {verdict.action}{_shadow(verdict.is_shadow)}"


def _shadow(is_shadow: bool) -> str:
    """What a rule in shadow mode says is not done."""
    return " (shadow)" if is_shadow else ""


def _differences_told(one: Replay, now: str = "now") -> Iterator[str]:
    for difference in one.differences:
        then = _word(difference.recorded)
        yield f"  {difference.field}: {then} recorded, {_word(difference.replayed)} {now}"


def _word(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return "nothing" if value is None else str(value)


def _outcome(one: Replay) -> str:
    word = "DIFFERENT" if one.outcome is Outcome.DIFFERENT else one.outcome.value
    return f"{word}: {one.why}" if one.why else word


def _counted(done: Sequence[Replay]) -> str:
    counts = Counter(one.outcome for one in done)
    return ", ".join(f"{counts[outcome]} {outcome.value}" for outcome in Outcome)


def _data(done: Sequence[Replay], book: Rulebook | None, is_whole: bool) -> dict[str, Any]:
    """As plain data for JSON; `rules` is null unless it is about other rules than those of then."""
    counts = Counter(one.outcome for one in done)
    return {
        "rules": None if book is None else {"path": book.path, "revision": book.revision},
        "counts": {outcome.value: counts[outcome] for outcome in Outcome},
        "decisions": [_replay_data(one, is_whole) for one in done],
    }


def _replay_data(one: Replay, is_whole: bool) -> dict[str, Any]:
    row = one.row
    copied = ("decision", "seq", "position", "rule", "action", "kind", "reason", "rules_revision")
    data = {
        "time": _time(row).isoformat(),
        **{name: row[name] for name in copied},
        "outcome": one.outcome.value,
        "why": one.why,
        "recorded_hash": row["hash"],
        "replayed_hash": one.hash,
        "replayed": None if one.verdict is None else asdict(one.verdict),
        "differences": [asdict(difference) for difference in one.differences],
    }
    if is_whole:
        data |= {"explanation": one.explanation, "facts": _json(row["facts"]), "state": _json(row["state"])}
    return data


def _time(row: Row) -> datetime:
    """When it was decided; for an older row, when it was recorded."""
    time: datetime = row["decided"] or row["time"]
    return time


def _by(row: Row) -> str:
    return f"{row['priority']} {row['rule']}"


def _short(hash_of_it: str | None) -> str:
    return UNKNOWN if hash_of_it is None else hash_of_it[:12]


def _json(text: str | None) -> Any:
    """A JSON column's value; None when it cannot be read."""
    try:
        return json.loads(text or "", parse_constant=lambda _: None)
    except ValueError:
        return None


_WHICH: Columns = {
    "time (New York)": lambda r: new_york(_time(r["row"])),
    "id": lambda r: r["row"]["decision"],
    "position": lambda r: r["row"]["position"] or BOOK,
}
NOTHING = "nothing was decided in that time"
