"""A scripted market in which an account holds many iron condors, each with an expiry of its own."""

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from lake import Lake
from options import ConId, Contract, Leg, Right, SecType, UsdPerContract, classify
from options.american import american
from options.hours import closing
from sync.position import Position, PositionEvent, PositionEventKind
from sync.tables import LAKE_TABLES

START = datetime(2026, 3, 2, 15, 0, tzinfo=UTC)
FIRST_EXPIRY = date(2026, 4, 17)
STRIKES = (("P", 90.0, 1), ("P", 95.0, -1), ("C", 105.0, -1), ("C", 110.0, 1))
VOL, RATE = 0.25, 0.04


@dataclass(frozen=True)
class Held:
    """Contract `con_id` of condor `condor` on underlying `symbol`."""

    con_id: int
    symbol: str
    condor: int
    expiry: date
    right: str
    strike: float
    quantity: int

    @property
    def cost_usd(self) -> float:
        return 100.0 if self.quantity < 0 else 50.0

    @property
    def contract(self) -> Contract:
        terms = (self.symbol, SecType.OPTION, self.expiry, self.strike, Right(self.right), 100)
        return Contract(ConId(self.con_id), *terms, trading_class=self.symbol)


@dataclass(frozen=True)
class Account:
    """`condors` on each of `underlyings`. On the first `near` of these the short calls are near the money;
    the first condor of each of the `live` last belongs to a live strategy. `silent` are never quoted."""

    underlyings: int
    condors: int
    near: int = 0
    live: int = 0
    silent: frozenset[int] = frozenset()

    @property
    def symbols(self) -> list[str]:
        return [f"U{number:02d}" for number in range(self.underlyings)]

    @property
    def held(self) -> list[Held]:
        return list(self._held())

    def _held(self) -> Iterator[Held]:
        con_id = 1000
        for symbol in self.symbols:
            for condor in range(self.condors):
                expiry = FIRST_EXPIRY + timedelta(days=7 * condor)
                for right, strike, quantity in STRIKES:
                    con_id += 1
                    yield Held(con_id, symbol, condor, expiry, right, strike, quantity)

    @property
    def strategic(self) -> list[Held]:
        """The contracts of the live strategy."""
        symbols = self.symbols[len(self.symbols) - self.live :]
        return [held for held in self._held() if held.symbol in symbols and held.condor == 0]

    def spot(self, symbol: str) -> float:
        return 104.0 if symbol in self.symbols[: self.near] else 100.0

    def write(self, folder: Path) -> tuple[Path, Path]:
        """The market's script and the account's holdings."""
        script, positions = folder / "market.json", folder / "positions.csv"
        held = self.held
        script.write_text(json.dumps({"contracts": self._contracts(held), "quotes": self._quotes(held)}))
        with positions.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(("conid", "symbol", "expiry", "right", "strike", "position", "average_cost"))
            for one in held:
                terms = (one.con_id, one.symbol, one.expiry, one.right, one.strike)
                writer.writerow((*terms, one.quantity, one.cost_usd))
        return script, positions

    def _contracts(self, held: list[Held]) -> list[dict[str, Any]]:
        shares = [{"symbol": symbol} for symbol in (*self.symbols, "VIX")]
        return shares + [
            {
                "symbol": h.symbol,
                "expiry": str(h.expiry),
                "strike": h.strike,
                "right": h.right,
                "con_id": h.con_id,
            }
            for h in held
        ]

    def _quotes(self, held: list[Held]) -> list[dict[str, Any]]:
        spots = [self.spot(one.symbol) for one in held]
        strikes, is_call = [one.strike for one in held], [one.right == "C" for one in held]
        years = np.array([(closing(one.expiry) - START).total_seconds() / (365 * 86400) for one in held])
        worth = american(spots, strikes, years, VOL, is_call, RATE)
        quotes: list[dict[str, Any]] = [{"symbol": "VIX", "last": 17.0}]
        for symbol in self.symbols:
            spot = self.spot(symbol)
            quotes.append({"symbol": symbol, "bid": spot - 0.01, "ask": spot + 0.01, "last": spot})
        for row, one in enumerate(held):
            mid = round(max(float(worth.price[row]), 0.05), 2)
            greeks = {name: float(getattr(worth, name)[row]) for name in ("delta", "gamma", "theta", "vega")}
            sides = {"bid": round(mid - 0.01, 2), "ask": round(mid + 0.01, 2)}
            model = {"iv": VOL, "underlying_price": spots[row], **greeks}
            if one.con_id not in self.silent:
                quotes.append({"con_id": one.con_id, **sides, **model})
        return quotes

    def remember(self, home: Path) -> None:
        """A lake in which the live strategy has opened its condors."""
        rows = []
        for first in range(0, len(self.strategic), len(STRIKES)):
            legs = self.strategic[first : first + len(STRIKES)]
            made = tuple(Leg(one.contract, one.quantity, UsdPerContract(one.cost_usd)) for one in legs)
            name = f"{legs[0].symbol}-ours"
            position = Position(name, classify(made), legs[0].symbol, 1, made, START, strategy="condors")
            rows.append(PositionEvent(PositionEventKind.OPENED, position).row())
        home.mkdir(exist_ok=True)
        with Lake.open(home, LAKE_TABLES) as lake:
            frame = pl.DataFrame(rows, schema=LAKE_TABLES["strategies"].row, orient="row", strict=False)
            lake.commit(START - timedelta(minutes=5), {"strategies": frame})
