"""Answers requests about the account and keeps its subscribers informed."""

from collections.abc import Callable, Collection, Hashable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property

from broker.gateway.desks.account_feed import Feed, Kind
from broker.gateway.desks.profit import Closes, Profit, changes_of, concerned, profit_of, total
from broker.gateway.exchange.account import Holding
from broker.gateway.exchange.exchange import Exchange
from broker.gateway.exchange.values import Values
from broker.gateway.protocol.account_messages import (
    account_value,
    chosen_rows,
    ledger_rows,
    portfolio_value,
    position,
    position_multi,
    profit,
    profit_single,
    summary_rows,
    value_rows,
)
from broker.gateway.protocol.wire import Fields, Value
from broker.gateway.session import Session
from options import NEW_YORK, ConId, hours

MOST_SUMMARIES = 2
REPEAT = timedelta(minutes=3)
PROFIT_PAUSE = timedelta(seconds=1)
PROFITS = (Kind.PROFIT, Kind.PROFIT_SINGLE)
FIGURES = (Kind.UPDATES, Kind.SUMMARY, Kind.UPDATES_MULTI)
UNSUBSCRIBED = "API client has been unsubscribed from account data."
NOT_HELD = Profit(0, None, None, 0.0, None)
TOO_MANY_SUMMARIES = (
    "Error processing request.-'bQ' : cause - Maximum number of account summary requests exceeded,"
    " cancel one of them first"
)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Message = tuple[Hashable, list[Value]]


def _next_multiple(pause: timedelta, now: datetime) -> datetime:
    """The first moment after `now` that lies a whole number of pauses after midnight UTC."""
    return now + pause - (now - EPOCH) % pause


@dataclass
class Picture:
    """The account at one moment. What nobody asks for is not computed."""

    exchange: Exchange
    closes: Closes
    now: datetime

    @cached_property
    def values(self) -> Values:
        return self.exchange.values(self.now)

    @cached_property
    def marks(self) -> dict[ConId, float]:
        return self.exchange.market.marks(list(self.exchange.account.holdings), self.now)

    @cached_property
    def profits(self) -> dict[ConId, Profit]:
        """By contract, since the previous close."""
        exchange, holdings = self.exchange, self.exchange.account.holdings
        day = hours.trading_day(self.now)
        today = concerned(holdings, changes_of(day, exchange.executions, exchange.settlement.events))
        closes = self.closes.of(exchange.quotes(list(today), self.now), self.now)
        return {
            con_id: profit_of(holdings[con_id], changes, self.marks.get(con_id), closes[con_id])
            for con_id, changes in today.items()
        }

    def price(self, holding: Holding) -> float:
        """USD per share: the mark, what it cost when there is none."""
        contract = holding.contract
        return self.marks.get(contract.con_id, holding.average_cost / contract.multiplier)


