"""The statechart in its own process: whatever becomes of that process, the daemon gets an answer."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

import daemon.statechart
from daemon.statechart import PROGRAM, Statechart
from rules.breaker import EVENTS, Event, Failed, Mode, after


def chart(folder: Path, program: str) -> Statechart:
    path = folder / "program.py"
    path.write_text(program)
    made = Statechart(program=path)
    made.is_installed = True
    return made


def test_it_is_asked_in_a_process_of_its_own() -> None:
    assert Statechart().opinion(Mode.ARMED, (Event.VIX_SHOCK,)) is Mode.TRIPPED
    assert Statechart().opinion(Mode.HALTED, EVENTS) is after(EVENTS, Mode.HALTED)
    assert Statechart().opinion(Mode.FROZEN, ()) is Mode.FROZEN


@pytest.mark.parametrize(
    ("program", "why"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "its process died of SIGSEGV"),
        ("import os; os.abort()", "its process died of SIGABRT"),
        ("import os; os._exit(7)", "its process ended with 7"),
        ("raise RuntimeError('no such session')", "RuntimeError: no such session"),
        ("import durable_rulez", "ModuleNotFoundError: No module named 'durable_rulez'"),
        ("print('[]')", "it named 0 modes for 1 events"),
        ("print('[\"asleep\"]')", "it named no mode"),
        ("print('nonsense')", "it named no mode"),
        ("import sys; sys.stdout.buffer.write(bytes([255]))", "it could not be asked"),
    ],
)
def test_a_process_that_dies_or_talks_nonsense_is_an_answer_too(
    tmp_path: Path, program: str, why: str
) -> None:
    opinion = chart(tmp_path, program).opinion(Mode.ARMED, (Event.VIX_SHOCK,))
    assert isinstance(opinion, Failed)
    assert why in opinion.why


def test_a_process_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daemon.statechart, "ANSWER_WITHIN_S", 0.3)
    opinion = chart(tmp_path, "while True: pass").opinion(Mode.ARMED, (Event.VIX_SHOCK,))
    assert opinion == Failed("it was silent for 0.3 s")


def test_a_walk_whose_asker_is_gone_ends_itself(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM.read_text().replace("ENDS_AFTER_S = 10", "ENDS_AFTER_S = 1"))
    with subprocess.Popen([sys.executable, program], stdin=subprocess.PIPE) as hanging:
        assert hanging.wait(timeout=30) == -signal.SIGALRM


def test_where_it_is_not_installed_or_not_wanted_nobody_is_asked(tmp_path: Path) -> None:
    unwanted = Statechart(is_wanted=False)
    assert unwanted.opinion(Mode.ARMED, (Event.VIX_SHOCK,)) is None
    missing = chart(tmp_path, "raise SystemExit(9)")
    missing.is_installed = False
    assert missing.opinion(Mode.ARMED, (Event.VIX_SHOCK,)) is None
