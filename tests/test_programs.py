"""What a test started ends with it."""

import subprocess
import sys
from pathlib import Path

from tests.lake.kills import Scribe
from tests.lake.scribe import FEW
from tests.programs import end_programs_of

SLEEPER = "import sys, time; print(sys.argv[1], flush=True); time.sleep(600)"


def test_programs_of_a_home_are_ended_wherever_they_were_started(tmp_path: Path) -> None:
    homes = [tmp_path / "home", tmp_path / "home" / "gateway.sqlite", tmp_path / "home-2"]
    programs = [
        subprocess.Popen(
            [sys.executable, "-c", SLEEPER, str(home)], stdout=subprocess.PIPE, start_new_session=True
        )
        for home in homes
    ]
    try:
        for program in programs:
            assert program.stdout is not None
            program.stdout.readline()
        end_programs_of(homes[0])
        assert [program.wait(30) for program in programs[:2]] == [-9, -9]
        assert programs[2].poll() is None, "another home's"
    finally:
        for program in programs:
            program.kill()
            program.communicate()


def test_a_scribe_that_nobody_listens_to_ends(tmp_path: Path) -> None:
    scribe = Scribe()
    try:
        scribe.start(tmp_path / "home", "beside flush", "commit", tables=FEW)
        scribe.listen(3)
        assert scribe.process.stdout is not None
        scribe.process.stdout.close()
        assert scribe.process.wait(60) > 0
    finally:
        Scribe.end_all()
