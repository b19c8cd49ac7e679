"""What the terminal shows: account, market, positions, orders, clients and news of a running gateway.

A picture fits a given width and height exactly: what does not fit is counted instead of shown.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from broker.gateway.desks.profit import total
from broker.gateway.exchange.margin import mark_of
from broker.gateway.exchange.order import Order
from options import NEW_YORK, ConId, Grouping, SecType, group_legs

if TYPE_CHECKING:
    from broker.gateway.gateway import Gateway

TWO_COLUMNS_FROM = 140
MARKET_CELL = 22
MOST_DONE = 100
# What a fault says of its own course, apart from what it was given.
TALLY = ("since", "until", "left", "applied")
GAIN, LOSS, DIM, TITLE, ALARM = "green", "red", "dim", "bold cyan", "bold red"


@dataclass(frozen=True, slots=True)
class Pulse:
    """What only two pictures in a row can tell: simulated seconds per second, and messages per second sent
    to and received from all clients, and sent by connection number."""

    speed: float
    sent: float
    received: float
    sent_to: dict[int, float]


@dataclass(frozen=True, slots=True)
class Section:
    """A titled list; `rows` are lines of cells, `right` the numbers of the cells that are flush right."""

    title: str
    rows: Sequence[Sequence[Text]]
    right: frozenset[int] = frozenset()
    newest_last: bool = False

    def shown(self, lines: int) -> RenderableType:
        """The title and as many rows as fit into `lines`, of which the title takes one."""
        room = lines - 1
        rows = list(self.rows) or [[Text("none", DIM)]]
        table = Table.grid(padding=(0, 1), expand=False)
        for column in range(len(rows[0])):
            table.add_column(justify="right" if column in self.right else "left", no_wrap=True)
        if len(rows) > room:
            rows = rows[-room:] if self.newest_last else rows[:room]
        left_out = max(0, len(self.rows) - len(rows))
        for row in rows:
            table.add_row(*row)
        title = Text(f"{self.title} " + (f"(+{left_out}) " if left_out else ""), TITLE, no_wrap=True)
        return Group(title, table)


def share_lines(lines: int, wanted: Sequence[int]) -> list[int]:
    """How many lines each section gets: all that it wants, or an equal share of what there is."""
    given = [0] * len(wanted)
    while lines > 0 and given != list(wanted):
        for i, want in enumerate(wanted):
            if given[i] < want and lines > 0:
                given[i] += 1
                lines -= 1
    return given


def picture(
    gateway: "Gateway", title: str, ports: str, pulse: Pulse, news: Sequence[str], width: int, height: int
) -> RenderableType:
    """Everything, in `height` lines of `width` columns at most. `title` is what market it is."""
    now = gateway.clock.now
    top = [_headline(gateway, title, pulse), Text(ports, DIM, no_wrap=True), *_account(gateway, now)]
    top += _market(gateway, now, width)
    sections = [_positions(gateway, now), _orders(gateway), _clients(gateway, pulse), _news(news)]
    faults = _faults(gateway)
    if faults.rows:
        sections.insert(3, faults)
    body = height - len(top) - 1
    if width >= TWO_COLUMNS_FROM:
        table = Table.grid(padding=(0, 2), expand=True)
        table.add_column(ratio=6)
        table.add_column(ratio=5)
        table.add_row(_stacked(sections[::2], body), _stacked(sections[1::2], body))
        content: RenderableType = table
    else:
        content = _stacked(sections, body)
    return Group(*top, content, _keys(gateway))


def _stacked(sections: Sequence[Section], lines: int) -> RenderableType:
    given = share_lines(lines, [max(len(section.rows), 1) + 1 for section in sections])
    return Group(*(section.shown(n) for section, n in zip(sections, given, strict=True) if n))


def _headline(gateway: "Gateway", title: str, pulse: Pulse) -> Text:
    clock = gateway.clock
    line = Text(title, no_wrap=True)
    line.append(f"  {clock.now.astimezone(NEW_YORK):%a %Y-%m-%d %H:%M:%S} New York", "bold")
    if clock.paused:
        line.append("  PAUSED", ALARM)
    elif clock.followers:
        line.append(f"  {clock.speed:g}x, in step with {len(clock.followers)}")
    else:
        line.append(f"  {clock.speed:g}x")
    if clock.speed > 1 and not clock.paused and pulse.speed < 0.8 * clock.speed:
        line.append(f" (reaches {pulse.speed:,.0f}x)", DIM)
    return line


def _account(gateway: "Gateway", now: datetime) -> list[Text]:
    look = gateway.accounts.picture(now)
    values = look.values
    day = total(look.profits.values())
    worth = Text(no_wrap=True)
    worth.append(f"worth {values.net_liquidation:,.2f} USD", "bold")
    worth.append(f"  cash {values.cash:,.2f}  today ")
    worth.append_text(_gain(day.daily))
    worth.append("  unrealized ")
    worth.append_text(_gain(day.unrealized))
    margin = Text(no_wrap=True)
    margin.append(
        f"margin initial {values.initial_margin:,.0f}, maintenance {values.maintenance_margin:,.0f}"
    )
    margin.append(f"  available {values.available_funds:,.0f}  excess ")
    excess = values.excess_liquidity
    margin.append(f"{excess:,.0f}", ALARM if excess < 0 else "")
    return [worth, margin]


def _market(gateway: "Gateway", now: datetime, width: int) -> list[Text]:
    """The underlyings with their change since the previous close, so many to a line as fit."""
    listed = gateway.market.listings.underlyings
    quotes = gateway.exchange.quotes([c.con_id for c in listed], now)
    cells = []
    for contract in listed:
        quote = quotes[contract.con_id]
        cell = Text(f"{contract.symbol:<5}", no_wrap=True)
        price = quote.last if quote.last is not None else quote.mark
        cell.append("      none" if price is None else f"{price:9.2f}", "bold")
        if price is not None and quote.close:
            change = price / quote.close - 1
            cell.append(f" {change:+7.2%}", GAIN if change > 0 else LOSS if change < 0 else "")
        cell.pad_right(max(0, MARKET_CELL - len(cell)))
        cells.append(cell)
    across = max(1, width // (MARKET_CELL + 1))
    return [Text(" ").join(cells[i : i + across]) for i in range(0, len(cells), across)]


def _positions(gateway: "Gateway", now: datetime) -> Section:
    legs = gateway.exchange.account.legs()
    marks = gateway.market.marks([leg.contract.con_id for leg in legs], now)
    rows = [_position(grouping, marks) for grouping in group_legs(legs)]
    return Section("positions", rows, frozenset({0, 4, 5}))


def _position(grouping: Grouping, marks: dict[ConId, float]) -> list[Text]:
    legs = [leg for leg in grouping.legs if leg.contract.sec_type is SecType.OPTION]
    value = sum(leg.quantity * leg.contract.multiplier * mark_of(leg, marks) for leg in grouping.legs)
    cost = sum(leg.quantity * leg.average_cost for leg in grouping.legs)
    expiries = sorted({leg.contract.expiry for leg in legs if leg.contract.expiry})
    strikes = "/".join(f"{leg.contract.strike:g}{leg.contract.right}" for leg in legs)
    return [
        Text(str(grouping.lots)),
        Text(f"{grouping.underlying} {grouping.structure.replace('_', ' ')}"),
        Text(",".join(f"{expiry:%d %b}" for expiry in expiries)),
        Text(strikes, DIM),
        Text(f"{value:,.2f}"),
        _gain(value - cost),
    ]


def _orders(gateway: "Gateway") -> Section:
    """The working ones first, then the others, newest first."""
    living = reversed(gateway.exchange.book.living())
    newest = reversed(gateway.exchange.orders.values())
    done = islice((order for order in newest if not order.lives), MOST_DONE)
    return Section("orders", [_order(order) for order in (*living, *done)], frozenset({0}))


def _order(order: Order) -> list[Text]:
    request = order.request
    if request.is_combo:
        what = f"{request.contract.symbol} combo of {len(order.legs)}"
    else:
        contract = order.legs[0][0]
        what = contract.symbol
        if contract.sec_type is SecType.OPTION:
            what += f" {contract.expiry:%d %b} {contract.strike:g}{contract.right}"
    price = f" {request.limit_price:g}" if request.limit_price is not None else ""
    done = f" {order.filled}" if order.lives and order.filled else ""
    at = f" at {order.fill_price:.2f}" if order.fill_price is not None else ""
    style = "bold" if order.lives else GAIN if order.filled else DIM
    return [
        Text(f"{(order.done or order.placed).astimezone(NEW_YORK):%H:%M:%S}", DIM),
        Text(f"{request.action} {request.quantity} {what}"),
        Text(f"{request.order_type}{price}"),
        Text(f"{order.status}{done}{at}", style),
    ]


def _clients(gateway: "Gateway", pulse: Pulse) -> Section:
    most = gateway.data.most_lines
    rows = [
        [
            Text(f"client {session.client_id}"),
            Text(f"version {session.version}", DIM),
            Text(f"{len(session.lines)} of {most} lines"),
            Text(f"{pulse.sent_to.get(session.number, 0.0):,.0f}/s"),
        ]
        for session in gateway.in_order()
    ]
    title = f"clients: {pulse.sent:,.0f} messages/s out, {pulse.received:,.0f}/s in"
    return Section(title, rows, frozenset({3}))


def _faults(gateway: "Gateway") -> Section:
    rows = []
    for fault in gateway.faults.describe():
        given = [f"{name} {value}" for name, value in fault.items() if name not in ("fault", *TALLY)]
        rows.append([Text(fault["fault"], ALARM), Text("  ".join(given)), Text(f"{fault['applied']} times")])
    return Section("faults", rows)


def _news(news: Sequence[str]) -> Section:
    return Section("news", [[Text(line)] for line in news], newest_last=True)


def _keys(gateway: "Gateway") -> Text:
    line = Text(no_wrap=True, style=DIM)
    line.append("p", "bold")
    line.append(" go on  " if gateway.clock.paused else " pause  ")
    for key, meaning in (("+", " faster  "), ("-", " slower  "), ("q", " quit")):
        line.append(key, "bold")
        line.append(meaning)
    return line


def _gain(amount: float | None) -> Text:
    """USD, coloured by its sign."""
    if amount is None:
        return Text("unknown", DIM)
    return Text(f"{amount:+,.2f}", GAIN if amount > 0 else LOSS if amount < 0 else "")
