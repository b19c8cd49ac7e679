"""The programs of a test, which end when it does, also when it failed."""

import contextlib
import os
import signal
from pathlib import Path


def end_programs_of(home: Path) -> None:
    """Kill every program whose command line names `home`, a folder of this test alone.

    A daemon's children live in sessions of their own and outlive a daemon that is killed.
    """
    mine = os.fsencode(home)
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (folder / "cmdline").read_bytes().split(b"\0")
            if any(word == mine or word.startswith(mine + b"/") for word in words):
                os.kill(int(folder.name), signal.SIGKILL)
