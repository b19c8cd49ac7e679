"""Answers requests for the past: bars that may be kept up to date, where they begin, ticks."""

from collections.abc import Collection, Iterable, Sequence
from datetime import date, datetime, timedelta

from broker.gateway.desks.entitlements import Entitlements
from broker.gateway.desks.history import History
from broker.gateway.desks.pacing import Asked
from broker.gateway.errors import RequestRefused
from broker.gateway.exchange.exchange import Exchange
from broker.gateway.markets.bars import DAY_S
from broker.gateway.markets.listings import Query
from broker.gateway.markets.market import Bar
from broker.gateway.markets.venues import best_letters
from broker.gateway.protocol.history_messages import (
    BID_ASK_TICKS,
    LAST_TICKS,
    MIDPOINT_TICKS,
    bar_time,
    head_timestamp,
    historical_data,
    historical_ticks,
    historical_update,
    schedule,
)
from broker.gateway.protocol.history_request import (
    LARGEST_PACED_S,
    MOST_BARS,
    BarRequest,
    KeptBars,
    Show,
    read_bar_request,
    read_moment,
    read_show,
    refusal,
)
from broker.gateway.protocol.wire import Fields, Value
from broker.gateway.session import Session
from options import ConId, Contract, SecType
from options.hours import is_trading_day, opening, trading_day

UPDATE_EVERY = timedelta(seconds=5)
SERVICE = "Historical Market Data Service error message:"
MOST_TICKS = 1000
TICK_SHOWS = {"MIDPOINT": MIDPOINT_TICKS, "BID_ASK": BID_ASK_TICKS, "TRADES": LAST_TICKS}
LABELS = {
    Show.BID_ASK: "BidAsk",
    Show.ADJUSTED_LAST: "Trades",
    Show.HISTORICAL_VOLATILITY: "HistoricalVolatility",
    Show.OPTION_IMPLIED_VOLATILITY: "ImpliedVolatility",
}
DUPLICATE = "Error processing request.-'bM' : cause - Duplicate ticker ID for API historical data query"
BAD_TICKS = f"Historical ticks need a start or an end, not both, and a number of ticks from 1 to {MOST_TICKS}"
# A year has 365 days of 86,400 seconds and 252 of trading.
CALENDAR_PER_TRADING = 365 * 86_400 / (252 * DAY_S)
FIRST_WITH_SCHEDULES = 165


