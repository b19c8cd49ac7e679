"""The script of one bad trading day: who is held, what happens when, and what must have come of it.

Times are New York's, prices are shares of the credit that a condor brought: at 0.45 rather more than half
of it is earned, at 0.15 more than 80 %, and the rules that come along act on both.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from options import NEW_YORK

DAY = datetime(2026, 3, 2, tzinfo=NEW_YORK)
START = DAY + timedelta(hours=9, minutes=25)
END = DAY + timedelta(hours=23, minutes=50)
EXPIRY = "2026-04-17"
QUOTE_EVERY = timedelta(minutes=3)
"""Well within the age at which a quote counts as stale."""

LEGS = (("P", 90.0, 1, 50.70), ("P", 95.0, -1, 119.30), ("C", 105.0, -1, 119.30), ("C", 110.0, 1, 50.70))
"""Of each condor: right, strike, contracts per lot, average cost in USD per contract."""
LOTS = 2
HALF, FULL, LOSS = 0.45, 0.15, 2.0


@dataclass(frozen=True)
class Act:
    """Something that happens at a moment: `faults` begin, `worth` says what condors are worth from then on,
    `heal` ends faults. `down`: the link ends, and time stands still until the daemon has noticed."""

    at: str
    words: str
    faults: tuple[tuple[str, Mapping[str, Any]], ...] = ()
    worth: Mapping[str, float] = field(default_factory=dict)
    heal: tuple[str, ...] = ()
    after: tuple[tuple[str, Mapping[str, Any]], ...] = ()
    """Faults that begin a simulated second later, when the orders of this moment have left."""
    down: bool = False

    @property
    def moment(self) -> datetime:
        hours, minutes, seconds = (int(part) for part in f"{self.at}:00".split(":")[:3])
        return DAY + timedelta(hours=hours, minutes=minutes, seconds=seconds)


@dataclass(frozen=True)
class Held:
    """A condor of the book. `lots_left` at the end, after `orders` orders at the broker."""

    symbol: str
    story: str
    orders: int
    lots_left: int = 0


BOOK = (
    Held("ADAM", "filled while the client was away", 1, lots_left=1),
    Held("BETA", "worked through the flap of the servers", 1),
    Held("CARL", "sent into a socket that was half open, and filled unheard", 1),
    Held("DORA", "told cancelled by three false reports while it lived", 1),
    Held("EMIL", "each execution reported twice, the commission late", 1),
    Held("FRAN", "one of its executions corrected afterwards", 1),
    Held("GUST", "reached the broker, and the connection was reset before a word came back", 1),
    Held("HUGO", "left into a connection that broke before it arrived", 1),
    Held("IRIS", "filled although it was being cancelled", 2),
    Held("JANE", "lost in a restart of the gateway, its order id given out again", 1),
    Held("KURT", "not filled by the close, and not sent again at night", 1, lots_left=2),
    Held("LENA", "never sold", 0, lots_left=2),
)

ACTS = (
    Act("09:44", "no order fills; ADAM has earned half", (("hold_fills", {}),), {"ADAM": HALF}),
    Act(
        "09:45",
        "first drop: the held order fills while the client is away",
        (("fill_while_away", {"seconds": 30}),),
        heal=("hold_fills",),
        down=True,
    ),
    Act("10:04", "no order fills; BETA has earned nearly all", (("hold_fills", {}),), {"BETA": FULL}),
    Act("10:05", "1100: the servers are lost", (("connectivity", {"code": 1100}),)),
    Act("10:05:20", "1102: the servers are back, data maintained", (("connectivity", {"code": 1102}),)),
    Act("10:05:40", "1100 again", (("connectivity", {"code": 1100}),)),
    Act("10:06", "1102 again", (("connectivity", {"code": 1102}),)),
    Act("10:08", "orders fill again", heal=("hold_fills",)),
    Act("10:30", "1100: the servers are lost", (("connectivity", {"code": 1100}),)),
    Act("10:32", "1101: back, all subscriptions lost", (("connectivity", {"code": 1101}),)),
    Act(
        "11:00",
        "half-open: the socket stays open and silent from the order for CARL on, which is carried out",
        (("silent", {"after_request": "place_order"}),),
        {"CARL": FULL},
        down=True,
    ),
    Act("11:05", "the gateway speaks again", heal=("silent",)),
    Act(
        "11:30",
        "second drop (reset) right after the order for GUST arrived; the client id is in use for a while",
        (
            ("drop", {"how": "rst", "after_request": "place_order", "handled": True}),
            ("client_id_in_use", {"times": 2}),
        ),
        {"GUST": FULL},
        down=True,
    ),
    Act("12:00", "a storm of errors: 10197, twenty for each line", (("error_storm", {"repeats": 20}),)),
    Act(
        "12:01",
        "354, five for each line, although all are served",
        (("error_storm", {"code": 354, "repeats": 5}),),
    ),
    Act("12:30", "no order fills; DORA has earned nearly all", (("hold_fills", {}),), {"DORA": FULL}),
    Act("12:31", "false cancel 10349 of the living order", (("false_cancel", {"code": 10349}),)),
    Act("12:31:30", "false cancel 10148 of the living order", (("false_cancel", {"code": 10148}),)),
    Act("12:32", "false cancel 104 of the living order", (("false_cancel", {"code": 104}),)),
    Act("12:33", "a warning that names it: 399", (("order_warning", {"code": 399}),)),
    Act("12:34", "orders fill again", heal=("hold_fills",)),
    Act(
        "13:00",
        "executions come twice, commissions 30 s late; EMIL has earned nearly all",
        (("duplicate_execution", {}), ("commission", {"value": "late", "delay_s": 30})),
        {"EMIL": FULL},
    ),
    Act("13:30", "both are over", heal=("duplicate_execution", "commission")),
    Act(
        "14:00",
        "an execution is corrected by 0.01 USD 20 s after the fill; FRAN has earned nearly all",
        (("correction", {"delay_s": 20, "times": 1}),),
        {"FRAN": FULL},
    ),
    Act(
        "14:30",
        "third drop (half a frame) in the very moment of the order for HUGO, which is lost; no connections "
        "for a minute",
        (
            ("drop", {"how": "torn", "after_request": "place_order", "handled": False}),
            ("refuse_connections", {"seconds": 60}),
        ),
        {"HUGO": FULL},
        down=True,
    ),
    Act("15:00", "no order fills; IRIS has earned half", (("hold_fills", {}),), {"IRIS": HALF}),
    Act(
        "15:01",
        "cancels take 20 s; IRIS loses more than its trailing stop allows: its order is to be cancelled",
        (("slow_cancel", {"delay_s": 20}),),
        {"IRIS": LOSS},
    ),
    Act("15:01:05", "orders fill again, at the old price", worth={"IRIS": HALF}, heal=("hold_fills",)),
    Act("15:01:30", "IRIS is worth its loss again", worth={"IRIS": LOSS}, heal=("slow_cancel",)),
    Act(
        "15:30",
        "the gateway restarts right after the order for JANE: the order is lost, its id given out again",
        (("hold_fills", {}),),
        {"JANE": FULL},
        after=(("restart", {"seconds": 60, "lost_s": 5}),),
        heal=("hold_fills",),
        down=True,
    ),
    Act("15:58", "no order fills; KURT has earned nearly all", (("hold_fills", {}),), {"KURT": FULL}),
    Act("16:01", "the exchange has closed", heal=("hold_fills",)),
    Act("23:45", "the nightly restart", (("restart", {"seconds": 120}),), down=True),
)
