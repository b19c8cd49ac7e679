"""Adapters that break one promise each: the suite must find every one, and say what is wrong with it.

Each wraps a good adapter and spoils one thing, as a first draft of an adapter might. Those about orders are
in `broken_orders.py`.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, ClassVar

from broker.events import (
    BrokerEvent,
    DailyValues,
    LinkChanged,
    LinkHealth,
    LinkState,
    QuoteChanged,
)
from broker.protocol import Chain, OrderRequest
from options import BrokerError, ConId, Contract
from tests.broker.conformance import data_promises as data
from tests.broker.conformance import link_promises as link
from tests.broker.conformance.promise import Promise
from tests.broker.conformance.simulated import SimulatedStand


class Wrapped:
    """All of a good adapter but what a subclass says otherwise. `says` is part of the suite's verdict."""

    breaks: ClassVar[Promise]
    says: ClassVar[str]

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    @classmethod
    def around(cls, stand: SimulatedStand, impatient: bool) -> "Wrapped":
        return cls(stand.adapter(impatient))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def drain(self) -> list[BrokerEvent]:
        return [told for event in self.inner.drain() for told in self.tell(event)]

    def tell(self, event: BrokerEvent) -> list[BrokerEvent]:
        return [event]


# The link


class ClaimsToBeUp(Wrapped):
    breaks, says = link.before_run_it_is_down_and_claims_nothing, "the link is up before run"
    link = LinkState.UP


class TakesPaperForLive(Wrapped):
    breaks = link.it_connects_and_names_the_account_and_its_figures
    says = "paper account is not told"
    is_paper = False


class ForgetsThatLinesAreGone(Wrapped):
    breaks = link.a_lost_connection_is_told_and_made_again_without_lines
    says = "without a word that no line is open"
    ups = 0

    def tell(self, event: BrokerEvent) -> list[BrokerEvent]:
        if isinstance(event, LinkChanged) and event.state is LinkState.UP:
            self.ups += 1
            return [replace(event, resubscribe=self.ups == 1)]
        return [event]


class NeverReconnects(Wrapped):
    breaks = link.a_lost_connection_is_told_and_made_again_without_lines
    says = "not told: the link is up"

    def __init__(self, inner: Any) -> None:
        super().__init__(inner)
        self.lost = asyncio.Event()

    async def run(self) -> None:
        running = asyncio.ensure_future(self.inner.run())
        try:
            await self.lost.wait()
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running
        await asyncio.Event().wait()

    def tell(self, event: BrokerEvent) -> list[BrokerEvent]:
        if isinstance(event, LinkChanged) and event.state is LinkState.DOWN:
            self.lost.set()
        return [event]


class TakesLostServersForUp(Wrapped):
    breaks = link.lost_servers_are_told_from_a_lost_connection
    says = "not told: the servers are lost"

    def tell(self, event: BrokerEvent) -> list[BrokerEvent]:
        return [] if isinstance(event, LinkChanged) and event.state is LinkState.LOST else [event]


class CountsNoMessages(Wrapped):
    breaks, says = link.health_tells_what_the_link_is_about, "0 messages received"

    @property
    def health(self) -> LinkHealth:
        good: LinkHealth = self.inner.health
        return replace(good, received=0)


class RemembersItsHealth(Wrapped):
    breaks, says = link.health_tells_what_the_link_is_about, "0 lines in health"
    first: LinkHealth | None = None

    @property
    def health(self) -> LinkHealth:
        self.first = self.first or self.inner.health
        assert self.first is not None
        return self.first


class NeverRenews(Wrapped):
    breaks, says = link.a_connection_is_renewed_on_purpose, "not told: the connection is lost"

    def renew(self, reason: str) -> None:
        """Forgotten."""


class TrustsTheSocket(Wrapped):
    breaks, says = (
        link.a_connection_gone_silent_is_found_out_and_made_again,
        "not told: the connection is lost",
    )

    @classmethod
    def around(cls, stand: SimulatedStand, impatient: bool) -> "Wrapped":
        return cls(stand.adapter(impatient=False))


class WaitsForEver(Wrapped):
    breaks, says = link.a_question_without_answer_ends_in_time, "a question waits longer than"

    async def qualify(self, contracts: Sequence[Contract]) -> list[Contract | None]:
        try:
            found: list[Contract | None] = await self.inner.qualify(contracts)
        except BrokerError:
            await asyncio.Event().wait()
        return found


class KeepsOrdersForLater(Wrapped):
    breaks, says = link.without_a_connection_nothing_is_sent_now_or_later, "an order without a connection"

    def place(self, order: OrderRequest) -> None:
        with suppress(BrokerError):
            self.inner.place(order)


class SendsRefusedOrdersLater(Wrapped):
    breaks, says = link.without_a_connection_nothing_is_sent_now_or_later, "was sent later"
    kept: OrderRequest | None = None

    def place(self, order: OrderRequest) -> None:
        try:
            self.inner.place(order)
        except BrokerError:
            self.kept = order
            raise

    def drain(self) -> list[BrokerEvent]:
        if self.kept is not None and self.inner.link is LinkState.UP:
            self.inner.place(self.kept)
            self.kept = None
        return super().drain()


