"""Faults of quotes, ticks and subscriptions."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from broker.gateway.faults.fault import Effect, Fault
from broker.gateway.quotes import MISSING
from options import ConId

if TYPE_CHECKING:
    from broker.gateway.gateway import Gateway

OneContract = Annotated[int, "the contract's id"]


@dataclass(frozen=True, slots=True)
class NoQuote(Fault):
    name = "no_quote"
    wire = "Bid and ask of one contract become -1 with size 0; its orders do not fill."
    suffers = "The ticker's bid and ask are -1, which a careless reader takes for prices."
    source = "TWS_PROTOCOL.md 13; BROKER.md, Connection"
    targets = ("con_id",)
    con_id: OneContract

    def begin(self, gateway: "Gateway") -> Effect:
        wanted = ConId(self.con_id)
        return Effect(quote=lambda con_id, _: MISSING if con_id == wanted else None)


@dataclass(frozen=True, slots=True)
class Lines(Fault):
    name = "lines"
    wire = "Error 101 for every market data request beyond so many lines per client."
    suffers = "Only `errorEvent`; the ticker of the refused subscription stays empty for ever."
    source = "TWS_PROTOCOL.md 10, 13"
    count: Annotated[int, "market data lines per client", 0]

    def begin(self, gateway: "Gateway") -> Effect:
        before = gateway.data.most_lines
        gateway.data.most_lines = self.count

        def restore() -> None:
            gateway.data.most_lines = before

        return Effect(end=restore)


FAULTS: tuple[type[Fault], ...] = (NoQuote, Lines)
