"""The commands about the breaker: halt, freeze, reset, and what it says of itself.

They go to the running daemon. When none runs, they go into the lake, where the next start finds them.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import polars as pl

from daemon.breaker_watch import next_moves
from daemon.reading import UNKNOWN, new_york, print_json
from daemon.remote import call_daemon, user, writing_without_daemon
from daemon.restore import entries_of, journal_of
from daemon.settings import Settings, load_settings
from daemon.statechart import Statechart
from lake import LakeReader
from rules.breaker import Event, Mode, judged
from rules.breaker.table import MODE_MEANING
from sync.tables import LAKE_TABLES
from trading.breaker import Breaker, Entry


def halt(arguments: argparse.Namespace) -> int:
    if arguments.freeze:
        return _brake(arguments, "/halt", Event.HUMAN_FREEZE, {"freeze": True})
    return _brake(arguments, "/halt", Event.HUMAN_HALT, {})


def reset(arguments: argparse.Namespace) -> int:
    return _brake(arguments, "/reset", Event.HUMAN_RESET, {})


def resume(arguments: argparse.Namespace) -> int:
    return reset(arguments)


def _brake(arguments: argparse.Namespace, path: str, event: Event, extra: dict[str, Any]) -> int:
    home, settings = arguments.home, load_settings(arguments.home)
    actor = f"{user()} (command line)"
    body = {"reason": arguments.reason, "actor": actor, **extra}
    answer = call_daemon(home, settings, "POST", path, body)
    running = answer is not None
    if answer is None:
        entry = _enter_without_daemon(home, settings, event, arguments.reason, actor)
        answer = {"state": entry.mode.value, "said": entry.said}
    if arguments.json:
        print(json.dumps({**answer, "running": running}))
    else:
        later = "" if running else "; no daemon runs now, the next one starts like this"
        print(f"trading is {answer['state']}{later}{_why_not(event, answer)}")
    return 0


def _why_not(event: Event, answer: dict[str, Any]) -> str:
    """Why a reset has not let it trade."""
    if event is not Event.HUMAN_RESET or answer["state"] in (Mode.ARMED, Mode.HALF_OPEN):
        return ""
    if answer["state"] == Mode.FLATTENING:
        return ": a reset does not end it; optiond halt does"
    return f": {answer['said']}"


def _enter_without_daemon(home: Path, settings: Settings, event: Event, reason: str, actor: str) -> Entry:
    """Add an entry to the lake's journal, where the next start finds it."""
    with writing_without_daemon(home, settings) as (lake, now):
        breaker = journal_of(LakeReader.open(home)).breaker
        opinion = Statechart(settings.breaker.statechart).opinion(breaker.mode, (event,))
        judgement = judged(breaker.mode, event, opinion)
        facts = {"standing": sorted(breaker.standing)}
        entry = Entry(breaker.number + 1, now, event, breaker.mode, judgement.mode, actor, reason, facts,
                      judgement.doubt)  # fmt: skip
        rows = {"breaker": entry.row(), "decisions": entry.decision_row()}
        frames = {
            name: pl.DataFrame([row], schema=LAKE_TABLES[name].row, strict=False)
            for name, row in rows.items()
        }
        lake.commit(now, frames)
    return entry


# --- what it says of itself ----------------------------------------------------------------------


def breaker(arguments: argparse.Namespace) -> int:
    """`optiond breaker`: mode, why, journal, what would happen next. The daemon's word where it runs."""
    home, settings = arguments.home, load_settings(arguments.home)
    answer = call_daemon(home, settings, "GET", "/status")
    journal = journal_of(LakeReader.open(home))
    stands = answer["breaker"] if answer else _without_daemon(journal.breaker)
    mode = Mode(stands["state"])
    entries = _entries(LakeReader.open(home), arguments.last)
    told = {
        **stands,
        "running": answer is not None,
        "trouble": journal.trouble,
        "next": {event: to for event, (to, _) in next_moves(mode).items()},
        "journal": entries,
    }
    if arguments.json:
        print_json(told)
    else:
        print(_text(told, mode))
    return 0


def _without_daemon(breaker: Breaker) -> dict[str, Any]:
    return {
        "state": breaker.mode.value,
        "means": MODE_MEANING[breaker.mode],
        "reason": breaker.reason,
        "actor": breaker.actor,
        "since": breaker.since.isoformat() if breaker.since else None,
        "entry": breaker.number,
        "trial_ends": None,
        "waits_for": [],
        "statechart": None,
        "conditions": {},
    }


def _entries(reader: LakeReader, last: int) -> list[dict[str, Any]]:
    """The last entries, newest first."""
    rows = entries_of(reader)[::-1][:last]
    wanted = ("number", "event", "before", "state", "actor", "reason", "doubt")
    return [{"time": row["time"].isoformat(), **{name: row.get(name) for name in wanted}} for row in rows]


def _text(told: dict[str, Any], mode: Mode) -> str:
    by = f" by {told['actor']} since {new_york(told['since'])}: {told['reason']}" if told["actor"] else ""
    lines = [f"{mode.value}{by}", f"  {told['means']}"]
    if not told["running"]:
        lines.append("  no daemon runs now: conditions are not watched")
    if told["trouble"]:
        lines.append(f"  WRONG: {told['trouble']}; the stricter holds")
    if told["trial_ends"]:
        waits = f", once {', '.join(told['waits_for'])} is over or known" if told["waits_for"] else ""
        lines.append(f"  armed from {new_york(told['trial_ends'])} on{waits}")
    if told["conditions"]:
        lines += ["conditions", *(_condition(*item) for item in told["conditions"].items())]
    lines.append("what would move it")
    lines += [f"  {event:<17} → {to:<10}  {means}" for event, (to, means) in next_moves(mode).items()]
    lines += ["journal, newest first", *(_entry(row) for row in told["journal"])]
    return "\n".join(lines if told["journal"] else [*lines, "  nothing ever happened"])


def _condition(event: str, seen: dict[str, Any]) -> str:
    word = "STANDS" if seen["stands"] else UNKNOWN if seen["holds"] is None else "calm"
    return f"  {event:<17} {word:<7} {seen['text']} (limit {seen['limit']:g})"


def _entry(row: dict[str, Any]) -> str:
    moved = f"{row['before'] or '?'} → {row['state']}"
    doubt = f" ({row['doubt']})" if row["doubt"] else ""
    why = f"{row['actor'] or '?'}: {row['reason']}{doubt}"
    return f"  {new_york(row['time'])}  {row['event']:<17} {moved:<24} {why}"
