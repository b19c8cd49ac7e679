"""Who exercises an option, and when: pure decisions, drawn from the seed where real holders differ.

- At expiry an option is exercised when it is in the money by a cent or more at the close (the clearing
  house's "exercise by exception"). Within `PIN` of the strike the holders of the options that an account
  is short decide by the price after the close, each contract for itself: that price is drawn once per
  underlying and day.
- Early, short options on shares may be assigned in the night after the close. Calls, on the eve of an
  ex-dividend day, when what they cost beyond their intrinsic value is less than the dividend; about half
  of such calls are exercised (Pool, Stoll and Whaley, "Failure to exercise call options", 2008). Puts, when
  they are deep in the money and the interest on the strike until expiry is more than what they cost beyond
  their intrinsic value; a tenth of them each night.
- Options on an index are European and settle in cash.
"""

import math
from dataclasses import dataclass
from datetime import date
from statistics import NormalDist

from broker.gateway.exchange.chance import draw
from broker.gateway.markets.listings import INDEXES
from options import Contract, Leg, Right, UsdPerContract, value_at_expiry

CENT_USD = 0.01
PIN = 0.005
AFTER_HOURS_VOL = 0.0015
# How far beyond the strike, as a share of it, holders look before they are sure what to do.
DOUBT = 0.0005
CALL_HAZARD = 0.5
PUT_HAZARD = 0.1
DEEP = 0.05
RATE = 0.04
DAYS_PER_YEAR = 365


def is_cash_settled(contract: Contract) -> bool:
    return contract.symbol in INDEXES


def intrinsic_usd(contract: Contract, price: float) -> float:
    """USD per share."""
    return value_at_expiry([Leg(contract, 1, UsdPerContract(0.0))], price) / contract.multiplier


def after_hours_price(symbol: str, day: date, close: float, seed: int) -> float:
    """USD per share at which holders make up their minds after the close of `day`."""
    move = NormalDist(0.0, AFTER_HOURS_VOL).inv_cdf(draw(seed, "after hours", symbol, day))
    return close * math.exp(move)


def exercised_at_expiry(contract: Contract, quantity: int, close: float, seed: int) -> int:
    """How many of the `quantity` contracts (negative: short ones) are exercised, without a sign."""
    inside = intrinsic_usd(contract, close) >= CENT_USD - 1e-9
    strike = contract.strike or 0.0
    if quantity > 0 or is_cash_settled(contract) or abs(close - strike) > PIN * strike:
        return abs(quantity) if inside else 0
    day = contract.expiry or date.min
    late = after_hours_price(contract.symbol, day, close, seed)
    toward = (late - strike) * (1.0 if contract.right is Right.CALL else -1.0)
    likely = NormalDist(0.0, DOUBT * strike).cdf(toward)
    return _assigned(abs(quantity), likely, seed, "pin", contract.con_id)


@dataclass(frozen=True, slots=True)
class Night:
    """What holders of an option know after the close of `day`, in USD per share.

    `spot` is the underlying's price, `bid` the option's, `dividend` what it pays if tomorrow is its ex-day.
    """

    day: date
    spot: float
    bid: float
    dividend: float


def assigned_early(contract: Contract, quantity: int, night: Night, seed: int) -> int:
    """How many of `quantity` short contracts (given without a sign) are assigned in the night."""
    inside = intrinsic_usd(contract, night.spot)
    if is_cash_settled(contract) or inside < CENT_USD or contract.expiry is None:
        return 0
    extrinsic = max(0.0, night.bid - inside)
    hazard = 0.0
    if contract.right is Right.CALL:
        hazard = CALL_HAZARD if extrinsic < night.dividend else 0.0
    elif inside >= DEEP * night.spot:
        years = (contract.expiry - night.day).days / DAYS_PER_YEAR
        interest = (contract.strike or 0.0) * (1 - math.exp(-RATE * years))
        hazard = PUT_HAZARD if interest > extrinsic else 0.0
    return _assigned(quantity, hazard, seed, "early", contract.con_id, night.day)


def _assigned(quantity: int, likely: float, seed: int, *about: object) -> int:
    return sum(draw(seed, *about, number) < likely for number in range(quantity))
