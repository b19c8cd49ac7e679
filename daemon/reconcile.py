"""`optiond reconcile`: compare our books with the broker's now, and say what differs and what is done."""

import argparse
from typing import Any

from daemon.reading import UNKNOWN, new_york, print_json
from daemon.remote import EXIT_NOT_RUNNING, call_daemon
from daemon.settings import load_settings


def reconcile(arguments: argparse.Namespace) -> int:
    """Exit code 0 when nothing differed or all of it is resolved, 1 when a difference stands that only a
    human or an order can end, 3 when no daemon answers."""
    settings = load_settings(arguments.home)
    answer = call_daemon(arguments.home, settings, "POST", "/reconcile")
    if answer is None:
        print(f"no daemon answers for {arguments.home}; optiond run starts one, and it compares first of all")
        return EXIT_NOT_RUNNING
    if arguments.json:
        print_json(answer)
    else:
        print("\n".join(_told(answer)))
    return 1 if answer["unresolved"] or any(_lasts(each) for each in answer["standing"]) else 0


def _lasts(difference: dict[str, Any]) -> bool:
    """Whether taking the broker's word does not end it."""
    return difference["kind"] in ("naked_short", "unknown_order", "orphaned_order", "missing_fill")


def _told(answer: dict[str, Any]) -> list[str]:
    found = answer["found"]
    if not found:
        return ["our books and the broker's agree"]
    lines = []
    for each in found:
        word = "STANDS  " if _lasts(each) else "resolved"
        both = f"ours {each['ours'] or UNKNOWN}, broker's {each['theirs'] or UNKNOWN}"
        lines.append(f"{word}  {each['kind']:<16} {each['subject']}: {both}; {each['resolution']}")
    since = min((each["since"] for each in answer["standing"] if _lasts(each)), default=None)
    return lines if since is None else [*lines, f"the oldest that stands was found {new_york(since)}"]
