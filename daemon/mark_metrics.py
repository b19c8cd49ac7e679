"""What Prometheus may know of the marks."""

from prometheus_client import CollectorRegistry, Counter, Gauge


class MarkMetrics:
    """Set whenever marks are recorded."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def gauge(name: str, meaning: str, labels: tuple[str, ...] = ()) -> Gauge:
            return Gauge(f"optiond_mark_{name}", meaning, labels, registry=registry)

        self.contracts = gauge("contracts", "Contracts held by how their mark was got", ("state",))
        self.flagged = gauge("flagged", "Contracts held whose quote has this flag", ("flag",))
        self.visits = Counter("optiond_mark_visits", "Visits that a mark was measured at", registry=registry)
        self.error_ratio = gauge("error_ratio", "Median error of a mark against the true mid")
        self.error_ticks = gauge("error_ticks", "The same in price steps")
        self.delta_error = gauge("delta_error", "Median error of a modelled delta against the broker's")
        self.within = gauge("within_ratio", "Share of marks wrong by at most 1 % or a price step")
