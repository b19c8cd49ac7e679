"""What the holdings in one underlying must be secured with: the strategy-based rules of a margin account.

Every short option and every block of shares can be secured in several ways; the requirement is the least
over all ways to combine the holdings, found by linear programming, as Interactive Brokers optimises the
combinations of an account. The ways, with S the underlying's price, K a strike, all per share:

- naked short call: mark + max(20 % S - out of the money, 10 % S); naked short put: the same with 10 % K
  for 10 % S. Broad indexes 15 % for 20 %. (FINRA 4210(f)(2)(E); Cboe 10.3(c)(5)(A))
- short straddle or strangle: the greater of its two naked requirements plus the other side's mark.
  (Cboe margin manual, "Short put and short call")
- spread of any shape (vertical, condor, butterfly, box, backspread, diagonal, calendar): the most that it
  can lose at any price of the underlying, by intrinsic values alone. The long options must not expire
  before the short ones. (Cboe 10.3(a)(5), "universal spreads")
- long shares 50 % S initially, 25 % S to maintain; short shares 50 %, then 30 % but at least 5 USD, or
  100 % but at least 2.50 USD for those below 5 USD. (Regulation T 220.12; FINRA 4210(c))
- shares against a short call (short shares: a short put): the share rates on the lesser of S and K (short
  shares: on S) plus what the option is in the money. (Cboe margin manual, "Short call and long underlying")
- shares with a long put (short shares: a long call): to maintain, not more than 10 % K plus what the
  option is out of the money. (FINRA 4210(f)(2)(F), "long option offset")
- collar and conversion (and their reverses): to maintain, not more than 10 % of the long option's K plus
  what the shares can lose until one of the two options stops it. (FINRA 4210(f)(2)(F))

Long options are paid in full and neither need nor give anything by themselves. Equity is taken without
the value of options (see `values`), so a short option's requirement contains what it takes to buy it back.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache

import numpy as np

from broker.gateway.markets.listings import INDEXES
from options import ConId, Contract, Leg, Right, SecType, per_share

NAKED_RATE = 0.20
BROAD_INDEX_RATE = 0.15
LEAST_RATE = 0.10
HEDGE_RATE = 0.10
INITIAL_RATE = 0.50
LONG_RATE = 0.25
SHORT_RATE = 0.30
CHEAP_USD = 5.0
LEAST_SHORT_USD = 5.0
LEAST_CHEAP_SHORT_USD = 2.5
# Not broad indexes of shares: the rate of single shares applies.
VOLATILITY_INDEXES = frozenset({"VIX"})
DECIMALS = 6

Constraint = tuple[str, int, float]


@dataclass(frozen=True, slots=True)
class Margin:
    """USD; `initial` to open, `maintenance` to keep."""

    initial: float = 0.0
    maintenance: float = 0.0


@dataclass(frozen=True, slots=True)
class Option:
    """`quantity` contracts of one option, all long or all short; `mark` USD per share."""

    contract: Contract
    quantity: int
    mark: float

    @property
    def multiplier(self) -> int:
        return self.contract.multiplier

    @property
    def strike(self) -> float:
        return self.contract.strike or 0.0

    @property
    def expiry(self) -> date:
        return self.contract.expiry or date.max

    @property
    def is_call(self) -> bool:
        return self.contract.right is Right.CALL

    def inside(self, price: float) -> float:
        """USD per share that the option is in the money at `price`."""
        return max(price - self.strike if self.is_call else self.strike - price, 0.0)

    def outside(self, price: float) -> float:
        """USD per share that it is out of the money at `price`."""
        return max(self.strike - price if self.is_call else price - self.strike, 0.0)

    def risk_usd(self, spot: float) -> float:
        """What one naked short contract needs beside its mark."""
        broad = self.contract.symbol in INDEXES - VOLATILITY_INDEXES
        rate = BROAD_INDEX_RATE if broad else NAKED_RATE
        least = LEAST_RATE * (spot if self.is_call else self.strike)
        return self.multiplier * max(rate * spot - self.outside(spot), least)


@dataclass(frozen=True, slots=True)
class Use:
    """One way to secure one unit: what it costs, and how much of each constraint it takes up."""

    cost: Margin
    takes: Mapping[Constraint, float]


def margin_of(legs: Iterable[Leg], marks: Mapping[ConId, float], spots: Mapping[str, float]) -> Margin:
    """The requirement of all holdings; `spots` are the underlyings' prices by symbol, in USD per share."""
    by_symbol: dict[str, list[Leg]] = {}
    for leg in sorted(legs, key=lambda leg: leg.contract.con_id):
        if leg.quantity:
            by_symbol.setdefault(leg.contract.symbol, []).append(leg)
    found = [
        _underlying_margin(tuple(held), tuple(mark_of(leg, marks) for leg in held), spots.get(symbol))
        for symbol, held in sorted(by_symbol.items())
    ]
    return Margin(sum(part.initial for part in found), sum(part.maintenance for part in found))


