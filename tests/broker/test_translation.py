"""Orders are bought combos in our words and what the broker accepts in its own."""

from datetime import date

import ib_async as ib
import pytest

from broker.protocol import ComboLeg, OrderRequest
from broker.translation import our_contract, their_contract, their_order
from options import BrokerError, ConId, Contract, Right, SecType

SHORT = Contract(ConId(1), "IWM", SecType.OPTION, date(2026, 3, 20), 245.0, Right.PUT, 100)
WING = Contract(ConId(2), "IWM", SecType.OPTION, date(2026, 3, 20), 240.0, Right.PUT, 100)


def test_a_credit_spread_is_bought_at_a_negative_limit() -> None:
    request = OrderRequest("i-1", (ComboLeg(SHORT, -1), ComboLeg(WING, 1)), 3, -1.05, opens=True)
    contract, order = their_order(request, "DU1")
    assert (contract.secType, contract.exchange, contract.symbol) == ("BAG", "SMART", "IWM")
    legs = [(leg.conId, leg.ratio, leg.action, leg.exchange) for leg in contract.comboLegs]
    assert legs == [(1, 1, "SELL", "SMART"), (2, 1, "BUY", "SMART")]
    assert (order.action, order.totalQuantity, order.orderType, order.lmtPrice) == ("BUY", 3, "LMT", -1.05)
    assert (order.tif, order.account, order.orderRef, order.transmit) == ("DAY", "DU1", "i-1", True)
    assert not order.smartComboRoutingParams


def test_a_lone_leg_with_ratio_minus_one_is_sold_at_a_positive_limit() -> None:
    request = OrderRequest("i-2", (ComboLeg(WING, -1),), 2, -0.40, opens=False)
    contract, order = their_order(request, "DU1")
    assert (contract.secType, contract.conId) == ("OPT", 2)
    assert (order.action, order.lmtPrice) == ("SELL", 0.40)


def test_an_order_without_limit_is_a_market_order() -> None:
    request = OrderRequest("i-3", (ComboLeg(SHORT, 1),), 1, None, opens=False)
    assert their_order(request, "DU1")[1].orderType == "MKT"


@pytest.mark.parametrize(
    ("legs", "quantity", "limit"),
    [
        ((), 1, 1.0),
        ((ComboLeg(SHORT, 1),), 0, 1.0),
        ((ComboLeg(SHORT, 0), ComboLeg(WING, 1)), 1, 1.0),
        ((ComboLeg(SHORT, 2),), 1, 1.0),
        ((ComboLeg(SHORT, -1),), 1, 0.5),
        ((ComboLeg(SHORT, 1),), 1, -0.5),
    ],
)
def test_an_order_that_means_nothing_is_refused(
    legs: tuple[ComboLeg, ...], quantity: int, limit: float
) -> None:
    with pytest.raises(BrokerError, match="i-4"):
        their_order(OrderRequest("i-4", legs, quantity, limit, opens=True), "DU1")


def test_a_contract_survives_the_way_there_and_back() -> None:
    assert our_contract(their_contract(SHORT)) == SHORT


def test_a_future_is_not_ours() -> None:
    assert our_contract(ib.Contract(conId=3, symbol="ES", secType="FUT")) is None
