"""What Prometheus may know: one registry, named `optiond_...`, units in the names."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from daemon.lake_metrics import LakeMetrics
from daemon.link_metrics import LinkMetrics
from daemon.loop_turns import LoopTurns
from daemon.mark_metrics import MarkMetrics


class Metrics:
    """The daemon's metrics. Unknown gauges are NaN, as Prometheus wants it."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.beat_seconds = Histogram(
            "optiond_beat_seconds",
            "Time one cycle took, journal commit included",
            registry=registry,
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5),
        )
        self.loop_lag_seconds = Gauge(
            "optiond_loop_lag_seconds", "Event-loop lag, last probe", registry=registry
        )
        self.loop_lateness_seconds = Histogram(
            "optiond_loop_lateness_seconds",
            "Event-loop lag of every probe, to read percentiles from",
            registry=registry,
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1),
        )
        self.loop_turns = LoopTurns()
        registry.register(self.loop_turns)
        self.link = LinkMetrics(registry)
        self.link_changes = Counter("optiond_link_changes", "Changes of the broker's link", registry=registry)
        self.lines_used = Gauge("optiond_lines_used", "Market-data lines in use", registry=registry)
        self.line_budget = Gauge("optiond_line_budget", "Market-data lines we may use", registry=registry)
        self.queue_contracts = Gauge(
            "optiond_queue_contracts", "Contracts that take turns on a few lines", registry=registry
        )
        self.queue_parked = Gauge(
            "optiond_queue_parked", "Of these, contracts that do not answer", registry=registry
        )
        self.queue_oldest_seconds = Gauge(
            "optiond_queue_oldest_seconds", "Longest time since the last visit of one", registry=registry
        )
        self.data_age_seconds = Gauge(
            "optiond_data_age_seconds", "Age of the newest quote", registry=registry
        )
        self.positions = Gauge("optiond_positions", "Open positions", registry=registry)
        self.open_intents = Gauge("optiond_open_intents", "Intents not settled or ended", registry=registry)
        self.decisions = Counter(
            "optiond_decisions", "Decisions by rule and kind", ["rule", "kind"], registry=registry
        )
        self.executions = Counter("optiond_executions", "Executions taken in", registry=registry)
        self.alerts = Counter("optiond_alerts", "Alerts raised", ["severity"], registry=registry)
        self.breaker_armed = Gauge("optiond_breaker_armed", "1 when trading is armed", registry=registry)
        self.breaker_mode = Gauge(
            "optiond_breaker_mode", "1 for the mode that holds", ["mode"], registry=registry
        )
        self.breaker_events = Counter(
            "optiond_breaker_events", "Events that befell the breaker", ["event"], registry=registry
        )
        self.lake = LakeMetrics(registry)
        self.marks = MarkMetrics(registry)
        self.nlv_usd = Gauge("optiond_nlv_usd", "Net liquidation value", registry=registry)
