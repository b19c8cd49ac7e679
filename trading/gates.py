"""The checks an order must pass. All are evaluated and all reasons shown; none is a hidden condition.

Closing and reducing pass only checks of time, size and side, so that no gate can trap a position. A
cancellation passes none.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from broker.protocol import ComboLeg
from options import NEW_YORK, ConId, GateRefusal, Leg, UsdPerContract
from options.hours import is_open, next_opening
from sync.naked_short import naked_shorts
from trading.intent import Intent

MAX_CONTRACTS_WITHOUT_HUMAN = 10
MAX_POSITION_LOSS_OF_NLV = 0.05
MAX_DAILY_LOSS_OF_NLV = 0.03
MIN_FREE_MARGIN_OF_NLV = 0.20


@dataclass(frozen=True, slots=True)
class Check:
    """One gate's verdict; `value` and `limit` as shown to the trader."""

    name: str
    passed: bool
    value: str
    limit: str

    def __str__(self) -> str:
        return f"{self.name}: {self.value} (limit {self.limit})"


@dataclass(frozen=True, slots=True)
class OpeningFacts:
    """What the opening gates look at; USD. None = unknown, and unknown never passes. `lake`: why what is
    opened might not be recorded, `breaker`: why nothing may be opened, `blackout`: which one it is,
    `connection`: why it is not trusted; all empty when all is well."""

    holdings: tuple[Leg, ...]
    nlv_usd: float | None
    day_pnl_usd: float | None
    available_funds_usd: float | None
    margin_change_usd: float | None
    max_loss_usd: float | None
    quotes_live: bool
    breaker: str = ""
    lake: str = ""
    blackout: str = ""
    connection: str = ""


def refuse_unless_passed(checks: Sequence[Check]) -> None:
    """Raises GateRefusal naming every failed check."""
    failed = [str(check) for check in checks if not check.passed]
    if failed:
        raise GateRefusal("; ".join(failed))


def hours_check(now: datetime) -> Check:
    """Overnight an order would wait for the opening at a price (or worse, at the market) decided before."""
    # Not the time of day: what is refused all night must be refused in the same words.
    state = "open" if is_open(now) else f"closed until {next_opening(now).astimezone(NEW_YORK):%a %H:%M}"
    return Check("hours", is_open(now), state, "while the exchange in New York is open")


def blackout_check(blackout: str) -> Check:
    """An order that is sent just before the broker's restart may be lost without a word."""
    return Check("blackout", not blackout, blackout or "none", "outside of broker.blackout")


def closing_checks(
    intent: Intent, held: Mapping[ConId, int], now: datetime, blackout: str = ""
) -> list[Check]:
    """Every leg must shrink a holding, and never turn it over. `held` is what the broker reports, `blackout`
    the one that it is, empty when it is none."""
    size = Check("size", intent.quantity > 0, f"{intent.quantity} lots", "at least 1")
    return [hours_check(now), blackout_check(blackout), size, *side_checks(intent, held)]


def side_checks(intent: Intent, held: Mapping[ConId, int]) -> list[Check]:
    """What is left of the order must fit into what is held now, leg by leg."""
    checks = []
    for leg in intent.legs:
        change = leg.ratio * (intent.quantity - int(intent.filled))
        have = held.get(leg.contract.con_id, 0)
        shrinks = change * have < 0 and abs(change) <= abs(have)
        checks.append(Check("side", shrinks, f"{leg.contract.label}: {change:+d}", f"held {have:+d}"))
    return checks


def after(holdings: Sequence[Leg], legs: Sequence[ComboLeg], quantity: int) -> list[Leg]:
    """The holdings once `quantity` combos were bought."""
    result = {leg.contract.con_id: leg for leg in holdings}
    for leg in legs:
        old = result.get(leg.contract.con_id)
        change = leg.ratio * quantity
        result[leg.contract.con_id] = (
            replace(old, quantity=old.quantity + change)
            if old
            else Leg(leg.contract, change, UsdPerContract(0.0))
        )
    return [leg for leg in result.values() if leg.quantity]


def _ratio_check(name: str, part: float | None, whole: float | None, limit: float, at_most: bool) -> Check:
    sign = "at most" if at_most else "at least"
    if part is None or whole is None or whole <= 0:
        return Check(name, False, "unknown", f"{sign} {limit:.0%} of NLV")
    ratio = part / whole
    passed = ratio <= limit if at_most else ratio >= limit
    return Check(name, passed, f"{ratio:.1%} of NLV", f"{sign} {limit:.0%}")


def opening_checks(intent: Intent, facts: OpeningFacts, now: datetime) -> list[Check]:
    """The hard gates of an opening."""
    contracts = sum(abs(leg.ratio) for leg in intent.legs) * intent.quantity
    naked_before = naked_shorts(facts.holdings)
    naked_after = naked_shorts(after(facts.holdings, intent.legs, intent.quantity))
    new_naked = {k: v for k, v in naked_after.items() if v > naked_before.get(k, 0)}
    loss = None if facts.day_pnl_usd is None else max(0.0, -facts.day_pnl_usd)
    free = None
    if facts.available_funds_usd is not None and facts.margin_change_usd is not None:
        free = facts.available_funds_usd - facts.margin_change_usd
    return [
        hours_check(now),
        blackout_check(facts.blackout),
        Check("connection", not facts.connection, facts.connection or "proved", "not on trial"),
        Check("breaker", not facts.breaker, facts.breaker or "armed", "armed"),
        Check("lake", not facts.lake, facts.lake or "well", "a disk that keeps up"),
        Check("quotes", facts.quotes_live, "live" if facts.quotes_live else "not live", "all legs live"),
        Check("naked_short", not new_naked, ", ".join(new_naked) or "none", "none"),
        Check(
            "human",
            contracts <= MAX_CONTRACTS_WITHOUT_HUMAN,
            f"{contracts} contracts",
            f"{MAX_CONTRACTS_WITHOUT_HUMAN}",
        ),
        _ratio_check("max_loss", facts.max_loss_usd, facts.nlv_usd, MAX_POSITION_LOSS_OF_NLV, True),
        _ratio_check("daily_loss", loss, facts.nlv_usd, MAX_DAILY_LOSS_OF_NLV, True),
        _ratio_check("free_margin", free, facts.nlv_usd, MIN_FREE_MARGIN_OF_NLV, False),
    ]
