"""The model market as the gateway sees it: what is listed, what is quoted, and when.

The seed, the first day and the scenario decide everything that happens; nothing that is asked changes it.
"""

import math
from collections.abc import Collection, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from broker.gateway.errors import GatewayError
from broker.gateway.exchange.account import Holding
from broker.gateway.markets.listings import Listings, option, underlying
from broker.gateway.markets.market import Bar, Dividend
from broker.gateway.markets.model import newcomer
from broker.gateway.markets.model.bars import Charts
from broker.gateway.markets.model.chain import Reach, expiries, strikes
from broker.gateway.markets.model.course import COUNT, Course
from broker.gateway.markets.model.paths import Paths, State
from broker.gateway.markets.model.quoting import LAST_SECOND, Today
from broker.gateway.markets.model.scenarios import Scenario, scenario_named
from broker.gateway.markets.model.shares import INDEX, SHARES, SYMBOLS
from broker.gateway.markets.quotes import MISSING, Quote
from options import NEW_YORK, ConId, Right, SecType
from options.hours import (
    closing,
    is_open,
    is_trading_day,
    next_opening,
    next_trading_day,
    previous_trading_day,
    trading_day,
)

DEFAULT_START = datetime(2026, 3, 2, 10, 0, tzinfo=NEW_YORK).astimezone(UTC)
KEPT_DAYS = 10
"""For so long an option is found after it has ended."""
KNOWN_DIVIDENDS = timedelta(days=400)
FIRST_OPTION_ID = 1_600_000_000


