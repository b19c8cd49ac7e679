import copy
import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ib_async import (
    IB,
    ComboLeg,
    Contract,
    DeltaNeutralContract,
    ExecutionCondition,
    LimitOrder,
    MarginCondition,
    Order,
    OrderComboLeg,
    PercentChangeCondition,
    PriceCondition,
    SoftDollarTier,
    Stock,
    TagValue,
    TimeCondition,
    VolumeCondition,
)
from ib_async.decoder import Decoder
from ibapi.client import EClient
from ibapi.contract import Contract as OfficialContract
from ibapi.order import Order as OfficialOrder

from broker.gateway.errors import MessageError
from broker.gateway.exchange.account import Execution
from broker.gateway.exchange.order import Order as BookOrder
from broker.gateway.markets.listings import underlying
from broker.gateway.markets.script import DEFAULT_START
from broker.gateway.protocol.order_messages import (
    OrderState,
    completed_order,
    exec_details,
    open_order,
    order_opened,
    order_status,
)
from broker.gateway.protocol.order_request import OrderRequest, read_order
from broker.gateway.protocol.wire import Fields, frame, split

LEGS = [ComboLeg(conId=n, ratio=1, action=a, exchange="SMART") for n, a in enumerate(("BUY", "SELL"), 1)]
BAG = Contract(secType="BAG", symbol="SPY", exchange="SMART", currency="USD", comboLegs=LEGS)
SHARE = Stock("SPY", "SMART", "USD")
VERSIONS = range(157, 179)
IDS = (7, 1, 99)


def sent(contract, order, version=178):
    """The fields that the real client library writes for an order at a server version."""
    messages = []
    client = IB().client
    client._serverVersion = version
    client.connState = client.CONNECTED
    client.sendMsg = messages.append
    client.placeOrder(7, contract, copy.copy(order))
    client.connState = client.DISCONNECTED
    return messages[0].split("\0")[:-1]


def read(values, version=178):
    """The request in the fields of a message."""
    fields = Fields(values)
    assert (fields.integer(), fields.integer()) == (3, 7)
    return read_order(fields, version)


class Listener:
    """Takes what ib_async decodes from an openOrder or a completedOrder."""

    def openOrder(self, _order_id, contract, order, state):
        self.heard = contract, order, state

    def completedOrder(self, contract, order, state):
        self.heard = contract, order, state


def decoded(fields, version):
    """What ib_async understands of a message."""
    listener = Listener()
    Decoder(listener, version).interpret(split(frame(fields)[4:]))
    return listener.heard


def shown(request, version):
    """openOrder for a request on one share."""
    return open_order(request, ((underlying("SPY"), 1),), IDS, "DU1", OrderState("Submitted"), version)


@pytest.mark.parametrize(
    ("version", "single", "combo"),
    [
        (157, 110, 131),
        (158, 111, 132),
        (160, 112, 133),
        (162, 113, 134),
        (166, 114, 135),
        (169, 115, 136),
        (176, 115, 136),
        (177, 114, 135),
        (178, 114, 135),
    ],
)
def test_a_single_leg_and_a_combo_have_the_field_counts_of_their_version(version, single, combo):
    routed = LimitOrder("BUY", 1, -1.05, smartComboRoutingParams=[TagValue("NonGuaranteed", "0")])
    assert len(sent(SHARE, LimitOrder("BUY", 1, 2.0), version)) == single
    values = sent(BAG, routed, version)
    assert len(values) == combo
    request = read(values, version)
    assert (request.limit_price, request.routing) == (-1.05, (("NonGuaranteed", "0"),))
    assert [(leg.con_id, leg.action) for leg in request.legs] == [(1, "BUY"), (2, "SELL")]


def test_one_field_too_many_or_too_few_is_refused():
    values = sent(SHARE, LimitOrder("BUY", 1, 2.0))
    for wrong in ([*values, "x"], values[:-1]):
        with pytest.raises(MessageError):
            read(wrong)


def test_another_version_than_the_agreed_one_is_refused():
    values = sent(SHARE, LimitOrder("BUY", 1, 2.0), 157)
    for version in VERSIONS[1:]:
        with pytest.raises(MessageError):
            read(values, version)


