"""The statechart beside the table: durable_rules in a process of its own, asked whenever an event comes.

That library can end the process it runs in, hang, or answer nonsense: each of these is here the answer
`Failed`. A question takes about a tenth of a second and comes with an event only, a few times a day.
"""

import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import rules.breaker
from rules.breaker import Event, Failed, Mode, Opinion
from rules.breaker.table import plain

PROGRAM = Path(rules.breaker.__file__).with_name("statechart.py")
ANSWER_WITHIN_S = 5.0


class Statechart:
    """`is_wanted`: whether to ask it at all; `program` is the script that answers."""

    def __init__(self, is_wanted: bool = True, program: Path = PROGRAM) -> None:
        self.is_wanted = is_wanted
        self.is_installed = find_spec("durable") is not None
        self._program = program

    @property
    def is_asked(self) -> bool:
        return self.is_wanted and self.is_installed

    def opinion(self, start: Mode, events: Sequence[Event]) -> Opinion:
        """Where it says that the events lead from `start`; None where there is nobody to ask. Blocks."""
        if not self.is_asked:
            return None
        question = {"table": plain(), "start": start.value, "events": [event.value for event in events]}
        try:
            done = subprocess.run(
                [sys.executable, "-I", str(self._program)],
                input=json.dumps(question),
                capture_output=True,
                text=True,
                timeout=ANSWER_WITHIN_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return Failed(f"it was silent for {ANSWER_WITHIN_S:g} s")
        except (OSError, UnicodeDecodeError) as error:
            return Failed(f"it could not be asked ({error})")
        if done.returncode:
            return Failed(_why(done))
        try:
            modes = [Mode(mode) for mode in json.loads(done.stdout)]
        except (ValueError, TypeError):
            return Failed("it named no mode")
        if len(modes) != len(events):
            return Failed(f"it named {len(modes)} modes for {len(events)} events")
        return modes[-1] if modes else start


def _why(done: subprocess.CompletedProcess[str]) -> str:
    if done.returncode < 0:
        try:
            return f"its process died of {signal.Signals(-done.returncode).name}"
        except ValueError:
            return f"its process died of signal {-done.returncode}"
    lines = done.stderr.strip().splitlines()
    return lines[-1][:200] if lines else f"its process ended with {done.returncode}"
