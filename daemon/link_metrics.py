"""What Prometheus may know of the way to the broker."""

from prometheus_client import CollectorRegistry, Counter, Gauge

from broker.connection_breaker import BreakerState
from broker.events import LinkHealth, LinkState

NAN = float("nan")


class LinkMetrics:
    """Set once per cycle; what is unknown is NaN."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def gauge(name: str, meaning: str, labels: tuple[str, ...] = ()) -> Gauge:
            return Gauge(f"optiond_link_{name}", meaning, labels, registry=registry)

        def counter(name: str, meaning: str) -> Counter:
            return Counter(f"optiond_link_{name}", meaning, registry=registry)

        self.up = gauge("up", "1 when the broker's link is up")
        self.state = gauge("state", "1 for the state that the link is in", ("state",))
        self.state_seconds = gauge("state_seconds", "How long it has been in its state")
        self.attempts = gauge("attempts", "Connects tried since the last that succeeded")
        self.breaker = gauge("breaker", "1 for the state of the connection breaker", ("state",))
        self.received = counter("messages_received", "Messages of the broker")
        self.sent = counter("messages_sent", "Messages to the broker")
        self.waiting = gauge("messages_waiting", "Messages that wait for their turn to be sent")
        self.heard = gauge("heartbeat_age_seconds", "Since the last message of the broker")
        self.blackout = gauge("blackout", "1 while no order is sent because of broker.blackout")
        self.renewals = counter("planned_reconnects", "Connections made anew on purpose")
        self._counted = (0, 0)

    def show(self, health: LinkHealth, state_s: float | None, blackout: bool) -> None:
        self.up.set(health.state is LinkState.UP)
        for state in LinkState:
            self.state.labels(state.value).set(state is health.state)
        for breaker in BreakerState:
            self.breaker.labels(breaker.value).set(breaker is health.breaker)
        self.state_seconds.set(NAN if state_s is None else state_s)
        self.attempts.set(health.attempts)
        self.waiting.set(health.waiting)
        self.heard.set(NAN if health.heard_s is None else health.heard_s)
        self.blackout.set(blackout)
        received, sent = self._counted
        self.received.inc(health.received - received)
        self.sent.inc(health.sent - sent)
        self._counted = health.received, health.sent