def mark_of(leg: Leg, marks: Mapping[ConId, float]) -> float:
    """USD per share: the last known mark, else the average cost."""
    return marks.get(leg.contract.con_id, per_share(leg.average_cost, leg.contract.multiplier))


@lru_cache(maxsize=512)
def _underlying_margin(legs: tuple[Leg, ...], marks: tuple[float, ...], spot: float | None) -> Margin:
    """The requirement of holdings in one underlying; without its price the strikes (or marks) stand in."""
    shares, price = 0, spot
    longs: list[Option] = []
    shorts: list[Option] = []
    for leg, mark in zip(legs, marks, strict=True):
        if leg.contract.sec_type is SecType.OPTION:
            side = longs if leg.quantity > 0 else shorts
            side.append(Option(leg.contract, abs(leg.quantity), mark))
        else:
            shares += leg.quantity
            price = mark if spot is None else spot
    if not shorts and not shares:
        return Margin()
    if price is None:
        price = max(option.strike for option in shorts)
    return _least(shares, longs, shorts, price)


def _least(shares: int, longs: Sequence[Option], shorts: Sequence[Option], spot: float) -> Margin:
    """The cheapest way to use all holdings, once for the initial and once for the maintenance rates."""
    limits = _limits(shares, longs, shorts)
    uses = [*_option_uses(longs, shorts, spot), *_share_uses(shares, longs, shorts, spot)]
    alone = _share_margin(shares, spot)
    if not uses:
        return Margin(abs(shares) * alone.initial, abs(shares) * alone.maintenance)
    from scipy.optimize import linprog  # it takes half a second to load: not at the start

    rows = {constraint: i for i, constraint in enumerate(limits)}
    takes = np.zeros((len(rows), len(uses)))
    for column, use in enumerate(uses):
        for constraint, amount in use.takes.items():
            takes[rows[constraint], column] = amount

    def solved(costs: list[float], share_usd: float) -> float:
        optimum = linprog(costs, A_ub=takes, b_ub=list(limits.values())).fun
        return max(0.0, round(float(optimum) + abs(shares) * share_usd, DECIMALS))

    return Margin(
        solved([use.cost.initial for use in uses], alone.initial),
        solved([use.cost.maintenance for use in uses], alone.maintenance),
    )


def _limits(shares: int, longs: Sequence[Option], shorts: Sequence[Option]) -> dict[Constraint, float]:
    """How much of everything there is.

    A short option that no other use takes up belongs to the spread of its expiry: "loss" keeps that
    spread's worst case at each strike (and 0) below what is put aside, "slope" keeps it limited above the
    highest strike. The right-hand sides are those of the spread without any long option.
    """
    limits: dict[Constraint, float] = {("shares", 0, 0.0): abs(shares)}
    limits |= {("long", j, 0.0): long.quantity for j, long in enumerate(longs)}
    limits |= {("short", i, 0.0): short.quantity for i, short in enumerate(shorts)}
    limits |= {("naked", i, 0.0): 0.0 for i in range(len(shorts))}
    for group, expiry in enumerate(_expiries(shorts)):
        due = [short for short in shorts if short.expiry == expiry]
        for price in _kinks(longs, shorts):
            limits["loss", group, price] = -sum(s.quantity * s.multiplier * s.inside(price) for s in due)
        limits["slope", group, 0.0] = -sum(s.quantity * s.multiplier for s in due if s.is_call)
    return limits


def _expiries(shorts: Sequence[Option]) -> list[date]:
    return sorted({short.expiry for short in shorts})


def _kinks(longs: Sequence[Option], shorts: Sequence[Option]) -> list[float]:
    """Where intrinsic values bend: a spread's worst case lies at one of them, or beyond the last."""
    return sorted({0.0, *(option.strike for option in (*longs, *shorts))})


