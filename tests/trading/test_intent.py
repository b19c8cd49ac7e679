"""An intent survives the lake unchanged, and its id is a function of what it is about."""

from datetime import UTC, date, datetime, timedelta

import pytest

from broker.protocol import Chain, ComboLeg
from options import ConId, Contract, GateRefusal, Leg, Right, SecType, UsdPerContract
from trading.decision import decision_id
from trading.intent import Intent, IntentKind, IntentState
from trading.price_walk import Urgency
from trading.roll import roll_targets
from trading.verdict import Verdict

NOW = datetime(2026, 2, 3, 17, tzinfo=UTC)
PUT = Contract(ConId(2), "IWM", SecType.OPTION, date(2026, 2, 20), 245.0, Right.PUT, 100, trading_class="IWM")


def test_an_intent_read_back_from_its_row_is_the_same() -> None:
    intent = Intent(
        "opt-1", "dec-1", "IWM-1", "dte_roll", 11, IntentKind.CLOSE, IntentState.WORKING,
        (ComboLeg(PUT, 1),), 2, 1.25, Urgency.HIGH, NOW, (-2,), "stepped", 1.0, 45, None,
    )  # fmt: skip
    assert Intent.from_row(intent.row()) == intent


def test_a_decision_id_depends_on_position_rule_and_moment_only() -> None:
    verdict = Verdict("IWM-1", "dte_roll", 11, "roll", {"dte": 45}, Urgency.HIGH, ("dte_roll",), ())
    same = Verdict("IWM-1", "dte_roll", 11, "roll", {}, Urgency.NORMAL, (), ("vix_exit",))
    assert decision_id(verdict, NOW) == decision_id(same, NOW)
    assert decision_id(verdict, NOW) != decision_id(verdict, NOW + timedelta(microseconds=1))


def chain(*expiries: date, strikes: tuple[float, ...] = (240.0, 244.0, 246.5)) -> Chain:
    return Chain("IWM", "IWM", 100, expiries, strikes)


def test_a_roll_goes_to_the_listed_expiry_nearest_to_its_dte_and_the_nearest_strike() -> None:
    legs = [Leg(PUT, -2, UsdPerContract(100.0))]
    near, far = date(2026, 3, 20), date(2026, 4, 17)
    (target,) = roll_targets(legs, [chain(date(2026, 2, 13), near, far)], 45, NOW)
    assert (target.expiry, target.strike, target.con_id) == (near, 244.0, 0)


def test_a_roll_without_a_later_expiry_is_refused() -> None:
    with pytest.raises(GateRefusal, match="no expiry after 2026-02-20"):
        roll_targets([Leg(PUT, -2, UsdPerContract(1.0))], [chain(date(2026, 2, 20))], 45, NOW)


def test_a_chain_too_coarse_for_the_structure_is_refused() -> None:
    wing = Contract(ConId(1), "IWM", SecType.OPTION, date(2026, 2, 20), 244.5, Right.PUT, 100)
    legs = [Leg(PUT, -2, UsdPerContract(1.0)), Leg(wing, 2, UsdPerContract(1.0))]
    with pytest.raises(GateRefusal, match="too coarse"):
        roll_targets(legs, [chain(date(2026, 3, 20), strikes=(244.0,))], 45, NOW)