class HistoryDesk:
    def __init__(self, exchange: Exchange, entitlements: Entitlements) -> None:
        self.exchange = exchange
        self.entitlements = entitlements

    # -- bars -----------------------------------------------------------------------------------------

    def bars(self, session: Session, fields: Fields, now: datetime) -> None:
        """reqHistoricalData (20)."""
        req_id = fields.integer()
        query = Query.read(fields)
        with session.answering(req_id):
            request = read_bar_request(req_id, query, fields, now)
            if req_id in session.kept_bars:
                raise RequestRefused(322, DUPLICATE)
            contract = self._contract(query, now)
            self.entitlements.require(contract, 162, SERVICE)
            _check_pace(session, request, contract, now)
            self._answer(session, request, contract, now)

    def _contract(self, query: Query, now: datetime) -> Contract:
        if query.sec_type == SecType.COMBO:
            raise RequestRefused(162, f"{SERVICE}combos have no history here: ask for that of their legs")
        return self.exchange.market.listings.the_one(query, now)

    def _history(self, contract: Contract, now: datetime) -> History:
        quote = self.exchange.quotes([contract.con_id], now)[contract.con_id]
        return History(self.exchange.market, contract, quote, now)

    def _answer(self, session: Session, request: BarRequest, contract: Contract, now: datetime) -> None:
        end = request.end or now
        begin, told_begin = request.duration.begin(end), request.duration.told_begin(end)
        if request.show is Show.SCHEDULE:
            if session.version < FIRST_WITH_SCHEDULES:
                raise refusal(f"What to show value of {request.show} rejected.")
            session.send(*schedule(request.req_id, told_begin, end, _trading_days(begin, end)))
            return
        if (end - begin) / CALENDAR_PER_TRADING / timedelta(seconds=request.seconds) > MOST_BARS:
            raise RequestRefused(162, f"{SERVICE}Time length exceed max.")
        found = self._history(contract, now).bars(request.show, request.size, begin, min(end, now))
        if not found:
            raise RequestRefused(162, f"{SERVICE}HMDS query returned no data: {_chart(request, contract)}")
        told = [(_when(bar, request, session), bar) for bar in found]
        session.send(*historical_data(request.req_id, told_begin, end, told, session.version))
        if request.keep:
            kept = KeptBars(request, contract, found[-1], now + UPDATE_EVERY)
            session.kept_bars[request.req_id] = kept

    def cancel_bars(self, session: Session, fields: Fields) -> None:
        """cancelHistoricalData (25)."""
        fields.skip(1)
        req_id = fields.integer()
        if session.kept_bars.pop(req_id, None):
            session.error(req_id, 162, f"{SERVICE}API historical data query cancelled: {req_id}")
        else:
            session.error(req_id, 366, f"No historical data query found for ticker id:{req_id}")

    # -- what passes ----------------------------------------------------------------------------------

    def publish(self, sessions: Iterable[Session], con_ids: Collection[ConId]) -> None:
        """Notes which bars that are kept up to date have news; `pass_time` tells them when it is due."""
        for session in sessions:
            for kept in session.kept_bars.values():
                if kept.contract.con_id in con_ids:
                    kept.has_news = True

    def next_event(self, sessions: Iterable[Session]) -> datetime | None:
        """When the first news of bars may go out."""
        kept = (each for session in sessions for each in session.kept_bars.values())
        return min((each.due for each in kept if each.has_news), default=None)

    def pass_time(self, sessions: Iterable[Session], now: datetime) -> None:
        for session in sessions:
            for kept in session.kept_bars.values():
                if kept.has_news and kept.due <= now:
                    self._update(session, kept, now)

    def _update(self, session: Session, kept: KeptBars, now: datetime) -> None:
        """The bar that was told last, if it has changed since, and those that have begun after it."""
        kept.has_news, kept.due = False, now + UPDATE_EVERY
        request, history = kept.request, self._history(kept.contract, now)
        for bar in history.bars(request.show, request.size, kept.told.start, now):
            if bar != kept.told:
                session.send(*historical_update(request.req_id, _when(bar, request, session), bar))
                kept.told = bar

    # -- beginnings and ticks -------------------------------------------------------------------------

    def head(self, session: Session, fields: Fields, now: datetime) -> None:
        """reqHeadTimeStamp (87)."""
        req_id = fields.integer()
        query = Query.read(fields)
        fields.skip(2)
        show, as_epoch = fields.text(), fields.integer() == 2
        fields.finish()
        with session.answering(req_id):
            read_show(show)
            begin = self._history(self._contract(query, now), now).begins()
            if begin is None:
                raise RequestRefused(162, f"{SERVICE}No head time stamp")
            session.send(*head_timestamp(req_id, begin, as_epoch))

    def ticks(self, session: Session, fields: Fields, now: datetime) -> None:
        """reqHistoricalTicks (96)."""
        req_id = fields.integer()
        query = Query.read(fields)
        fields.skip(1)
        begin, end, count = fields.text(), fields.text(), fields.integer()
        show = fields.text()
        fields.skip(3)
        fields.finish()
        with session.answering(req_id):
            since, until = read_moment(begin, now), read_moment(end, now)
            if (since is None) == (until is None) or not 0 < count <= MOST_TICKS:
                raise refusal(BAD_TICKS)
            contract = self._contract(query, now)
            self.entitlements.require(contract, 10187, "Failed to request historical ticks:")
            session.send(*self.tick_message(req_id, contract, show, (since, until), count, now))

    def tick_message(
        self,
        req_id: int,
        contract: Contract,
        show: str,
        span: tuple[datetime | None, datetime | None],
        count: int,
        now: datetime,
    ) -> list[Value]:
        """So many ticks from the beginning of `span`, or before its end where that is None."""
        if show not in TICK_SHOWS:
            raise refusal(f"What to show value of {show} rejected.")
        history = self._history(contract, now)
        since, until = span
        found = history.ticks_from(since, count) if since else history.ticks_until(until or now, count)
        return historical_ticks(TICK_SHOWS[show], req_id, [_tick_row(bar, show, history) for bar in found])


def _tick_row(bar: Bar, show: str, history: History) -> Sequence[Value]:
    """A second in which the price moved, as historical ticks of this kind tell it."""
    at, quote = int(bar.start.timestamp()), history.quote
    match show:
        case "MIDPOINT":
            return at, 0, bar.close, 0
        case "BID_ASK":
            bid, ask = (round(bar.close * (1 + side * history.half_spread), 4) for side in (-1, 1))
            return at, 0, bid, ask, quote.bid_size, quote.ask_size
    return at, 0, bar.close, max(bar.volume, 1), best_letters(history.contract, 0), ""


def _check_pace(session: Session, request: BarRequest, contract: Contract, now: datetime) -> None:
    """Raises RequestRefused when small bars are asked for too often."""
    if request.seconds > LARGEST_PACED_S:
        return
    source = (contract.con_id, request.query.exchange, request.show)
    details = (request.end, request.size, request.duration)
    if not session.pacing.admit(Asked(now, source, details, 1 + (request.show is Show.BID_ASK))):
        raise RequestRefused(162, f"{SERVICE}Historical data request pacing violation")


def _when(bar: Bar, request: BarRequest, session: Session) -> str:
    return bar_time(bar, request.is_daily, request.as_epoch, session.version)


def _chart(request: BarRequest, contract: Contract) -> str:
    label = LABELS.get(request.show, request.show.capitalize())
    return f"{contract.symbol}@{request.query.exchange or contract.exchange} {label}"


def _trading_days(begin: datetime, end: datetime) -> list[date]:
    days, day = [], trading_day(begin)
    while opening(day) < end:
        if is_trading_day(day):
            days.append(day)
        day += timedelta(days=1)
    return days
