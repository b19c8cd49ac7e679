"""Shows the view in a terminal, twice a second, and obeys its keys."""

import asyncio
import contextlib
import logging
import os
import sys
import termios
import tty
from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.live import Live

from broker.gateway.view.picture import Pulse, picture
from options import NEW_YORK

if TYPE_CHECKING:
    from broker.gateway.gateway import Gateway

FRAME_S = 0.5
MOST_NEWS = 50
# What + and - step through, in simulated seconds per second.
SPEEDS = (1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 23400)


class News(logging.Handler):
    """Keeps the last lines that were logged, each with the simulated time."""

    def __init__(self, gateway: "Gateway") -> None:
        super().__init__(logging.DEBUG)
        self.lines: deque[str] = deque(maxlen=MOST_NEWS)
        self._gateway = gateway

    def emit(self, record: logging.LogRecord) -> None:
        time = self._gateway.clock.now.astimezone(NEW_YORK)
        self.lines.append(f"{time:%H:%M:%S} {record.getMessage()}")


class Meter:
    """Makes rates of two looks in a row."""

    def __init__(self) -> None:
        self._wall = 0.0
        self._time: float | None = None
        self._counts: dict[int, tuple[int, int]] = {}

    def look(self, gateway: "Gateway", wall: float) -> Pulse:
        """What has happened since the last look; nothing at the first. `wall` in seconds."""
        counts = {s.number: (s.sent, s.received) for s in gateway.connections}
        before, passed = self._counts, max(wall - self._wall, 1e-3)
        time = gateway.clock.now.timestamp()
        first = self._time is None
        speed = (time - (self._time or 0.0)) / passed
        sent = {n: (now - before.get(n, (0, 0))[0]) / passed for n, (now, _) in counts.items()}
        received = sum((now - before.get(n, (0, 0))[1]) / passed for n, (_, now) in counts.items())
        self._wall, self._time, self._counts = wall, time, counts
        return Pulse(0.0, 0.0, 0.0, {}) if first else Pulse(speed, sum(sent.values()), received, sent)


def obey(gateway: "Gateway", key: str) -> None:
    """Does what a key stands for; other keys do nothing."""
    clock = gateway.clock
    if key in ("q", ""):
        gateway.stop.set()
    elif key in ("p", " "):
        clock.pause(not clock.paused)
    elif key == "+":
        clock.set_speed(min((speed for speed in SPEEDS if speed > clock.speed), default=clock.speed))
    elif key == "-":
        clock.set_speed(max((speed for speed in SPEEDS if speed < clock.speed), default=clock.speed))


@contextlib.contextmanager
def keyboard(press: Callable[[str], None]) -> Iterator[None]:
    """Calls `press` for each key while inside, with "" once the terminal is gone; the terminal is as it was
    afterwards, whatever happens."""
    if not sys.stdin.isatty():
        yield
        return
    loop, descriptor = asyncio.get_running_loop(), sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    tty.setcbreak(descriptor)

    def read() -> None:
        try:
            key = os.read(descriptor, 1)
        except OSError:
            key = b""
        press(key.decode(errors="replace"))

    loop.add_reader(descriptor, read)
    try:
        yield
    finally:
        loop.remove_reader(descriptor)
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


async def show(gateway: "Gateway", title: str, ready: dict[str, Any]) -> None:
    """Until the gateway is told to stop. Its log goes to the screen instead of standard error."""
    ports = (
        f"optiond gateway  account {ready['account']}  API on port {ready['port']},"
        f" commands on {ready['control_port']}"
    )
    log, news, meter, console = logging.getLogger("gateway"), News(gateway), Meter(), Console()
    level = log.level
    log.addHandler(news)
    log.setLevel(logging.DEBUG)
    log.propagate = False
    gateway.clock.begin()
    loop = asyncio.get_running_loop()
    try:
        with (
            Live(console=console, screen=True, auto_refresh=False) as live,
            keyboard(lambda key: obey(gateway, key)),
        ):
            while not gateway.stop.is_set():
                pulse, size = meter.look(gateway, loop.time()), console.size
                shown = picture(gateway, title, ports, pulse, news.lines, size.width, size.height)
                live.update(shown, refresh=True)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(gateway.stop.wait(), FRAME_S)
    except (OSError, termios.error):
        # The terminal is gone, and with it whoever could be told.
        gateway.stop.set()
    finally:
        log.removeHandler(news)
        log.setLevel(level)
        log.propagate = True
