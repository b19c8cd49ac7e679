"""What Prometheus may know of the lake."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

NAN = float("nan")


class LakeMetrics:
    """Set after each flush and each look at the disk, never while Prometheus asks."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def gauge(name: str, meaning: str, labels: tuple[str, ...] = ()) -> Gauge:
            return Gauge(f"optiond_lake_{name}", meaning, labels, registry=registry)

        self.commit_seconds = Histogram(
            "optiond_lake_commit_seconds",
            "Time to make a cycle durable",
            registry=registry,
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1),
        )
        self.flush_seconds = Histogram(
            "optiond_lake_flush_seconds",
            "Time of a flush of the journal into Delta",
            registry=registry,
            buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
        )
        self.flushes = Counter("optiond_lake_flushes", "Flushes of the journal into Delta", registry=registry)
        self.flush_failures = Counter("optiond_lake_flush_failures", "Flushes that failed", registry=registry)
        self.unflushed_rows = gauge("unflushed_rows", "Rows only in the journal")
        self.unflushed_commits = gauge("unflushed_commits", "Commits only in the journal")
        self.journal_bytes = gauge("journal_bytes", "What the journal holds")
        self.free_bytes = gauge("free_bytes", "Free room on the disk of the home")
        self.commit_age_seconds = gauge("last_commit_age_seconds", "Since the last commit")
        self.flush_age_seconds = gauge("last_flush_age_seconds", "Since everything was last flushed")
        self.entries_stopped = gauge("entries_stopped", "1 while the disk keeps entries from being made")
        self.versions = gauge("table_version", "Newest Delta version of a table", ("table",))
        self.files = gauge("table_files", "Data files of a table", ("table",))
        self.small_file_ratio = gauge(
            "table_small_file_ratio", "Part of a table's files that upkeep would merge", ("table",)
        )
        self.bytes = gauge("table_bytes", "Bytes of a table's data files", ("table",))
        self.rows = gauge("table_rows", "Flushed rows of a table", ("table",))
        self.trouble = gauge("table_trouble", "1 when a table was changed and cannot be healed", ("table",))
        self.upkeeps = Counter(
            "optiond_lake_upkeep_runs", "Runs of the upkeep: done, stopped or failed", ["how"],
            registry=registry,
        )  # fmt: skip
        self.upkeep_running = gauge("upkeep_running", "1 while the upkeep runs")
        self.upkeep_seconds = gauge("upkeep_last_seconds", "How long the last whole upkeep took")
        self.upkeep_time = gauge(
            "upkeep_last_success_timestamp_seconds", "The daemon's time of the last whole upkeep"
        )
        self.upkeep_overdue = gauge("upkeep_overdue", "1 when it was not done after several closes")
        for how in ("done", "stopped", "failed"):
            # From 0 on: Prometheus sees no increase where a counter begins with its first event.
            self.upkeeps.labels(how)
        for unknown in (self.upkeep_seconds, self.upkeep_time, self.free_bytes, self.commit_age_seconds):
            unknown.set(NAN)
