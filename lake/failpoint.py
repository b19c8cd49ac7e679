"""Places where a test lets the process die, to prove that dying there loses nothing."""

import os
import signal

ENVIRONMENT = "OPTIOND_FAILPOINT"

_reached: dict[str, int] = {}


def reach(name: str) -> None:
    """Kill this process with SIGKILL if the environment names this point (`name:n`: the n-th time)."""
    wanted = os.environ.get(ENVIRONMENT)
    if wanted is None:
        return
    point, _, times = wanted.partition(":")
    if point != name:
        return
    _reached[name] = _reached.get(name, 0) + 1
    if _reached[name] == int(times or 1):
        os.kill(os.getpid(), signal.SIGKILL)
