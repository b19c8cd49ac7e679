"""The model market: a small seeded world in which SPY, QQQ and IWM options trade all day.

Each expiry has a smile (puts dearer than calls) on an at-the-money volatility that lies between the index
and its long mean, the nearer the expiry the closer to the index. Spreads widen with price and with the
distance from the money. Option values and Greeks come from `options.greeks`.
"""

import math
from collections.abc import Collection, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np

from broker.gateway.account import Holding
from broker.gateway.listings import Listings, option, underlying
from broker.gateway.market import Bar, Dividend
from broker.gateway.paths import FACTORS, MEAN_VIX, VIX_REVERSION, VOL_RATIO, Floats, Paths
from broker.gateway.quotes import MISSING, Quote
from options import NEW_YORK, ConId, Contract, Right, SecType, UsdPerContract, greeks
from options.hours import closing, is_open, is_trading_day, next_opening, trading_day

DEFAULT_START = datetime(2026, 3, 2, 10, 0, tzinfo=NEW_YORK).astimezone(UTC)
RATE = 0.04
DIVIDEND_YIELD = {"SPY": 0.012, "QQQ": 0.006, "IWM": 0.011}
SPREAD_FACTOR = {"SPY": 1.0, "QQQ": 1.4, "IWM": 1.2}
WING_USD = {"SPY": 10.0, "QQQ": 10.0, "IWM": 5.0}
COARSE_STEP = {"SPY": 5.0, "QQQ": 5.0, "IWM": 2.0}
AT_THE_MONEY_SHARE = 0.88
LONGEST_DAYS = 70
SECONDS_PER_YEAR = 365 * 86_400
# How much dearer volatility was when the newcomer's condors were sold: each is at another point of its
# life, and SPY's, sold in a scare, is about to reach half of its profit.
ENTRY_VOL_FACTOR = {"SPY": 1.77, "QQQ": 1.08, "IWM": 0.97}


