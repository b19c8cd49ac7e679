# mypy: disable-error-code="no-untyped-call"
"""One connection to a gateway: born with `open`, dead after `close`, never used twice.

The session listens to the messages themselves (the wrapper's methods, IB's documented callbacks), not to
ib_async's Ticker and Trade objects, whose fields outlive their truth. A new session per connection means
that nothing of the old one can be read by mistake.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import ib_async as ib
import structlog
from ib_async.ib import StartupFetch
from ib_async.wrapper import RequestError, Wrapper

from broker.inbox import Inbox
from broker.messages import Messages
from broker.outbox import Outbox
from options import BrokerError

T = TypeVar("T")

log = structlog.get_logger()

UPSTREAM_LOST: Final = 1100
UPSTREAM_BROKEN: Final = 2110
"""The same, of a gateway that has had no servers since before we connected."""
UPSTREAM_BACK_EMPTY: Final = 1101
UPSTREAM_BACK: Final = 1102
_UPSTREAM: Final = frozenset({UPSTREAM_LOST, UPSTREAM_BROKEN, UPSTREAM_BACK_EMPTY, UPSTREAM_BACK})
_HANDSHAKE_FRAMES: Final = 1
_CLOSE_TIMEOUT_S: Final = 1.0
_READ_BYTES: Final = 16_384
"""At most so much is read and decoded at once, some 450 ticks. asyncio's 256 KiB keep the loop for 30 ms,
and cost twice as much a message, because ib_async copies what is left after each."""
_STARTUP: Final = (
    StartupFetch.ACCOUNT_UPDATES
    | StartupFetch.ORDERS_OPEN
    | StartupFetch.ORDERS_COMPLETE
    | StartupFetch.EXECUTIONS
)


class Refusal(BrokerError):
    """The broker answered a request with an error code."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class Backoff:
    """Waiting times between attempts: doubling from `first_s` to `most_s`, each shortened by up to half
    so that clients of one gateway don't come back at the same moment."""

    def __init__(self, jitter: random.Random, first_s: float = 1.0, most_s: float = 30.0) -> None:
        self._jitter = jitter
        self._first_s = first_s
        self._most_s = most_s
        self._next_s = first_s

    def reset(self) -> None:
        self._next_s = self._first_s

    def next_s(self) -> float:
        delay_s = self._next_s * self._jitter.uniform(0.5, 1.0)
        self._next_s = min(self._most_s, self._next_s * 2)
        return delay_s


def _read_little(transport: asyncio.BaseTransport) -> None:
    transport.max_size = _READ_BYTES  # type: ignore[attr-defined]  # of asyncio's own socket transport


class _Client(ib.Client):
    """Sends through our outbox: ib_async's own queue would hold an order behind 200 subscriptions."""

    def __init__(self, wrapper: Wrapper, outbox: Outbox) -> None:
        super().__init__(wrapper)
        self._outbox = outbox
        self._timer: asyncio.TimerHandle | None = None
        self.conn.connection_made = _read_little  # type: ignore[method-assign]

    def sendMsg(self, msg: str) -> None:  # noqa: N802  (ib_async's name)
        self._outbox.put(msg)
        self._flush()

    def _flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        loop = asyncio.get_running_loop()
        for message in self._outbox.release(loop.time()):
            self.conn.sendMsg(self._prefix(message.encode()))
        due_s = self._outbox.due_s()
        if due_s is not None and self.conn.isConnected():
            self._timer = loop.call_at(due_s, self._flush)


