# mypy: disable-error-code="no-untyped-call"
"""The way to the gateway, kept up for ever: connect, watch, notice the end, wait, connect again."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from datetime import datetime
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
from broker.events import LinkChanged, LinkState
from broker.inbox import Inbox
from options import BrokerError

log = structlog.get_logger()

_SETTLED_S: Final = 30.0  # a connection that lived this long starts the waiting times afresh


class Link:
    """`session` is None while there is no connection; `since` is None before `run`; `attempts` counts the
    connects since the last success. `settle` asks the broker about doubtful orders."""

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
        self.attempts = 0
        self.session: Session | None = None
        self._address = (host, port, client_id)
        self._inbox = inbox
        self._settle = settle
        self._wanted_account = account
        self._connect_timeout_s = connect_timeout_s
        self._throttle_per_s = throttle_per_s
        self._probe_every_s = probe_every_s
        self._probe_timeout_s = probe_timeout_s
        self._backoff = Backoff(jitter)
        self._upstream_lost = False

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
                delay_s = self._backoff.next_s()
                log.info("link.retry", delay_s=round(delay_s, 2), attempts=self.attempts)
                await asyncio.sleep(delay_s)
        finally:
            logging.getLogger("ib_async.Decoder").removeHandler(decoder_alarm)

    async def _live_once(self) -> None:
        """Connect, live, die."""
        loop = asyncio.get_running_loop()
        self.attempts += 1
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
            born_s = loop.time()
            self._change(LinkState.UP, "connected", resubscribe=True)
            if self._upstream_lost:
                self._follow_upstream(UPSTREAM_LOST)
            reason = await self._watch(session)
            if loop.time() - born_s >= _SETTLED_S:
                self._backoff.reset()
        finally:
            self.session = None
            self._inbox.forget_connection()
            self._change(LinkState.DOWN, reason)
            await session.close()

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
            if session.ended is not None:
                return session.ended
            if self._inbox.orders.has_doubts:
                await self._settle(session)

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

    def _change(self, state: LinkState, reason: str, resubscribe: bool = False) -> None:
        self.state, self.since = state, self._inbox.clock.now()
        self._inbox.events.append(LinkChanged(state, reason, resubscribe))
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