class ModelMarket:
    """See the module. `start` and `seed` decide everything; quotes are sent every `quote_every_s`."""

    name = "model"

    def __init__(self, seed: int = 1, start: datetime | None = None, quote_every_s: int = 1) -> None:
        self._quote_every_s = quote_every_s
        moment = (start or DEFAULT_START).astimezone(UTC)
        self._start = moment if is_open(moment) else next_opening(moment)
        self.listings = Listings()
        for symbol in FACTORS:
            self.listings.add(underlying(symbol))
        self._paths = Paths.begin(seed, trading_day(self._start))
        self._listed: dict[str, float] = {}
        self._cached: tuple[datetime, dict[ConId, Quote]] = (self._start, {})
        self._list_expiries(trading_day(self._start))

    def start(self) -> datetime:
        return self._start

    def resume(self, now: datetime) -> datetime:
        return now if is_open(now) else next_opening(now)

    def ended(self, now: datetime) -> bool:
        return False

    def bars(self, con_id: ConId, since: datetime, until: datetime, seconds: int) -> list[Bar]:
        return []

    def dividends(self, symbol: str) -> Sequence[Dividend]:
        return ()

    def next_change(self, watched: Collection[ConId], now: datetime) -> datetime | None:
        return self._quoted(now) + timedelta(seconds=self._quote_every_s) if watched else None

    def changed(self, watched: Collection[ConId], since: datetime, until: datetime) -> list[ConId]:
        return sorted(watched) if self._quoted(since) < self._quoted(until) else []

    def _quoted(self, now: datetime) -> datetime:
        """The last moment at which everything was quoted anew."""
        seconds = int(now.timestamp())
        return datetime.fromtimestamp(seconds - seconds % self._quote_every_s, UTC)

    def marks(self, con_ids: Collection[ConId], now: datetime) -> dict[ConId, float]:
        found = self.quotes(con_ids, now)
        return {con_id: quote.mark for con_id, quote in found.items() if quote.mark is not None}

    def quotes(self, con_ids: Collection[ConId], now: datetime) -> dict[ConId, Quote]:
        now = second = now.replace(microsecond=0)  # whoever asks first within a second, it is the same quote
        levels = self._paths.at(now)
        if self._cached[0] != second:
            self._cached = (second, {})
            if trading_day(now) != self._listed_on:
                self._list_expiries(trading_day(now))
        known = self._cached[1]
        wanted: dict[str, list[Contract]] = {}
        for con_id in con_ids:
            contract = self.listings.get(con_id)
            if contract is None or con_id in known:
                continue
            if contract.sec_type is SecType.OPTION:
                if _years(contract.expiry, now) > 0:
                    wanted.setdefault(contract.symbol, []).append(contract)
            else:
                known[con_id] = self._underlying_quote(contract, levels[contract.symbol])
        for symbol, contracts in wanted.items():
            known.update(self._option_quotes(contracts, levels[symbol], levels["VIX"], now))
        return {con_id: known.get(con_id, MISSING) for con_id in con_ids}

    def _underlying_quote(self, contract: Contract, level: float) -> Quote:
        price = round(level, 2)
        close = round(self._paths.previous_close()[contract.symbol], 2)
        if contract.sec_type is SecType.INDEX:
            return Quote(last=price, close=close)
        bid = math.floor(level * 100) / 100
        return Quote(bid=bid, ask=round(bid + 0.01, 2), bid_size=400, ask_size=300, last=price, close=close)

    def _option_quotes(
        self, contracts: list[Contract], spot: float, vix: float, now: datetime
    ) -> dict[ConId, Quote]:
        symbol = contracts[0].symbol
        strikes = np.array([contract.strike for contract in contracts], dtype=np.float64)
        years = np.array([_years(contract.expiry, now) for contract in contracts])
        calls = np.array([contract.right is Right.CALL for contract in contracts])
        vols = smile(symbol, spot, strikes, years, vix)
        model = greeks(spot, strikes, years, vols, calls, RATE, DIVIDEND_YIELD[symbol])
        distance = np.abs(np.log(strikes / spot)) / (vols * np.sqrt(years))
        half = (0.008 + 0.0025 * model.price) * (1 + 0.4 * distance) * SPREAD_FACTOR[symbol]
        bids = np.floor((model.price - half) * 100 + 1e-9) / 100
        asks = np.ceil((model.price + half) * 100 - 1e-9) / 100
        found: dict[ConId, Quote] = {}
        for i, contract in enumerate(contracts):
            if not np.isfinite(model.price[i]):
                continue
            bid = round(float(bids[i]), 2)
            size = 10 + contract.con_id % 190
            found[contract.con_id] = Quote(
                bid=bid if bid > 0 else None,
                ask=round(float(asks[i]), 2),
                bid_size=size if bid > 0 else 0,
                ask_size=size + 5,
                iv=round(float(vols[i]), 6),
                delta=round(float(model.delta[i]), 6),
                gamma=round(float(model.gamma[i]), 8),
                theta=round(float(model.theta[i]), 6),
                vega=round(float(model.vega[i]), 6),
                model_price=round(float(model.price[i]), 6),
                underlying_price=round(spot, 2),
            )
        return found

    def _list_expiries(self, today: date) -> None:
        """Lists each week's last day once its Friday comes within `LONGEST_DAYS`, with strikes around that
        day's levels."""
        self._listed_on = today
        for offset in range(1, LONGEST_DAYS + 1):
            friday = today + timedelta(days=offset)
            expiry = friday if is_trading_day(friday) else friday - timedelta(days=1)
            if friday.weekday() == 4 and expiry > today and expiry.isoformat() not in self._listed:
                levels = self._paths.previous_close()
                for symbol in VOL_RATIO:
                    self._list_expiry(symbol, expiry, levels[symbol])

    def _list_expiry(self, symbol: str, expiry: date, level: float) -> None:
        self._listed[f"{expiry.isoformat()} {symbol}"] = level
        self._listed[expiry.isoformat()] = level
        for strike in strike_grid(level, COARSE_STEP[symbol], is_monthly(expiry)):
            for right in Right:
                self.listings.add(option(symbol, expiry, strike, right))

    def save(self) -> dict[str, Any]:
        return {"paths": self._paths.save(), "listed": self._listed}

    def load(self, saved: dict[str, Any]) -> None:
        self._paths = Paths.load(saved["paths"])
        self._cached = (self._start, {})
        for key, level in saved["listed"].items():
            if " " in key:
                expiry, symbol = key.split()
                self._list_expiry(symbol, date.fromisoformat(expiry), level)

    def first_holdings(self) -> list[Holding]:
        """The newcomer's three iron condors of two lots, about 45 days out, wings bought and bodies sold."""
        day = trading_day(self._start)
        fridays = sorted({c.expiry for c in self.listings.chain("SPY") if c.expiry}, key=_days_from(day, 45))
        expiry = next(friday for friday in fridays if is_monthly(friday))
        holdings: list[Holding] = []
        for symbol in VOL_RATIO:
            holdings += self._condor(symbol, expiry)
        return holdings

    def _condor(self, symbol: str, expiry: date) -> list[Holding]:
        chain = [c for c in self.listings.chain(symbol) if c.expiry == expiry]
        quotes = self.quotes([c.con_id for c in chain], self._start)

        def near(right: Right, delta: float) -> Contract:
            side = [c for c in chain if c.right is right and (c.strike or 0) % 5 == 0]
            return min(side, key=lambda c: abs((quotes[c.con_id].delta or 0) - delta))

        put, call = near(Right.PUT, -0.18), near(Right.CALL, 0.16)
        wing = WING_USD[symbol]
        legs = [
            (self.listings.find(symbol, expiry, (put.strike or 0) - wing, Right.PUT), 2),
            (put, -2),
            (call, -2),
            (self.listings.find(symbol, expiry, (call.strike or 0) + wing, Right.CALL), 2),
        ]
        return [self._held(leg, quantity) for leg, quantity in legs if leg]

    def _held(self, contract: Contract, quantity: int) -> Holding:
        """A leg at the price it had when it was opened, a commission of 0.65 USD included."""
        levels = self._paths.at(self._start)
        spot, strike = levels[contract.symbol], np.array([contract.strike])
        years = np.array([_years(contract.expiry, self._start)])
        vols = smile(contract.symbol, spot, strike, years, levels["VIX"]) * ENTRY_VOL_FACTOR[contract.symbol]
        call = contract.right is Right.CALL
        value = greeks(spot, strike, years, vols, call, RATE, DIVIDEND_YIELD[contract.symbol]).price[0]
        fee = 0.65 if quantity > 0 else -0.65
        cost = round(round(float(value), 2) * contract.multiplier + fee, 2)
        return Holding(contract, quantity, UsdPerContract(cost))