class Session(ib.IB):
    """One connection. `ended` holds the reason once it is over; `attention` is set whenever somebody has
    to look (the end, a doubtful order); `progress` whenever frames were handled."""

    RaiseRequestErrors = True
    TimezoneTWS = "America/New_York"  # executions name their zone; this is for one that does not

    def __init__(
        self,
        inbox: Inbox,
        account: str,
        throttle_per_s: float | None,
        upstream_changed: Callable[[int], None],
    ) -> None:
        super().__init__()
        self.errorEvent -= self._onError  # it would add an account-summary subscription at every 1102
        self._inbox = inbox
        self._wanted_account = account
        self.managed: list[str] = []
        self._upstream_changed = upstream_changed
        self.wrapper = Messages(self, inbox)
        self._outbox = Outbox(throttle_per_s)
        self.client = _Client(self.wrapper, self._outbox)
        self.client.apiEnd += self.disconnectedEvent
        self.client.conn.disconnected += self._socket_closed
        self._over = asyncio.Event()
        self._socket_gone = asyncio.Event()
        self._last_words = ""
        self.ended: str | None = None
        self.attention = asyncio.Event()
        self.progress = asyncio.Event()
        self.received = 0
        self.heard_s: float | None = None

    def note_frames(self) -> None:
        """Something arrived: how much so far (also after the end), and when, in seconds of the loop."""
        self.received = self.frames_received
        self.heard_s = asyncio.get_running_loop().time()
        self.progress.set()

    @property
    def waiting(self) -> int:
        """Messages that have not left yet."""
        return len(self._outbox)

    @property
    def frames_received(self) -> int:
        """With the handshake's reply."""
        return int(self.client._numMsgRecv)

    @property
    def frames_sent(self) -> int:
        """From startApi on."""
        return max(0, int(self.client.conn.numMsgSent) - _HANDSHAKE_FRAMES)

    def choose_account(self, managed: list[str]) -> None:
        """Ends the session when there is none to choose: a gateway may leave questions about a foreign
        account unanswered."""
        self.managed = managed
        if self._wanted_account in managed:
            self._inbox.account = self._wanted_account
        elif not self._wanted_account and len(managed) == 1:
            self._inbox.account = managed[0]
        else:
            self._inbox.account = ""
            self.end("the login does not manage the account")

    def end(self, reason: str) -> None:
        if self.ended is None:
            self.ended = reason
        self._over.set()
        self.attention.set()
        self.progress.set()

    def noticed(self, code: int, text: str) -> None:
        if not 2100 <= code < 2200:
            self._last_words = f"{code}: {text}"
        if code in _UPSTREAM:
            self._upstream_changed(code)
        self.notice_doubts()

    def notice_doubts(self) -> None:
        if self._inbox.orders.has_doubts:
            self.attention.set()

    async def open(self, host: str, port: int, client_id: int, timeout_s: float) -> None:
        """Connect and synchronise. Raises BrokerError with the reason; the session is closed then."""
        connecting = asyncio.ensure_future(
            self.connectAsync(
                host,
                port,
                client_id,
                timeout=timeout_s,
                account=self._wanted_account,
                raiseSyncErrors=True,
                fetchFields=_STARTUP,
            )
        )
        ending = asyncio.ensure_future(self._over.wait())
        try:
            await asyncio.wait({connecting, ending}, return_when=asyncio.FIRST_COMPLETED)
            if not connecting.done():
                raise BrokerError(f"no connection to {host}:{port}: {self.ended}")
            connecting.result()
            if not self.client.isReady():
                raise BrokerError(f"no connection to {host}:{port}: {self.ended}")
        except (OSError, TimeoutError, RequestError) as error:
            reason = self.ended or str(error) or "no answer in time"
            if self._last_words:
                reason = f"{reason}; the gateway said {self._last_words}"
            raise BrokerError(
                f"no connection to {host}:{port}: {reason}; is the gateway running, logged in, and its API "
                "port open to this machine?"
            ) from error
        finally:
            ending.cancel()
            if not connecting.done():
                connecting.cancel()
                await asyncio.wait({connecting}, timeout=_CLOSE_TIMEOUT_S)

    async def ask(self, request: Awaitable[T], what: str, timeout_s: float) -> T:
        """The answer to `request`. Raises BrokerError on an error code, a time-out or a lost connection."""
        try:
            async with asyncio.timeout(timeout_s):
                return await request
        except TimeoutError as error:
            raise BrokerError(
                f"{what}: the broker did not answer within {timeout_s:g} s; ask again later"
            ) from error
        except RequestError as error:
            raise Refusal(
                error.code, f"{what}: the broker refused with code {error.code}: {error.message}"
            ) from error
        except ConnectionError as error:
            raise BrokerError(
                f"{what}: the connection was lost meanwhile; ask again when the link is up"
            ) from error

    async def close(self) -> None:
        """End all waiting requests with an error, then the socket. Returns when the socket is gone, so
        that the client id is free again."""
        self.end("closed by us")
        if len(self._outbox):
            log.warning("link.unsent", messages=len(self._outbox))
        self.wrapper.connectionClosed()
        transport = self.client.conn.transport
        self.client.disconnect()
        if transport is None:
            return
        try:
            async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                await self._socket_gone.wait()
        except TimeoutError:
            transport.abort()

    def _socket_closed(self, message: str) -> None:
        self._socket_gone.set()
        self.end(message or "the gateway closed the connection")
