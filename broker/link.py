# mypy: disable-error-code="no-untyped-call"
"""The way to the gateway, kept up for ever: connect, watch, notice the end, wait, connect again."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Final

import structlog

from broker.connection import (
    UPSTREAM_BACK,
    UPSTREAM_BACK_EMPTY,
    UPSTREAM_BROKEN,
    UPSTREAM_LOST,
    Backoff,
    Session,
)
from broker.connection_breaker import BreakerState, ConnectionBreaker
from broker.events import LinkChanged, LinkHealth, LinkState
from broker.inbox import Inbox
from options import BrokerError

log = structlog.get_logger()

_PROVED_AFTER: Final = timedelta(seconds=30)
"""A connection that lived this long starts the waiting times afresh and closes the breaker."""

_LOST_FOR: Final = timedelta(seconds=300)
"""After so long without a word of the broker's servers a new connection asks: it may have been missed."""


class Link:
    """`session` is None while there is no connection; `since` is None before `run`, `connected` while there
    is no connection; `attempts` counts the connects since the last success. `settle` asks the broker about
    doubtful orders."""

    def __init__(
        self,
        host: str,
        port: int,
        client_id: int,
        inbox: Inbox,
        settle: Callable[[Session], Awaitable[None]],
        *,
        account: str,
        connect_timeout_s: float,
        throttle_per_s: float | None,
        probe_every_s: float,
        probe_timeout_s: float,
        jitter: random.Random,
    ) -> None:
        self.state = LinkState.DOWN
        self.since: datetime | None = None
        self.connected: datetime | None = None
        self.attempts = 0
        self.session: Session | None = None
        self.breaker = ConnectionBreaker()
        self._address = (host, port, client_id)
        self._inbox = inbox
        self._settle = settle
        self._wanted_account = account
        self._connect_timeout_s = connect_timeout_s
        self._throttle_per_s = throttle_per_s
        self._probe_every_s = probe_every_s
        self._probe_timeout_s = probe_timeout_s
        self._backoff = Backoff(jitter)
        self._jitter = jitter
        self._upstream_lost = False
        self._renewing = False
        self._received_before = 0
        self._sent_before = 0

    @property
    def health(self) -> LinkHealth:
        """How it is now; asked from within the event loop."""
        session = self.session
        heard_s = None
        if session is not None and session.heard_s is not None:
            heard_s = asyncio.get_running_loop().time() - session.heard_s
        return LinkHealth(
            state=self.state,
            since=self.since,
            connected=self.connected,
            attempts=self.attempts,
            breaker=self.breaker.state,
            pause_s=self.breaker.pause_s,
            lines_used=len(self._inbox.lines),
            received=self._received_before + (session.received if session else 0),
            sent=self._sent_before + (session.frames_sent if session else 0),
            waiting=session.waiting if session else 0,
            heard_s=heard_s,
        )

    def renew(self, reason: str) -> None:
        """End this connection and make a new one at once; does nothing while there is none."""
        if self.session is not None and self.state is LinkState.UP:
            self._renewing = True
            self.session.end(reason)

    def ready(self, purpose: str) -> Session:
        """The session to use now. Raises BrokerError unless the link is up."""
        if self.session is None or self.state is not LinkState.UP:
            raise BrokerError(f"{purpose}: the link is {self.state.value}; try again when it is up")
        if not self.session.client.isReady():
            raise BrokerError(f"{purpose}: the link has just ended; try again when it is up")
        return self.session

    async def run(self) -> None:
        """Stay connected until cancelled. Raises BrokerError only where trying again cannot help: the
        login manages several accounts and none, or an unknown one, was named."""
        logging.getLogger("ib_async").setLevel(logging.WARNING)
        decoder_alarm = _DecoderAlarm(self._inbox)
        logging.getLogger("ib_async.Decoder").addHandler(decoder_alarm)
        try:
            while True:
                await self._live_once()
                if self._renewing:
                    self._renewing = False
                    continue
                delay_s = self._backoff.next_s()
                if self.breaker.state is BreakerState.OPEN:
                    delay_s = self.breaker.pause_s * self._jitter.uniform(0.8, 1.0)
                log.info("link.retry", delay_s=round(delay_s, 2), attempts=self.attempts)
                await asyncio.sleep(delay_s)
        finally:
            logging.getLogger("ib_async.Decoder").removeHandler(decoder_alarm)

    async def _live_once(self) -> None:
        """Connect, live, die."""
        self.attempts += 1
        self.breaker.try_again()
        self._upstream_lost = False
        self._change(LinkState.CONNECTING, f"attempt {self.attempts}")
        session = Session(self._inbox, self._wanted_account, self._throttle_per_s, self._follow_upstream)
        self.session = session
        reason = "stopped"
        try:
            try:
                await session.open(*self._address, self._connect_timeout_s)
            except BrokerError as error:
                reason = str(error)
                self._require_account(session)
                return
            self._require_account(session)
            self.attempts = 0
            self.connected = self._inbox.clock.now()
            self._change(LinkState.UP, "connected", resubscribe=True)
            if self._upstream_lost:
                self._follow_upstream(UPSTREAM_LOST)
            reason = await self._watch(session)
        finally:
            reason += self._bury(session)
            self._change(LinkState.DOWN, reason, planned=self._renewing)
            await session.close()

    def _bury(self, session: Session) -> str:
        """Forget the connection; what its death means for the next one, in words."""
        proved = self._prove()
        self.session = self.connected = None
        self._received_before += session.received
        self._sent_before += session.frames_sent
        self._inbox.forget_connection()
        if self._renewing or proved or not session.received:
            return ""
        self.breaker.died()
        if self.breaker.state is not BreakerState.OPEN:
            return ""
        return f"; {self.breaker.deaths} connections in a row died early: none for {self.breaker.pause_s:g} s"

    def _prove(self) -> bool:
        """Whether the connection has lived long enough to be trusted; what follows from it is done."""
        born = self.connected
        if born is None or self._inbox.clock.now() - born < _PROVED_AFTER:
            return False
        self._backoff.reset()
        self.breaker.proved()
        return True

    def _require_account(self, session: Session) -> None:
        if self._inbox.account or not session.managed:
            return
        managed = ", ".join(session.managed)
        wanted = f"account {self._wanted_account}" if self._wanted_account else "no account"
        raise BrokerError(
            f"{wanted} is set, but the login manages {managed}; name one of them in the settings"
        )

    async def _watch(self, session: Session) -> str:
        """Serve the connection until it ends; returns why."""
        while True:
            try:
                async with asyncio.timeout(self._probe_every_s):
                    await session.attention.wait()
            except TimeoutError:
                if not await self._probe(session):
                    session.end(f"half-open: no answer to a probe within {self._probe_timeout_s:g} s")
            session.attention.clear()
            self._prove()
            if self._is_lost_for_long():
                session.end(f"no word of the broker's servers for {_LOST_FOR.total_seconds():g} s")
            if session.ended is not None:
                return session.ended
            if self._inbox.orders.has_doubts:
                await self._settle(session)

    def _is_lost_for_long(self) -> bool:
        if self.state is not LinkState.LOST or self.since is None:
            return False
        return self._inbox.clock.now() - self.since >= _LOST_FOR

    async def _probe(self, session: Session) -> bool:
        """Whether the gateway still talks: the answer, or any other frame meanwhile."""
        before = session.frames_received
        try:
            await session.ask(session.reqCurrentTimeAsync(), "probe", self._probe_timeout_s)
        except BrokerError:
            return session.frames_received > before
        return True

    def _follow_upstream(self, code: int) -> None:
        """Said while still connecting, it counts once the connection stands."""
        self._upstream_lost = code in (UPSTREAM_LOST, UPSTREAM_BROKEN)
        if self.state is LinkState.CONNECTING:
            return
        if self._upstream_lost:
            self._change(LinkState.LOST, f"the gateway lost the broker's servers ({code})")
        elif code == UPSTREAM_BACK:
            self._change(LinkState.UP, "servers are back, lines are kept (1102)")
        elif code == UPSTREAM_BACK_EMPTY:
            self._inbox.lines.forget()
            self._change(LinkState.UP, "servers are back, lines are lost (1101)", resubscribe=True)

    def _change(
        self, state: LinkState, reason: str, resubscribe: bool = False, planned: bool = False
    ) -> None:
        self.state, self.since = state, self._inbox.clock.now()
        self._inbox.events.append(LinkChanged(state, reason, resubscribe, planned))
        log.info(f"link.{state.value}", reason=reason, account=self._inbox.account, resubscribe=resubscribe)


class _DecoderAlarm(logging.Handler):
    """ib_async only logs a message that it cannot decode; an execution lost that way is a wrong position.
    A lost tick is nothing: the next one follows."""

    _TICKS = (
        *(f"Error handling fields: ['{kind}'," for kind in (1, 2, 21, 45, 46)),
        *(f"Error for {method}(" for method in ("tickSize", "tickString", "tickGeneric")),
    )

    def __init__(self, inbox: Inbox) -> None:
        super().__init__(logging.ERROR)
        self._inbox = inbox

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        if not message.startswith(self._TICKS):
            self._inbox.alarm(f"a message of the broker was lost: {message}")