def smile(symbol: str, spot: float, strikes: Floats, years: Floats, vix: float) -> Floats:
    """Implied volatility per strike (annualised) from the index level `vix` (points)."""
    pull = VIX_REVERSION * np.maximum(years, 1e-6)
    nearness = (1 - np.exp(-pull)) / pull
    level = nearness * vix + (1 - nearness) * MEAN_VIX
    money = AT_THE_MONEY_SHARE * level / 100 * VOL_RATIO[symbol]
    deviations = np.log(strikes / spot) / (money * np.sqrt(np.maximum(years, 1e-6)))
    x = np.clip(deviations, -6.0, 3.5)
    return np.asarray(money * (1 - 0.15 * x + 0.02 * x**2), dtype=np.float64)


def is_monthly(expiry: date) -> bool:
    """Whether an expiry falls on the third Friday of its month, or on the Thursday before a closed one."""
    friday = expiry + timedelta(days=4 - expiry.weekday())
    return 15 <= friday.day <= 21


def strike_grid(level: float, step: float, fine: bool) -> list[float]:
    """From 25 % below to 20 % above `level`; a monthly expiry has every dollar within 6 % of it."""
    low, high = int(level * 0.75 / step), int(level * 1.20 / step)
    strikes = {n * step for n in range(low, high + 1)}
    if step > 1:
        strikes |= {n * 5.0 for n in range(int(level * 0.75 / 5), int(level * 1.20 / 5) + 1)}
    if fine:
        strikes |= {float(n) for n in range(int(level * 0.94), int(level * 1.06) + 1)}
    return sorted(strikes)


def _years(expiry: date | None, now: datetime) -> float:
    """Until the close of the expiry day, in years of 365 days."""
    return (closing(expiry) - now).total_seconds() / SECONDS_PER_YEAR if expiry else 0.0


def _days_from(day: date, wanted: int) -> Any:
    return lambda expiry: abs((expiry - day).days - wanted)
