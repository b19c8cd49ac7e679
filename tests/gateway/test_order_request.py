import pytest
from hypothesis import given
from hypothesis import strategies as st
from ib_async import (
    IB,
    ComboLeg,
    Contract,
    LimitOrder,
    Order,
    PriceCondition,
    Stock,
    TagValue,
    TimeCondition,
)

from broker.gateway.account import Execution
from broker.gateway.errors import MessageError
from broker.gateway.listings import underlying
from broker.gateway.order import Order as BookOrder
from broker.gateway.order_messages import completed_order, exec_details, order_opened, order_status
from broker.gateway.order_request import read_order
from broker.gateway.script import DEFAULT_START
from broker.gateway.wire import Fields

LEGS = [ComboLeg(conId=n, ratio=1, action=a, exchange="SMART") for n, a in enumerate(("BUY", "SELL"), 1)]
BAG = Contract(secType="BAG", symbol="SPY", exchange="SMART", currency="USD", comboLegs=LEGS)
SHARE = Stock("SPY", "SMART", "USD")


def sent(contract, order):
    """The fields that the real client library writes for an order at server version 178."""
    messages = []
    client = IB().client
    client._serverVersion = 178
    client.connState = client.CONNECTED
    client.sendMsg = messages.append
    client.placeOrder(7, contract, order)
    client.connState = client.DISCONNECTED
    return messages[0].split("\0")[:-1]


def read(values):
    fields = Fields(values)
    assert fields.integer() == 3
    return read_order(fields)


def test_a_single_leg_has_114_fields_and_a_combo_135():
    assert len(sent(SHARE, LimitOrder("BUY", 1, 2.0))) == 114
    routed = LimitOrder("BUY", 1, -1.05, smartComboRoutingParams=[TagValue("NonGuaranteed", "0")])
    values = sent(BAG, routed)
    assert len(values) == 135
    order_id, request = read(values)
    assert order_id == 7
    assert (request.limit_price, request.routing) == (-1.05, (("NonGuaranteed", "0"),))
    assert [(leg.con_id, leg.action) for leg in request.legs] == [(1, "BUY"), (2, "SELL")]


def test_one_field_too_many_or_too_few_is_refused():
    values = sent(SHARE, LimitOrder("BUY", 1, 2.0))
    for wrong in ([*values, "x"], values[:-1]):
        with pytest.raises(MessageError):
            read(wrong)


@given(
    combo=st.booleans(),
    algo=st.lists(st.sampled_from(["Urgent", "Patient"]), max_size=3),
    hedge=st.booleans(),
    delta_neutral=st.booleans(),
    scale=st.booleans(),
    conditions=st.lists(st.sampled_from([PriceCondition, TimeCondition]), max_size=3),
    order_type=st.sampled_from(["LMT", "MKT", "PEG BEST", "PEG MID", "PEG BENCH"]),
    what_if=st.booleans(),
)
def test_every_variant_of_the_layout_is_read_to_the_last_field(
    combo, algo, hedge, delta_neutral, scale, conditions, order_type, what_if
):
    order = Order(
        action="SELL",
        totalQuantity=3,
        orderType=order_type,
        lmtPrice=1.5,
        orderRef="ref",
        tif="GTC",
        whatIf=what_if,
        algoStrategy="Adaptive" if algo else "",
        algoParams=[TagValue("adaptivePriority", value) for value in algo],
        hedgeType="D" if hedge else "",
        deltaNeutralOrderType="MKT" if delta_neutral else "",
        scalePriceIncrement=0.5 if scale else 1.7976931348623157e308,
        conditions=[kind() for kind in conditions],
    )
    _, request = read(sent(BAG if combo else SHARE, order))
    assert (request.action, request.quantity, request.limit_price) == ("SELL", 3, 1.5)
    assert (request.what_if, request.order_ref, request.tif) == (what_if, "ref", "GTC")


def test_replies_have_the_counts_of_the_protocol():
    share = underlying("SPY")
    _, request = read(sent(SHARE, LimitOrder("BUY", 1, 2.0)))
    order = BookOrder(1, 7, 99, request, ((share, 1),), placed=DEFAULT_START, done=DEFAULT_START)
    execution = Execution(
        exec_id="a.b.01.01",
        client_id=1,
        order_id=7,
        perm_id=99,
        order_ref="",
        symbol="SPY",
        contract=share,
        quantity=1,
        price=2.0,
        time=DEFAULT_START,
        commission_usd=0.65,
        realized_usd=None,
    )
    assert len(order_opened(order, "DU1")) == 135
    assert len(completed_order(order, "DU1")) == 100
    assert len(exec_details(execution, order, "DU1")) == 32
    assert len(order_status(order)) == 12
