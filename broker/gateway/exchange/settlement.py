"""What becomes of holdings without an order: expiry, exercise, assignment, cash settlement and dividends.

Two moments of each day count: midnight in New York, when the day's dividends go to whoever holds the shares,
and the close of a trading day, when requested exercises are carried out, what expires is settled, and early
assignments of the coming night arrive. Every moment is dealt with once, also across restarts. Shares change
hands at the strike without a commission; the option's premium becomes part of their cost, and only cash
settlement and worthless expiry realize money.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum

from broker.gateway.errors import OrderRefused
from broker.gateway.exchange.account import Account, Holding
from broker.gateway.exchange.exercise import (
    CENT_USD,
    Night,
    assigned_early,
    exercised_at_expiry,
    intrinsic_usd,
    is_cash_settled,
)
from broker.gateway.markets.market import Market
from options import NEW_YORK, ConId, Contract, Right, SecType, hours


class Kind(StrEnum):
    EXPIRED = "expired"
    CASH_SETTLED = "cash settled"
    EXERCISED = "exercised"
    ASSIGNED = "assigned"
    DIVIDEND = "dividend"


@dataclass(frozen=True, slots=True)
class Event:
    """One change of the account that no order made.

    `quantity` is the signed change of `contract`'s holding, `shares` that of the holding in `share` (None:
    none moved); `cash_usd` is what the cash gained.
    """

    time: datetime
    kind: Kind
    contract: Contract
    quantity: int
    cash_usd: float
    realized_usd: float = 0.0
    share: ConId | None = None
    shares: int = 0

    @property
    def con_ids(self) -> set[ConId]:
        return {self.contract.con_id} | ({self.share} if self.share is not None else set())


@dataclass(frozen=True, slots=True)
class Instruction:
    """A holder's wish for the next close: exercise `quantity` contracts, or (`lapse`) let them expire."""

    quantity: int
    lapse: bool


