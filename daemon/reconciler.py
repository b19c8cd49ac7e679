"""Our books brought in step with the broker's: at the start, after every reconnect, and now and then."""

from datetime import datetime, timedelta

import structlog

from broker.events import OrderChanged, OrderState
from broker.protocol import BrokerPicture
from daemon.account_state import AccountState
from daemon.console import Console
from daemon.intake import Intake
from daemon.records import Alerts, Records
from options import BrokerError, ConId, Leg, SecType
from sync import tables
from sync.reconciliation import Difference, DifferenceKind, naked_shorts, reconcile
from sync.tables import Alert, Severity
from trading.intent import Intent, IntentState

log = structlog.get_logger()

FULL_EVERY = timedelta(hours=1)
PROVED_AFTER = 2
"""How many pictures in a row must lack an order before it counts as never received."""


RESOLVED_WITHIN = timedelta(seconds=60)
"""Holdings that still differ after this long are not resolved by taking the broker's word."""
_OF_HOLDINGS = (DifferenceKind.MISSING_HERE, DifferenceKind.MISSING_THERE, DifferenceKind.QUANTITY)


class Reconciler:
    """Takes the broker's full picture, names every difference, and resolves each by policy."""

    def __init__(
        self, state: AccountState, records: Records, alerts: Alerts, intake: Intake, console: Console
    ) -> None:
        self._state = state
        self._records = records
        self._alerts = alerts
        self._intake = intake
        self._console = console
        self._missing: dict[str, int] = {}
        self._ran = False
        self._full: datetime | None = None
        self._different_since: dict[tuple[str, str], datetime] = {}

    async def reconcile(self, now: datetime) -> list[Difference]:
        """Compare, record, resolve; a second run changes nothing. Raises BrokerError without an answer."""
        state = self._state
        picture = await state.broker.picture()
        await self._know_contracts(picture, now)
        ours = [leg for position in state.positions.positions for leg in position.legs]
        at_broker = {i.intent for i in state.desk.open_intents if i.state is not IntentState.FILLED}
        differences = reconcile(ours, at_broker, state.executions, picture, now)
        self.note_unresolved(ours, differences, now)
        for executed in picture.executions:
            self._intake.executed(executed, now)
        self._take_orders(picture, now)
        state.positions.note_picture(picture.holdings)
        state.has_picture = True
        self._intake.settle(now)
        self._record(picture, differences, now)
        return differences

    def note_unresolved(self, ours: list[Leg], differences: list[Difference], now: datetime) -> None:
        """What no policy explains: shorts that became uncovered behind our back, and holdings that differ
        still, long after the broker's word was taken over. Adopting an account brings its own shorts."""
        had = naked_shorts(ours)
        lasting = {(d.kind.value, d.subject) for d in differences if d.kind in _OF_HOLDINGS}
        self._different_since = {key: self._different_since.get(key, now) for key in sorted(lasting)}
        new = [
            f"{d.theirs}: {d.subject}"
            for d in differences
            if d.kind is DifferenceKind.NAKED_SHORT and ours and d.subject not in had
        ]
        for (kind, subject), since in self._different_since.items():
            if now - since >= RESOLVED_WITHIN:
                new.append(f"{kind} since {since:%H:%M:%S} UTC: {subject}")
        self._state.unresolved = tuple(new)

    async def _know_contracts(self, picture: BrokerPicture, now: datetime) -> None:
        """The terms of everything held, of its underlyings, and of VIX."""
        state = self._state
        unknown = [e.contract for e in picture.holdings if e.contract.con_id not in state.qualified]
        qualified = await state.broker.qualify(unknown) if unknown else []
        found = [new or old for new, old in zip(qualified, unknown, strict=True)]
        known = {state.contracts[con_id].symbol for con_id in state.qualified if _is_priced(state, con_id)}
        wanted = {c.symbol for c in (*state.contracts.values(), *found)} | {"VIX"}
        for symbol in sorted(wanted - known):
            try:
                found.append(await state.broker.underlying(symbol))
            except BrokerError as error:
                # The holdings must be protected all the same; what needs this price stays unknown.
                text = f"no price for {symbol}: {error}"
                self._alerts.raise_(Alert(Severity.WARNING, "underlying", symbol, text), now)
        for contract in found:
            state.contracts[contract.con_id] = contract
            state.qualified.add(contract.con_id)
            if contract.sec_type in (SecType.STOCK, SecType.INDEX):
                state.board.watch(contract.symbol, contract.con_id)
        if found:
            self._records.add_frame("contracts", tables.contracts(found))

    def _take_orders(self, picture: BrokerPicture, now: datetime) -> None:
        """Adopt what the broker knows of our orders; abandon what it proves never to have received."""
        state = self._state
        known = {order.order_ref: order for order in (*picture.completed_orders, *picture.open_orders)}
        executed = state.executions.executed()
        for intent in state.desk.open_intents:
            order = known.get(intent.intent)
            if order is not None:
                self._missing.pop(intent.intent, None)
                self._intake.apply(order, now)
            elif intent.state is not IntentState.FILLED:
                self._not_there(intent, executed.get(intent.intent, {}), now)

    def _not_there(self, intent: Intent, executed: dict[ConId, int], now: datetime) -> None:
        """An order that left just before the link broke may still arrive, and one that is partly filled
        may be listed late: one look proves nothing, unless all of it was executed."""
        proved = _filled(intent, executed)
        if proved.state is OrderState.FILLED:
            self._missing.pop(intent.intent, None)
            self._intake.apply(proved, now)
            return
        self._missing[intent.intent] = self._missing.get(intent.intent, 0) + 1
        if self._missing[intent.intent] < PROVED_AFTER:
            return
        del self._missing[intent.intent]
        if executed:
            self._intake.apply(proved, now)
            return
        reason = "the broker never received it; the rules decide anew on fresh facts"
        ended = self._state.desk.abandon(intent, reason, now)
        self._intake.order_came_to_nothing(ended, now)

    @property
    def is_proving(self) -> bool:
        """Whether an order is missing whose fate the next picture decides."""
        return bool(self._missing)

    def _record(self, picture: BrokerPicture, differences: list[Difference], now: datetime) -> None:
        run = f"rec-{now.isoformat()}"
        state = self._state
        if self._full is None or differences or now - self._full >= FULL_EVERY:
            self._full = now
            full = tables.positions(picture.holdings, state.positions.position_of, True)
            self._records.add_frame("positions", full)
        self._records.add_frame("reconciliations", tables.reconciliations(run, differences))
        for difference in differences:
            log.info("reconciliation.difference", **difference.row(run))
        told = [d for d in differences if d.is_critical or d.kind is DifferenceKind.UNKNOWN_ORDER]
        for alert in tables.alerts_of((), told):
            if self._alerts.raise_(alert, now):
                self._console.say(f"{alert.severity.value.upper()} {alert.kind}: {alert.text}", now)
        naked = {d.subject for d in differences if d.kind is DifferenceKind.NAKED_SHORT}
        self._alerts.clear_except("naked_short", naked)
        said = ", ".join(sorted({d.kind.value for d in differences})) or "no difference"
        if differences or not self._ran:
            self._console.say(f"reconciled with the broker: {len(picture.holdings)} holdings, {said}", now)
        self._ran = True


def _is_priced(state: AccountState, con_id: ConId) -> bool:
    return state.contracts[con_id].sec_type in (SecType.STOCK, SecType.INDEX)


def _filled(intent: Intent, executed: dict[ConId, int]) -> OrderChanged:
    """What executions alone prove of an order that the broker lists no more."""
    combos = min(executed.get(leg.contract.con_id, 0) // leg.ratio for leg in intent.legs)
    return OrderChanged(
        order_ref=intent.intent,
        order_id=None,
        perm_id=None,
        state=OrderState.FILLED if combos >= intent.quantity else OrderState.CANCELLED,
        filled=float(combos),
        remaining=float(intent.quantity - combos),
        average_price=None,
        limit_price=intent.limit_price,
        text="known by its executions alone",
    )