class OutlivesItsEnd(Wrapped):
    breaks, says = link.cancelling_run_ends_the_connection, "the link is up after run was cancelled"

    async def run(self) -> None:
        self.left_over = asyncio.ensure_future(self.inner.run())
        await asyncio.shield(self.left_over)


# Contracts, lines and quotes


class AnswersInItsOwnOrder(Wrapped):
    breaks, says = data.contracts_are_known_in_the_order_asked, "was made up for an unknown contract"

    async def qualify(self, contracts: Sequence[Contract]) -> list[Contract | None]:
        found = await self.inner.qualify(contracts)
        return sorted(found, key=lambda each: each is None)


class InventsUnderlyings(Wrapped):
    breaks, says = data.an_underlying_is_found_and_an_unknown_one_refused, "no BrokerError: an unknown symbol"

    async def underlying(self, symbol: str) -> Contract:
        found: Contract = await self.inner.underlying("IWM")
        return replace(found, symbol=symbol)


class ListsStrikesAsTheyCome(Wrapped):
    breaks, says = data.a_chain_is_sorted_and_whole, "strikes are not ascending"

    async def chain(self, underlying: Contract) -> list[Chain]:
        chains = await self.inner.chain(underlying)
        return [replace(each, strikes=each.strikes[::-1]) for each in chains]


class ListsAChainPerExchange(Wrapped):
    breaks, says = data.a_chain_is_sorted_and_whole, "a trading class comes twice"

    async def chain(self, underlying: Contract) -> list[Chain]:
        return [*(chains := await self.inner.chain(underlying)), *chains]


class OpensALineTwice(Wrapped):
    breaks, says = data.one_contract_has_one_line_however_often_asked, "lines by the adapter's count"

    def subscribe(self, contract: Contract) -> None:
        self.inner._inbox.lines.close(contract.con_id)
        self.inner.subscribe(contract)


class OnlyForgetsALine(Wrapped):
    breaks, says = data.one_contract_has_one_line_however_often_asked, "a closed line is open at the broker"

    def unsubscribe(self, con_id: ConId) -> None:
        self.inner._inbox.lines.close(con_id)


class GivesThetaPerYear(Wrapped):
    breaks, says = data.a_quote_is_whole_and_says_when_it_came, "units"

    def tell(self, event: BrokerEvent) -> list[BrokerEvent]:
        if isinstance(event, QuoteChanged) and event.theta is not None:
            return [replace(event, theta=event.theta * 365)]
        return [event]


class SaysMinusOneForNobody(Wrapped):
    breaks, says = data.what_is_unknown_is_none, "a bid of -1.0 that nobody made"

    def tell(self, event: BrokerEvent) -> list[BrokerEvent]:
        return [replace(event, bid=-1.0)] if isinstance(event, QuoteChanged) and not event.bid else [event]


class SaysZeroForGreeks(Wrapped):
    breaks, says = data.what_is_unknown_is_none, "Greeks that were not computed"

    def tell(self, event: BrokerEvent) -> list[BrokerEvent]:
        return [replace(event, delta=event.delta or 0.0)] if isinstance(event, QuoteChanged) else [event]


class KeepsOldBids(Wrapped):
    breaks, says = data.a_new_line_keeps_nothing_of_the_last, "of the last line: bid 2.0"

    def __init__(self, inner: Any) -> None:
        super().__init__(inner)
        self.bids: dict[ConId, float | None] = {}

    def tell(self, event: BrokerEvent) -> list[BrokerEvent]:
        if not isinstance(event, QuoteChanged):
            return [event]
        self.bids[event.con_id] = event.bid or self.bids.get(event.con_id)
        return [replace(event, bid=self.bids[event.con_id])]


class TalksOfClosedLines(Wrapped):
    breaks, says = data.a_closed_line_is_silent, "a quote of a closed line"
    last: QuoteChanged | None = None

    def tell(self, event: BrokerEvent) -> list[BrokerEvent]:
        if not isinstance(event, QuoteChanged):
            return [event]
        self.last, before = self.last or event, self.last
        return [event] if before is None else [replace(before, bid=1.99), event]


class TakesDelayedForLive(Wrapped):
    breaks, says = data.delayed_data_are_not_live, "delayed data are said to be live"

    def tell(self, event: BrokerEvent) -> list[BrokerEvent]:
        return [replace(event, is_live=True)] if isinstance(event, QuoteChanged) else [event]


class CountsRefusedLines(Wrapped):
    breaks, says = data.a_refused_line_is_told_and_not_counted, "1 lines are counted"
    asked = 0

    @property
    def lines_used(self) -> int:
        return self.asked

    def subscribe(self, contract: Contract) -> None:
        self.asked += 1
        self.inner.subscribe(contract)


class KeepsRefusalsToItself(Wrapped):
    breaks, says = data.daily_values_are_told_and_a_refusal_too, "not told: daily values of"

    def tell(self, event: BrokerEvent) -> list[BrokerEvent]:
        return [] if isinstance(event, DailyValues) and event.refusal else [event]


class TellsValuesInCents(Wrapped):
    breaks, says = data.daily_values_are_told_and_a_refusal_too, "the price 2.05"

    def tell(self, event: BrokerEvent) -> list[BrokerEvent]:
        if not isinstance(event, DailyValues):
            return [event]
        return [replace(event, values=tuple((day, value * 100) for day, value in event.values))]
