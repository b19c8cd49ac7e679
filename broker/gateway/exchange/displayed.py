"""The sizes that the standing quotes display, less what has been traded against them.

A fill uses up the size it was made against; the contract's next quote renews it.
"""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from broker.gateway.markets.quotes import Quote
from options import ConId


class Displayed:
    def __init__(self) -> None:
        self._used: dict[tuple[ConId, bool], tuple[Quote, int]] = {}

    def left(self, con_id: ConId, quote: Quote, buys: bool) -> int:
        """Contracts that can still be bought (sold) against `quote`."""
        size = quote.ask_size if buys else quote.bid_size
        against, used = self._used.get((con_id, buys), (quote, 0))
        return max(0, size - used) if against == quote else size

    def use(self, con_id: ConId, quote: Quote, signed: int) -> None:
        """Takes the size of a trade of `signed` contracts away."""
        key = (con_id, signed > 0)
        against, used = self._used.get(key, (quote, 0))
        self._used[key] = (quote, abs(signed) + (used if against == quote else 0))

    def renew(self, con_ids: Iterable[ConId]) -> None:
        """New quotes have come for these contracts."""
        if self._used:
            for con_id in con_ids:
                self._used.pop((con_id, True), None)
                self._used.pop((con_id, False), None)

    def save(self) -> list[dict[str, Any]]:
        """What `load` needs to continue, as JSON."""
        return [
            {"con_id": con_id, "bought": bought, "used": used, "quote": asdict(quote)}
            for (con_id, bought), (quote, used) in self._used.items()
        ]

    def load(self, saved: Iterable[dict[str, Any]]) -> None:
        for row in saved:
            self._used[ConId(row["con_id"]), row["bought"]] = (Quote(**row["quote"]), row["used"])
