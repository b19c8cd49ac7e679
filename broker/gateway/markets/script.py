"""The script market: every contract and every price comes from a test, over the control port or a file."""

import json
from collections import defaultdict, deque
from collections.abc import Collection, Sequence
from dataclasses import fields, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from broker.gateway.errors import GatewayError
from broker.gateway.markets.bars import Price, bars_of
from broker.gateway.markets.listings import Listings, option, underlying
from broker.gateway.markets.market import Bar, Dividend
from broker.gateway.markets.quotes import MISSING, Quote
from options import NEW_YORK, ConId, Contract, Right

DEFAULT_START = datetime(2026, 3, 2, 10, 0, tzinfo=NEW_YORK).astimezone(UTC)
LONGEST_PAST = 10_000
QUOTE_FIELDS = tuple(field.name for field in fields(Quote))


class ScriptMarket:
    """Quotes stand until they are set again. Time never rests at night: a test decides what time it is."""

    name = "script"

    def __init__(self, start: datetime | None = None) -> None:
        self._start = (start or DEFAULT_START).astimezone(UTC)
        self.listings = Listings()
        self._quotes: dict[ConId, Quote] = {}
        self._marks: dict[ConId, float] = {}
        self._past: dict[ConId, deque[Price]] = defaultdict(lambda: deque(maxlen=LONGEST_PAST))
        self._dividends: dict[str, list[Dividend]] = {}

    def read(self, path: Path) -> None:
        """Takes `{"contracts": [...], "quotes": [...], "dividends": [...]}`; raises GatewayError."""
        try:
            described = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
            raise GatewayError(f"script file {path} cannot be read ({error}): correct it") from None
        for terms in described.get("contracts", []):
            self.add(terms)
        for terms in described.get("quotes", []):
            self.set(terms)
        for terms in described.get("dividends", []):
            self.announce(terms)

    def add(self, terms: dict[str, Any]) -> Contract:
        """Lists an underlying (symbol alone) or an option; raises GatewayError for senseless terms."""
        try:
            if terms.get("strike") is None:
                return self.listings.add(underlying(terms["symbol"]))
            if self.listings.find(terms["symbol"]) is None:
                self.listings.add(underlying(terms["symbol"]))
            return self.listings.add(
                option(
                    terms["symbol"],
                    date.fromisoformat(terms["expiry"]),
                    float(terms["strike"]),
                    Right(terms["right"]),
                    con_id=terms.get("con_id"),
                    min_tick=float(terms.get("min_tick", 0.01)),
                )
            )
        except (KeyError, TypeError, ValueError) as error:
            raise GatewayError(
                f"contract {terms} makes no sense ({error!r}): give symbol, expiry, strike, right"
            ) from None

    def contract(self, terms: dict[str, Any]) -> Contract:
        """The listed contract that `terms` name by con_id or by what it is; raises GatewayError."""
        if "con_id" in terms:
            found = self.listings.get(int(terms["con_id"]))
        elif terms.get("strike") is None:
            found = self.listings.find(str(terms.get("symbol")))
        else:
            day = date.fromisoformat(terms["expiry"])
            found = self.listings.find(terms["symbol"], day, float(terms["strike"]), Right(terms["right"]))
        if found is None:
            raise GatewayError(f"no contract fits {terms}: add it with the command contract")
        return found

    def set(self, terms: dict[str, Any], now: datetime | None = None) -> ConId:
        """Replaces a contract's quote by the given values; what is not given is missing. With `now` the
        contract's history knows of it."""
        contract = self.contract(terms)
        quote = Quote(**{name: value for name, value in terms.items() if name in QUOTE_FIELDS})
        if "bid_size" not in terms:
            quote = replace(quote, bid_size=_size(quote.bid), ask_size=_size(quote.ask))
        before = self._quotes.get(contract.con_id, MISSING)
        self._quotes[contract.con_id] = quote
        if quote.mark is not None:
            self._marks[contract.con_id] = quote.mark
            if now:
                traded = max((quote.volume or 0) - (before.volume or 0), 0)
                self._past[contract.con_id].append(Price(now, quote.mark, traded))
        return contract.con_id

    def announce(self, terms: dict[str, Any]) -> None:
        """Adds a dividend: symbol, ex_date, amount_usd per share; raises GatewayError."""
        try:
            amount_usd = float(terms["amount_usd"])
            dividend = Dividend(date.fromisoformat(terms["ex_date"]), amount_usd)
            symbol = str(terms["symbol"])
        except (KeyError, TypeError, ValueError) as error:
            raise GatewayError(
                f"dividend {terms} makes no sense ({error!r}): give symbol, ex_date, amount_usd"
            ) from None
        if amount_usd <= 0:
            raise GatewayError(f"dividend {terms} pays {amount_usd} USD: give more than 0")
        known = self._dividends.setdefault(symbol, [])
        known.append(dividend)
        known.sort(key=lambda announced: announced.ex_date)

    def start(self) -> datetime:
        return self._start

    def quotes(self, con_ids: Collection[ConId], now: datetime) -> dict[ConId, Quote]:
        return {con_id: self._quotes.get(con_id, MISSING) for con_id in con_ids}

    def marks(self, con_ids: Collection[ConId], now: datetime) -> dict[ConId, float]:
        return {con_id: self._marks[con_id] for con_id in con_ids if con_id in self._marks}

    def bars(self, con_id: ConId, since: datetime, until: datetime, seconds: int) -> list[Bar]:
        """A price stands until the next one; older ones than the last `LONGEST_PAST` are forgotten, and so
        are all when the program ends."""
        return bars_of(list(self._past.get(con_id, ())), since, until, seconds, stand=True)

    def dividends(self, symbol: str) -> Sequence[Dividend]:
        return self._dividends.get(symbol, ())

    def next_change(self, watched: Collection[ConId], now: datetime) -> datetime | None:
        return None

    def changed(self, watched: Collection[ConId], since: datetime, until: datetime) -> list[ConId]:
        return []

    def resume(self, now: datetime) -> datetime:
        return now

    def ended(self, now: datetime) -> bool:
        return False

    def save(self) -> dict[str, Any]:
        return {
            "contracts": [_terms(c) for c in self.listings],
            "quotes": self._saved_quotes(),
            "marks": {str(con_id): mark for con_id, mark in self._marks.items()},
            "dividends": [
                {"symbol": symbol, "ex_date": paid.ex_date.isoformat(), "amount_usd": paid.amount_usd}
                for symbol, announced in self._dividends.items()
                for paid in announced
            ],
        }

    def load(self, saved: dict[str, Any]) -> None:
        for terms in saved["contracts"]:
            self.add(terms)
        for terms in saved["quotes"]:
            self.set(terms)
        self._marks = {ConId(int(con_id)): mark for con_id, mark in saved["marks"].items()}
        for terms in saved["dividends"]:
            self.announce(terms)

    def _saved_quotes(self) -> list[dict[str, Any]]:
        return [
            {"con_id": con_id, **{name: getattr(quote, name) for name in QUOTE_FIELDS}}
            for con_id, quote in self._quotes.items()
        ]


def _size(price: float | None) -> int:
    return 0 if price is None else 10


def _terms(contract: Contract) -> dict[str, Any]:
    return {
        "con_id": contract.con_id,
        "symbol": contract.symbol,
        "expiry": contract.expiry.isoformat() if contract.expiry else None,
        "strike": contract.strike,
        "right": contract.right,
        "min_tick": contract.min_tick,
    }
