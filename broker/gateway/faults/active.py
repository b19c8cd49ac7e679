"""The faults that are active, and the door by which each reaches messages, quotes and orders.

A session's hooks are set only while a fault wants them, so that on good days nothing is asked per message.
Everything happens in simulated time and in the order of the commands.
"""

import heapq
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from broker.gateway.errors import MessageError, OrderRefused
from broker.gateway.faults.fault import Effect, Ending, Fault, Held, Message, read
from broker.gateway.markets.quotes import Quote
from broker.gateway.protocol.order_request import OrderRequest
from broker.gateway.session import Session
from options import ConId

if TYPE_CHECKING:
    from broker.gateway.gateway import Gateway

log = logging.getLogger("gateway")

Action = Callable[[], None]


@dataclass(slots=True, eq=False)
class Waiting:
    """A message that is held back for a client until its time or until another one has gone."""

    session: Session
    held: Held
    sent: bool = False

    def send(self) -> None:
        if not self.sent:
            self.sent = True
            self.session.transmit(self.held.message)


@dataclass(slots=True, eq=False)
class Active:
    """A fault that goes on: `left` applications (None: any number) and `until` (None: until it is healed)."""

    fault: Fault
    given: Mapping[str, object]
    effect: Effect
    since: datetime
    until: datetime | None
    left: int | None
    applied: int = 0
    over: bool = False
    waiting: list[Waiting] = field(default_factory=list)

    def concerns(self, session: Session) -> bool:
        return not self.over and self.effect.client in (None, session.client_id)


