"""An order with every field set goes through client and gateway, and comes back to the client unchanged.

Without an exchange, which takes only what it can trade: the client's encoder, what reads placeOrder (3), what
writes openOrder (5) and completedOrder (101), and the client's decoder are put together.
"""

from datetime import UTC, datetime
from typing import Any

import ibapi.client
import pytest

from broker.gateway.exchange.order import Order
from broker.gateway.markets.listings import underlying
from broker.gateway.protocol.order_messages import OrderState, completed_order, open_order
from broker.gateway.protocol.order_request import read_order
from broker.gateway.protocol.wire import Fields, Value, frame, split
from tests.conformance.clients import LIBRARIES, OFFICIAL_PARTS
from tests.conformance.strict import Listener, StrictOfficial, strict_decoder

CLIENTS = (("ib_async", 178), ("ib_async", 170), ("ib_async", 157), ("ib_insync", 176), ("ibapi", 157))
SHARE = underlying("SPY")

# Every field in which a client can say something of an order, with something that is not its default.
BOTH = {
    "action": "SELL",
    "totalQuantity": 7,
    "lmtPrice": 1.05,
    "auxPrice": 0.95,
    "tif": "GTD",
    "ocaGroup": "group",
    "ocaType": 2,
    "account": "DU7",
    "openClose": "C",
    "origin": 1,
    "orderRef": "everything",
    "outsideRth": True,
    "hidden": True,
    "discretionaryAmt": 0.05,
    "goodAfterTime": "20260302 11:00:00 US/Eastern",
    "goodTillDate": "20260303 15:00:00 US/Eastern",
    "faGroup": "advised",
    "faMethod": "EqualQuantity",
    "faPercentage": "50",
    "modelCode": "model",
    "rule80A": "I",
    "percentOffset": 0.5,
    "settlingFirm": "firm",
    "shortSaleSlot": 2,
    "designatedLocation": "here",
    "exemptCode": 3,
    "startingPrice": 1.5,
    "stockRefPrice": 100.5,
    "delta": 0.25,
    "stockRangeLower": 90.5,
    "stockRangeUpper": 110.5,
    "displaySize": 3,
    "sweepToFill": True,
    "allOrNone": True,
    "minQty": 2,
    "triggerMethod": 4,
    "deltaNeutralOrderType": "LMT",
    "deltaNeutralAuxPrice": 1.25,
    "deltaNeutralConId": 756733,
    "deltaNeutralShortSale": True,
    "deltaNeutralShortSaleSlot": 1,
    "deltaNeutralDesignatedLocation": "there",
    "continuousUpdate": True,
    "referencePriceType": 2,
    "trailStopPrice": 1.15,
    "trailingPercent": 2.5,
    "scaleInitLevelSize": 4,
    "scaleSubsLevelSize": 5,
    "scalePriceIncrement": 0.02,
    "scalePriceAdjustValue": 0.03,
    "scalePriceAdjustInterval": 60,
    "scaleProfitOffset": 0.04,
    "scaleAutoReset": True,
    "scaleInitPosition": 6,
    "scaleInitFillQty": 1,
    "scaleRandomPercent": True,
    "hedgeType": "B",
    "hedgeParam": "1.5",
    "clearingAccount": "clearing",
    "clearingIntent": "PTA",
    "notHeld": True,
    "algoStrategy": "Adaptive",
    "solicited": True,
    "randomizeSize": True,
    "randomizePrice": True,
    "conditionsIgnoreRth": True,
    "conditionsCancelOrder": True,
    "lmtPriceOffset": 0.06,
    "cashQty": 1000.5,
    "isOmsContainer": True,
    "dontUseAutoPriceForHedge": True,
}
OPEN_ONLY = {
    "orderId": 5,
    "clientId": 1,
    "parentId": 4,
    "blockOrder": True,
    "auctionStrategy": 1,
    "nbboPriceCap": 2.5,
    "deltaNeutralSettlingFirm": "their firm",
    "deltaNeutralClearingAccount": "theirs",
    "deltaNeutralClearingIntent": "Away",
    "deltaNeutralOpenClose": "O",
    "optOutSmartRouting": True,
    "whatIf": True,
    "adjustedOrderType": "TRAIL",
    "triggerPrice": 0.9,
    "adjustedStopPrice": 0.8,
    "adjustedStopLimitPrice": 0.79,
    "adjustedTrailingAmount": 0.1,
    "adjustableTrailingUnit": 1,
    "discretionaryUpToLimitPrice": True,
    "usePriceMgmtAlgo": True,
}
# What came with a version, and is said at all only for some types of order.
SINCE = {159: {"duration": 300}, 160: {"postToAts": 8}, 162: {"autoCancelParent": True}}
VOLATILE = {"volatility": 0.3, "volatilityType": 2}
BENCHMARK = {
    "referenceContractId": 320227571,
    "isPeggedChangeAmountDecrease": True,
    "peggedChangeAmount": 0.07,
    "referenceChangeAmount": 0.08,
    "referenceExchangeId": "ISLAND",
}
OFFSETS = {"midOffsetAtWhole": 0.01, "midOffsetAtHalf": 0.005}
BEST = {"minCompeteSize": 100, "competeAgainstBestOffset": 0.02}
TYPES: dict[str, dict[str, Any]] = {
    "LMT": {},
    "VOL": VOLATILE,
    "PEG BENCH": BENCHMARK,
    "PEG MID": OFFSETS,
    "PEG BEST": BEST,
}


