"""Answers requests for market data: streams and snapshots of quotes, live, delayed or frozen."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from broker.gateway.desks import generic_ticks
from broker.gateway.desks.entitlements import SHOWING_DELAYED, DataType, Entitlements
from broker.gateway.desks.underlying_statistics import statistics_of
from broker.gateway.errors import RequestRefused
from broker.gateway.exchange.exchange import Exchange
from broker.gateway.markets.listings import COMBO_CON_ID, Query
from broker.gateway.markets.quotes import MISSING, Quote
from broker.gateway.markets.venues import components_of
from broker.gateway.protocol.tick_messages import Shown, Tick, Ticks, delayed, news
from broker.gateway.protocol.wire import Fields
from broker.gateway.session import Line, Session
from options import NEW_YORK, ConId, Contract, SecType
from options.hours import is_open

SNAPSHOT_PATIENCE = timedelta(seconds=11)
NO_GENERIC = (
    "Error validating request.-'bQ' : cause - Snapshot market data subscription is not applicable to generic"
    " ticks"
)
NO_REGULATORY = (
    "Error validating request.-'bQ' : cause - Regulatory snapshots exist for shares only: ask for a plain one"
)
NO_LEGS = "Error validating request.-'bQ' : cause - Security type 'BAG' requires combo leg details."
SNAPSHOT_PERMISSIONS = 3


class DataDesk:
    """`most_lines` is how many market data lines one client may have at once; `paused` stops all ticks."""

    def __init__(self, exchange: Exchange, most_lines: int) -> None:
        self.exchange = exchange
        self.most_lines = most_lines
        self.entitlements = Entitlements()
        self.paused = False

    def subscribe(self, session: Session, fields: Fields, now: datetime) -> None:
        """reqMktData (1)."""
        fields.skip(1)
        req_id = fields.integer()
        query = Query.read(fields)
        legs = read_legs(fields) if query.sec_type == "BAG" else []
        if fields.flag():
            fields.skip(3)
        words, snapshot, regulatory = fields.text(), fields.flag(), fields.flag()
        fields.skip(1)
        fields.finish()
        with session.answering(req_id):
            line = self._line(query, legs, words, now)
            if snapshot or regulatory:
                _check_snapshot(line, regulatory)
                line.until = now + SNAPSHOT_PATIENCE
            self._open(session, req_id, line, now)

    def _line(self, query: Query, legs: list[tuple[int, int]], words: str, now: datetime) -> Line:
        """What the request asks for; raises RequestRefused."""
        listings = self.exchange.market.listings
        if query.sec_type != "BAG":
            contract = listings.the_one(query, now)
            return Line(contract, ((contract.con_id, 1),), generic_ticks.read_list(words, contract.sec_type))
        if len(legs) < 2 or not all(ratio for _, ratio in legs):
            raise RequestRefused(321, NO_LEGS)
        known = [listings.named(con_id, now) for con_id, _ in legs]
        combo = Contract(ConId(COMBO_CON_ID), query.symbol, SecType.COMBO)
        ratios = tuple((c.con_id, ratio) for c, (_, ratio) in zip(known, legs, strict=True))
        return Line(combo, ratios, generic_ticks.read_list(words, combo.sec_type))

    def _open(self, session: Session, req_id: int, line: Line, now: datetime) -> None:
        """Grants the line and tells what is known of its contract; raises RequestRefused."""
        if req_id in session.lines:
            raise RequestRefused(102, "Duplicate ticker ID.")
        if len(session.lines) >= self.most_lines:
            raise RequestRefused(101, "Max number of tickers has been reached")
        contract = line.contract
        granted = self.entitlements.granted(contract, session.data_type, is_open(now))
        line.delayed = granted in (DataType.DELAYED, DataType.DELAYED_FROZEN)
        if line.delayed:
            session.error(req_id, *SHOWING_DELAYED)
        session.send(81, req_id, contract.min_tick, components_of(contract), SNAPSHOT_PERMISSIONS)
        session.send(58, 1, req_id, granted)
        session.lines[req_id] = line
        session.most_lines = max(session.most_lines, len(session.lines))
        if not self.paused:
            ticks = self._news(line, self._quote(line, now), now) + self._beyond_the_quote(line, now)
            session.send_ticks([(req_id, Ticks(ticks))])
            self._end_snapshots(session, now)

    def _quote(self, line: Line, now: datetime) -> Quote:
        """The contract's quote, or what its legs make of a combo's."""
        quotes = self.exchange.quotes([con_id for con_id, _ in line.legs], now)
        if line.contract.sec_type is not SecType.COMBO:
            return quotes[line.legs[0][0]]
        return combined([(quotes[con_id], ratio) for con_id, ratio in line.legs])

    def _news(self, line: Line, quote: Quote, now: datetime) -> list[Tick]:
        """The ticks that a quote becomes on a line, which has been told of it then."""
        old = line.shown.quote if line.shown else MISSING
        ticks, line.shown = news(line.contract, line.shown, quote, now)
        if line.generic:
            ticks += generic_ticks.of_quote(line.generic, line.contract, old, quote, now)
        return delayed(ticks) if line.delayed else ticks

    def _beyond_the_quote(self, line: Line, now: datetime) -> list[Tick]:
        """What the generic ticks tell of an underlying once, at the beginning."""
        ticks: list[Tick] = []
        if line.delayed or line.contract.sec_type not in (SecType.STOCK, SecType.INDEX):
            return ticks
        if line.generic & generic_ticks.OF_THE_UNDERLYING:
            statistics = statistics_of(self.exchange.market, line.contract, now)
            ticks += generic_ticks.of_underlying(line.generic, statistics)
        if generic_ticks.SHORTABLE in line.generic and line.contract.sec_type is SecType.STOCK:
            ticks += generic_ticks.of_lending()
        return ticks

    def unsubscribe(self, session: Session, fields: Fields) -> None:
        """cancelMktData (2), which has no answer when it succeeds."""
        fields.skip(1)
        req_id = fields.integer()
        if session.lines.pop(req_id, None) is None:
            session.error(req_id, 300, f"Can't find EId with tickerId:{req_id}")

    def data_type(self, session: Session, fields: Fields) -> None:
        """reqMarketDataType (59) decides about later requests only."""
        fields.skip(1)
        wanted = fields.integer()
        if wanted not in tuple(DataType):
            session.error(
                -1, 321, f"Error validating request.-'bV' : cause - Invalid market data type {wanted}"
            )
        else:
            session.data_type = DataType(wanted)

    # -- what passes ----------------------------------------------------------------------------------

    def publish(self, sessions: Iterable[Session], con_ids: Iterable[ConId], now: datetime) -> None:
        """Tells everyone who watches these contracts what has changed.

        Whoever has been told the same of a contract so far is told the same now: those ticks are made and
        encoded once.
        """
        changed = set(con_ids)
        quotes = self.exchange.quotes(sorted(changed), now)
        made: dict[tuple[object, ...], tuple[Ticks, Shown | None]] = {}
        for session in sessions:
            burst = []
            for req_id, line in session.lines.items():
                if changed.isdisjoint(con_id for con_id, _ in line.legs):
                    continue
                knows = (id(line.shown.quote), line.shown.vols, line.shown.at) if line.shown else None
                key = (line.legs, line.delayed, line.generic, knows)
                if key not in made:
                    single = line.contract.sec_type is not SecType.COMBO
                    quote = quotes[line.legs[0][0]] if single else self._quote(line, now)
                    made[key] = Ticks(self._news(line, quote, now)), line.shown
                ticks, line.shown = made[key]
                if ticks:
                    burst.append((req_id, ticks))
            if burst:
                session.send_ticks(burst)
            self._end_snapshots(session, now)

    def next_event(self, sessions: Iterable[Session]) -> datetime | None:
        """When the first snapshot gives up waiting."""
        waiting = (line.until for session in sessions for line in session.lines.values() if line.until)
        return min(waiting, default=None)

    def pass_time(self, sessions: Iterable[Session], now: datetime) -> None:
        for session in sessions:
            self._end_snapshots(session, now)

    def _end_snapshots(self, session: Session, now: datetime) -> None:
        for req_id, line in list(session.lines.items()):
            if line.until and (line.until <= now or _is_complete(line)):
                del session.lines[req_id]
                session.send(57, 1, req_id)

    def server_time(self, now: datetime) -> str:
        return f"{now.astimezone(NEW_YORK):%Y%m%d %H:%M:%S} US/Eastern"


def read_legs(fields: Fields) -> list[tuple[int, int]]:
    """(contract id, signed ratio) of each leg of a combo that is only watched."""
    legs = []
    for _ in range(fields.integer()):
        con_id, ratio, action = fields.integer(), fields.integer(), fields.text()
        fields.skip(1)
        legs.append((con_id, ratio if action == "BUY" else -ratio))
    return legs


def combined(legs: Sequence[tuple[Quote, int]]) -> Quote:
    """A combo's natural prices: to buy it, bought legs cost their ask and sold ones bring their bid. A side
    on which a leg has no price is missing."""
    bids, asks = [], []
    for quote, ratio in legs:
        low, high = (quote.bid, quote.ask) if ratio > 0 else (quote.ask, quote.bid)
        bids.append(None if low is None else ratio * low)
        asks.append(None if high is None else ratio * high)
    size = min(min(quote.bid_size, quote.ask_size) // abs(ratio) for quote, ratio in legs)
    bid, ask = _total(bids), _total(asks)
    return Quote(bid, ask, size if bid is not None else 0, size if ask is not None else 0)


def _total(prices: Sequence[float | None]) -> float | None:
    known = [price for price in prices if price is not None]
    return round(sum(known), 4) if len(known) == len(prices) else None


def _is_complete(line: Line) -> bool:
    """Whether a snapshot has all that can be hoped for: both sides, of an index the last price."""
    quote = line.shown.quote if line.shown else MISSING
    if line.contract.sec_type is SecType.INDEX:
        return quote.last is not None
    return quote.bid is not None and quote.ask is not None


def _check_snapshot(line: Line, regulatory: bool) -> None:
    """Raises RequestRefused for what is not given as a snapshot."""
    if line.generic:
        raise RequestRefused(321, NO_GENERIC)
    if regulatory and line.contract.sec_type is not SecType.STOCK:
        raise RequestRefused(321, NO_REGULATORY)