class AccountDesk:
    def __init__(self, exchange: Exchange, now: datetime) -> None:
        self.exchange = exchange
        self._passed = now
        self._closes = Closes(exchange.market)
        self._content: dict[Kind, Callable[[Feed, Picture], Iterator[Message]]] = {
            Kind.UPDATES: self._updates,
            Kind.POSITIONS: self._positions,
            Kind.SUMMARY: self._summary,
            Kind.POSITIONS_MULTI: self._positions_multi,
            Kind.UPDATES_MULTI: self._updates_multi,
            Kind.PROFIT: self._profit,
            Kind.PROFIT_SINGLE: self._profit_single,
        }

    @property
    def account_id(self) -> str:
        return self.exchange.account.account_id

    @property
    def _holdings(self) -> Iterable[tuple[ConId, Holding]]:
        return self.exchange.account.holdings.items()

    def picture(self, now: datetime) -> Picture:
        return Picture(self.exchange, self._closes, now)

    # -- requests -------------------------------------------------------------------------------------

    def updates(self, session: Session, fields: Fields, now: datetime) -> None:
        """reqAccountUpdates (6): subscribes a client, or ends its subscription."""
        fields.skip(1)
        wanted, account = fields.flag(), fields.text()
        if not wanted:
            if session.feeds.pop((Kind.UPDATES, 0), None):
                session.error(-1, 2100, UNSUBSCRIBED)
        elif self._knows(session, -1, account):
            self._open(session, Feed(Kind.UPDATES), now)
            session.send(54, 1, self.account_id)

    def updates_multi(self, session: Session, fields: Fields, now: datetime) -> None:
        """reqAccountUpdatesMulti (76)."""
        fields.skip(1)
        req_id, account = fields.integer(), fields.text()
        fields.skip(1)
        if self._knows(session, req_id, account):
            self._open(session, Feed(Kind.UPDATES_MULTI, req_id, ledger_only=fields.flag()), now)
            session.send(74, 1, req_id)

    def positions(self, session: Session, now: datetime) -> None:
        """reqPositions (61)."""
        self._open(session, Feed(Kind.POSITIONS), now)
        session.send(62, 1)

    def positions_multi(self, session: Session, fields: Fields, now: datetime) -> None:
        """reqPositionsMulti (74)."""
        fields.skip(1)
        req_id, account = fields.integer(), fields.text()
        if self._knows(session, req_id, account):
            self._open(session, Feed(Kind.POSITIONS_MULTI, req_id), now)
            session.send(72, 1, req_id)

    def summary(self, session: Session, fields: Fields, now: datetime) -> None:
        """reqAccountSummary (62)."""
        fields.skip(1)
        req_id, group = fields.integer(), fields.text()
        tags = tuple(tag.strip() for tag in fields.text().split(","))
        running = [key for key in session.feeds if key[0] is Kind.SUMMARY and key[1] != req_id]
        if group != "All":
            session.error(req_id, 322, f"Error processing request.-'bQ' : cause - no group {group}: use All")
        elif len(running) >= MOST_SUMMARIES:
            session.error(req_id, 322, TOO_MANY_SUMMARIES)
        else:
            self._open(session, Feed(Kind.SUMMARY, req_id, tags), now)
            session.send(64, 1, req_id)

    def profit(self, session: Session, fields: Fields, now: datetime) -> None:
        """reqPnL (92)."""
        req_id, account = fields.integer(), fields.text()
        if self._knows(session, req_id, account):
            self._open(session, Feed(Kind.PROFIT, req_id), now)

    def profit_single(self, session: Session, fields: Fields, now: datetime) -> None:
        """reqPnLSingle (94)."""
        req_id, account = fields.integer(), fields.text()
        fields.skip(1)
        if self._knows(session, req_id, account):
            self._open(session, Feed(Kind.PROFIT_SINGLE, req_id, con_id=fields.integer()), now)

    def cancel(self, session: Session, fields: Fields, kind: Kind) -> None:
        """The end of a subscription: 63, 64, 75, 77, 93 and 95."""
        if kind not in PROFITS:
            fields.skip(1)
        req_id = 0 if kind is Kind.POSITIONS else fields.integer()
        if session.feeds.pop((kind, req_id), None) is None and kind in PROFITS:
            session.error(req_id, 10185, "Failed to cancel PNL (not subscribed)")

    def _knows(self, session: Session, req_id: int, account: str) -> bool:
        """Whether this is the account, or none is named; else the client is told."""
        known = account in ("", self.account_id)
        if not known:
            text = f"Error validating request.-'bK' : cause - account {account} is not {self.account_id}"
            session.error(req_id, 321, text)
        return known

    def _open(self, session: Session, feed: Feed, now: datetime) -> None:
        """A new subscription in place of one of the same kind and number, and all that it is about."""
        session.feeds[feed.kind, feed.req_id] = feed
        self._tell(session, feed, self.picture(now))

    # -- news -----------------------------------------------------------------------------------------

    def holdings_changed(self, sessions: Iterable[Session], now: datetime) -> None:
        """Tells all subscribers what is new after a trade, or after a holding has changed without one."""
        self._publish(sessions, tuple(Kind), now)

    def pass_time(self, sessions: Collection[Session], now: datetime) -> None:
        """Tells what is new of the profits once a second, and repeats all figures every three minutes: at
        whole seconds and minutes, so that it makes no difference when the gateway was started."""
        before, self._passed = self._passed, now
        if now >= _next_multiple(PROFIT_PAUSE, before):
            self._publish(sessions, PROFITS, now)
        if now >= _next_multiple(REPEAT, before):
            for session in sessions:
                if (Kind.UPDATES, 0) in session.feeds:
                    session.feeds[Kind.UPDATES, 0].told.clear()
            self._publish(sessions, FIGURES, now)

    def next_news(self, sessions: Iterable[Session], now: datetime) -> datetime | None:
        """When profits are next told; None while nobody listens or the market is closed."""
        if not hours.is_open(now):
            return None
        wanted = any(kind in PROFITS for session in sessions for kind, _ in session.feeds)
        return _next_multiple(PROFIT_PAUSE, now) if wanted else None

    def _publish(self, sessions: Iterable[Session], kinds: Collection[Kind], now: datetime) -> None:
        picture = self.picture(now)
        for session in sessions:
            for feed in session.feeds.values():
                if feed.kind in kinds:
                    self._tell(session, feed, picture)

    def _tell(self, session: Session, feed: Feed, picture: Picture) -> None:
        for message in feed.news(self._content[feed.kind](feed, picture)):
            session.send(*message)
        if feed.kind is Kind.UPDATES:
            session.send(8, 1, f"{picture.now.astimezone(NEW_YORK):%H:%M}")

    # -- what each kind of subscription is about, as it stands ----------------------------------------

    def _updates(self, feed: Feed, picture: Picture) -> Iterator[Message]:
        for row in value_rows(picture.values, self.account_id):
            yield row[::2], account_value(row, self.account_id)
        for con_id, holding in self._held(feed):
            yield con_id, portfolio_value(holding, picture.price(holding), self.account_id)

    def _summary(self, feed: Feed, picture: Picture) -> Iterator[Message]:
        for key, value, currency in chosen_rows(picture.values, feed.tags):
            yield (key, currency), [63, 1, feed.req_id, self.account_id, key, value, currency]

    def _updates_multi(self, feed: Feed, picture: Picture) -> Iterator[Message]:
        rows = value_rows(picture.values, self.account_id)
        if feed.ledger_only:
            worth = [row for row in summary_rows(picture.values) if row[0] == "NetLiquidation"]
            rows = worth + ledger_rows(picture.values, "USD")
        for key, value, currency in rows:
            yield (key, currency), [73, 1, feed.req_id, self.account_id, "", key, value, currency]

    def _positions(self, feed: Feed, _: Picture) -> Iterator[Message]:
        for con_id, holding in self._held(feed):
            yield con_id, position(holding, self.account_id)

    def _positions_multi(self, feed: Feed, _: Picture) -> Iterator[Message]:
        for con_id, holding in self._held(feed):
            yield con_id, position_multi(feed.req_id, holding, self.account_id)

    def _profit(self, feed: Feed, picture: Picture) -> Iterator[Message]:
        whole = total(picture.profits.values())
        yield None, profit(feed.req_id, whole.daily, whole.unrealized, whole.realized)

    def _profit_single(self, feed: Feed, picture: Picture) -> Iterator[Message]:
        part = picture.profits.get(ConId(feed.con_id), NOT_HELD)
        amounts = (part.daily, part.unrealized, part.realized, part.worth)
        yield None, profit_single(feed.req_id, part.quantity, *amounts)

    def _held(self, feed: Feed) -> Iterator[tuple[ConId, Holding]]:
        """What is held, and what the subscriber still believes to be held."""
        for con_id, holding in self._holdings:
            if holding.quantity or con_id in feed.told:
                yield con_id, holding
