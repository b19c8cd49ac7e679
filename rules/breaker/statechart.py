"""The breaker's statechart on durable_rules: a program of its own, since that library can end its process.

Run as a script, it reads one JSON object from standard input (`table`, `start`, `events`) and prints the
modes after each event as a JSON list. It imports nothing of ours, so it starts quickly.

What durable_rules does with an event that no transition consumes (it stays, and fires later) cannot come up:
only a total table is taken. Events are texts with ids of our own, one session, one event per post; there is
no host with timer threads.
"""

import json
import signal
import sys
from collections.abc import Mapping, Sequence
from typing import Any

SESSION = "book"
ENDS_AFTER_S = 10
"""Who asked may be gone: a walk that hangs ends itself, wherever in durable_rules it is."""
_BEGINNING = "beginning"
"""durable_rules starts in the one state that nothing leads to; from there a walk is put where it begins."""


class NotTotal(ValueError):
    """A mode has no transition for an event, or one to nowhere."""


def walk(table: Mapping[str, Mapping[str, str]], start: str, events: Sequence[str]) -> list[str]:
    """The modes after each event, from `start` on.

    Raises NotTotal, ImportError without durable_rules, and what durable_rules raises.
    """
    chart = Chart(table, start)
    return [chart.post(event) for event in events]


class Chart:
    """One walk through the table. Raises as `walk` does."""

    def __init__(self, table: Mapping[str, Mapping[str, str]], start: str) -> None:
        from durable.engine import Statechart

        _refuse_holes(table)
        self._posts = 0
        self._rules: Any = Statechart("breaker", None, _definition(table))
        self._run(self._rules.update_state({"sid": SESSION}))
        self.post(start)

    def post(self, event: str) -> str:
        """Post one event; the mode after it."""
        self._posts += 1
        message = {"id": str(self._posts), "sid": SESSION, "event": event}
        self._run(self._rules.assert_event(message))
        if self._rules.get_pending_events(SESSION):
            raise RuntimeError(f"no transition consumed {event}")
        labels = [fact["label"] for fact in self._rules.get_facts(SESSION)]
        if len(labels) != 1:
            raise RuntimeError(f"after {event} it stands in {len(labels)} modes")
        return str(labels[0])

    def _run(self, state: Any) -> None:
        """Fire what is due. durable_rules hands errors over instead of raising them."""
        failed: list[Any] = []
        self._rules.do_actions(state, lambda error, _: failed.append(error) if error else None)
        if failed:
            raise RuntimeError(f"durable_rules: {failed[0]}")


def _refuse_holes(table: Mapping[str, Mapping[str, str]]) -> None:
    events = {event for row in table.values() for event in row}
    for mode, row in table.items():
        if lost := (events - row.keys()) | {event for event, to in row.items() if to not in table}:
            raise NotTotal(f"from {mode} there is no transition for {', '.join(sorted(lost))}")


def _definition(table: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    begin = {f"begin_{mode}": _transition(mode, mode) for mode in table}
    modes = {
        mode: {event: _transition(event, to) for event, to in row.items()} for mode, row in table.items()
    }
    return {_BEGINNING: begin, **modes}


def _transition(event: str, to: str) -> dict[str, Any]:
    return {"all": [{"m": {"event": event}}], "to": to}


def main() -> int:
    """Answer one question; 1, with the reason on standard error, when that cannot be done."""
    signal.alarm(ENDS_AFTER_S)
    question = json.load(sys.stdin)
    try:
        modes = walk(question["table"], question["start"], question["events"])
    except Exception as error:  # noqa: BLE001 - whatever it is, the answer is that there is none
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return 1
    sys.stdout.write(json.dumps(modes) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