class Settlement:
    """`dealt_until`: the simulated moment up to which everything is settled; `next_moment`: the first one
    after it that counts; `events`: all, oldest first."""

    def __init__(self, market: Market, account: Account, seed: int) -> None:
        self.begin(market.start())
        self.events: list[Event] = []
        self.instructions: dict[ConId, Instruction] = {}
        self._market = market
        self._account = account
        self._seed = seed
        self._waiting = True

    def begin(self, dealt_until: datetime) -> None:
        """Goes on from a moment up to which everything is settled."""
        self.dealt_until = dealt_until
        self.next_moment = next(_moments(dealt_until, dealt_until + timedelta(days=2)))

    def pass_time(self, now: datetime) -> list[Event]:
        """Deals with every moment up to `now`; what has happened."""
        if now < self.next_moment and not self._waiting:
            self.dealt_until = max(now, self.dealt_until)
            return []
        before = len(self.events)
        for moment in _moments(self.dealt_until, now):
            if moment.astimezone(NEW_YORK).time() == time(0):
                self._pay_dividends(hours.trading_day(moment), now)
            else:
                self._close(hours.trading_day(moment), now)
            self._waiting = True
        if self._waiting:
            self._waiting = self._expire(now)
        self.begin(max(now, self.dealt_until))
        return self.events[before:]

    def instruct(self, con_id: ConId, quantity: int, lapse: bool, override: bool, now: datetime) -> None:
        """Takes a wish for the next close in place of an earlier one; raises OrderRefused.

        `override`: also against what would happen by itself, which depends on whether it is in the money.
        """
        held = self._account.holdings.get(con_id)
        if held is None or held.contract.sec_type is not SecType.OPTION or held.quantity <= 0:
            raise _refusal("the account holds no long position in this option")
        if not 0 < quantity <= held.quantity:
            raise _refusal(f"{quantity} is not between 1 and the {held.quantity} contracts held")
        if is_cash_settled(held.contract) and not lapse:
            raise _refusal("options on an index are European and cannot be exercised")
        spot = self._spot(held.contract, now)
        inside = spot is not None and intrinsic_usd(held.contract, spot) >= CENT_USD
        if inside is lapse and not override:
            state = "in the money and will" if inside else "not in the money and will not"
            raise _refusal(f"the option is {state} be exercised: override to change that")
        self.instructions[con_id] = Instruction(quantity, lapse)

    # -- moments --------------------------------------------------------------------------------------

    def _pay_dividends(self, day: date, now: datetime) -> None:
        for holding in self._held(SecType.STOCK):
            for dividend in self._market.dividends(holding.contract.symbol):
                if dividend.ex_date == day:
                    paid = holding.quantity * dividend.amount_usd
                    self._account.receive_dividend(paid)
                    self.events.append(Event(now, Kind.DIVIDEND, holding.contract, 0, paid))

    def _close(self, day: date, now: datetime) -> None:
        lapsing = {con_id: wish for con_id, wish in self.instructions.items() if wish.lapse}
        for holding in self._held(SecType.OPTION):
            wish = self.instructions.get(holding.contract.con_id)
            if wish and not wish.lapse and holding.quantity > 0:
                self._deliver(holding.contract, -min(wish.quantity, holding.quantity), Kind.EXERCISED, now)
        self.instructions = lapsing
        self._expire(now)
        self.instructions = {}
        for holding in self._held(SecType.OPTION):
            night = self._night(holding.contract, day, now) if holding.quantity < 0 else None
            if night:
                assigned = assigned_early(holding.contract, -holding.quantity, night, self._seed)
                self._deliver(holding.contract, assigned, Kind.ASSIGNED, now)

    def _night(self, contract: Contract, day: date, now: datetime) -> Night | None:
        """None without prices, or where the option has expired."""
        spot = self._spot(contract, now)
        quote = self._market.quotes([contract.con_id], now)[contract.con_id]
        bid = quote.bid if quote.bid is not None else quote.mark
        if spot is None or bid is None or contract.expiry is None or contract.expiry <= day:
            return None
        tomorrow = hours.next_trading_day(day)
        dividends = self._market.dividends(contract.symbol)
        return Night(day, spot, bid, sum(d.amount_usd for d in dividends if day < d.ex_date <= tomorrow))

    def _expire(self, now: datetime) -> bool:
        """Settles what has expired; whether something must wait for a price of its underlying."""
        waiting = False
        for holding in self._held(SecType.OPTION):
            contract, quantity = holding.contract, holding.quantity
            if contract.expiry is None or now < hours.closing(contract.expiry):
                continue
            spot = self._spot(contract, now)
            if spot is None:
                waiting = True
                continue
            exercised = exercised_at_expiry(contract, quantity, spot, self._seed)
            wish = self.instructions.get(contract.con_id)
            if wish and wish.lapse:
                exercised = min(exercised, max(quantity - wish.quantity, 0))
            sign = 1 if quantity > 0 else -1
            if is_cash_settled(contract):
                self._end(contract, -sign * exercised, intrinsic_usd(contract, spot), Kind.CASH_SETTLED, now)
            else:
                kind = Kind.EXERCISED if quantity > 0 else Kind.ASSIGNED
                self._deliver(contract, -sign * exercised, kind, now)
            self._end(contract, sign * exercised - quantity, 0.0, Kind.EXPIRED, now)
        return waiting

    # -- bookings -------------------------------------------------------------------------------------

    def _deliver(self, contract: Contract, quantity: int, kind: Kind, now: datetime) -> None:
        """`quantity` contracts (their signed change) leave for shares at the strike."""
        share = self._market.listings.find(contract.symbol)
        if not quantity or share is None:
            return
        gets = (quantity < 0) is (contract.right is Right.CALL)
        shares = abs(quantity) * contract.multiplier * (1 if gets else -1)
        strike = contract.strike or 0.0
        realized = self._account.deliver(contract, quantity, share, shares, strike)
        cash = -shares * strike
        self.events.append(Event(now, kind, contract, quantity, cash, realized, share.con_id, shares))

    def _end(self, contract: Contract, quantity: int, price: float, kind: Kind, now: datetime) -> None:
        """`quantity` contracts (their signed change) leave at `price` USD per share in cash."""
        if quantity:
            realized = self._account.book(contract, quantity, price, 0.0) or 0.0
            cash = -quantity * price * contract.multiplier
            self.events.append(Event(now, kind, contract, quantity, cash, realized))

    def _held(self, sec_type: SecType) -> list[Holding]:
        holdings = sorted(self._account.holdings.items())
        return [h for _, h in holdings if h.quantity and h.contract.sec_type is sec_type]

    def _spot(self, contract: Contract, now: datetime) -> float | None:
        share = self._market.listings.find(contract.symbol)
        return self._market.marks([share.con_id], now).get(share.con_id) if share else None


def _refusal(cause: str) -> OrderRefused:
    return OrderRefused(322, f"Error processing request.-'exercise' : cause - {cause}")


def _moments(after: datetime, until: datetime) -> Iterator[datetime]:
    """Midnights, and closes of trading days, in (after, until], in order."""
    day = hours.trading_day(after)
    while (midnight := datetime.combine(day, time(0), NEW_YORK).astimezone(UTC)) <= until:
        moments = [midnight, hours.closing(day)] if hours.is_trading_day(day) else [midnight]
        yield from (moment for moment in moments if after < moment <= until)
        day += timedelta(days=1)