def _relief(option: Option, group: int, kinks: Sequence[float]) -> dict[Constraint, float]:
    """What a spread gains at each price by one long contract more, or by one short contract less."""
    gains: dict[Constraint, float] = {
        ("loss", group, price): -option.multiplier * option.inside(price) for price in kinks
    }
    return gains | {("slope", group, 0.0): -option.multiplier * float(option.is_call)}


def _option_uses(longs: Sequence[Option], shorts: Sequence[Option], spot: float) -> list[Use]:
    """Naked shorts, straddles of naked shorts, and long options in the spread of each expiry."""
    expiries, kinks = _expiries(shorts), _kinks(longs, shorts)
    uses = []
    for i, short in enumerate(shorts):
        naked = short.multiplier * short.mark + short.risk_usd(spot)
        takes = _relief(short, expiries.index(short.expiry), kinks)
        takes |= {("short", i, 0.0): 1.0, ("naked", i, 0.0): -1.0}
        uses.append(Use(Margin(naked, naked), takes))
        for other, put in enumerate(shorts):
            if short.is_call and not put.is_call:
                spared = -min(short.risk_usd(spot), put.risk_usd(spot))
                both: dict[Constraint, float] = {("naked", i, 0.0): 1.0, ("naked", other, 0.0): 1.0}
                uses.append(Use(Margin(spared, spared), both))
    for group, expiry in enumerate(expiries):
        aside: dict[Constraint, float] = {("loss", group, price): -1.0 for price in kinks}
        uses.append(Use(Margin(1.0, 1.0), aside))
        for j, long in enumerate(longs):
            if long.expiry >= expiry:
                wing: dict[Constraint, float] = {("long", j, 0.0): 1.0}
                uses.append(Use(Margin(), _relief(long, group, kinks) | wing))
    return uses


def _share_uses(shares: int, longs: Sequence[Option], shorts: Sequence[Option], spot: float) -> list[Use]:
    """Shares with a short option against them, with a long one that protects them, and with both."""
    if not shares:
        return []
    expiries, kinks = _expiries(shorts), _kinks(longs, shorts)
    alone = _share_margin(shares, spot)
    # Long shares are delivered for short calls and protected by long puts; short shares the other way.
    covers = [(i, short) for i, short in enumerate(shorts) if short.is_call is (shares > 0)]
    hedges = [(j, long) for j, long in enumerate(longs) if long.is_call is (shares < 0)]

    def use(unit: Margin, size: int, takes: dict[Constraint, float]) -> Use:
        saved = Margin(size * (unit.initial - alone.initial), size * (unit.maintenance - alone.maintenance))
        return Use(saved, takes | {("shares", 0, 0.0): float(size)})

    uses = []
    for j, hedge in hedges:
        kept = min(alone.maintenance, HEDGE_RATE * hedge.strike + hedge.outside(spot))
        uses.append(use(Margin(alone.initial, kept), hedge.multiplier, {("long", j, 0.0): 1.0}))
    for i, cover in covers:
        base = _share_margin(shares, min(spot, cover.strike) if shares > 0 else spot)
        inside = cover.inside(spot)
        covered = Margin(base.initial + inside, base.maintenance + inside)
        takes = _relief(cover, expiries.index(cover.expiry), kinks) | {("short", i, 0.0): 1.0}
        uses.append(use(covered, cover.multiplier, takes))
        for j, hedge in hedges:
            if hedge.expiry >= cover.expiry and hedge.multiplier == cover.multiplier:
                stopped = HEDGE_RATE * hedge.strike + max(hedge.outside(spot), inside)
                collar = Margin(covered.initial, min(covered.maintenance, stopped))
                uses.append(use(collar, cover.multiplier, takes | {("long", j, 0.0): 1.0}))
    return uses


def _share_margin(shares: int, price: float) -> Margin:
    """USD per share for long (or, where `shares` is negative, short) shares without any option."""
    if shares > 0:
        return Margin(INITIAL_RATE * price, LONG_RATE * price)
    if price < CHEAP_USD:
        kept = max(price, LEAST_CHEAP_SHORT_USD)
    else:
        kept = max(SHORT_RATE * price, LEAST_SHORT_USD)
    return Margin(max(INITIAL_RATE * price, kept), kept)
