"""The account's money as the broker last reported it."""

from datetime import datetime, timedelta

from broker.events import AccountChanged

STALE_AFTER_S = 600.0
"""Interactive Brokers repeats account values every three minutes even when nothing moves."""

FIGURES = {
    "NetLiquidation": "nlv_usd",
    "TotalCashValue": "cash_usd",
    "InitMarginReq": "initial_margin_usd",
    "MaintMarginReq": "maintenance_margin_usd",
    "AvailableFunds": "available_funds_usd",
    "BuyingPower": "buying_power_usd",
    "RealizedPnL": "realized_pnl_usd",
    "UnrealizedPnL": "unrealized_pnl_usd",
}


class AccountBoard:
    """The latest figures of one account, USD. A figure in another currency is not taken in."""

    def __init__(self, stale_after_s: float = STALE_AFTER_S) -> None:
        self._stale_after = timedelta(seconds=stale_after_s)
        self._figures: dict[str, float | None] = {}
        self._updated: datetime | None = None
        self.account = ""

    def apply(self, event: AccountChanged, now: datetime) -> None:
        name = FIGURES.get(event.key)
        if name is None or event.currency != "USD":
            return
        self.account = event.account
        self._figures[name] = event.value
        self._updated = now

    def forget(self) -> None:
        """The link is gone: figures are unknown until they are reported again."""
        self._updated = None

    def age_s(self, now: datetime) -> float | None:
        """Seconds since the last report; None when there is none."""
        return None if self._updated is None else (now - self._updated).total_seconds()

    def figures(self, now: datetime) -> dict[str, float | None]:
        """Every name of `FIGURES`; all None once the last report is older than the limit."""
        fresh = self._updated is not None and now - self._updated <= self._stale_after
        return {name: self._figures.get(name) if fresh else None for name in FIGURES.values()}
