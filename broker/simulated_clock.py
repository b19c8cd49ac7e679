"""The simulated gateway's clock, followed step by step through its control port.

The gateway stands still until each step is said to be done, so at any speed nothing is missed and the same
seed gives the same run.
"""

import asyncio
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol

from options import BrokerError, Clock

_REQUEST_TIMEOUT_S: Final = 10.0
_LONGEST_LINE: Final = 1 << 24


@dataclass(frozen=True, slots=True)
class Beat:
    """A step of the clock. Everything up to it arrived once `frames_expected` frames were received on the
    API connection; `ended` says that the market has no further quotes."""

    time: datetime
    frames_expected: int
    ended: bool


class CountsFrames(Protocol):
    """A client of the simulated gateway whose frames a clock can wait for, so that every run is the same."""

    @property
    def frames_sent(self) -> int:
        """On this connection, the handshake excluded; 0 when not connected."""
        ...

    async def frames_arrived(self, count: int) -> None:
        """Return when `count` frames were handled, or the connection is gone and they never will be."""
        ...


class _ControlLine:
    """One connection to the control port: JSON objects, one per line."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, address: str) -> None:
        self._reader = reader
        self._writer = writer
        self._address = address

    @classmethod
    async def open(cls, host: str, port: int) -> "_ControlLine":
        try:
            async with asyncio.timeout(_REQUEST_TIMEOUT_S):
                streams = await asyncio.open_connection(host, port, limit=_LONGEST_LINE)
                return cls(*streams, f"{host}:{port}")
        except (OSError, TimeoutError) as error:
            raise BrokerError(
                f"no simulated gateway answers at {host}:{port} ({error}); start it or check the port"
            ) from error

    def send(self, message: dict[str, Any]) -> None:
        self._writer.write(json.dumps(message).encode() + b"\n")

    async def receive(self) -> dict[str, Any]:
        try:
            line = await self._reader.readline()
        except OSError:
            line = b""
        if not line.endswith(b"\n"):
            raise BrokerError("the simulated gateway went away; start it again")
        try:
            message = json.loads(line)
        except ValueError:
            message = None
        if not isinstance(message, dict):
            raise BrokerError(
                f"what answers at {self._address} is no simulated gateway; correct broker.control_port"
            )
        return message

    async def request(self, message: dict[str, Any]) -> dict[str, Any]:
        self.send(message)
        try:
            async with asyncio.timeout(_REQUEST_TIMEOUT_S):
                answer = await self.receive()
        except TimeoutError as error:
            raise BrokerError(
                f"the simulated gateway did not answer {message['cmd']} within {_REQUEST_TIMEOUT_S:g} s"
            ) from error
        if not answer.get("ok"):
            raise BrokerError(f"the simulated gateway refused {message['cmd']}: {answer.get('error')}")
        return answer

    def close(self) -> None:
        self._writer.close()


class FollowedClock(Clock):
    """Shares the gateway's time in lock-step: `start`, then `next_beat` again and again.

    Raises BrokerError from every method once the gateway is gone.
    """

    def __init__(self, host: str, control_port: int) -> None:
        self._host = host
        self._port = control_port
        self._follower: _ControlLine | None = None
        self._commands: _ControlLine | None = None
        self._commands_lock = asyncio.Lock()
        self._beat: Beat | None = None

    def now(self) -> datetime:
        return self._current().time

    async def start(self, client_id: int) -> None:
        """Follow on behalf of the API client `client_id`. Time stands still from here to `next_beat`."""
        self._follower = await _ControlLine.open(self._host, self._port)
        self._follower.send({"cmd": "follow", "client_id": client_id})
        self._beat = await self._next()

    async def next_beat(self, wake: datetime | None, frames_sent: int) -> Beat:
        """Say that the current step is handled and wait for the next. `wake`: the latest moment at which
        it is wanted; `frames_sent`: by the API client so far, the handshake excluded."""
        current = self._current()
        assert self._follower is not None
        self._follower.send(
            {
                "done": current.time.isoformat(),
                "sent": frames_sent,
                "wake": wake.isoformat() if wake else None,
            }
        )
        self._beat = await self._next()
        return self._beat

    async def request(self, cmd: str, **arguments: object) -> dict[str, Any]:
        """The answer to a command of the control port; works before `start` as well."""
        async with self._commands_lock:
            if self._commands is None:
                self._commands = await _ControlLine.open(self._host, self._port)
            try:
                return await self._commands.request({"cmd": cmd, **arguments})
            except BaseException:
                self._commands.close()  # an answer may still come: never take it for the next one's
                self._commands = None
                raise

    def close(self) -> None:
        for line in (self._follower, self._commands):
            if line is not None:
                line.close()
        self._follower = self._commands = None

    async def _next(self) -> Beat:
        assert self._follower is not None
        while "time" not in (message := await self._follower.receive()):
            if not message.get("ok"):
                raise BrokerError(f"the simulated gateway cannot be followed: {message.get('error')}")
        moment = datetime.fromisoformat(message["time"])
        return Beat(moment, int(message["sent"]), bool(message["ended"]))

    def _current(self) -> Beat:
        if self._beat is None:
            raise BrokerError("the simulated clock was not started; await start() first")
        return self._beat