class Faults:
    """See the module."""

    def __init__(self, gateway: "Gateway") -> None:
        self._gateway = gateway
        self._active: list[Active] = []
        self._waiting: list[Waiting] = []
        self._actions: list[tuple[datetime, int, Action]] = []
        self._numbers = 0
        self._moment: datetime | None = None

    @property
    def now(self) -> datetime:
        """The moment for which what happens was planned, else the clock's."""
        return self._moment or self._gateway.clock.now

    # -- commands -------------------------------------------------------------------------------------

    def inflict(self, name: str, given: Mapping[str, object]) -> None:
        """Begins a fault, or ends it (`on: false`); raises GatewayError for what cannot be meant."""
        from broker.gateway.faults.catalogue import find

        kind = find(name)
        values, ending = read(kind, given)
        log.info("fault %s %s", name, dict(given))
        if not ending.on:
            self._requote(
                *self._end_same(name, {each: values[each] for each in kind.targets if each in values})
            )
            return
        fault = kind(**values)
        ended = self._end_same(name, {each: getattr(fault, each) for each in kind.targets})
        self._requote(*ended, self._begin(fault, given, ending))

    def _begin(self, fault: Fault, given: Mapping[str, object], ending: Ending) -> Active | None:
        effect = fault.begin(self._gateway)
        if effect is None:
            return None
        until = self.now + timedelta(seconds=ending.seconds) if ending.seconds is not None else None
        active = Active(fault, given, effect, self.now, until, ending.times or fault.times)
        self._active.append(active)
        if until:
            self.at(until, lambda: self._expire(active))
        self._hook()
        if effect.opened:
            for session in self._gateway.connections:
                effect.opened(session)
        return active

    def _requote(self, *changed: Active | None) -> None:
        """Tells everybody what is to be seen now, if that is different for one of these."""
        if any(active and (active.effect.quote or active.effect.requotes) for active in changed):
            self._gateway.publish()

    def heal(self) -> list[str]:
        """Ends everything that is active; its names."""
        healed = list(self._active)
        for active in healed:
            self._end(active, release=True)
        self._requote(*healed)
        return [active.fault.name for active in healed]

    def describe(self) -> list[dict[str, Any]]:
        """What is active, oldest first."""
        return [
            {
                "fault": active.fault.name,
                **active.given,
                "since": active.since.isoformat(),
                "until": active.until.isoformat() if active.until else None,
                "left": active.left,
                "applied": active.applied,
            }
            for active in self._active
        ]

    def _end_same(self, name: str, targets: Mapping[str, object]) -> list[Active]:
        """Ends what is active of this fault with these targets; what it was."""
        same = [
            active
            for active in self._active
            if active.fault.name == name
            and all(getattr(active.fault, each) == value for each, value in targets.items())
        ]
        for active in same:
            self._end(active, release=True)
        return same

    def _expire(self, active: Active) -> None:
        if not active.over:
            self._end(active, release=True)
            self._requote(active)

    def _end(self, active: Active, release: bool) -> None:
        """`release`: what it holds back goes out now."""
        if active.over:
            return
        active.over = True
        self._active.remove(active)
        self._hook()
        if active.effect.end:
            active.effect.end()
        for waiting in active.waiting if release else ():
            waiting.send()

    def count(self, active: Active) -> None:
        """One more application; the last one ends the fault."""
        active.applied += 1
        if active.left is not None:
            active.left -= 1
            if active.left <= 0:
                self._end(active, release=False)

    # -- time -----------------------------------------------------------------------------------------

    def later(self, delay_s: float, action: Action) -> None:
        """Does it `delay_s` simulated seconds from now."""
        self.at(self.now + timedelta(seconds=delay_s), action)

    def at(self, moment: datetime, action: Action) -> None:
        heapq.heappush(self._actions, (moment, self._numbers, action))
        self._numbers += 1

    def next_event(self) -> datetime | None:
        return self._actions[0][0] if self._actions else None

    def pass_time(self, now: datetime) -> None:
        """Does what is due, each at its own moment though time may have leapt over it."""
        while self._actions and self._actions[0][0] <= now:
            self._moment, _, action = heapq.heappop(self._actions)
            try:
                action()
            finally:
                self._moment = None

    # -- doors ----------------------------------------------------------------------------------------

    def opened(self, session: Session) -> None:
        """A new connection suffers what is active."""
        self._hook()
        for active in list(self._active):
            if active.effect.opened:
                active.effect.opened(session)

    def _hook(self) -> None:
        """Sets exactly the hooks that something active needs."""
        effects = [active.effect for active in self._active]
        editor = self._edit if self._waiting or any(effect.outgoing for effect in effects) else None
        for session in self._gateway.connections:
            session.editor = editor
        exchange = self._gateway.exchange
        exchange.distort = self._distort if any(effect.quote for effect in effects) else None
        exchange.object_to = self._object_to if any(effect.order for effect in effects) else None
        self._gateway.listener = self._take if any(effect.incoming for effect in effects) else None

    def _edit(self, session: Session, message: Message) -> None:
        """Sends what the active faults make of a message, oldest fault first."""
        messages = [message]
        for active in [each for each in self._active if each.effect.outgoing]:
            messages = [after for each in messages for after in self._edited(active, session, each)]
        for each in messages:
            session.transmit(each)
            self._release(session, each)

    def _edited(self, active: Active, session: Session, message: Message) -> list[Message]:
        edit = active.effect.outgoing
        made = edit(session, message) if edit and active.concerns(session) else None
        if made is None:
            return [message]
        self.count(active)
        for each in made:
            if isinstance(each, Held):
                self._hold(active, Waiting(session, each))
        return [each for each in made if not isinstance(each, Held)]

    def _hold(self, active: Active, waiting: Waiting) -> None:
        active.waiting = [each for each in active.waiting if not each.sent]
        active.waiting.append(waiting)
        if waiting.held.delay_s is not None:
            self.later(waiting.held.delay_s, waiting.send)
        if waiting.held.after:
            self._waiting.append(waiting)
            self._hook()

    def _release(self, session: Session, gone: Message) -> None:
        """Sends what was waiting for the message that has just gone."""
        for waiting in list(self._waiting):
            if waiting.sent or (
                waiting.session is session and waiting.held.after and waiting.held.after(gone)
            ):
                self._waiting.remove(waiting)
                waiting.send()
        if not self._waiting:
            self._hook()

    def _take(self, session: Session, kind: int, values: Sequence[str]) -> bool:
        """Whether a fault takes the client's message away; never one without sense, for the desks know
        what to say of it."""
        for active in list(self._active):
            take = active.effect.incoming
            if take and active.concerns(session):
                try:
                    taken = take(session, kind, values)
                except MessageError:
                    return False
                if taken:
                    self.count(active)
                    return True
        return False

    def _distort(self, con_id: ConId, quote: Quote) -> Quote:
        for active in list(self._active):
            distorted = active.effect.quote(con_id, quote) if active.effect.quote else None
            if distorted is not None:
                self.count(active)
                quote = distorted
        return quote

    def _object_to(self, request: OrderRequest) -> OrderRefused | None:
        for active in list(self._active):
            refusal = active.effect.order(request) if active.effect.order else None
            if refusal:
                self.count(active)
                return refusal
        return None