class ModelMarket:
    """See the module. Quotes are sent every `quote_every_s`; `nights` are skipped unless they are kept."""

    name = "model"

    def __init__(
        self,
        seed: int = 1,
        start: datetime | None = None,
        quote_every_s: int = 1,
        scenario: str = "calm",
        keep_nights: bool = False,
    ) -> None:
        if seed < 0:
            raise GatewayError(f"--seed {seed} is below 0: use 0 or more")
        moment = (start or DEFAULT_START).astimezone(UTC)
        self._start = moment if is_open(moment) else next_opening(moment)
        self._quote_every_s = quote_every_s
        self._keep_nights = keep_nights
        self.listings = Listings()
        for symbol in (*SYMBOLS, INDEX):
            self.listings.add(underlying(symbol))
        self._begin(seed, trading_day(self._start), scenario)

    def _begin(self, seed: int, first_day: date, scenario: str) -> None:
        self._paths = Paths(Course(seed, first_day, scenario_named(scenario)))
        self._charts = Charts(self._paths)
        self._reaches: dict[tuple[int, date], Reach] = {}
        self._today: Today | None = None
        self._moment: tuple[datetime, State, dict[ConId, Quote]] | None = None
        self._listed_on = previous_trading_day(first_day)
        self._list_until(first_day)

    @property
    def _scenario(self) -> Scenario:
        return self._paths.course.scenario

    # -- time -----------------------------------------------------------------------------------------

    def start(self) -> datetime:
        return self._start

    def resume(self, now: datetime) -> datetime:
        return now if self._keep_nights or is_open(now) else next_opening(now)

    def ended(self, now: datetime) -> bool:
        return False

    def next_change(self, watched: Collection[ConId], now: datetime) -> datetime | None:
        return self._quoted(now) + timedelta(seconds=self._quote_every_s) if watched else None

    def changed(self, watched: Collection[ConId], since: datetime, until: datetime) -> list[ConId]:
        self._list_until(_last_open(until)[0])
        before, after = self._quoted(since), self._quoted(until)
        if before == after or self._stands(before) == self._stands(after):
            return []
        if is_open(before) or is_open(after):
            return sorted(watched)
        shares = {
            contract.con_id for contract in (self.listings.find(symbol) for symbol in SYMBOLS) if contract
        }
        return sorted(con_id for con_id in watched if con_id in shares)

    def _quoted(self, now: datetime) -> datetime:
        """The last moment at which everything was quoted anew."""
        seconds = int(now.timestamp())
        return datetime.fromtimestamp(seconds - seconds % self._quote_every_s, UTC)

    def _stands(self, now: datetime) -> datetime:
        """The moment whose quotes stand now, a whole second."""
        return self._scenario.quoted_at(now.replace(microsecond=0))

    # -- quotes ---------------------------------------------------------------------------------------

    def quotes(self, con_ids: Collection[ConId], now: datetime) -> dict[ConId, Quote]:
        moment = self._stands(now)
        if self._moment is None or self._moment[0] != moment:
            self._moment = (moment, self._paths.at(moment), {})
        _, state, known = self._moment
        today = self._day_of(moment)
        options = []
        for con_id in con_ids:
            if con_id in known:
                continue
            if con_id in today.board.place:
                options.append(con_id)
                continue
            contract = self.listings.get(con_id)
            if contract is not None and contract.sec_type is not SecType.OPTION:
                known[con_id] = today.share_quote(contract.symbol, state, moment)
        if options and is_open(moment):
            known.update(zip(options, today.option_quotes(options, state, moment), strict=True))
        return {con_id: known.get(con_id, MISSING) for con_id in con_ids}

    def marks(self, con_ids: Collection[ConId], now: datetime) -> dict[ConId, float]:
        """While the exchange is closed an option's mark is that of its last second."""
        found = self.quotes(con_ids, now)
        if not is_open(now):
            _, moment = _last_open(now)
            closed = [con_id for con_id, quote in found.items() if quote.mark is None]
            state, today = self._paths.at(moment), self._day_of(moment)
            closed = [con_id for con_id in closed if con_id in today.board.place]
            if closed:
                found.update(zip(closed, today.option_quotes(closed, state, moment), strict=True))
        return {con_id: quote.mark for con_id, quote in found.items() if quote.mark is not None}

    def _day_of(self, moment: datetime) -> Today:
        """The trading day of a moment; at night the one that has ended."""
        day, _ = _last_open(moment)
        self._list_until(day)
        if self._today is None or self._today.day != day:
            ahead = [c for c in self.listings if c.expiry is not None and c.expiry >= day]
            self._today = Today.of(day, self._paths, ahead, self._scenario.spread_factor)
        return self._today

    # -- history --------------------------------------------------------------------------------------

    def bars(self, con_id: ConId, since: datetime, until: datetime, seconds: int) -> list[Bar]:
        contract = self.listings.get(con_id)
        if contract is None:
            return []
        return self._charts.bars(contract, since, until, seconds)

    def dividends(self, symbol: str) -> Sequence[Dividend]:
        if symbol not in SYMBOLS:
            return ()
        share = SHARES[SYMBOLS.index(symbol)]
        if share.dividends is None:
            return ()
        first, last = self._paths.course.start - KNOWN_DIVIDENDS, self._listed_on + KNOWN_DIVIDENDS
        return [Dividend(day, share.dividend_usd) for day in share.dividends.between(first, last)]

    # -- listing --------------------------------------------------------------------------------------

    def _list_until(self, today: date) -> None:
        """Lists what is new on each day up to `today`, and forgets what has long ended."""
        while self._listed_on < today:
            self._listed_on = next_trading_day(self._listed_on)
            closes = self._paths.course.marks(self._listed_on).before[:COUNT]
            for place, (share, close) in enumerate(zip(SHARES, closes.tolist(), strict=True)):
                for expiry in expiries(share, self._listed_on):
                    self._reach(place, expiry, math.exp(close))
            self._forget(self._listed_on)

    def _reach(self, place: int, expiry: date, level: float) -> None:
        known = self._reaches.get((place, expiry))
        wider = known.widened(level) if known else Reach(level, level)
        if wider != known:
            self._reaches[place, expiry] = wider
            self._list(place, expiry, wider)

    def _list(self, place: int, expiry: date, reach: Reach) -> None:
        share = SHARES[place]
        for strike in strikes(share, expiry, reach):
            for right in Right:
                if self.listings.find(share.symbol, expiry, strike, right) is None:
                    con_id = option_id(place, expiry, strike, right)
                    self.listings.add(option(share.symbol, expiry, strike, right, con_id=con_id))

    def _forget(self, today: date) -> None:
        oldest = today - timedelta(days=KEPT_DAYS)
        ended = {expiry for _, expiry in self._reaches if expiry < oldest}
        if ended:
            self._reaches = {key: reach for key, reach in self._reaches.items() if key[1] not in ended}
            self.listings.remove([c for c in self.listings if c.expiry in ended])

    # -- beginning and going on -----------------------------------------------------------------------

    def save(self) -> dict[str, Any]:
        course = self._paths.course
        return {
            "seed": course.seed,
            "first_day": course.start.isoformat(),
            "scenario": course.scenario.name,
            "listed_on": self._listed_on.isoformat(),
            "reaches": [
                [place, expiry.isoformat(), reach.low, reach.high]
                for (place, expiry), reach in self._reaches.items()
            ],
        }

    def load(self, saved: dict[str, Any]) -> None:
        """What was saved goes on as it began, whatever this market was started with."""
        self._begin(saved["seed"], date.fromisoformat(saved["first_day"]), saved["scenario"])
        for place, expiry, low, high in saved["reaches"]:
            key, reach = (place, date.fromisoformat(expiry)), Reach(low, high)
            self._reaches[key] = reach
            self._list(*key, reach)
        self._listed_on = date.fromisoformat(saved["listed_on"])
        self._forget(self._listed_on)

    def first_holdings(self) -> list[Holding]:
        """The newcomer's three iron condors of two lots."""
        holdings: list[Holding] = []
        for symbol in newcomer.SYMBOLS:
            series = newcomer.wanted_series(self.listings.chain(symbol), trading_day(self._start))
            quotes = self.quotes([c.con_id for c in series], self._start)
            holdings += newcomer.condor(symbol, series, quotes, self._start)
        return holdings


def option_id(place: int, expiry: date, strike: float, right: Right) -> int:
    """The same id for the same terms in every run, no two alike: 3 bits for the share, 13 for the day (they
    come round after 22 years), 12 for the strike in half dollars, 1 for the right."""
    code = (place << 13 | expiry.toordinal() % (1 << 13)) << 12 | round(strike * 2) % (1 << 12)
    return FIRST_OPTION_ID + (code << 1 | (right is Right.CALL))


def _last_open(now: datetime) -> tuple[date, datetime]:
    """(trading day, last second of it) of the session that is going on or was the last to end."""
    day = trading_day(now)
    if is_open(now):
        return day, now
    if not (is_trading_day(day) and now >= closing(day)):
        day = previous_trading_day(day)
    return day, closing(day) - LAST_SECOND