@given(
    combo=st.booleans(),
    algo=st.lists(st.sampled_from(["Urgent", "Patient"]), max_size=3),
    hedge=st.booleans(),
    delta_neutral=st.booleans(),
    scale=st.booleans(),
    conditions=st.lists(st.sampled_from([PriceCondition, TimeCondition]), max_size=3),
    order_type=st.sampled_from(["LMT", "MKT", "PEG BEST", "PEG MID", "PEG BENCH"]),
    what_if=st.booleans(),
    version=st.sampled_from(VERSIONS),
)
def test_every_variant_of_the_layout_is_read_to_the_last_field(
    combo, algo, hedge, delta_neutral, scale, conditions, order_type, what_if, version
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
    request = read(sent(BAG if combo else SHARE, order, version), version)
    assert (request.action, request.quantity, request.limit_price) == ("SELL", 3, 1.5)
    assert (request.what_if, request.order_ref, request.tif) == (what_if, "ref", "GTC")


EVERYTHING = Order(
    action="SELL",
    totalQuantity=3,
    orderType="TRAIL LIMIT",
    lmtPrice=1.5,
    auxPrice=0.25,
    tif="GTD",
    goodTillDate="20260417 16:00:00 US/Eastern",
    goodAfterTime="20260302 11:00:00 US/Eastern",
    ocaGroup="oca",
    ocaType=2,
    orderRef="ref",
    parentId=5,
    openClose="C",
    outsideRth=True,
    allOrNone=True,
    minQty=2,
    displaySize=1,
    hidden=True,
    blockOrder=True,
    sweepToFill=True,
    triggerMethod=4,
    discretionaryAmt=0.02,
    faGroup="everyone",
    faMethod="NetLiq",
    faPercentage="50",
    modelCode="model",
    settlingFirm="firm",
    percentOffset=0.5,
    nbboPriceCap=2.5,
    startingPrice=1.0,
    stockRefPrice=500.0,
    delta=0.5,
    stockRangeLower=490.0,
    stockRangeUpper=510.0,
    volatilityType=2,
    deltaNeutralOrderType="LMT",
    deltaNeutralAuxPrice=1.25,
    deltaNeutralConId=42,
    deltaNeutralShortSale=True,
    continuousUpdate=True,
    referencePriceType=1,
    trailStopPrice=1.75,
    scaleInitLevelSize=1,
    scaleSubsLevelSize=2,
    scalePriceIncrement=0.05,
    scalePriceAdjustValue=0.01,
    scalePriceAdjustInterval=60,
    scaleProfitOffset=0.1,
    scaleAutoReset=True,
    scaleInitPosition=3,
    scaleInitFillQty=1,
    scaleRandomPercent=True,
    hedgeType="B",
    hedgeParam="0.9",
    optOutSmartRouting=True,
    clearingAccount="other",
    clearingIntent="Away",
    notHeld=True,
    algoStrategy="Adaptive",
    algoParams=[TagValue("adaptivePriority", "Urgent")],
    solicited=True,
    randomizeSize=True,
    randomizePrice=True,
    conditions=[
        PriceCondition(1, "o", False, 100.5, 42, "SMART", 2),
        TimeCondition(3, "a", True, "20260302 12:00:00"),
        MarginCondition(4, "a", False, 30),
        ExecutionCondition(5, "o", "STK", "SMART", "SPY"),
        VolumeCondition(6, "a", True, 1000, 42, "SMART"),
        PercentChangeCondition(7, "a", True, 2.5, 42, "SMART"),
    ],
    conditionsIgnoreRth=True,
    conditionsCancelOrder=True,
    adjustedOrderType="STP",
    triggerPrice=1.1,
    lmtPriceOffset=0.05,
    adjustedStopPrice=1.2,
    adjustedStopLimitPrice=1.3,
    adjustedTrailingAmount=0.4,
    adjustableTrailingUnit=1,
    softDollarTier=SoftDollarTier("tier", "value", ""),
    cashQty=1000.0,
    dontUseAutoPriceForHedge=True,
    isOmsContainer=True,
    discretionaryUpToLimitPrice=True,
    usePriceMgmtAlgo=True,
    duration=60,
    postToAts=1,
    autoCancelParent=True,
)


@pytest.mark.parametrize("version", VERSIONS)
def test_open_order_repeats_everything_that_the_client_said(version):
    contract, order, state = decoded(shown(read(sent(SHARE, EVERYTHING, version), version), version), version)
    late = {158: {"duration"}, 160: {"postToAts"}, 162: {"autoCancelParent"}}
    missing = set().union(*(names for since, names in late.items() if version < max(since, 159)))
    said = (
        {f.name for f in dataclasses.fields(Order)} - missing - {"orderId", "clientId", "permId", "account"}
    )
    for name in said:
        if getattr(EVERYTHING, name) != getattr(Order(), name):
            assert getattr(order, name) == getattr(EVERYTHING, name), name
    assert (order.orderId, order.clientId, order.permId, order.account) == (*IDS, "DU1")
    assert (contract.conId, state.status) == (underlying("SPY").con_id, "Submitted")


def booked(request, contract):
    """A finished order in the book."""
    moments = {"placed": DEFAULT_START, "starts": DEFAULT_START, "done": DEFAULT_START}
    return BookOrder(1, 7, 99, request, ((contract, 1),), **moments)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_combo_comes_back_with_legs_prices_routing_and_hedge(version):
    bag = dataclasses.replace(BAG, deltaNeutralContract=DeltaNeutralContract(42, 0.5, 500.0))
    order = LimitOrder("BUY", 2, -1.05, orderComboLegs=[OrderComboLeg(1.0), OrderComboLeg(2.05)])
    order.smartComboRoutingParams = [TagValue("NonGuaranteed", "0")]
    request = read(sent(bag, order, version), version)
    book = booked(request, underlying("SPY"))
    for message in (shown(request, version), completed_order(book, "DU1", version)):
        contract, seen, _ = decoded(message, version)
        assert contract.comboLegs == LEGS
        assert contract.comboLegsDescrip == "1|1,2|-1"
        assert contract.deltaNeutralContract == bag.deltaNeutralContract
        assert seen.orderComboLegs == order.orderComboLegs
        assert seen.smartComboRoutingParams == order.smartComboRoutingParams


@pytest.mark.parametrize("version", VERSIONS)
def test_replies_have_the_field_counts_of_their_version(version):
    share = underlying("SPY")
    request = read(sent(SHARE, LimitOrder("BUY", 1, 2.0), version), version)
    order = booked(request, share)
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
        cumulative=1,
        average_price=2.0,
        adds_liquidity=False,
    )
    profile = version < 177
    late = sum(version >= since for since in (158, 160, 162)) + 5 * (version >= 170)
    assert len(order_opened(order, "DU1", version)) == 127 + late + profile
    assert len(completed_order(order, "DU1", version)) == 95 + 5 * (version >= 170) + profile
    child = decoded(completed_order(order, "DU1", version, parent=order), version)[1]
    assert child.parentPermId == order.perm_id
    assert len(exec_details(execution, order, "DU1", version)) == 31 + (version >= 178)
    assert len(order_status(order)) == 12
    long = read(sent(BAG, EVERYTHING, version), version)
    assert len(shown(long, version)) == 127 + late + profile + 2 * 8 + 7 + 1 + 3 + 32 + 2


