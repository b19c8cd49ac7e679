"""What a client asks for with placeOrder, read field by field (TWS message 3 at server version 178)."""

from dataclasses import dataclass

from broker.gateway.errors import MessageError
from broker.gateway.listings import Query
from broker.gateway.wire import Fields

CONDITION_FIELDS = {1: 6, 3: 3, 4: 3, 5: 4, 6: 5, 7: 5}


@dataclass(frozen=True, slots=True)
class ComboLeg:
    """`action` is BUY or SELL as seen by a buyer of the combo; `ratio` contracts per combo."""

    con_id: int
    ratio: int
    action: str
    exchange: str

    @property
    def sign(self) -> int:
        return 1 if self.action == "BUY" else -1


@dataclass(frozen=True, slots=True)
class OrderRequest:
    """What the exchange heeds of an order, or a client sees again. `limit_price` is None unless set."""

    contract: Query
    legs: tuple[ComboLeg, ...]
    routing: tuple[tuple[str, str], ...]
    action: str
    quantity: int
    order_type: str
    limit_price: float | None
    aux_price: float | None
    tif: str
    oca_group: str
    account: str
    order_ref: str
    transmit: bool
    parent_id: int
    outside_rth: bool
    what_if: bool

    @property
    def sign(self) -> int:
        return 1 if self.action == "BUY" else -1

    @property
    def is_combo(self) -> bool:
        return self.contract.sec_type == "BAG"


def read_order(fields: Fields) -> tuple[int, OrderRequest]:
    """(order id, request); raises MessageError for another layout, also when fields are left over."""
    order_id = fields.integer()
    contract = Query.read(fields)
    fields.skip(2)
    action, quantity, order_type = fields.text(), _contracts(fields), fields.text()
    limit_price, aux_price, tif, oca_group, account = (
        fields.real(),
        fields.real(),
        fields.text(),
        fields.text(),
        fields.text(),
    )
    fields.skip(2)
    order_ref, transmit, parent_id = fields.text(), fields.flag(), fields.integer()
    fields.skip(4)
    outside_rth = fields.flag()
    fields.skip(1)
    legs, routing = _combo(fields) if contract.sec_type == "BAG" else ((), ())
    what_if = _rest(fields, order_type, contract.exchange)
    fields.finish()
    if action not in ("BUY", "SELL"):
        raise MessageError(f"action {action!r} is neither BUY nor SELL")
    return order_id, OrderRequest(
        contract,
        legs,
        routing,
        action,
        quantity,
        order_type,
        limit_price,
        aux_price,
        tif or "DAY",
        oca_group,
        account,
        order_ref,
        transmit,
        parent_id,
        outside_rth,
        what_if,
    )


def _contracts(fields: Fields) -> int:
    quantity = fields.real() or 0.0
    if quantity != int(quantity):
        raise MessageError(f"quantity {quantity} is not a whole number")
    return int(quantity)


def _combo(fields: Fields) -> tuple[tuple[ComboLeg, ...], tuple[tuple[str, str], ...]]:
    legs = []
    for _ in range(fields.integer()):
        legs.append(ComboLeg(fields.integer(), fields.integer(), fields.text(), fields.text()))
        fields.skip(4)
    fields.skip(fields.integer())
    return tuple(legs), tuple((fields.text(), fields.text()) for _ in range(fields.integer()))


def _rest(fields: Fields, order_type: str, exchange: str) -> bool:
    """Everything after the combo part, which this exchange does not heed; whether it is a what-if."""
    fields.skip(29)  # obsolete field to volatilityType
    if fields.text():  # deltaNeutralOrderType
        fields.skip(8)
    fields.skip(7)  # deltaNeutralAuxPrice to scaleSubsLevelSize
    increment = fields.real()
    if increment is not None and increment > 0:
        fields.skip(7)
    fields.skip(3)  # scaleTable, activeStartTime, activeStopTime
    if fields.text():  # hedgeType
        fields.skip(1)
    fields.skip(4)  # optOutSmartRouting to notHeld
    if fields.flag():  # delta-neutral contract
        fields.skip(3)
    if fields.text():  # algoStrategy
        fields.skip(2 * fields.integer())
    fields.skip(1)  # algoId
    what_if = fields.flag()
    fields.skip(4)  # orderMiscOptions to randomizePrice
    if order_type in ("PEG BENCH", "PEGBENCH"):
        fields.skip(5)
    _conditions(fields)
    fields.skip(24)  # adjustedOrderType to manualOrderTime
    _peg_fields(fields, order_type, exchange)
    return what_if


def _conditions(fields: Fields) -> None:
    count = fields.integer()
    for _ in range(count):
        kind = fields.integer()
        if kind not in CONDITION_FIELDS:
            raise MessageError(f"order condition {kind} is unknown")
        fields.skip(CONDITION_FIELDS[kind])
    if count:
        fields.skip(2)


def _peg_fields(fields: Fields, order_type: str, exchange: str) -> None:
    if exchange == "IBKRATS":
        fields.skip(1)
    if order_type in ("PEG BEST", "PEGBEST"):
        fields.skip(1)
        if fields.real() == float("inf"):
            fields.skip(2)
    elif order_type in ("PEG MID", "PEGMID"):
        fields.skip(2)
