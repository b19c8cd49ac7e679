"""What a market says about one contract at one moment."""

from dataclasses import dataclass


# Nobody changes a quote, but freezing it would make it five times as slow to build, by thousands a second.
@dataclass(slots=True)
class Quote:
    """Prices in USD per share, sizes in contracts, `iv` annualised, Greeks as in `options.greeks`.

    `open`, `high`, `low` and `volume` are of the day so far, `close` is of the day before; `open_interest`
    in contracts. None means that the market has no such value; it is never replaced by 0.
    """

    bid: float | None = None
    ask: float | None = None
    bid_size: int = 0
    ask_size: int = 0
    last: float | None = None
    close: float | None = None
    open: float | None = None
    high: float | None = None
    low: float | None = None
    volume: int | None = None
    open_interest: int | None = None
    iv: float | None = None
    delta: float | None = None
    gamma: float | None = None
    theta: float | None = None
    vega: float | None = None
    model_price: float | None = None
    underlying_price: float | None = None

    @property
    def computation(self) -> tuple[float | None, ...] | None:
        """The model's values in wire order, None when the market has none of the Greeks."""
        greeks = (self.iv, self.delta, self.gamma, self.theta, self.vega)
        if all(value is None for value in greeks):
            return None
        return (
            self.iv,
            self.delta,
            self.model_price,
            None,
            self.gamma,
            self.vega,
            self.theta,
            self.underlying_price,
        )

    @property
    def two_sided(self) -> tuple[float, float] | None:
        """(bid, ask) when both are there and not crossed: the only quotes that an order can meet."""
        if self.bid is None or self.ask is None or not 0 < self.bid <= self.ask:
            return None
        return self.bid, self.ask

    @property
    def mark(self) -> float | None:
        """The middle of a two-sided quote, else the last price."""
        sides = self.two_sided
        return (sides[0] + sides[1]) / 2 if sides else self.last


MISSING = Quote()