def test_the_counts_of_recorded_messages_are_met():
    request = read(sent(SHARE, LimitOrder("BUY", 1, 2.0)))
    assert len(shown(request, 178)) == 135
    assert {len(shown(request, version)) for version in range(170, 177)} == {136}


@pytest.mark.parametrize("kind", ["LMT", "PEG BENCH"])
def test_the_official_client_of_version_157_is_read_to_the_last_field(kind):
    class Wire:
        def sendMsg(self, message):
            self.message = message

        def isConnected(self):
            return True

    client = EClient(None)
    client.conn, client.serverVersion_ = Wire(), 157
    client.setConnState(EClient.CONNECTED)
    contract, order = OfficialContract(), OfficialOrder()
    contract.symbol, contract.secType, contract.exchange = "SPY", "STK", "SMART"
    order.action, order.totalQuantity, order.orderType, order.lmtPrice = "BUY", 2, kind, 1.5
    client.placeOrder(7, contract, order)
    request = read(split(client.conn.message[4:]), 157)
    assert (request.quantity, request.limit_price, request.min_quantity) == (2, 1.5, None)
    seen = shown(request, 157)
    assert "1.7976931348623157e+308" not in [str(value) for value in seen]


def test_a_request_made_without_a_client_is_shown_like_an_empty_one_of_a_client():
    asked = read(sent(SHARE, Order(action="BUY", totalQuantity=1, orderType="MKT", openClose="")))
    bare = OrderRequest(contract=asked.contract, action="BUY", quantity=1, order_type="MKT")
    assert split(frame(shown(bare, 178))[4:]) == split(frame(shown(asked, 178))[4:])
