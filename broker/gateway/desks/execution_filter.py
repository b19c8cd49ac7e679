"""Which executions a client asks for with reqExecutions (7)."""

from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from broker.gateway.errors import MessageError
from broker.gateway.exchange.account import Execution
from broker.gateway.protocol.wire import Fields
from options import NEW_YORK

SIDES = {"": (1, -1), "BUY": (1,), "BOT": (1,), "SELL": (-1,), "SLD": (-1,), "SSHORT": (-1,)}
EXCHANGE = "SMART"
"""Where every execution of the simulated gateway happens."""


@dataclass(frozen=True, slots=True)
class ExecutionFilter:
    """Empty text, client 0 and None mean "any"."""

    client_id: int
    account: str
    since: datetime | None
    symbol: str
    sec_type: str
    exchange: str
    side: str

    @classmethod
    def read(cls, fields: Fields) -> "ExecutionFilter":
        """The seven fields of the filter; raises MessageError."""
        found = cls(
            client_id=fields.integer(),
            account=fields.text(),
            since=_moment(fields.text()),
            symbol=fields.text(),
            sec_type=fields.text(),
            exchange=fields.text(),
            side=fields.text().upper(),
        )
        if found.side not in SIDES:
            raise MessageError(f"side {found.side!r} is neither BUY nor SELL")
        return found

    def fits(self, execution: Execution, account: str) -> bool:
        """Whether it is one that the client wants to see."""
        kind = execution.contract.sec_type if execution.contract else "BAG"
        return (
            self.client_id in (0, execution.client_id)
            and self.account in ("", account)
            and (self.since is None or self.since <= execution.time)
            and self.symbol in ("", execution.symbol)
            and self.sec_type in ("", kind)
            and self.exchange in ("", EXCHANGE)
            and (1 if execution.quantity > 0 else -1) in SIDES[self.side]
        )


def _moment(text: str) -> datetime | None:
    """`20260302-15:00:00` is UTC, `20260302 10:00:00 US/Eastern` has its zone, without one it is New York."""
    if not text.strip():
        return None
    day, clock, zone = (*text.replace("-", " ", 1).split(maxsplit=2), "", "")[:3]
    try:
        where = UTC if text[8:9] == "-" else ZoneInfo(zone) if zone else NEW_YORK
        return datetime.strptime(f"{day} {clock}", "%Y%m%d %H:%M:%S").replace(tzinfo=where)
    except (ValueError, OSError, ZoneInfoNotFoundError):  # a zone's name may be that of a folder
        raise MessageError(
            f"time {text!r} should look like 20260302 10:00:00 US/Eastern, or 20260302-15:00:00 for UTC"
        ) from None
