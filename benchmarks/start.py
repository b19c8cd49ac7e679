"""How long a start takes on a home: the lake opened and recovered, the daemon's state taken up.

`python -m benchmarks.start HOME` prints milliseconds of both, in a process of its own, as a start is.
"""

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks.stopwatch import ms_of
from broker.interactive_brokers import InteractiveBrokers
from daemon.account_state import AccountState
from daemon.restore import restore
from lake import Lake, LakeReader
from sync.line_budget import LineBudget
from sync.quote_board import QuoteBoard
from sync.tables import LAKE_TABLES
from trading.desk import Desk
from trading.rolling import Roller


class _Clock:
    def now(self) -> datetime:
        return datetime.now(UTC)


def empty_state() -> AccountState:
    """What a daemon that has just begun knows: nothing. Its broker is never asked."""
    broker = InteractiveBrokers("127.0.0.1", 1, 1, _Clock())
    return AccountState(broker, QuoteBoard(), LineBudget(90), Desk(broker), Roller(broker))


def started(home: Path) -> tuple[float, float]:
    """Milliseconds of opening and of taking up, of one start in a new process."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.start", str(home)], check=True, capture_output=True, text=True
    )
    *told, taken = done.stdout.splitlines()
    for line in told:
        print(line)
    opened, restored = taken.split()[:2]
    return float(opened), float(restored)


def main(home: Path) -> None:
    """Start once and print what it took."""
    last = LakeReader.open(home).last_time or datetime.now(UTC)
    lakes: list[Lake] = []
    words: list[str] = []
    opened = ms_of(lambda: lakes.append(Lake.open(home, LAKE_TABLES)))
    restored = ms_of(lambda: words.append(restore(home, empty_state(), last + timedelta(minutes=1))))
    print(f"{opened:.1f} {restored:.1f} {words[0]}")
    lakes[0].close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