class Tape:
    """In place of a client's connection: keeps what is sent."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def sendMsg(self, data: bytes) -> None:
        self.sent.append(data)

    def isConnected(self) -> bool:
        return True


class Through:
    """A client at a version whose orders come back to it as the gateway would send them."""

    def __init__(self, name: str, version: int) -> None:
        self.name, self.version = name, version
        self.listener = Listener()
        self.tape = Tape()
        if name == "ibapi":
            self.parts: Any = OFFICIAL_PARTS
            self.calls = ibapi.client.EClient(self.listener)
            self.calls.serverVersion_ = version
            self.decoder: Any = StrictOfficial(self.listener, version)
        else:
            self.parts = LIBRARIES[name]
            self.calls = self.parts.client.Client(self.listener)
            self.calls._serverVersion = version
            self.decoder = strict_decoder(self.parts, self.listener)
            self.decoder.serverVersion = version
        self.calls.conn = self.tape
        self.calls.connState = type(self.calls).CONNECTED

    def place(self, contract: Any, order: Any) -> dict[int, tuple[Any, Any]]:
        """Contract and order as the client understands openOrder (5) and completedOrder (101)."""
        self.calls.placeOrder(5, contract, order)
        (data,) = self.tape.sent
        fields = Fields(split(data[4:]))
        assert (fields.integer(), fields.integer()) == (3, 5)
        request = read_order(fields, self.version)
        legs = ((SHARE, request.sign),)
        moment = datetime(2026, 3, 2, 15, tzinfo=UTC)
        kept = Order(1, 5, 77, request, legs, placed=moment, starts=moment)
        state = OrderState("PreSubmitted")
        self._hear(open_order(request, legs, (5, 1, 77), request.account, state, self.version))
        self._hear(completed_order(kept, request.account, self.version))
        told = dict(self.listener.told)
        return {5: told["openOrder"][1:3], 101: told["completedOrder"][:2]}

    def _hear(self, message: list[Value]) -> None:
        fields = split(frame(message)[4:])
        self.decoder.interpret([f.encode() for f in fields] if self.name == "ibapi" else fields)
        assert self.decoder.heard[-1].complaint == ""

    def order(self, order_type: str, values: dict[str, Any]) -> Any:
        order = self.parts.Order()
        order.orderType = order_type
        for name, value in values.items():
            assert hasattr(order, name), name
            setattr(order, name, value)
        order.algoParams = [self.parts.TagValue("adaptivePriority", "Patient")]
        order.conditions = self.conditions()
        return order

    def conditions(self) -> list[Any]:
        """One of each kind."""
        exchange = "exchange" if self.name == "ibapi" else "exch"
        place = {"conId": 756733, exchange: "SMART"}
        found = []
        for kind, values in (
            ("PriceCondition", {"isMore": False, "price": 99.5, "triggerMethod": 4} | place),
            ("TimeCondition", {"isMore": True, "time": "20260302 12:00:00 US/Eastern"}),
            ("MarginCondition", {"isMore": True, "percent": 30}),
            ("ExecutionCondition", {"secType": "STK", "symbol": "SPY", exchange: "SMART"}),
            ("VolumeCondition", {"isMore": False, "volume": 10000} | place),
            (
                "PercentChangeCondition",
                {"isMore": True, "changePercent": 1.5} | place,
            ),
        ):
            condition = getattr(self.parts, kind)()
            for name, value in values.items():
                assert hasattr(condition, name), (kind, name)
                setattr(condition, name, value)
            found.append(condition)
        return found


@pytest.mark.parametrize(("name", "version"), CLIENTS)
@pytest.mark.parametrize("order_type", TYPES)
async def test_every_field_of_an_order_comes_back(name: str, version: int, order_type: str) -> None:
    client = Through(name, version)
    late = {key: value for since, pair in SINCE.items() if version >= since for key, value in pair.items()}
    pegs = TYPES[order_type] if version >= 170 or order_type in ("VOL", "PEG BENCH") else {}
    values = {**BOTH, **OPEN_ONLY, **late, **pegs}
    order = client.order(order_type, values)
    contract = client.parts.Contract()
    contract.symbol, contract.secType, contract.exchange = "SPY", "STK", "SMART"

    found = client.place(contract, order)

    for kind, names in ((5, values), (101, {**BOTH, **pegs})):
        back = found[kind][1]
        wrong = {name: getattr(back, name) for name in names if getattr(back, name) != values[name]}
        assert wrong == {}, kind
        assert [(pair.tag, pair.value) for pair in back.algoParams] == [("adaptivePriority", "Patient")]
        assert [vars(one) for one in back.conditions] == [vars(one) for one in order.conditions]


@pytest.mark.parametrize(("name", "version"), CLIENTS)
async def test_every_field_of_a_combo_comes_back(name: str, version: int) -> None:
    client = Through(name, version)
    contract, leg = client.parts.Contract(), client.parts.ComboLeg()
    values = {"conId": 9, "ratio": 2, "action": "SELL", "exchange": "CBOE", "openClose": 1}
    values |= {"shortSaleSlot": 2, "designatedLocation": "here", "exemptCode": 4}
    for key, value in values.items():
        setattr(leg, key, value)
    contract.symbol, contract.secType, contract.exchange, contract.comboLegs = "SPY", "BAG", "SMART", [leg]
    contract.deltaNeutralContract = client.parts.DeltaNeutralContract()
    contract.deltaNeutralContract.conId = 756733
    contract.deltaNeutralContract.delta = 0.5
    contract.deltaNeutralContract.price = 100.5
    order = client.parts.Order()
    order.action, order.totalQuantity, order.orderType, order.lmtPrice = "BUY", 1, "LMT", -1.05
    price = client.parts.OrderComboLeg()
    price.price = 2.5
    order.orderComboLegs = [price]
    order.smartComboRoutingParams = [client.parts.TagValue("NonGuaranteed", "1")]

    for shown, back in client.place(contract, order).values():
        assert {key: getattr(shown.comboLegs[0], key) for key in values} == values
        assert shown.comboLegsDescrip == "9|-2"
        neutral = shown.deltaNeutralContract
        assert (neutral.conId, neutral.delta, neutral.price) == (756733, 0.5, 100.5)
        assert back.lmtPrice == -1.05
        assert [leg.price for leg in back.orderComboLegs] == [2.5]
        assert [(pair.tag, pair.value) for pair in back.smartComboRoutingParams] == [("NonGuaranteed", "1")]
