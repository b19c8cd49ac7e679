"""What the daemon's memory does over eight simulated hours with 22 iron condors on ninety lines.

The real daemon follows the real gateway's clock, quotes every five simulated seconds, as fast as both can.
The first hour does not count: books, kept beats and caches fill. After it the median of every hour is taken.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks import stand
from benchmarks.figure import Limited, show_limited

HOURS, LIMIT = 8, 1.05
CONDORS = 22
_LOOK_EVERY_S = 0.5
_STARTED_WITHIN_S = 120.0


def _statuses(home: Path, program: "subprocess.Popen[str]") -> Iterator[dict[str, Any]]:
    """What the daemon says of itself, again and again."""
    began = time.monotonic()
    while program.poll() is None:
        time.sleep(_LOOK_EVERY_S)
        try:
            port = json.loads((home / "control.json").read_text())["port"]
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/status", timeout=30) as answer:
                yield json.load(answer)
        except OSError as error:
            if time.monotonic() - began > _STARTED_WITHIN_S:
                raise RuntimeError(f"the daemon on {home} does not answer: {error}") from error


def by_hour(folder: Path) -> list[list[float]]:
    """Megabytes that the daemon's process took, by simulated hour since it had its positions."""
    state, home = folder / "gateway.sqlite", folder / "home"
    stand.write_account(state, CONDORS)
    with stand.gateway(state, 1e5, "--quote-every", "5") as ready:
        ports = {"port": ready["port"], "control_port": ready["control_port"], "kind": "simulated"}
        stand.write_home(home, 0, stand.shadow_rules(), broker=ports)
        command = [sys.executable, "-m", "daemon.cli", "run", "--home", str(home), "--no-page"]
        hours: list[list[float]] = [[] for _ in range(HOURS)]
        first: datetime | None = None
        with stand.running(command) as program:
            for status in _statuses(home, program):
                now = datetime.fromisoformat(status["time"])
                if not status["positions"]:
                    continue
                first = first or now
                hour = int((now - first).total_seconds() // 3600)
                # The exchange is closed at night, and the clock leaps over it.
                hour -= 17 * (hour // 20) if hour >= HOURS else 0
                if hour >= HOURS:
                    return hours
                hours[hour].append(stand.memory_mb(program.pid))
    raise RuntimeError(f"the daemon on {home} ended before {HOURS} simulated hours had passed")


def main() -> None:
    """Print every hour, and the last against the second with its limit."""
    with tempfile.TemporaryDirectory() as folder:
        hours = by_hour(Path(folder))
    medians = [statistics.median(taken) for taken in hours if taken]
    print("  " + ", ".join(f"hour {n}: {mb:.1f} MB" for n, mb in enumerate(medians, 1)))
    show_limited(
        Limited("memory in the last of 8 hours / in the second", medians[-1] / medians[1], LIMIT, "")
    )


if __name__ == "__main__":
    main()
